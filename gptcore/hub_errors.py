"""Why a download failed, in one sentence: the cause, and what to do instead.

How to read it: ``CAUSES`` by the kind of error, ``STATUSES`` by the hub's answer; ``explain`` looks an error up.
Kinds are known by name: which library carries the hub's requests has changed before.
"""

from __future__ import annotations

from gptcore.safetensors_file import WeightsError, shown

HELP = (
    "upload the file instead, or have it laid into models/ on the server; all models that are here already go on as "
    "they are"
)
CAUSES = {
    "OfflineModeIsEnabled": "offline mode is on (HF_HUB_OFFLINE), so nothing is fetched",
    "ProxyError": "the proxy on the way refused the connection",
    "ConnectTimeout": "the hub did not take the connection in time: this network may block it",
    "ConnectError": "the hub can't be reached from here: no network, no name server, or a firewall",
    "ReadTimeout": "the hub stopped sending in the middle",
    "RemoteProtocolError": "the connection was cut in the middle",
    "ReadError": "the connection was cut in the middle",
    "TimeoutException": "the hub did not answer in time",
}
STATUSES = {
    401: "the hub wants a sign-in (401), although this model is public: a proxy may have answered in its place",
    403: "the hub refuses this machine (403): a proxy or a rule of this network may stand in between",
    404: "the hub has no such file any more (404)",
    407: "the proxy of this network wants a sign-in (407)",
    429: "the hub has had too many requests from this network (429): wait a few minutes",
}


class HubError(WeightsError):
    """A download that can't be finished; the message says why and what to do."""


def explain(error: Exception) -> str:
    """The cause of a failed download and what to do.

    >>> explain(TimeoutError()).partition(";")[0]
    'the download failed (TimeoutError)'
    """
    return f"{_cause(error)}; {HELP}"


def _cause(error: Exception) -> str:
    if isinstance(error, WeightsError):
        return str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        default = f"the hub is out of order ({status}): try again later"
        return STATUSES.get(status, default if status >= 500 else f"the hub answered with an error ({status})")
    for kind in type(error).__mro__:
        if kind.__name__ in CAUSES:
            return CAUSES[kind.__name__]
    said = shown(str(error) or type(error).__name__, 200)
    return f"the download failed ({said})"

"""Other machines to train on: how they are named in the environment, what is refused, and what a page may know of them.

    GPTCORE_SCHEDULER                    tls://host:8786: runs are trained by the workers of this dask scheduler
    GPTCORE_TLS_CA, _TLS_CERT, _TLS_KEY  the school's authority, and this machine's certificate and key
    GPTCORE_INSECURE=1                   allows tcp:// to another machine

How to read it: ``settings`` reads the environment, ``cluster_now`` the file that the dispatcher keeps. Neither needs
distributed, which is optional (``requirements-cluster.txt``). What is left out: the machines' work (``cluster``).
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gptcore.runs.files import replace_json

CLUSTER_FILE = "cluster.json"  # the dispatcher's view, for pages: safe to lose
FILES = {"ca": "GPTCORE_TLS_CA", "cert": "GPTCORE_TLS_CERT", "key": "GPTCORE_TLS_KEY"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the scheduler is, and the files by which both sides prove who they are; None without encryption."""

    scheduler: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def _is_here(host: str) -> bool:
    """Whether a host is this machine, by a name that never leaves it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def settings(environ: Mapping[str, str] = os.environ) -> Settings | None:
    """What the environment says of other machines; None where it names no scheduler.

    Raises:
        ValueError: It can't be used, or must not be; the message says what to do.

    >>> settings({"GPTCORE_SCHEDULER": "tcp://10.0.0.5:8786"})
    Traceback (most recent call last):
    ...
    ValueError: GPTCORE_SCHEDULER=tcp://10.0.0.5:8786 is refused: ...
    """
    scheduler = environ.get("GPTCORE_SCHEDULER")
    if not scheduler:
        return None
    scheme, host = _address(scheduler)
    if importlib.util.find_spec("distributed") is None:
        raise ValueError(
            f"GPTCORE_SCHEDULER={scheduler} needs distributed: .venv/bin/pip install -r requirements-cluster.txt"
        )
    if scheme == "tls":
        return Settings(scheduler, **{field: _file(environ, name) for field, name in FILES.items()})
    if not _is_here(host) and environ.get("GPTCORE_INSECURE") != "1":
        raise ValueError(
            f"GPTCORE_SCHEDULER={scheduler} is refused: without encryption whoever reaches that port can run anything "
            "on all these machines. Use tls:// and certificates (README, Many machines), or set GPTCORE_INSECURE=1 "
            "where you trust everybody on the network"
        )
    return Settings(scheduler)


def _address(scheduler: str) -> tuple[str, str]:
    """Scheme and host of an address that has all its parts."""
    try:
        parts = urlsplit(scheduler)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:  # a port that is no number
        scheme, host, port = "", None, None
    if scheme not in ("tls", "tcp") or host is None or port is None:
        raise ValueError(f"GPTCORE_SCHEDULER={scheduler} is no address of a scheduler, such as tls://192.168.1.10:8786")
    return scheme, host


def _file(environ: Mapping[str, str], name: str) -> Path:
    path = Path(environ.get(name, ""))
    if not path.is_file():
        raise ValueError(f"{name}={environ.get(name, '')} is no file; tls:// needs {', '.join(FILES.values())}")
    return path.absolute()


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine that trains.

    Attributes:
        name: What it calls itself.
        slots: Runs that it takes at a time: one for each worker.
        cores: Of its processor.
        memory: Bytes that its processes may hold together.
        runs: The ids of the runs that it trains now.
    """

    name: str
    slots: int
    cores: int
    memory: int
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterNow:
    """What the dispatcher last saw of the other machines.

    Attributes:
        scheduler: Its address.
        why_not: Why there is no connection to it, in a sentence; None where there is one.
        machines: By name.
        updated: When this was so, in seconds since 1970.
    """

    scheduler: str
    why_not: str | None
    machines: tuple[Machine, ...]
    updated: float


def tell(root: Path, now: ClusterNow) -> None:
    """Write down how things are, for the pages.

    Raises:
        OSError: It can't be written.
    """
    replace_json(root / CLUSTER_FILE, asdict(now))


def cluster_now(root: Path) -> ClusterNow | None:
    """What the dispatcher of a folder of runs last saw of the other machines; None where it has none.

    Args:
        root: The folder of runs.
    """
    try:
        now = json.loads((root / CLUSTER_FILE).read_text(encoding="utf-8"))
        machines = [Machine(**each | {"runs": tuple(each["runs"])}) for each in now["machines"]]
        return ClusterNow(**now | {"machines": tuple(machines)})
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or another version wrote it
        return None


def machines(root: Path) -> tuple[Machine, ...]:
    """The machines that train now, with what runs where; empty where everything is trained on this one."""
    now = cluster_now(root)
    return () if now is None or now.why_not is not None else now.machines

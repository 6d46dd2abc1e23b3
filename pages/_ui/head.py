"""A lesson's head beside its question: copy a link to it, show the link as a code to the room, present it.

The link is worked out when somebody asks for it, in a fragment of its own: a move of a control costs nothing more, and
the link knows the moves inside other fragments.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from gptcore.address import PORT, network_address, qr_image
from gptcore.paths import ASSETS
from pages._ui import present, share

# In one row: beside the title, or beneath it on a telephone.
TOGETHER = """<style>
.st-key-share_head { flex-wrap: nowrap; }
@media (max-width: 640px) { .st-key-lesson-head > :first-child { flex-basis: 100%; } }
</style>"""
LINK, CODE = "share_link", "share_code"
FOLDER = ASSETS / "components"
ITSELF = ("localhost", "127.0.0.1", "::1")
TOO_LONG_TO_SCAN = 1_200  # signs: beyond, a code's dots are too small for a telephone at the back of a room

_copy = st.components.v2.component(
    "glassbox_copy_link",
    html=(FOLDER / "copy_link.html").read_text(encoding="utf-8"),
    css=(FOLDER / "copy_link.css").read_text(encoding="utf-8"),
    js=(FOLDER / "copy_link.js").read_text(encoding="utf-8"),
)


def base() -> str:
    """This server as others reach it: a browser on the same machine knows it as localhost, and nobody else does."""
    seen = urlsplit(st.context.url or "")
    port = st.get_option("server.port") or PORT
    ours = seen.hostname in ITSELF and seen.port == port
    known = network_address(port, st.get_option("server.address") or "") if ours else None
    if known is not None:
        return known + seen.path.rstrip("/")
    return urlunsplit((seen.scheme, seen.netloc, seen.path.rstrip("/"), "", ""))


def link(lesson: str) -> tuple[str, list[str]]:
    """The link to what is on screen, and what was too long for it."""
    said, left_out = share.written(lesson)
    return f"{base() or f'/{lesson}'}?{urlencode(said)}", left_out


@st.fragment
def buttons(lesson: str) -> None:
    """Draw the buttons."""
    st.html(TOGETHER)
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="share_head", width="content"):
        address, number = st.session_state.get(LINK, ("", 0))
        _copy(
            data={"link": address, "number": number},
            key=f"share_copy_{lesson}",
            width="content",
            on_asked_change=lambda: _ask(lesson),
        )
        code = st.popover("", icon=":material/qr_code_2:", key=CODE, on_change="rerun", help="The link as a QR code")
        if code.open:
            with code:
                _code(lesson)
        if st.button("", icon=":material/slideshow:", key="share_present", help="Present this lesson"):
            present.begin()
            st.rerun()  # the whole page
    if left_out := st.session_state.get("share_left_out"):
        st.caption(f"Too long for a link, so it stays here: {', '.join(left_out)}.")


def _ask(lesson: str) -> None:
    address, left_out = link(lesson)
    st.session_state[LINK] = (address, st.session_state.get(LINK, ("", 0))[1] + 1)
    st.session_state["share_left_out"] = left_out


def _code(lesson: str) -> None:
    """The link as a code, and in letters."""
    address, left_out = link(lesson)
    if len(address) <= TOO_LONG_TO_SCAN:
        st.image(qr_image(address), width=320, alt="QR code of the link below")
    else:
        st.caption(f"With its {len(address):,} signs this link is too long for a code that a telephone could read.")
    st.code(address, language=None, wrap_lines=True)
    if left_out:
        st.caption(f"Too long for a link, so it stays here: {', '.join(left_out)}.")

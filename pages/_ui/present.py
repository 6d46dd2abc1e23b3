"""A lesson for a room: large type, nothing beside it, and the keys of a clicker that walk the thread.

How to read it: ``begin`` and ``leave`` change one mark of the visit; ``bar`` draws the few buttons of a presenter. The
address of the page keeps ``present=1``, so that a projector can be sent a link. "Follow my run" goes to each run that
this browser begins (``follow``): a presenter trains in one tab, and the room sees it in the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gptcore.paths import ASSETS
from pages._ui import follow

PRESENTING, FOLLOW, HEARD = "present_on", "present_follow", "present_heard"
STYLE = """<style>
:root { font-size: 21px; }
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], [data-testid="stToolbar"] { display: none; }
@media (max-width: 640px) { /* a telephone: the whole bar in one row; who can't see it hears "Back to start" as ever */
  :root { font-size: 16px; }
  .st-key-present_bar a { padding-inline: 0.25rem; }
  .st-key-present_start p { position: absolute; clip-path: inset(50%); }
  [class*="st-key-present_keys_"] { position: absolute; }
}
</style>"""

_clicker = st.components.v2.component(
    "glassbox_clicker",
    html="<i hidden></i>\n",
    js=(ASSETS / "components" / "clicker.js").read_text(encoding="utf-8"),
)


def is_on() -> bool:
    """Whether this visit presents; a link may say so."""
    if st.query_params.get("present") == "1":
        st.session_state[PRESENTING] = True
    on: bool = st.session_state.get(PRESENTING, False)
    return on


def begin() -> None:
    """Present from here on."""
    st.session_state[PRESENTING] = True


def leave() -> None:
    """Present no more."""
    st.session_state[PRESENTING] = False
    st.query_params.pop("present", None)


def bar(current: str, keys: Sequence[str]) -> None:
    """Draw the presenter's links and buttons, and hear the clicker.

    The ways to other lessons are links, which the clicker follows, too: the browser itself leaves the page and asks
    nothing more of it. Were it sent on by the server, a part of the old page that looks again and again might still be
    asked for meanwhile, and would then empty the new one.

    Args:
        current: This lesson.
        keys: All lessons, in the order of the thread.
    """
    st.query_params["present"] = "1"
    st.html(STYLE)
    at = keys.index(current)
    said = _clicker(
        data={"heard": st.session_state.get(HEARD, 0)},
        key=f"present_keys_{current}",
        height=1,
        on_walk_change=lambda: None,
    ).get("walk")
    # As one, so that all of it goes beneath a long question.
    with st.container(horizontal=True, gap="xxsmall", vertical_alignment="center", width="content", key="present_bar"):
        for way, (goal, label, icon, help_) in {
            "previous": (max(at - 1, 0), "", "arrow_back", "The lesson before (arrow left)"),
            "next": (min(at + 1, len(keys) - 1), "", "arrow_forward", "The next lesson (arrow right)"),
            "start": (0, "Back to start", "first_page", None),
        }.items():
            with st.container(key=f"present_{way}", width="content"):
                page = f"pages/{keys[goal]}.py"
                st.page_link(page, label=label, icon=f":material/{icon}:", help=help_, disabled=goal == at)
        st.toggle(
            "Follow my run",
            key=FOLLOW,
            persist_state="session",
            help="Goes to each run that you begin, in whichever tab. A teacher's class goes along: all screens that "
            "came by the link to the class with `&follow=1`.",
        )
        st.button("Leave", icon=":material/close:", key="present_leave", type="tertiary", help="Escape", on_click=leave)
    if said:
        _heard(said)


def _heard(said: str) -> None:
    """A key that leads to no neighbouring lesson; one that leads nowhere must leave the next one its way."""
    if said == "leave":
        leave()
    elif said == "run" and (run := follow.newest()) is not None:
        follow.go_to(run)
    st.session_state[HEARD] = st.session_state.get(HEARD, 0) + 1
    st.rerun()


def beneath(current: str) -> None:
    """Draw what stands beneath a presented lesson's question: the presenter's own run."""
    follow.own(current, goes=st.session_state.get(FOLLOW, False))

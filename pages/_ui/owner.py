"""Who owns a run: whoever sits at the browser that started it, without a name or a login.

A small component keeps an unguessable token in the browser's own storage and reports it, so that a refresh or a second
tab is the same owner. Until it has reported, and where a browser keeps nothing, a token of this visit stands in; what
was begun in its name stays the browser's, which from then on keeps and reports that token beside its own.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from pathlib import Path

import streamlit as st

from gptcore.paths import ASSETS, runs_home
from gptcore.runs import sweeping
from gptcore.runs.files import Stamp, stamp_of
from gptcore.runs.store import RunStore, owner_of
from pages._ui import teaching
from pages._ui.kept import kept

# In the session alone: what the browser reported (its own token, then those of visits; nothing where it keeps nothing),
# this visit's token, that token again once something was begun in its name, and whether the page on screen has asked
# whose something is.
BROWSER, VISIT, BEGUN, ASKED = "owner_browser", "owner_visit", "owner_begun", "owner_asked"
COMPONENT = "owner"
TOKENS = re.compile(r"([0-9a-f]{32}( [0-9a-f]{32}){0,31})?")

_component = st.components.v2.component(
    "glassbox_owner",
    html="<i hidden></i>\n",
    css=(ASSETS / "components" / "owner.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "owner.js").read_text(encoding="utf-8"),
    isolate_styles=False,  # its one rule is for the page around it
)


def recognise() -> None:
    """Ask the browser who it is; called once a page, before anything asks whose something is.

    Its answer comes at once and draws this part again, and the page only where it makes a difference: most browsers
    that open a page have nothing here yet, a whole class opens it at one moment, and many pages are the same for all.
    """
    st.session_state[ASKED] = False
    _hear()


@st.fragment
def _hear() -> None:
    known = st.session_state.get(BROWSER)
    data = {"known": known, "begun": st.session_state.get(BEGUN)}
    _component(data=data, key=COMPONENT, width=1, height=1, on_token_change=lambda: None)
    _listen()
    if st.session_state.get(BROWSER) == known:
        return
    if st.session_state[ASKED] and (teaching.in_class() or runs() or sweeping.all_of(RunStore(runs_home()), names())):
        st.rerun()


def _listen() -> None:
    """Take over what the browser says.

    It says it once, in a request of its own, and a server drops one for a part of a page that it does not know (yet),
    as after it took over another server's visitors. But every later request says it along.
    """
    reported = st.session_state.get(COMPONENT, {}).get("token")
    if isinstance(reported, str) and TOKENS.fullmatch(reported):
        st.session_state[BROWSER] = reported


def name() -> str:
    """The name under which this student's next run is owned."""
    own = _reported()[:1]
    if not own:
        own = [_visit()]
        st.session_state[BEGUN] = own[0]
    return owner_of(own[0])


def names() -> set[str]:
    """All names that this student goes by: the browser's, and the visit's where it has to do, or had to at first."""
    st.session_state[ASKED] = True
    begun = st.session_state.get(BEGUN)
    return {owner_of(token) for token in (*(_reported() or [_visit()]), *([begun] if begun else []))}


def is_known() -> bool:
    """Whether these names will last: those of a visit whose browser is still to speak may own nothing in a moment."""
    st.session_state[ASKED] = True
    _listen()
    return BROWSER in st.session_state or BEGUN in st.session_state


def runs() -> list[str]:
    """Ids of this student's runs, the oldest first, whichever tab began them."""
    store, mine = RunStore(runs_home()), names()
    rung = stamp_of(store.bell.stat()) if store.bell.exists() else None
    return [run_id for run_id, owner in _owners(store.root, rung).items() if owner in mine]


@kept(2)
def _owners(root: Path, rung: Stamp | None) -> dict[str, str | None]:
    """Whose each run is, looked up anew once the bell was rung, as it is for each that is added."""
    del rung  # part of the key only
    found: dict[str, str | None] = {}
    for run in RunStore(root):
        with suppress(FileNotFoundError):  # deleted in this instant
            found[run.id] = run.config.get("owner")
    return found


def _reported() -> list[str]:
    """The tokens that the browser keeps, as far as it has said so; its own comes first."""
    _listen()
    tokens: str = st.session_state.get(BROWSER, "")
    return tokens.split()


def _visit() -> str:
    token: str = st.session_state.setdefault(VISIT, secrets.token_hex(16))
    return token

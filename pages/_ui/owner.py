"""Who owns a run: whoever sits at the browser that started it, without a name or a login.

A small component keeps an unguessable token in the browser's own storage and reports it, so that a refresh or a second
tab is the same owner. Until it has reported, and where a browser keeps nothing, a token of this visit stands in; what
was begun in its name stays the browser's, which from then on keeps and reports that token beside its own.
"""

from __future__ import annotations

import re
import secrets

import streamlit as st

from gptcore.paths import ASSETS, runs_home
from gptcore.runs import requests, sweeping
from gptcore.runs.store import RunStore, owner_of
from pages._ui import teaching

# In the session alone: what the browser reported (its own token, then those of visits; nothing where it keeps nothing),
# this visit's token, and that token again once something was begun in its name.
BROWSER, VISIT, BEGUN = "owner_browser", "owner_visit", "owner_begun"
RUNS = "owner_runs"
TOKENS = re.compile(r"([0-9a-f]{32}( [0-9a-f]{32}){0,31})?")

_component = st.components.v2.component(
    "glassbox_owner", html="<i hidden></i>\n", js=(ASSETS / "components" / "owner.js").read_text(encoding="utf-8")
)


@st.fragment
def recognise(key: str = "owner") -> None:
    """Ask the browser who it is.

    Its answer comes at once and draws this part again, and the page only where it makes a difference: most browsers
    that open a page have nothing here yet, and a whole class opens it at one moment.
    """
    known = st.session_state.get(BROWSER)
    data = {"known": known, "begun": st.session_state.get(BEGUN)}
    reported = _component(data=data, key=key, height=1, on_token_change=lambda: None).get("token")
    if not isinstance(reported, str) or not TOKENS.fullmatch(reported) or reported == known:
        return
    st.session_state[BROWSER] = reported
    if teaching.in_class() or runs() or sweeping.all_of(RunStore(runs_home()), names()):
        st.rerun()


def name() -> str:
    """The name under which this student's next run is owned."""
    own = _reported()[:1]
    if not own:
        own = [_visit()]
        st.session_state[BEGUN] = own[0]
    return owner_of(own[0])


def names() -> set[str]:
    """All names that this student goes by: the browser's, and the visit's where it has to do, or had to at first."""
    begun = st.session_state.get(BEGUN)
    return {owner_of(token) for token in (*(_reported() or [_visit()]), *([begun] if begun else []))}


def is_known() -> bool:
    """Whether these names will last: those of a visit whose browser is still to speak may own nothing in a moment."""
    return BROWSER in st.session_state or BEGUN in st.session_state


def runs() -> list[str]:
    """Ids of this student's runs, the oldest first: looked up once in a visit, and added to from then on."""
    mine = st.session_state.get(RUNS)
    if mine is None or mine[0] != names():
        found = [run.id for run in RunStore(runs_home()) if requests.is_of(run, names())]
        mine = st.session_state[RUNS] = (names(), found)
    ids: list[str] = mine[1]
    return ids


def _reported() -> list[str]:
    """The tokens that the browser keeps, as far as it has said so; its own comes first."""
    tokens: str = st.session_state.get(BROWSER, "")
    return tokens.split()


def _visit() -> str:
    token: str = st.session_state.setdefault(VISIT, secrets.token_hex(16))
    return token

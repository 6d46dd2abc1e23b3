"""The text that a student types in the lesson on tokens: it is cut while they type, and no click loses it.

How to read it: ``current`` is the text on screen, typed or taken from the examples; what was typed last stays behind
``MINE`` whatever example is looked at meanwhile.
"""

from __future__ import annotations

import streamlit as st

from gptcore.tokenizer import replace_surrogates
from pages._ui import token_view
from pages._ui.token_examples import BY_NAME, EXAMPLES, named

MOST_CHARACTERS = 20_000  # a longer text is the thread's, chosen further down
MINE = "My own text"
VIEW = "tokens_view"  # key of the component that holds the box
EXAMPLE = "tokens_example"  # key of the examples
_TEXT, _TYPED, _TAKEN = "tokens_own", "tokens_typed", "tokens_taken"


def current() -> str:
    """The text on screen; the first example until another was taken or something was typed."""
    if _TEXT not in st.session_state:
        st.session_state[_TEXT] = EXAMPLES[0].text
        st.session_state[EXAMPLE] = EXAMPLES[0].name
    text: str = st.session_state[_TEXT]
    if EXAMPLE not in st.session_state:  # it came with a link, as if it had been typed
        text = st.session_state[_TEXT] = st.session_state[_TYPED] = replace_surrogates(text)
        st.session_state[EXAMPLE] = named(text) or MINE
    return text


def box() -> token_view.Box:
    """The box to type in, as it is to be drawn now."""
    typed = token_view.reported(VIEW, "typed") or {}
    return token_view.Box(current(), st.session_state.get(_TAKEN, 0), typed.get("count", 0), MOST_CHARACTERS)


def examples() -> None:
    """Offer the examples, and the way back to what was typed."""
    current()
    st.pills(
        "Examples, each with something to notice",
        [MINE, *BY_NAME],
        key=EXAMPLE,
        persist_state="session",
        on_change=_take_example,
        label_visibility="collapsed",
        wrap=True,
    )


def _take_example() -> None:
    name = st.session_state[EXAMPLE]
    if name is None:  # the chosen one was clicked once more: it stays
        st.session_state[EXAMPLE] = named(current()) or MINE
        return
    st.session_state[_TEXT] = st.session_state.get(_TYPED, "") if name == MINE else BY_NAME[name].text
    st.session_state[_TAKEN] = st.session_state.get(_TAKEN, 0) + 1
    # Said again: letters that were under way had another choice lit, and a click on what is lit would take nothing.
    st.session_state[EXAMPLE] = name


def hear() -> None:
    """Go on with what was typed; a text that was on its way while an example was taken is only kept."""
    typed = token_view.reported(VIEW, "typed")
    if not isinstance(typed, dict) or not isinstance(typed.get("text"), str):
        return
    text = replace_surrogates(typed["text"])
    if len(text) > MOST_CHARACTERS:  # the box says so and sends nothing
        return
    st.session_state[_TYPED] = text
    if typed.get("taken") == st.session_state.get(_TAKEN, 0):
        st.session_state[_TEXT] = text
        st.session_state[EXAMPLE] = named(text) or MINE

"""The stage of the GPT-2 lesson: the prompt, the columns, and one of three ways to look at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from pages._ui import against, against_losses, against_next, against_write
from pages._ui.against_write import Asked
from pages._ui.resources import Voice

WRITE, LOSS, NEXT = VIEWS = ("Write", "Loss on a passage", "Next token")


class Task(NamedTuple):
    """What the button asks for: who writes, after which prompt, and how many tokens each."""

    asked: Sequence[Asked]
    prompt: str
    most: int


def lay(gpt2: Voice | None) -> Task | None:
    """The columns and what they are asked; returns what the button asks them to write."""
    left, right = st.columns([1, 2], gap="medium")
    with left:
        prompt = against.prompt()
    with right:
        voices = against.choose(gpt2)
    look, buttons = st.columns([1, 1.2], vertical_alignment="bottom")
    view = look.segmented_control(
        "View",
        VIEWS,
        default=WRITE,
        required=True,
        key="pretrained_view",
        label_visibility="collapsed",
        persist_state="session",
    )
    if len(voices) < against.FEWEST:
        st.info("Choose at least two columns: one model alone stands against nobody.")
        return None
    if view == LOSS:
        against_losses.lay(voices)
        return None
    if view == NEXT:
        against_next.lay(voices, prompt)
        return None
    with buttons.container(horizontal=True, horizontal_alignment="right"):
        rules = against.rules()
        asks = st.button("Write", type="primary", icon=":material/play_arrow:", key="pretrained_ask")
        st.button("Stop", icon=":material/stop:", key="pretrained_stop")  # any click ends what is being written
    asked = against_write.lay(voices, prompt, rules)
    return Task(asked, prompt, rules.most) if asks else None

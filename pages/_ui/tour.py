"""A tour: ten stops along the thread, ten minutes, with the bundled model and whatever the thread holds.

How to read it: ``STOPS`` is the tour, as data; a name in braces is a live number, of the thread or of the bundled
model's guess. ``bar`` draws the stop at the top of its lesson; it costs nothing while no tour is on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from gptcore.config import SamplingConfig
from gptcore.figures.theme import marked
from gptcore.paths import POCKET_MODEL
from pages._ui import resources, thread, thread_numbers
from pages._ui.resources import Voice

AT = "tour_stop"
POCKET = Voice("pocket model", POCKET_MODEL)


def _guess() -> dict[str, str]:
    """What the bundled model expects after the thread's prompt."""
    table = resources.next_tokens(POCKET, thread.text().prompt, SamplingConfig())
    first = table.nlargest(1, "probability").iloc[0]
    return {
        "prompt": _escaped(thread.text().prompt),
        "guess": _escaped(marked(first["token"])),
        "share": f"{first['probability']:.1%}",
        "choices": f"{resources.effective_choices(table):,.0f}",
    }


def _escaped(text: str) -> str:
    """A student's words or a model's, shown letter by letter."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


class Stop(NamedTuple):
    """One stop.

    Attributes:
        lesson: Where.
        said: What there is to see, with live numbers.
        do: What to try there.
        more: Gives the numbers that the thread itself does not hold.
    """

    lesson: str
    said: str
    do: str
    more: Callable[[], dict[str, str]] = dict


STOPS = (
    Stop(
        "home",
        "Everything begins with a text: {characters} characters. A model of 162 million parameters once learnt from a "
        "text like this, and here is what it said on the way.",
        "Drag the time machine from the left to the right, and read.",
    ),
    Stop(
        "tokens",
        "A model reads no letters. This text becomes {tokens} tokens, each with its number out of {vocabulary}.",
        "Type your name. Is it one token?",
    ),
    Stop(
        "windows",
        "{train_tokens} tokens are to learn from, cut into windows of {context}. Each place of one is an exercise: to "
        "foretell the next token.",
        "Change the stride, and watch what two neighbouring windows share.",
    ),
    Stop(
        "parameters",
        "What answers is a function with {parameters} numbers that can be changed. Here is where each of them sits.",
        "Guess what doubling the width does to the count, under Try it.",
    ),
    Stop(
        "forward",
        "A prompt goes through all of them once. After “{prompt}” the bundled model expects “{guess}”, with {share}.",
        "Open one block, and follow a token through it.",
        _guess,
    ),
    Stop(
        "loss",
        "How wrong it was is one number: a loss of 0 is certainty, and a blind guess among {vocabulary} tokens costs "
        "the logarithm of that. {Whose} came down to {best} nats on text that it never read.",
        "Find the token that was the dearest, the bluest one. Would you have foreseen it?",
    ),
    Stop(
        "training",
        "Learning is this: guess, measure the loss, move every number a little so that it falls. {Whose} did so "
        "{updates} times.",
        "Press Train with the class preset: it takes seconds, and the tour goes on meanwhile.",
    ),
    Stop(
        "overfitting",
        "At step {best_step} the validation loss was best, {best}. By the end the model knew its own text at "
        "{last_train} nats a token, and new text at {last}.",
        "Compare what it says at the best step with what it says at the end.",
    ),
    Stop(
        "sampling",
        "Probabilities become text by drawing. After “{prompt}” the bundled model is as unsure as among {choices} "
        "equally likely tokens.",
        "Move the temperature, and let it write.",
        _guess,
    ),
    Stop(
        "pretrained",
        "The same code with other weights is GPT-2: what was learnt lies in the numbers, not in the program.",
        "Let all models go on with one prompt, and read them from left to right.",
    ),
)


def begin() -> None:
    """Go to the first stop when the page is drawn next."""
    st.session_state[AT] = 0


def leave() -> None:
    """End the tour."""
    st.session_state.pop(AT, None)


def words(stop: Stop) -> dict[str, str]:
    """The numbers of a stop's sentence."""
    said = thread_numbers.now().words()
    return {**said, "Whose": said["whose"].capitalize(), **stop.more()}


def bar(lesson: str) -> None:
    """Draw where the tour stands, at the top of a lesson; nothing where no tour is on."""
    at = st.session_state.get(AT)
    if at is None:
        return
    stop = STOPS[at]
    with st.container(border=True, gap="xsmall", key="tour"):
        if stop.lesson == lesson:
            st.markdown(f"**{at + 1} of {len(STOPS)}.** {stop.said.format(**words(stop))} **{stop.do}**")
        else:
            st.markdown(f"The tour waits at stop {at + 1} of {len(STOPS)}.")
        with st.container(horizontal=True, gap="small"):
            _ways(at, is_here=stop.lesson == lesson)


def _ways(at: int, is_here: bool) -> None:
    """Back, on, and out."""
    is_last = at == len(STOPS) - 1
    if is_here and st.button("Back", icon=":material/arrow_back:", key="tour_back", disabled=at == 0):
        _go(at - 1)
    if not is_here and st.button("Go on", icon=":material/arrow_forward:", key="tour_on", type="primary"):
        _go(at)
    if is_here and not is_last and st.button("Next", icon=":material/arrow_forward:", key="tour_next", type="primary"):
        _go(at + 1)
    st.button("End the tour" if is_last else "Leave", icon=":material/close:", key="tour_leave", on_click=leave)


def _go(to: int) -> None:
    st.session_state[AT] = to
    st.switch_page(f"pages/{STOPS[to].lesson}.py")

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

AT, ASKED = "tour_stop", "tour"
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
        "tokens",
        "Everything begins with a text, here of {characters} characters. A model reads no letters: the text "
        "becomes {tokens} tokens, each with its number out of {vocabulary}.",
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
        "memory",
        "At {last_train} nats a token on its own text, {whose} ended. What a model says can be held to what it "
        "read: orange stands there word for word.",
        "Take the small recorded run, and turn up the temperature. What is still copied?",
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


def link(stop: int, label: str, icon: str) -> None:
    """A link to a stop: a page's address says where the tour stands, so a stop can be sent to somebody, too."""
    lesson = STOPS[stop].lesson
    st.page_link(f"pages/{lesson}.py", label=label, icon=f":material/{icon}:", query_params={ASKED: str(stop + 1)})


def _now() -> int | None:
    """The stop that the address names, else the last one; None where no tour is on."""
    asked = st.query_params.get(ASKED, "")
    if asked in map(str, range(1, len(STOPS) + 1)):
        st.session_state[AT] = int(asked) - 1
    at: int | None = st.session_state.get(AT)
    return at


def _leave() -> None:
    st.session_state.pop(AT, None)
    st.query_params.pop(ASKED, None)


def words(stop: Stop) -> dict[str, str]:
    """The numbers of a stop's sentence."""
    said = thread_numbers.now().words()
    return {**said, "Whose": said["whose"].capitalize(), **stop.more()}


def bar(lesson: str) -> None:
    """Draw where the tour stands, at the top of a lesson; nothing where no tour is on."""
    at = _now()
    if at is None:
        return
    stop, is_last = STOPS[at], at == len(STOPS) - 1
    with st.container(border=True, gap="xsmall", key="tour"):
        if stop.lesson == lesson:
            st.markdown(f"**{at + 1} of {len(STOPS)}.** {stop.said.format(**words(stop))} **{stop.do}**")
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            if stop.lesson != lesson:
                link(at, f"The tour waits at stop {at + 1} of {len(STOPS)}", "tour")
            else:
                if at:
                    link(at - 1, "Back", "arrow_back")
                if not is_last:
                    link(at + 1, "**Next**", "arrow_forward")
            leave = "End the tour" if is_last else "Leave"
            st.button(leave, icon=":material/close:", key="tour_leave", type="tertiary", on_click=_leave)

"""Which passage all columns read in the GPT-2 lesson, and what it cost each of them.

How to read it: ``choose`` finds the passage, ``judge_all`` has it read, window by window, by each model once. What is
left out: how the verdicts are shown (``against_losses``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from gptcore import against
from gptcore.against import Judged
from gptcore.corpora import is_at_hand, load_text
from gptcore.parameters import count_parameters
from gptcore.windows import open_parts, split_text
from pages._ui import resources, thread
from pages._ui.against import PUBLISHED
from pages._ui.resources import Voice

VERDICT = "the-verdict"
BOOK_FRACTION = 0.9
OWN = "A passage of your own"
TYPED_CHARACTERS = 4_000
MOST_WINDOWS, USUAL_WINDOWS = 8, 2


@dataclass(frozen=True, slots=True)
class Chosen:
    """The passage.

    Attributes:
        text: All of it.
        windows: Windows of 256 tokens of it that may be read.
        is_the_books: Whether it is what the book's judge reads, so that published losses belong to it.
    """

    text: str
    windows: int
    is_the_books: bool


def choose() -> Chosen:
    """Choose what is read, and how much of it."""
    training, text = thread.training(), thread.text()
    mine = f"Validation part of {text.title}"
    of_the_book = text.key == VERDICT and open_parts(text.text, training) == split_text(text.text, BOOK_FRACTION)
    verdict = [] if of_the_book or not is_at_hand(VERDICT) else ["Validation part of The Verdict"]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    options = [mine, *verdict, OWN]
    if st.session_state.get("pretrained_passage") not in options:
        st.session_state["pretrained_passage"] = mine
    chosen = left.selectbox("Passage", options, key="pretrained_passage", persist_state="session")
    windows = right.number_input(
        "Windows of 256 tokens",
        1,
        MOST_WINDOWS,
        USUAL_WINDOWS,
        key="pretrained_windows",
        help="At most so many are read, and fewer where the largest model would take too long.",
        persist_state="session",
    )
    if chosen == OWN:
        typed = st.text_area(
            "Your passage",
            text.prompt,
            max_chars=TYPED_CHARACTERS,
            key="pretrained_typed",
            height=90,
            persist_state="session",
        )
        return Chosen(typed, int(windows), is_the_books=False)
    if chosen == mine:
        part = open_parts(text.text, training)[1]
        return Chosen(part, int(windows), of_the_book and windows >= USUAL_WINDOWS)
    part = split_text(load_text(VERDICT).text, BOOK_FRACTION)[1]
    return Chosen(part, int(windows), windows >= USUAL_WINDOWS)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What came of it.

    Attributes:
        judged: By column; those that couldn't read the passage are missing.
        silent: Why they couldn't, by column.
        ids: GPT-2's tokens that were read; all but the first were guessed.
        tokens: Tokens of the whole passage.
    """

    judged: dict[str, Judged]
    silent: dict[str, str]
    ids: list[int]
    tokens: int


@st.cache_data(max_entries=128, show_spinner="The passage is being read.")
def _judged(voice: Voice, version: float, text: str, tokens: int) -> Judged:
    """One model's losses on the first tokens of a text; each window is one turn, so that others go on meanwhile."""
    del version  # part of the key only
    model, tokenizer = resources.speak(voice)
    ids = tokenizer.encode(text)[:tokens]
    windows = resources.in_turn(against.judge(model, ids, against.window_of(model)))
    return against.judged(model, tokenizer, ids, windows)


def judge_all(voices: Sequence[Voice], chosen: Chosen) -> Verdicts:
    """Have all columns read the same tokens: as many as the largest of them can afford."""
    models, silent = {}, {}
    for voice in voices:
        if voice == PUBLISHED:
            continue
        try:
            model, tokenizer = resources.speak(voice)
            tokenizer.encode(chosen.text)
        except ValueError as error:
            silent[voice.label] = str(error)
        else:
            models[voice] = model
    afford = [against.affordable_windows(count_parameters(model.config)) for model in models.values()]
    most = min([chosen.windows, *afford]) * against.WINDOW + 1
    whole = resources.token_ids(chosen.text)
    ids = whole[:most]
    if len(ids) < 2:
        return Verdicts({}, dict.fromkeys((voice.label for voice in models), "nothing to guess here"), ids, len(whole))
    judged = {voice.label: _judged(voice, resources.version(voice), chosen.text, len(ids)) for voice in models}
    return Verdicts(judged, silent, ids, len(whole))

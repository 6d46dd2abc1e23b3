"""Which window the loss lesson looks at: whose guesses, where in the thread's text, or the student's own words."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from gptcore.windows import open_parts
from pages._ui import choices, control, frame, passage, thread
from pages._ui.passage import Passage
from pages._ui.resources import UNTRAINED, Voice

SHORTEST, USUAL = 8, 16  # targets in a window
PARTS = ("training", "validation")
EDIT = "edit it"
TYPED_CHARACTERS = 600


class Chosen(NamedTuple):
    """The window to look at, and the one that it was before the student changed a word; None where nothing was."""

    seen: Passage
    before: Passage | None


def choose(key: str) -> Chosen:
    """Choose whose guesses are judged, and where in the thread's text; or change the words of that window."""
    columns = st.columns([5, 7, 5, 4])
    with columns[0]:
        voice = _choose_voice(key)
    part = columns[1].segmented_control(
        "Part of your text",
        (*PARTS, EDIT),
        default=PARTS[0],
        required=True,
        key=f"{key}_part",
        help="A model learns from the training part; the validation part stays new to it. Or change the window's "
        "words, and watch.",
        persist_state="session",
    )
    if part == EDIT:
        return _edited(key, voice)
    text = open_parts(thread.text().text, thread.training())[PARTS.index(part)]
    voice, guessable, room = _reader(voice, text)
    length = most = min(passage.LONGEST, room)
    if most > SHORTEST:
        with columns[3]:
            length = slider("Tokens to guess", SHORTEST, most, USUAL, key=f"{key}_length")
    start = 0
    if guessable > length:
        with columns[2]:
            start = slider("The window starts at token", 0, guessable - length, 0, key=f"{key}_start_{part}")
    seen = passage.guess(voice, text, start, length)
    st.session_state[f"{key}_window"] = seen.text
    st.session_state[f"{key}_typed"] = seen.text
    return Chosen(seen, None)


def _edited(key: str, voice: Voice) -> Chosen:
    """The window that was seen last, to be changed; its first tokens count where it grows too long."""
    window: str = st.session_state.setdefault(f"{key}_window", thread.text().text[:TYPED_CHARACTERS])
    st.session_state.setdefault(f"{key}_typed", window)
    typed = st.text_area(
        "The window's words: change one, then leave the box (or Ctrl+Enter)",
        max_chars=TYPED_CHARACTERS,
        key=f"{key}_typed",
        height=90,
        persist_state="session",
    )
    voice, guessable, room = _reader(voice, typed)
    if guessable > min(passage.LONGEST, room):
        st.caption(f"The first {min(passage.LONGEST, room)} guesses of {guessable:,} are looked at.")
    seen = passage.guess(voice, typed, 0, min(passage.LONGEST, room))
    if typed == window:
        return Chosen(seen, None)
    try:
        _, room = passage.guessable_tokens(voice, window)
    except ValueError:  # the window was another model's
        return Chosen(seen, None)
    return Chosen(seen, passage.guess(voice, window, 0, min(passage.LONGEST, room)))


def slider(label: str, low: int, high: int, first: int, key: str) -> int:
    """A slider that stays where it was, as far as it can, when its limits move: Streamlit's would go back to first."""
    st.session_state[key] = min(max(st.session_state.get(key, first), low), high)
    return int(st.slider(label, low, high, key=key, persist_state="session"))


def _choose_voice(key: str) -> Voice:
    """The student's own run comes first once there is one; until then an untrained model."""
    options = {voice.label: voice for voice in choices.all_voices()}
    first = UNTRAINED.label if thread.is_recorded(thread.run()) else next(iter(options))
    control.among(f"{key}_voice", options)
    label = st.selectbox(
        "Whose guesses?",
        list(options),
        index=list(options).index(first),
        key=f"{key}_voice",
        help="The untrained model has the shape of the class preset and GPT-2's vocabulary.",
        persist_state="session",
    )
    chosen = options[label or first]
    choices.say_changed(chosen)
    return chosen


def _reader(voice: Voice, text: str) -> tuple[Voice, int, int]:
    """Who can read a text: this voice, or else, with a sentence about the reason, the untrained model.

    Returns:
        The voice, how many tokens of the text can be guessed, and how many in one window. The page ends here, with
        that sentence, where nobody can guess anything.
    """
    for reader in dict.fromkeys((voice, UNTRAINED)):
        try:
            return reader, *passage.guessable_tokens(reader, text)
        except ValueError as error:
            frame.refuse(error, "" if reader == UNTRAINED else "Shown instead: the untrained model.")
    return st.stop()

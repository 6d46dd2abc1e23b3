"""Predict first, then check: a question whose answer the program works out from what is on screen.

A first guess counts for this visit's tally; it lives in the session alone, and nobody is asked who they are.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import streamlit as st

TALLY = "predict_first_guesses"


class Question(NamedTuple):
    """A question with its answer, both made of live numbers.

    Attributes:
        key: Start of its widgets' keys.
        text: One question.
        answer: A number, or one of the options.
        why: A sentence with the numbers.
        options: What one may answer; none where a number is asked for.
        slip: The name in ``gptcore.slips`` of what it sets right.
    """

    key: str
    text: str
    answer: int | str
    why: str
    options: tuple[str, ...] = ()
    slip: str = ""


class Tally(NamedTuple):
    """First guesses of this visit."""

    right: int
    guessed: int


def tally() -> Tally:
    """How many questions were guessed in this visit, and how many at the first guess."""
    guesses: dict[str, bool] = st.session_state.get(TALLY, {})
    return Tally(sum(guesses.values()), len(guesses))


def _count(question: str, is_right: bool) -> None:
    """Only a question's first guess counts."""
    st.session_state.setdefault(TALLY, {}).setdefault(question, is_right)


def ask(question: Question) -> None:
    """Ask it; once it is answered, say what is true and why. When its text changes, an older guess no longer counts."""
    if isinstance(question.answer, str):
        choice(question.key, question.text, list(question.options), question.answer, question.why)
    elif number(_of(question.key, question.text), question.text, question.answer):
        st.caption(question.why)


def _of(key: str, *asked: object) -> str:
    """The key for what is asked: where that changes, the widget is a new one, and nothing is guessed yet."""
    return f"{key}_{zlib.crc32(repr(asked).encode())}"


def number(key: str, question: str, answer: int) -> bool:
    """Ask for a number, then show the true one beside the guess.

    Args:
        key: Start of the widgets' keys.
        question: One question; when it changes, an older guess no longer counts.
        answer: The true number.

    Returns:
        Whether this question was answered, so that the page may explain it.
    """
    with st.form(f"{key}_predict", border=False, enter_to_submit=True):
        st.markdown(f"**Try it.** {question}")
        left, right = st.columns([2, 1], vertical_alignment="bottom")
        guess = left.number_input("Your guess", value=None, min_value=0, step=1, key=f"{key}_predict_guess")
        checked = right.form_submit_button(
            "Check", icon=":material/check:", key=f"{key}_predict_check", width="stretch"
        )
    if checked and guess is not None:
        st.session_state[f"{key}_predicted"] = (question, guess)
        _count(question, guess == answer)
    asked, guessed = st.session_state.get(f"{key}_predicted", ("", 0))
    if asked != question:
        return False
    if guessed == answer:
        st.success(f"Yes: {answer:,}.", icon=":material/check_circle:")
    else:
        st.info(f"You said {guessed:,}; it is {answer:,}.", icon=":material/lightbulb:")
    return True


def choice(key: str, question: str, options: list[str], answer: str, why: str) -> bool:
    """Ask for one of several answers, then say the true one and why.

    Args:
        key: Start of the widgets' keys.
        question: One question; when it or its options change, an older guess no longer counts.
        options: What one may answer.
        answer: The true one, worked out from what is on screen.
        why: A sentence with the numbers.

    Returns:
        Whether it was answered, so that the page may show what the question is about.
    """
    st.markdown(f"**Try it.** {question}")
    key = _of(key, question, options)
    guess = st.pills("Your guess", options, key=f"{key}_predict_choice", label_visibility="collapsed")
    if guess is not None:
        _count(question, guess == answer)
    if guess == answer:
        st.success(f"Yes. {why}", icon=":material/check_circle:")
    elif guess is not None:
        st.info(f"It is {answer}. {why}", icon=":material/lightbulb:")
    return guess is not None

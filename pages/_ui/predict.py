"""Predict first, then check: a question whose answer the program works out from what is on screen."""

from __future__ import annotations

import streamlit as st


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
        question: One question.
        options: What one may answer.
        answer: The true one, worked out from what is on screen.
        why: A sentence with the numbers.

    Returns:
        Whether it was answered, so that the page may show what the question is about.
    """
    st.markdown(f"**Try it.** {question}")
    guess = st.pills("Your guess", options, key=f"{key}_predict_choice", label_visibility="collapsed")
    if guess == answer:
        st.success(f"Yes. {why}", icon=":material/check_circle:")
    elif guess is not None:
        st.info(f"It is {answer}. {why}", icon=":material/lightbulb:")
    return guess is not None

"""Predict first: three questions a lesson, each answered from the thread's own numbers and scored at once.

How to read it: ``BANK`` says which questions a lesson asks; ``section`` draws them behind one expander. Nothing of them
is computed before somebody opens it, and an answer draws nothing but this part of the page again.

What is left out: the questions that a lesson asks in the midst of its figures (``predict``).
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages._ui import frame, predict, quiz_data, quiz_learning, quiz_model, quiz_runs, quiz_talking
from pages._ui.predict import Question

BANK: dict[str, Callable[[], list[Question]]] = {
    "tokens": quiz_data.tokens,
    "bpe": quiz_data.bpe,
    "windows": quiz_data.windows,
    "parameters": quiz_model.parameters,
    "forward": quiz_model.forward_pass,
    "loss": quiz_model.losses,
    "training": quiz_learning.training,
    "overfitting": quiz_learning.over_fitting,
    "memory": quiz_learning.memory,
    "clinic": quiz_runs.clinic,
    "compare": quiz_runs.compare,
    "floor": quiz_runs.floor_of_loss,
    "sampling": quiz_talking.sampling,
    "pretrained": quiz_talking.pretrained,
}


@st.fragment
def section(lesson: str) -> None:
    """Draw a lesson's questions."""
    box = st.expander("Predict first", icon=":material/quiz:", key=f"quiz_{lesson}", on_change="rerun")
    if not box.open:
        return
    with box:
        try:
            questions = BANK[lesson]()
        except ValueError as error:  # the run's weights can't be read
            frame.refuse(error)
            return
        for question in questions:
            predict.ask(question)
        right, guessed = predict.tally()
        st.caption(
            f"{right} of {guessed} first guesses of this visit were right. Nobody keeps them."
            if guessed
            else "Guess before you look: the first guess counts, for this visit only."
        )

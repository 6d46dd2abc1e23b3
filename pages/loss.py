"""Loss: one window of the thread's text, from scores to one number, step by step."""

import math

import numpy as np
import pandas as pd
import streamlit as st

from gptcore.figures.bars import loss_bars
from gptcore.figures.theme import marked
from pages._ui import chips, frame, passage, thread
from pages._ui.passage import Passage

SHORTEST, LONGEST = 8, 32

frame.lesson("loss")


def _window() -> Passage:
    """Whose guesses, and where in the text: what can't be read leaves the untrained model in place."""
    columns = st.columns([3, 3, 3, 2], vertical_alignment="bottom")
    with columns[0]:
        voice = passage.choose_voice("loss")
    part = columns[1].segmented_control(
        "From the",
        passage.PARTS,
        default=passage.PARTS[0],
        required=True,
        key="loss_part",
        help="Models learn from the training part; the validation part is new to them.",
        persist_state="session",
    )
    text = passage.part_of_text(part)
    try:
        guessable, room = passage.guessable(voice, text)
    except ValueError as error:
        sentence = str(error)
        st.error(f"{sentence[0].upper()}{sentence[1:]}. ")
        st.stop()
    most = min(LONGEST, room)
    least = min(SHORTEST, most)
    length = most
    if least < most:
        length = columns[3].slider("Tokens guessed", least, most, min(16, most), key="loss_length")
    start = 0
    if guessable > length:
        start = columns[2].slider("First token of the window", 0, guessable - length, 0, key="loss_start")
    return passage.guess(voice, text, start, length)

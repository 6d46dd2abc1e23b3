"""Curve clinic: one's own curve held to stated rules, a gallery of curves to know, checks, and the learning rate."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from gptcore import diagnosis, gallery, rates, sanity, sweep_results, sweeps, training, variants
from gptcore.figures.clinic import case_figure, range_figure
from gptcore.figures.sweeps import parallel_figure
from gptcore.runs import sweeping
from pages._ui import clinic_checks, clinic_curves, clinic_rates, clinic_sweep, frame, quiz

frame.lesson("clinic")

# Only the part on screen is computed; beside each stand the functions that ran for it.
PARTS: dict[str, tuple[Callable[[], None], tuple[Callable[..., Any], ...]]] = {
    "Your curve": (clinic_curves.own, (diagnosis.examine, diagnosis.suspects)),
    "Gallery": (clinic_curves.show_gallery, (training.update, variants.Unchanged, case_figure)),
    "Which bug is this?": (clinic_curves.quiz, (gallery.ask, case_figure)),
    "Sanity card": (
        clinic_checks.card,
        (sanity.starts_blind, sanity.learns_one_batch, sanity.judges_alike, sanity.learns_no_order),
    ),
    "Learning rate": (clinic_rates.learning_rate, (rates.read_range, rates.smooth, rates.sweep, range_figure)),
    "Several settings": (
        clinic_sweep.several_settings,
        (sweeps.following, sweep_results.importance, sweeping.advance, parallel_figure),
    ),
}
part = st.segmented_control(
    "What to look at",
    list(PARTS),
    default=None if clinic_curves.PART in st.session_state else next(iter(PARTS)),
    required=True,
    key=clinic_curves.PART,
    label_visibility="collapsed",
    persist_state="session",
)
draw, code = PARTS[part or next(iter(PARTS))]
draw()
quiz.section("clinic")
frame.code_behind(*code)
frame.next_lesson("clinic")

"""The sanity card: four short checks of the training loop, recorded, and on the student's own text."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from gptcore import sanity
from gptcore.figures.clinic import batch_figure
from gptcore.recordings import Plan
from gptcore.runs.store import Run
from gptcore.sanity import ONE_BATCH, PLANS, SHUFFLED, TRAIN_AS_VALIDATION, Check
from pages._ui import charts, frame, predict, thread, trials
from pages._ui.trials import Shown

HEIGHT = 190  # of a figure: four of them make a card


class _Said(NamedTuple):
    """A check in words; no check where the text has too little for it."""

    check: Check | None
    words: str


def card() -> None:
    """Four questions and their answers, and a button that asks them anew."""
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="center")
    with left:
        trials.button("Run the card on your text", PLANS, "clinic_card_run")
    right.caption(
        f"Three runs of {PLANS[0].training.steps} updates with a model of the class preset's size, through the queue. "
        "The first question is answered by the first of them."
    )
    trials.watched(PLANS, _card)
    _notice_and_try()


def _card(runs: dict[str, Run]) -> None:
    st.text(f"On your text, {thread.text().title}" if runs else "Recorded, on the story that comes with the program")
    shown = {plan.name: _of(plan, runs) for plan in PLANS}
    top, below = st.columns(2, gap="medium"), st.columns(2, gap="medium")
    with top[0]:
        _box("1. Does it start near ln V?", shown[ONE_BATCH.name], _start, "first")
    with top[1]:
        _box("2. Is one batch driven to 0?", shown[ONE_BATCH.name], _one_batch, "one_batch")
    with below[0]:
        _box(
            "3. Does the training text, used as validation text, give the training loss?",
            shown[TRAIN_AS_VALIDATION.name],
            _alike,
            "alike",
        )
    with below[1]:
        _box("4. Do shuffled targets stay at the counting line?", shown[SHUFFLED.name], _shuffled, "shuffled")


def _of(plan: Plan, runs: dict[str, Run]) -> Shown:
    """The student's run of a plan; the recording as long as none of them was started."""
    return trials.of_run(runs[plan.name]) if plan.name in runs else trials.recorded(plan)


def _box(question: str, shown: Shown, judge: Callable[[Shown], _Said], key: str) -> None:
    """One question, its verdict in words, and the curve that it rests on."""
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{question}**")
        if shown.run is not None and not shown.run.has_ended and key != "first":
            st.caption("This run is not done yet.")
        elif not shown.is_evaluated:
            st.caption("This run has no number yet.")
        else:
            said = judge(shown)
            verdict = (
                ""
                if said.check is None
                else "**As it should be.** "
                if said.check.passed
                else "**Not as it should be.** "
            )
            st.markdown(verdict + said.words)
            _curve(shown, key)


def _curve(shown: Shown, key: str) -> None:
    if key == "first":
        rows = shown.rows[shown.rows["step"] < 1]
        st.dataframe(
            rows[["step", "train_loss", "val_loss"]].rename(
                columns={"train_loss": "training", "val_loss": "validation"}
            ),
            hide_index=True,
            key="clinic_card_first",
        )
        st.caption("Step −1 is the model before any update, step 0 after the first one.")
    elif key == "one_batch":
        rows = shown.rows[shown.rows["step"] >= 0]
        alt = f"The loss of the one batch, from {rows['batch_loss'].iloc[0]:.2f} to {rows['batch_loss'].iloc[-1]:.3f}."
        charts.draw(st, batch_figure(rows, HEIGHT), key=f"clinic_card_{key}", alt=alt)
    else:
        last = shown.curve.evaluated.iloc[-1]
        alt = f"Training loss {last['train_loss']:.3f} and validation loss {last['val_loss']:.3f} at the end."
        charts.draw(st, trials.drawn(shown, height=HEIGHT + 60).figure, key=f"clinic_card_{key}", alt=alt)


def _start(shown: Shown) -> _Said:
    first = float(shown.rows["train_loss"].iloc[0])
    check = sanity.starts_blind(first, shown.levels.blind)
    return _Said(
        check,
        f"The untrained loss is {first:.3f}, and ln V is {shown.levels.blind:.3f}: {check.value:.3f} apart; up to "
        f"{check.limit:g} passes.",
    )


def _one_batch(shown: Shown) -> _Said:
    rows = shown.rows[shown.rows["step"] >= 0]
    check = sanity.learns_one_batch(rows)
    return _Said(
        check,
        f"After {len(rows)} updates on the same batch its loss is {check.value:.4f}; up to {check.limit:g} passes. A "
        "model that can't do this can't learn.",
    )


def _alike(shown: Shown) -> _Said:
    check = sanity.judges_alike(shown.curve.evaluated)
    last = shown.curve.evaluated.iloc[-1]
    return _Said(
        check,
        f"At the end they are {last['train_loss']:.4f} and {last['val_loss']:.4f}; over the whole run they are at most "
        f"{check.value:.4f} apart, and up to {check.limit:g} passes. Else the two would be measured differently.",
    )


def _shuffled(shown: Shown) -> _Said:
    if shown.levels.tokens is None or shown.rows["val_loss"].isna().all():
        return _Said(None, "This text has no validation part that is long enough for this question.")
    check = sanity.learns_no_order(shown.rows, shown.levels.tokens)
    return _Said(
        check,
        f"The lowest validation loss is {check.value:.3f}, and counting tokens reaches {shown.levels.tokens:.3f}; down "
        f"to {check.limit:.3f} passes. Less would mean that an answer leaks in.",
    )


def _notice_and_try() -> None:
    """What to notice and what to predict, both about the recorded card."""
    one, mixed = trials.recorded(ONE_BATCH), trials.recorded(SHUFFLED)
    updates = one.rows[one.rows["step"] >= 0]
    known = updates.loc[updates["batch_loss"] <= sanity.LEARNT, "step"]
    frame.notice(
        f"Recorded: one batch is known by heart after {int(known.iloc[0]) + 1} updates, while the validation loss "
        f"rises to {one.rows['val_loss'].dropna().iloc[-1]:.2f}: one batch says nothing about the rest of the text.",
        f"With shuffled targets the batches stay at about {mixed.rows['batch_loss'].iloc[-10:].mean():.2f}: how often "
        "each token occurs is all that is left to learn.",
        "A card that passes does not prove a program right; a card that fails proves it wrong.",
    )
    predict.number(
        "clinic_card",
        "Recorded: after how many updates on one batch is its loss at most 0.1 for the first time?",
        int(known.iloc[0]) + 1,
    )

"""The learning rate: a range test read by its rule, and five rates tried around what it suggests."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from gptcore import rates
from gptcore.figures.clinic import FURTHER, range_figure, sweep_figure
from gptcore.rates import DECAY, RANGE_TEST, RECORDED_SUGGESTION, RangeReading
from gptcore.recordings import Plan, load
from gptcore.runs.store import Run
from pages._ui import charts, frame, predict, resources, thread, trials

ABOUT = (
    "The rule: a third of the rate at which the smoothed loss is lowest. There it has only just stopped falling. "
    "Others take a tenth, or where it falls fastest."
)


def learning_rate() -> None:
    """The range test, and the sweep around its suggestion."""
    trials.watched([RANGE_TEST], _range)
    run = trials.mine([RANGE_TEST]).get(RANGE_TEST.name)
    rows = _updates(run)
    mine = run is not None and run.has_ended and len(rows) >= 3
    reading = rates.read_range(rows) if mine else rates.read_range(load(RANGE_TEST.name).metrics)
    left, right = st.columns(2, gap="medium")
    with left:
        trials.button("Run the range test on your text", [RANGE_TEST], "clinic_range_run")
    with right:
        _use(reading.suggestion, "clinic_use_range")
    st.markdown(f"**Five rates around {reading.suggestion:g}**, a factor of about three apart")
    plans = rates.sweep(reading.suggestion)
    trials.watched(plans, lambda runs: _sweep(plans, runs))
    trials.button("Try the five rates on your text", plans, "clinic_sweep_run")
    _notice(reading)


def _updates(run: Run | None) -> pd.DataFrame:
    return resources.metrics(run) if run is not None else pd.DataFrame()


def _range(runs: dict[str, Run]) -> None:
    """The figure and what the rule reads from it: of the student's run once it has three points, else the recorded."""
    run = runs.get(RANGE_TEST.name)
    rows = _updates(run)
    whose = f"On your text, {thread.text().title}"
    if len(rows) < 3:
        rows, whose = load(RANGE_TEST.name).metrics, "Recorded, on the story that comes with the program"
    reading = rates.read_range(rows)
    left, right = st.columns([3, 2], gap="medium")
    charts.draw(
        left,
        range_figure(rows["lr"].tolist(), rows["batch_loss"].tolist(), reading),
        key="clinic_range",
        alt=f"Loss of each batch against its learning rate: the smoothed loss is lowest at {reading.lowest:.2g} and "
        f"falls fastest at {reading.steepest:.2g}; the rule suggests {reading.suggestion:g}.",
    )
    with right:
        st.text(whose)
        st.markdown(_read(reading, rows))
        st.caption(ABOUT)


def _read(reading: RangeReading, rows: pd.DataFrame) -> str:
    explodes = (
        "It did not explode up to the end"
        if reading.explodes is None
        else f"From {reading.explodes:.2g} on it explodes, a nat above where it began"
    )
    factor = float(rows["lr"].iloc[1] / rows["lr"].iloc[0])
    beyond = ""
    if (highest := float(rows["batch_loss"].max())) > reading.smoothed[0] + FURTHER:
        beyond = f" The figure ends {FURTHER:g} nats above the beginning; the losses go on up to {highest:,.1f}."
    return (
        f"In one run of {len(rows)} updates the rate grows by a factor of {factor:.2f} at every step, from "
        f"{rows['lr'].iloc[0]:.0e} to {rows['lr'].iloc[-1]:.2g}. The smoothed loss falls fastest at "
        f"{reading.steepest:.2g} and is lowest at {reading.lowest:.2g}. {explodes}. **The rule suggests "
        f"{reading.suggestion:g}.**{beyond}"
    )


def _use(rate: float, key: str) -> None:
    st.button(
        f"Use {rate:g} for training",
        icon=":material/input:",
        key=key,
        on_click=_take,
        args=(rate, key),
        width="stretch",
    )
    if st.session_state.get("clinic_taken") == (key, rate):
        st.page_link(
            frame.page_file("training"),
            label=f"Class preset: rate {rate:g}, down to {rates.to_two_digits(rate / DECAY):g}. To training",
            icon=":material/show_chart:",
        )


def _take(rate: float, key: str) -> None:
    """Put a rate into the training lesson's settings, its cosine's end with it."""
    st.session_state["training_preset"] = "class"
    st.session_state["training_lr_class"] = rate
    st.session_state["training_min_lr_class"] = rates.to_two_digits(rate / DECAY)
    st.session_state["clinic_taken"] = (key, rate)


def _sweep(plans: list[Plan], runs: dict[str, Run]) -> None:
    """Five runs overlaid, and which came lowest."""
    if runs:
        whose, curves = "On your text", {plan.training.lr: _updates(runs.get(plan.name)) for plan in plans}
    elif plans[0].training.lr != rates.sweep(RECORDED_SUGGESTION)[0].training.lr:
        st.caption("Nothing was recorded for these rates: try them.")
        return
    else:
        whose, curves = "Recorded", {plan.training.lr: load(plan.name).metrics for plan in plans}
    curves = {rate: rows for rate, rows in curves.items() if len(rows) and rows["val_loss"].notna().any()}
    if not curves:
        st.caption("No run has been evaluated yet.")
        return
    lowest = {rate: float(rows["val_loss"].min()) for rate, rows in curves.items()}
    best = rates.best_of(lowest)
    left, right = st.columns([3, 2], gap="medium")
    charts.draw(
        left,
        sweep_figure(curves, best if all(run.has_ended for run in runs.values()) else None),
        key="clinic_sweep",
        alt="Validation losses of runs that differ in their rate; lowest: "
        + ", ".join(f"{loss:.2f} at {rate:g}" for rate, loss in lowest.items()),
    )
    with right:
        st.markdown(f"{whose}, the lowest validation loss of each run:")
        st.dataframe(
            [{"rate": f"{rate:g}", "lowest loss": f"{loss:.3f}"} for rate, loss in lowest.items()],
            hide_index=True,
            key="clinic_sweep_table",
        )
        if not all(run.has_ended for run in runs.values()):
            st.markdown("Which is best shows when all of them are done.")
        else:
            st.markdown(_best(best, lowest, len(plans)))
            _use(best, "clinic_use_best")


def _best(best: float, lowest: dict[float, float], planned: int) -> str:
    others = [loss for rate, loss in lowest.items() if rate != best]
    ahead = f", {min(others) - lowest[best]:.3f} below the next one" if others else ""
    missing = "" if len(lowest) == planned else f" {planned - len(lowest)} of {planned} have no number."
    edge = " It lies at the edge, so look further." if best in (min(lowest), max(lowest)) else ""
    return f"**The best of them is {best:g}**, with {lowest[best]:.3f}{ahead}.{edge}{missing}"


def _notice(reading: RangeReading) -> None:
    recorded = {plan.training.lr: load(plan.name).metrics for plan in rates.sweep(RECORDED_SUGGESTION)}
    lowest = {rate: float(rows["val_loss"].min()) for rate, rows in recorded.items()}
    best = rates.best_of(lowest)
    frame.notice(
        f"The range test above took {rates.STEPS} updates for one number, {reading.suggestion:g}; the sweep takes five "
        "runs for a choice among five.",
        f"Recorded: of the five rates from {min(lowest):g} to {max(lowest):g}, the best validation loss came at "
        f"{best:g}; a rate nine times smaller than the middle one reached {lowest[min(lowest)]:.2f} in the same time.",
        "A learning rate is found by its order of magnitude: a factor of three matters, ten per cent does not.",
    )
    predict.choice(
        "clinic_rates",
        "Recorded: at which of the five rates did the training loss fall furthest in the same time?",
        [f"{rate:g}" for rate in recorded],
        f"{(furthest := rates.best_of({rate: float(rows['train_loss'].min()) for rate, rows in recorded.items()})):g}",
        f"At {furthest:g} the training loss fell to {recorded[furthest]['train_loss'].min():.2f}; the best validation "
        f"loss came at {best:g}.",
    )

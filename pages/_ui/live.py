"""A run as it goes: its curve, its state and what it says, read from its folder again and again while it lives."""

from __future__ import annotations

from typing import Any

import streamlit as st

from gptcore.figures.curves import AXIS_TITLES, Axis, learning_curves
from gptcore.runs.store import Run
from pages._ui import chips, frame, resources, thread

POLL_SECONDS = 1.5  # each new figure is drawn afresh and loses its zoom: more often would be restless
COPIED_TOKENS = 5  # shortest verbatim run that is marked

STATE_ICONS = {
    "queued": ":material/hourglass_empty:",
    "running": ":material/directions_run:",
    "done": ":material/check_circle:",
    "cancelled": ":material/cancel:",
    "failed": ":material/error:",
    "interrupted": ":material/power_off:",
}


def view(run: Run) -> None:
    """Draw a run; while it lives, draw it again every other second unless the reader holds it still."""
    live = False
    if not run.has_ended:
        live = st.toggle("Live", value=True, key="training_live", help="Switch off to zoom and read in peace.")
    st.fragment(_look, run_every=POLL_SECONDS if live else None)(run)


def _look(run: Run) -> None:
    ended = run.has_ended
    rows = resources.metrics(run)
    _state(run, len(rows))
    x: Axis = st.segmented_control(
        "Count along the axis in",
        list(AXIS_TITLES),
        default="step",
        required=True,
        format_func=lambda axis: AXIS_TITLES[axis],
        key="training_axis",
        label_visibility="collapsed",
    )
    best = run.status.get("best", {}).get("step")
    lines = resources.reference_lines(run.text.text, run.train_config)
    figure = learning_curves(rows, lines, x, best)
    st.plotly_chart(figure, key="training_curves", alt=_in_words(rows, best))
    _samples(run)
    if ended and st.session_state.pop("training_watched", None) == run.id:
        st.rerun()  # the whole page, so that polling stops and the thread strip shows the result
    if not ended:
        st.session_state["training_watched"] = run.id


def _state(run: Run, done: int) -> None:
    status = run.status
    state = "recorded" if thread.is_recorded(run) else status["state"]
    total = status.get("total_steps")
    words = [f"{STATE_ICONS.get(state, ':material/history:')} {state}"]
    if total:
        words.append(f"step {done:,} of {total:,}")
    seconds = _seconds(run)
    if seconds and done and not thread.is_recorded(run):  # a recording's time is another machine's
        words.append(f"{seconds:,.0f} s, {seconds / done:.2f} s a step")
        if state == "running" and total:
            words.append(f"about {seconds / done * (total - done):,.0f} s to go")
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.caption(" · ".join(words))
    if state in ("queued", "running"):
        asked = run.was_asked_to_stop
        label = "Stopping" if asked else "Cancel"
        right.button(label, icon=":material/stop:", disabled=asked, key="training_cancel", on_click=run.ask_to_stop)
    if total and state == "running":
        st.progress(min(done / total, 1.0))
    if status.get("reason"):
        frame.refuse(ValueError(f"this run {state}: {status['reason']}"))


def _seconds(run: Run) -> float:
    rows, _ = run.metrics()
    return float(rows[-1]["seconds"]) if rows else 0.0


def _in_words(rows: Any, best: int | None) -> str:
    evaluated = rows[rows["train_loss"].notna()]
    if evaluated.empty:
        return "Learning curves; nothing was evaluated yet."
    last = evaluated.iloc[-1]
    found = "" if best is None else f" The validation loss was best at step {best}."
    return (
        f"Learning curves: after step {int(last['step'])} the training loss is {last['train_loss']:.2f} and the "
        f"validation loss {last['val_loss']:.2f} nats a token.{found}"
    )


def _samples(run: Run) -> None:
    samples = run.samples()
    if not samples:
        return
    latest = samples[-1]
    when = "before any update" if latest["step"] < 0 else f"after step {latest['step']}"
    spans = resources.copied_spans(run.text, run.train_config, latest["text"], COPIED_TOKENS, latest["prompt"])
    marked = "; passages of 5 tokens or more copied from the training text are orange" if spans else ""
    st.caption(f"What it says {when} when asked to go on with the bold beginning{marked}:")
    chips.copied(latest["prompt"], latest["text"], spans, key="training_sample")
    with st.expander(f"All {len(samples)} samples of this run"):
        st.dataframe(samples, hide_index=True, column_order=["step", "text"], key="training_samples")

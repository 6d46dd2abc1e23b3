"""A run as it goes: its curve, its state and what it says, read from its folder again and again while it lives."""

from __future__ import annotations

from typing import Any

import streamlit as st

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.figures.curves import AXIS_TITLES, Axis, learning_curves
from gptcore.memorization import MIN_COPIED
from gptcore.parameters import count_parameters
from gptcore.published import THE_VERDICT_RUN, PublishedRun
from gptcore.runs import queue
from gptcore.runs.store import Run
from pages._ui import charts, chips, locks, replay, resources, run_state, thread, time_machine

POLL_SECONDS = 1.5  # each new figure loses its zoom, so not more often; "stopping" shows in every tab within two
PLAYED_STEPS = 5  # of the recorded run, from one look to the next, while a run waits


def view(run: Run) -> None:
    """Draw a run; while it lives, draw it again every other second unless the reader holds it still."""
    live = False
    if not run.has_ended:
        live = st.toggle("Live", value=True, key="training_live", help="Switch off to zoom and read in peace.")
    locks.fragment(_look, run_every=POLL_SECONDS if live else None)(run)


def _look(run: Run) -> None:
    if not run.exists:  # deleted under our eyes: the whole page finds another
        st.rerun()
    ended = run.has_ended
    rows = resources.metrics(run)
    run_state.draw(run, rows)
    if rows.empty and run.status["state"] in queue.WAITING:
        _meanwhile(run)
    elif ended and _looks_back():
        time_machine.choose(run)
    else:
        _curves(run, rows)
    if ended and st.session_state.pop("training_watched", None) == run.id:
        st.rerun()  # the whole page, so that polling stops and the thread strip shows the result
    if not ended:
        st.session_state["training_watched"] = run.id


def _looks_back() -> bool:
    """Once a run has ended it can be dragged through, moment by moment; or its curves are looked at as a whole."""
    views = ("Time machine", "Curves")
    view = st.segmented_control(
        "Look at", views, default=views[0], required=True, key="training_view", label_visibility="collapsed"
    )
    return view == views[0]


def _curves(run: Run, rows: Any) -> None:
    left, right = st.columns([3, 2], vertical_alignment="center")
    x: Axis = left.segmented_control(
        "Count along the axis in",
        list(AXIS_TITLES),
        default="step",
        required=True,
        format_func=lambda axis: AXIS_TITLES[axis],
        key="training_axis",
        label_visibility="collapsed",
    )
    panels = right.toggle("Gradient and rate", key="training_panels", persist_state="session")
    best = run.status.get("best", {}).get("step")
    lines = resources.reference_lines(run.text.text, run.train_config)
    figure = learning_curves(
        rows,
        lines,
        x,
        best,
        panels=panels,
        untrained=run.status.get("untrained", {}).get("train_loss"),
        ghost=_published(run),
    )
    charts.draw(st, figure, key="training_curves", alt=_in_words(rows, best))
    _samples(run, run.samples())


def _published(run: Run) -> PublishedRun | None:
    """The published run of the same model, text and settings, where there is one."""
    training, preset = run.train_config, TRAIN_PRESETS["book-124m"]
    alike = all(getattr(training, name) == getattr(preset, name) for name in ("lr", "batch_size", "weight_decay"))
    if alike and run.model_config == MODEL_PRESETS["book-124m"] and run.config["text"]["key"] == "the-verdict":
        return THE_VERDICT_RUN
    return None


def _meanwhile(run: Run) -> None:
    """While a run waits for its turn, the recorded one plays, over and over."""
    recorded = Run(thread.RECORDED_RUN)
    rows = resources.metrics(recorded)
    played = st.session_state.get("training_played", 0) % len(rows) + PLAYED_STEPS
    st.session_state["training_played"] = played
    millions = count_parameters(resources.run_model_config(recorded)) / 1e6
    st.caption(f"Meanwhile, a recorded run: {millions:.0f} million parameters learn The Glass Clock.")
    seen = rows[rows["step"] < played]
    lines = resources.reference_lines(recorded.text.text, recorded.train_config)
    figure = learning_curves(seen, lines)
    charts.draw(st, figure, key=f"training_meanwhile_{run.id}", alt="Recorded. " + _in_words(seen, None))
    _samples(recorded, [sample for sample in recorded.samples() if sample["step"] < played])


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


def _samples(run: Run, samples: list[dict[str, Any]]) -> None:
    if not samples:
        return
    latest = samples[-1]
    when = "before any update" if latest["step"] < 0 else f"after step {latest['step']}"
    phases = replay.phases(run)
    spans = resources.copied_spans(run.text, run.train_config, latest["text"], MIN_COPIED, latest["prompt"])
    marked = f"; passages of {MIN_COPIED} tokens or more copied from the training text are orange" if spans else ""
    st.caption(f"What it says {when} ({phases(latest['step'])}) when asked to go on with the bold beginning{marked}:")
    chips.copied(latest["prompt"], latest["text"], spans, key="training_sample")
    box = st.expander("All that it said", key="training_said", on_change="rerun")  # its name stays, so it stays open
    if not box.open:
        return
    with box:
        stamped = [{**sample, "phase": phases(sample["step"])} for sample in samples]
        st.dataframe(stamped, hide_index=True, column_order=["step", "phase", "text"], key="training_samples")

"""A sweep of several settings: what to vary, within which budget; all trials as lines, and what mattered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import pandas as pd
import streamlit as st
from filelock import Timeout
from streamlit.delta_generator import DeltaGenerator

from gptcore import sweep_results
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.figures.sweeps import importance_figure, parallel_figure
from gptcore.runs import sweeping
from gptcore.runs.store import Run
from gptcore.runs.sweeping import Standing, Sweeping
from gptcore.sweeps import Axis, Method, Sweep, Trial
from pages._ui import charts, frame, owner, predict, sealing, teaching, thread, trials

# What may be varied: its label, the values offered, and those of the recording.
CHOICES: dict[str, tuple[str, list[float], list[float]]] = {
    "lr": ("Learning rates", [0.0006, 0.002, 0.006, 0.018, 0.054], [0.002, 0.006, 0.018]),
    "emb_dim": ("Widths", [16, 32, 64, 96, 128], [32, 96]),
    "context_length": ("Context lengths", [8, 16, 32, 48, 64], [16, 48]),
}
MODEL = MODEL_PRESETS["class"]
TRAINING = replace(TRAIN_PRESETS["class"], steps=100)
BUDGETS = (30, 600, 30)  # core-seconds: a class shares the machine
WORDS = {"lr": "learning rate", "emb_dim": "width", "context_length": "context length"}


def several_settings() -> None:
    """The controls, the student's newest sweep on the present text or else the recorded one, and what it says."""
    asked = _ask()
    mine = _newest()
    left, middle, right = st.columns(3, gap="medium", vertical_alignment="center")
    if asked is not None:
        left.button(
            f"Try {asked.planned} trials on your text",
            icon=":material/play_arrow:",
            key="clinic_settings_run",
            on_click=_start,
            args=(asked,),
            width="stretch",
        )
    trials.refused()
    if mine is not None:
        _stop_or_go_on(mine, middle)
        right.caption("A sweep begins its trials while this page is open, and goes on when it is opened again.")
        _watch(mine)
    else:
        sweep, recorded = sweep_results.recorded()
        middle.text("Recorded, on the story that comes with the program")
        _draw(sweep, list(recorded), whose="recorded")
    _notice()


def _ask() -> Sweep | None:
    """What to vary, and how much it may cost; None where that can't be tried, said in a sentence."""
    columns = st.columns(4, gap="medium")
    axes: list[tuple[str, list[float]]] = []
    for column, (name, (label, values, default)) in zip(columns, CHOICES.items(), strict=False):
        said = column.multiselect(label, values, default, key=f"clinic_settings_{name}", format_func="{:g}".format)
        axes.append((name, sorted(said)))
    least, most, step = BUDGETS
    budget = columns[3].slider(
        "Budget (core-seconds)",
        least,
        most,
        120,
        step,
        key="clinic_settings_budget",
        help="No trial begins that would go beyond it, by an estimate that learns from the trials before.",
    )
    method: Method = "grid"
    with st.expander("More"):
        study = st.toggle(
            "Let a study choose between the values",
            key="clinic_settings_study",
            disabled=find_spec("optuna") is None,
            help="Optuna proposes each trial from the results so far, learning rates between the chosen ones included. "
            "It is installed with requirements-sweep.txt.",
        )
        most_trials = st.slider("Trials of a study", 4, 40, 12, key="clinic_settings_trials", disabled=not study)
        if study:
            method = "study"
    fixed = {name: values[0] for name, values in axes if len(values) == 1}
    varied = tuple(Axis(name, tuple(values)) for name, values in axes if len(values) > 1)
    try:
        training = sealing.carried(thread.text(), teaching.within(TRAINING))
        sealing.say(thread.text(), training)
        base = Sweep(MODEL, training, varied, budget, method, most_trials)
        model, training = base.plan(fixed)
        return replace(base, model=model, training=training)
    except ValueError as error:
        frame.refuse(error, "Choose two values or more of one setting.")
        return None


def _newest() -> Sweeping | None:
    """The student's newest sweep on the present text."""
    mine = sweeping.all_of(thread.store(), owner.names())
    return next((each for each in mine if each.text_sha256 == thread.text().sha256), None)


def _check(asked: Sweep) -> None:
    """Hold each trial to what a teacher allows.

    Raises:
        ValueError: One of them would be larger.
    """
    names = [axis.name for axis in asked.axes]
    for values in itertools.product(*(axis.values for axis in asked.axes)):
        teaching.check(thread.text(), *asked.plan(dict(zip(names, values, strict=True))))


def _start(asked: Sweep) -> None:
    try:
        _check(asked)
        sweeping.begin(thread.store(), thread.text(), asked, owner.name())
    except (ValueError, RuntimeError, OSError) as error:
        st.session_state[trials.REFUSED] = str(error)


def _stop_or_go_on(mine: Sweeping, place: DeltaGenerator) -> None:
    if mine.is_stopped:
        label, icon, act = "Go on with the sweep", ":material/play_arrow:", _go_on(mine)
    else:
        label, icon, act = "Stop the sweep", ":material/stop:", mine.stop
    place.button(label, icon=icon, key="clinic_settings_stop", on_click=_ask_for, args=(act,), width="stretch")


def _go_on(mine: Sweeping) -> Callable[[set[str]], None]:
    """How a sweep goes on, within the teacher's limit of minutes as it is now."""
    most = teaching.levers().most_minutes
    return lambda names: mine.go_on(names, most)


def _ask_for(act: Callable[[set[str]], None]) -> None:
    """Stop the sweep or go on with it; a refusal is shown with the next drawing."""
    try:
        act(owner.names())
    except (ValueError, OSError) as error:  # trials are being begun, too many runs wait, or the disk is full
        st.session_state[trials.REFUSED] = str(error)


def _watch(mine: Sweeping) -> None:
    """Begin what may be begun, and draw, again and again until nothing more will come."""
    looked = [_advance(mine)]
    alive = looked[0] is not None and looked[0].goes_on

    def look() -> None:
        standing = looked.pop() if looked else _advance(mine)
        if standing is None:
            return
        _progress(mine.sweep, standing)
        _draw(mine.sweep, standing.trials, whose="yours")
        if alive and not standing.goes_on:
            st.rerun()  # the whole page, so that polling stops

    st.fragment(look, run_every=trials.POLL_SECONDS if alive else None)()


def _advance(mine: Sweeping) -> Standing | None:
    """One step of the sweep; None where it was refused, in words."""
    try:
        return sweeping.advance(mine)
    except (ValueError, MemoryError, OSError, Timeout) as error:
        frame.refuse(error)
        return None


def _progress(sweep: Sweep, standing: Standing) -> None:
    used = sum(trial.core_seconds for trial in standing.trials)
    done = sum(trial.is_over for trial in standing.trials)
    over = f"; {standing.over}" if standing.over and not standing.under_way else ""
    words = f"{done} of {sweep.planned} trials, {used:,.0f} of {sweep.budget:,.0f} core-seconds{over}"
    st.progress(min(max(done / sweep.planned, used / sweep.budget), 1.0), words)


def _draw(sweep: Sweep, tried: list[Trial], whose: str) -> None:
    """Every trial as a line, what each setting explains, and the best one."""
    rows = sweep_results.table(sweep, tried)
    finite = rows[rows["loss"] < math.inf]
    if finite.empty:
        st.caption("No trial is done yet.")
        return
    shares = sweep_results.importance(sweep, rows)
    left, right = st.columns([3, 2], gap="medium")
    charts.draw(
        left,
        parallel_figure(finite, sweep.axes),
        key="clinic_settings_parallel",
        alt=f"{len(finite)} trials, each a line through its settings to its lowest validation loss, from "
        f"{finite['loss'].iloc[0]:.3f} to {finite['loss'].iloc[-1]:.3f}; best: {_values(finite, sweep)}.",
    )
    with right:
        st.markdown(_best(finite, sweep, diverged=len(rows) - len(finite)))
        if whose == "yours":
            _take_best(str(finite["run"].iloc[0]))
        if not shares.empty:
            said = ", ".join(f"{axis} {share:.0%}" for axis, share in zip(shares["axis"], shares["share"], strict=True))
            charts.draw(
                right,
                importance_figure(shares),
                key="clinic_settings_importance",
                alt=f"Share of the variance of the losses that each setting explains alone: {said}.",
            )


def _values(rows: pd.DataFrame, sweep: Sweep) -> str:
    return ", ".join(f"{WORDS.get(axis.name, axis.name)} {rows[axis.name].iloc[0]:g}" for axis in sweep.axes)


def _best(rows: pd.DataFrame, sweep: Sweep, diverged: int) -> str:
    edges = [
        WORDS.get(axis.name, axis.name)
        for axis in sweep.axes
        if rows[axis.name].iloc[0] in (axis.values[0], axis.values[-1])
    ]
    look = f" It lies at the edge in {' and '.join(edges)}: the best may lie beyond." if edges else ""
    gone = f" {diverged} diverged." if diverged else ""
    return f"**Best: {_values(rows, sweep)}**, with a validation loss of {rows['loss'].iloc[0]:.3f}.{look}{gone}"


def _take_best(run_id: str) -> None:
    run = thread.store().find(run_id)
    if run is None:
        return
    st.button(
        "Go on with the best run",
        icon=":material/trophy:",
        key="clinic_settings_best",
        on_click=thread.follow,
        args=(run,),
        width="stretch",
    )
    if _is_followed(run):
        label = "The thread goes on with it. To training"
        st.page_link(frame.page_file("training"), label=label, icon=":material/show_chart:")


def _is_followed(run: Run) -> bool:
    return thread.run().id == run.id


def _best_rates(rows: pd.DataFrame) -> str:
    """The best learning rate of each width, in words."""
    best = rows.sort_values("loss").groupby("emb_dim")["lr"].first()
    return ", and ".join(f"at width {width} the best learning rate is {rate:g}" for width, rate in best.items())


def _notice() -> None:
    sweep, recorded = sweep_results.recorded()
    rows = sweep_results.table(sweep, list(recorded))
    shares = sweep_results.importance(sweep, rows)
    first, used = shares.iloc[0], rows["core_seconds"].sum()
    worst = rows[rows["loss"] < math.inf]["loss"].iloc[-1]
    frame.notice(
        f"Recorded: {len(rows)} trials of {sweep.training.steps} updates took {used:,.0f} core-seconds and ended "
        f"between {rows['loss'].iloc[0]:.2f} and {worst:.2f} nats a token.",
        f"There the {WORDS[first['axis']]} alone explains {first['share']:.0%} of the differences; what the shares "
        "leave of the whole, the settings do only together.",
        f"Settings depend on each other: {_best_rates(rows)}.",
    )
    predict.choice(
        "clinic_settings",
        "Recorded: which setting alone explains most of the differences between the trials?",
        [WORDS[axis.name] for axis in sweep.axes],
        WORDS[first["axis"]],
        "The shares: "
        + ", ".join(f"{WORDS[axis]} {share:.0%}" for axis, share in zip(shares["axis"], shares["share"], strict=True))
        + ".",
    )

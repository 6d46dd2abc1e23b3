"""Plans of the program on the student's own text: started through the queue, and found again by what they are.

How to read it: ``mine`` looks for the student's runs of some plans, ``start`` queues those that are not there yet,
``watched`` draws and draws again while one of them is on its way. Nothing is remembered beside the runs themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
from filelock import Timeout

from gptcore import diagnosis
from gptcore.config import TrainConfig, to_json
from gptcore.corpora import load_text
from gptcore.diagnosis import Curve, Levels
from gptcore.figures import clinic
from gptcore.recordings import Plan, load
from gptcore.runs import queue, requests
from gptcore.runs.store import Run
from pages._ui import frame, owner, replay, resources, sealing, teaching, thread
from pages._ui.kept import kept

POLL_SECONDS = 2.0  # thirty students share one server
HEIGHT = 340  # of a figure, pixels
REFUSED = "trials_refused"


@dataclass(frozen=True, slots=True, eq=False)  # the one object of each curve is a key for what is made of it
class Shown:
    """A curve on screen.

    Attributes:
        rows: Metrics, the untrained model in front where it was measured.
        lines: Levels to measure by, as they are named in a figure.
        drop_rate: Of its model.
        reason: Why it ended before its time.
        said: The last sample, prompt and text.
        run: The student's run; None for a recording.
    """

    rows: pd.DataFrame
    lines: dict[str, float]
    drop_rate: float
    reason: str | None
    said: tuple[str, str] | None
    run: Run | None = None

    @property
    def levels(self) -> Levels:
        """The same levels, for rules."""
        return Levels(*list(self.lines.values())[: replay.COUNTING_LINES])

    @property
    def curve(self) -> Curve:
        """What the rules of ``diagnosis`` look at."""
        return Curve(self.rows, self.levels, self.drop_rate, self.reason)

    @property
    def is_evaluated(self) -> bool:
        """Whether there is anything to judge: an evaluation after an update."""
        return bool((self.rows["train_loss"].notna() & (self.rows["step"] >= 0)).any())


class Drawn(NamedTuple):
    """A curve's figure, and the loss up to which the curve goes on where the figure ends below it."""

    figure: Any
    beyond: float | None


@kept(64)  # a class looks at the same few: drawing one takes tens of milliseconds
def drawn(shown: Shown, without: Shown | None = None, height: int = HEIGHT) -> Drawn:
    """A curve as a figure, beside the one without the mistake where that is given."""
    figure = clinic.case_figure(shown.rows, shown.lines, None if without is None else without.rows, height)
    return Drawn(figure, clinic.cut_off(shown.rows, shown.lines))


class Judged(NamedTuple):
    """What each rule says of a curve, and which curves of the gallery it is like."""

    found: dict[diagnosis.Rule, diagnosis.Finding]
    suspects: list[str]


@kept(64)
def judged(shown: Shown) -> Judged:
    """A curve held to the rules."""
    return Judged(diagnosis.examine(shown.curve), diagnosis.suspects(shown.curve))


@kept(32)
def recorded(plan: Plan) -> Shown:
    """The recording of a plan that comes with the program."""
    found = load(plan.name)
    before = pd.DataFrame([{"step": -1, "epoch": 0, "tokens_seen": 0, **found.untrained}])
    rows = pd.concat([before, found.metrics], ignore_index=True)
    lines = resources.reference_lines(load_text(plan.text).text, found.plan.training)
    last = found.samples[-1] if found.samples else None
    said = (last["prompt"], last["text"]) if last and found.plan.training.sample_tokens else None
    return Shown(rows, lines, found.plan.model.drop_rate, found.reason, said)


def of_run(run: Run) -> Shown:
    """A run as it stands; the same object until something is written into its folder."""
    return _of_run(run, resources.written(run))


@kept(64)
def _of_run(run: Run, written: resources.Written) -> Shown:
    del written  # part of the key only
    last = run.samples()[-1:] if run.train_config.sample_tokens else []
    lines = resources.reference_lines(run.text.text, run.train_config)
    said = (last[0]["prompt"], last[0]["text"]) if last else None
    return Shown(replay.curve(run), lines, run.model_config.drop_rate, run.status.get("reason"), said, run)


def _is_usable(run: Run) -> bool:
    """Whether a run is on its way or has ended as it had to; one that diverged has done what it could."""
    status = run.status
    return status["state"] not in ("cancelled", "failed") or str(status.get("reason")).startswith("diverged")


def _settings(plan: Plan) -> TrainConfig:
    """A plan's settings as they hold here: within the teacher's limits, and with the seal of the class's challenge."""
    return sealing.carried(thread.text(), teaching.within(plan.training))


def mine(plans: Sequence[Plan]) -> dict[str, Run]:
    """The student's newest run of each plan on the present text, by the plan's name, where there is one."""
    wanted = {plan.name: (to_json(plan.model), to_json(_settings(plan))) for plan in plans}
    usual = to_json(TrainConfig())  # a run from before there was some setting had its usual value
    here = {run.id: run for run in thread.store().whole()}  # one look for all of them
    found: dict[str, Run] = {}
    for run in (here[run_id] for run_id in owner.runs() if run_id in here):
        config = run.config
        if config["text"]["sha256"] != thread.text().sha256 or not _is_usable(run):
            continue
        for name, (model, training) in wanted.items():
            if config["model"] == model and usual | config["training"] == training:
                found[name] = run
    return found


def start(plans: Sequence[Plan], follow: bool = False) -> None:
    """Queue what is not there yet; a refusal is shown with the next drawing. Whoever follows goes on with the last."""
    known = mine(plans)
    try:
        for plan in plans:
            if plan.name not in known:
                training = _settings(plan)
                teaching.check(thread.text(), plan.model, training)
                known[plan.name] = requests.submit(thread.store(), thread.text(), plan.model, training, owner.name())
    except (ValueError, MemoryError, OSError, Timeout) as error:
        st.session_state[REFUSED] = str(error)
    else:
        if follow:
            thread.follow(known[plans[-1].name])


def refused() -> None:
    """Say what the queue refused at the last click."""
    if sentence := st.session_state.pop(REFUSED, None):
        frame.refuse(ValueError(sentence))


def button(label: str, plans: Sequence[Plan], key: str, follow: bool = False) -> None:
    """Offer to start what is not there yet."""
    known = mine(plans)
    if len(known) == len(plans):
        label = "Yours is here" if all(run.has_ended for run in known.values()) else "Yours is under way"
    st.button(
        label,
        icon=":material/play_arrow:",
        key=key,
        help="A run with the same settings on the same text gives the same losses, so it is made once.",
        on_click=start,
        args=(plans, follow),
        disabled=len(known) == len(plans),
        width="stretch",
    )
    sealing.note(thread.text())
    refused()


def watched(plans: Sequence[Plan], draw: Callable[[dict[str, Run]], None]) -> None:
    """Draw the student's runs of some plans, again and again while one of them is on its way."""
    alive = any(not run.has_ended for run in mine(plans).values())

    def look() -> None:
        runs = mine(plans)
        draw(runs)
        under_way = [run for run in runs.values() if not run.has_ended]
        if under_way:
            _progress(runs, under_way)
        elif alive:
            st.rerun()  # the whole page, so that polling stops

    st.fragment(look, run_every=POLL_SECONDS if alive else None)()


def _progress(runs: dict[str, Run], under_way: Sequence[Run]) -> None:
    """How far the runs are, in a line and a bar."""
    done = sum(run.status.get("step", -1) + 1 for run in runs.values())
    total = sum(run.config["plan"]["steps"] for run in runs.values())
    places = [at.place for run in under_way if (at := queue.place(thread.store(), run)) is not None]
    waits = f", place {min(places)} in the queue" if places else ""
    st.progress(min(done / total, 1.0), f"{done:,} of {total:,} updates{waits}")

"""Sweeps in the queue: trials are runs like any other, begun a few at a time, until all is tried or the budget is used.

    sweeps/<id>/sweep.json   the sweep, its text's name and its owner, written once
    sweeps/<id>/text.txt     the text
    sweeps/<id>/trials.json  the trials that were begun, as they stood when somebody last looked
    sweeps/<id>/stop         exists while nothing more is to be begun
    sweeps/<id>/lock         held by whoever begins trials, or stops the sweep

What to try next, and what is used up, follows from the list, and a study is told all results anew at every step: so a
sweep that was interrupted, by whatever, goes on where ``advance`` is called again. Being fair is the queue's affair:
all trials have one owner, who takes turns with everybody else.

How to read it: ``begin`` writes a sweep down, ``trials`` reads how it stands, ``advance`` is one step. What is left
out: the list (``trial_list``), what to try next (``gptcore.sweeps``), and whoever calls ``advance``: a page that is
open, or the command line.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from gptcore.corpora import Text
from gptcore.estimate import machine_speed, run_seconds
from gptcore.machine import cores
from gptcore.runs import requests, texts, trial_list
from gptcore.runs.files import replace_json
from gptcore.runs.locks import held
from gptcore.runs.store import RUN_ID, Run, RunStore
from gptcore.sweep_results import expected, importance, promised, table
from gptcore.sweeps import Sweep, Trial, Values, following, from_plain, to_plain

FOLDER = "sweeps"
MOST_AT_ONCE = 4  # trials under way or waiting: the others are begun in the light of their results
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Sweeping:
    """One sweep, which is one folder.

    Args:
        store: Where its trials lie.
        id: The folder's name.
    """

    store: RunStore
    id: str

    @property
    def folder(self) -> Path:
        """Where the sweep is written down."""
        return self.store.root / FOLDER / self.id

    @property
    def exists(self) -> bool:
        """Whether there is such a sweep; an id is compared with a form before it is joined to a path."""
        return RUN_ID.fullmatch(self.id) is not None and (self.folder / "sweep.json").is_file()

    @cached_property
    def _written(self) -> dict[str, Any]:
        written: dict[str, Any] = json.loads((self.folder / "sweep.json").read_text(encoding="utf-8"))
        return written

    @property
    def sweep(self) -> Sweep:
        """What is tried."""
        return from_plain(self._written["sweep"])

    @property
    def owner(self) -> str | None:
        """Who owns the sweep and its runs."""
        owner: str | None = self._written["owner"]
        return owner

    @property
    def text_sha256(self) -> str:
        """The hash by which the text is known again."""
        return str(self._written["text"]["sha256"])

    @property
    def text(self) -> Text:
        """What all trials learn from."""
        return texts.read(self.folder, self._written["text"])

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked that nothing more be begun."""
        return (self.folder / "stop").exists()

    def alone(self) -> AbstractContextManager[None]:
        """While nobody else begins trials of this sweep, or stops it.

        Raises:
            QueueError: Somebody else was at it for too long.
        """
        busy = requests.QueueError("trials of this sweep are being begun at this moment: press again")
        return held(FileLock(self.folder / "lock", timeout=PATIENCE_SECONDS), busy)

    def runs(self) -> list[Run]:
        """The runs of its trials, the first begun first; those that were deleted are left out."""
        runs = [Run(self.store.root / trial.run) for trial in trial_list.read(self.store, self.folder)]
        return [run for run in runs if run.exists]

    def stop(self, owners: Collection[str]) -> None:
        """Begin nothing more, and cancel what is under way.

        Raises:
            PermissionError: It is somebody else's.
            QueueError: A trial is being begun, and takes long; it is the last.
        """
        self._check_owner(owners)
        (self.folder / "stop").touch()  # before the lock: whoever holds it begins no further trial
        with self.alone():
            for run in self.runs():
                if not run.has_ended:
                    requests.cancel(run, owners)

    def go_on(self, owners: Collection[str], most_minutes: float | None = None) -> None:
        """Begin again; trials that were cancelled go on from their checkpoints.

        Raises:
            PermissionError: It is somebody else's.
            QueueError: One of its trials is not taken (``requests.go_on``), or others are being begun at this moment.
        """
        self._check_owner(owners)
        with self.alone():
            for run in self.runs():
                if run.status["state"] == "cancelled":
                    requests.go_on(self.store, run, owners, most_minutes)
            (self.folder / "stop").unlink(missing_ok=True)

    def _check_owner(self, owners: Collection[str]) -> None:
        if self.owner not in owners:
            raise PermissionError("this sweep is somebody else's: it can be watched, not changed")


def begin(store: RunStore, text: Text, sweep: Sweep, owner: str | None = None) -> Sweeping:
    """Write a sweep down; ``advance`` begins its trials.

    Args:
        store: Where the trials are to lie.
        text: What all of them learn from.
        sweep: What to try.
        owner: Who owns the trials; None for the sweep itself, so that they take turns as one.

    Raises:
        ValueError: The largest of the values can't be used on this text; nothing was written.
        RuntimeError: A study without Optuna.
    """
    from gptcore.batches import prepare  # brings PyTorch

    following(sweep, [])
    data = prepare(text, *sweep.plan({axis.name: axis.values[-1] for axis in sweep.axes}))
    sweep = replace(sweep, model=replace(sweep.model, vocab_size=data.tokenizer.vocab_size))
    sweeping = Sweeping(store, secrets.token_hex(8))
    sweeping.folder.mkdir(parents=True)
    about = texts.write(sweeping.folder, text)
    owner = owner or f"sweep {sweeping.id}"
    trial_list.write(sweeping.folder, [])
    replace_json(sweeping.folder / "sweep.json", {"sweep": to_plain(sweep), "text": about, "owner": owner})
    return sweeping


def all_of(store: RunStore, owners: Collection[str]) -> list[Sweeping]:
    """The sweeps of someone who goes by these names, the newest first."""
    folder = store.root / FOLDER
    found = [Sweeping(store, path.name) for path in folder.iterdir()] if folder.is_dir() else []
    mine = [sweeping for sweeping in found if sweeping.exists and sweeping.owner in owners]
    return sorted(mine, key=lambda sweeping: (sweeping.folder / "sweep.json").stat().st_mtime, reverse=True)


def trials(sweeping: Sweeping) -> list[Trial]:
    """How all trials of a sweep stand, the first begun first."""
    return trial_list.look(sweeping.store, sweeping.folder)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a sweep stands after one step.

    Attributes:
        over: Why nothing more will be begun, in words; None as long as something may.
        under_way: Whether a trial waits or is trained.
    """

    trials: list[Trial]
    over: str | None
    under_way: bool

    @property
    def goes_on(self) -> bool:
        """Whether anything may still change."""
        return self.over is None or self.under_way


def advance(sweeping: Sweeping, speed: Callable[[], float] = machine_speed) -> Standing:
    """Begin what may be begun now: a few trials at a time, and none that would go beyond the budget.

    Args:
        sweeping: A sweep; two who advance it at once begin no trial twice.
        speed: Operations a second of one core, for the first estimates.

    Raises:
        MemoryError: A trial that can't fit this machine; the message says so.
        ValueError: A trial whose settings can't be used on this text.
    """
    sweep = sweeping.sweep
    with sweeping.alone():
        while True:
            now = trials(sweeping)
            with suppress(OSError):  # on a full disk the list of the last look will do
                trial_list.write(sweeping.folder, now)
            under_way = sum(not trial.is_over for trial in now)
            if sweeping.is_stopped:
                return Standing(now, "stopped", under_way > 0)
            values = following(sweep, now)
            if values is None:
                return Standing(now, "all is tried", under_way > 0)
            if under_way >= min(MOST_AT_ONCE, cores()):
                return Standing(now, None, under_way=True)
            estimate = _core_seconds(sweep, values, speed())
            if promised(now) + expected(now, estimate) > sweep.budget:
                if under_way:  # they may turn out cheaper
                    return Standing(now, None, under_way=True)
                return Standing(now, "the budget is used", under_way=False)
            try:
                _submit(sweeping, sweep, now, values, estimate)
            except requests.QueueError:  # so many other runs of this owner wait that one more is not taken yet
                return Standing(now, None, under_way=True)


def _core_seconds(sweep: Sweep, values: Values, speed: float) -> float:
    """What a trial is expected to use, by the formula."""
    shape, training = sweep.plan(values)
    threads = min(training.threads or cores(), cores())
    return run_seconds(shape, training, training.steps or 0, speed) * threads


def _submit(sweeping: Sweeping, sweep: Sweep, now: list[Trial], values: Values, estimate: float) -> None:
    """Begin a trial, which is on the list before there is a run: so it is never begun twice."""
    trial = Trial(secrets.token_hex(8), values, trial_list.BEGUN, None, 0.0, estimate)
    trial_list.write(sweeping.folder, [*now, trial])
    about = {"id": sweeping.id, "number": len(now), "values": values, "estimate": estimate}
    plan, owner = sweep.plan(values), sweeping.owner
    requests.submit(sweeping.store, sweeping.text, *plan, owner, run_id=trial.run, sweep=about)


def in_words(sweeping: Sweeping, standing: Standing) -> str:
    """What came of a sweep: its trials, the best first, what mattered, and where the best one lies."""
    sweep = sweeping.sweep
    rows = table(sweep, standing.trials)
    used = sum(trial.core_seconds for trial in standing.trials)
    done = f"{standing.over}: {len(standing.trials)} of {sweep.planned} trials"
    cost = f"{used:,.0f} of {sweep.budget:,.0f} core-seconds"
    if rows.empty:
        return f"{done}, {cost}"
    trials_table = rows.to_string(index=False, float_format=lambda value: f"{value:.4g}")
    shares = [
        f"{row.axis} alone explains {row.share:.0%} of the differences" for row in importance(sweep, rows).itertuples()
    ]
    return "\n".join([f"{done}, {cost}", trials_table, *shares, f"best: {sweeping.store.root / rows['run'].iloc[0]}"])

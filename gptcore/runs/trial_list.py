"""Which trials a sweep has begun: a list in its folder, so that one whose run was deleted stays tried and paid for.

A trial is listed before its run is made, as ``BEGUN``: whoever dies between the two leaves a trial that never came to
be, and no run that would be begun a second time.

How to read it: ``read`` and ``write`` are the file, ``look`` is how all of them stand now. What is left out: the lock
under which the list is changed, and what is begun next (``sweeping``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gptcore.runs import queue
from gptcore.runs.files import replace_json
from gptcore.runs.store import Run, RunStore
from gptcore.sweeps import Trial

FILE = "trials.json"
BEGUN = "begun"  # the state of a trial whose run nobody has seen yet


def read(store: RunStore, folder: Path) -> list[Trial]:
    """The trials of a sweep in their order, as they were last seen; without a list, those whose runs say so.

    Args:
        store: Where the runs lie.
        folder: Of the sweep, whose id is its name.
    """
    try:
        rows: list[dict[str, Any]] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return [Trial(**row) for row in rows]
    except (OSError, ValueError, TypeError):
        told = [about for run in store.whole() if (about := _about(run)).get("id") == folder.name]
        ordered = sorted(told, key=lambda about: int(about["number"]))
        return [Trial(about["run"], about["values"], BEGUN, None, 0.0, about["estimate"]) for about in ordered]


def _about(run: Run) -> dict[str, Any]:
    """What a run says of the sweep that it belongs to; nothing where it belongs to none, or was deleted just now."""
    try:
        return {**(run.config.get("sweep") or {}), "run": run.id}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write(folder: Path, trials: Sequence[Trial]) -> None:
    """Write the list anew; whoever does holds the sweep's lock.

    Raises:
        OSError: The folder can't be written, or the disk is full.
    """
    replace_json(folder / FILE, [asdict(trial) for trial in trials])


def look(store: RunStore, folder: Path) -> list[Trial]:
    """How all trials stand, the first begun first; a run that never came to be is no trial."""
    listed = [(trial, Run(store.root / trial.run)) for trial in read(store, folder)]
    return [_as_it_stands(trial, run) for trial, run in listed if trial.state != BEGUN or run.exists]


def _as_it_stands(trial: Trial, run: Run) -> Trial:
    """One look at a trial. Where its run was deleted, its result went with it, and what it cost stays spent.

    Of one whose end nobody saw, the cost is what was expected of it, or what was seen where that is more.
    """
    try:
        status, used = run.status, queue.look(run).used
    except (OSError, ValueError):
        used = trial.core_seconds if trial.is_over else max(trial.core_seconds, trial.estimate)
        return replace(trial, state=trial.state if trial.is_over else "cancelled", loss=None, core_seconds=used)
    diverged = str(status.get("reason")).startswith("diverged")
    loss = math.inf if diverged else status.get("best", {}).get("val_loss")
    return replace(trial, state=status["state"], loss=loss, core_seconds=used)

"""What came of a sweep: what it cost and will cost, its trials side by side, and which settings mattered.

How to read it: ``expected`` and ``promised`` are the sums behind a budget; ``table`` sets the trials side by side, the
best first; ``importance`` asks each axis how much of the differences it explains alone; ``keep`` writes it all down.

What is left out: what settings do only together, beyond saying how much that is.
Source: Hutter et al. 2014, shares of the variance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pandas as pd

from gptcore.machine import versions
from gptcore.paths import RECORDED
from gptcore.sweeps import Sweep, Trial, from_plain, to_plain

GROUPS = 4  # into which an axis is cut that has more values


def expected(trials: Sequence[Trial], estimate: float) -> float:
    """Core-seconds that a trial will use: the formula's estimate, corrected by how the finished ones differed from it.

    >>> expected([Trial("a", {}, "done", 1.0, core_seconds=6.0, estimate=2.0)], 3.0)
    9.0
    """
    ended = [trial for trial in trials if trial.state == "done" and trial.estimate > 0]
    if not ended:
        return estimate
    return estimate * sum(trial.core_seconds for trial in ended) / sum(trial.estimate for trial in ended)


def promised(trials: Sequence[Trial]) -> float:
    """Core-seconds used so far, with those that the trials under way are still expected to use."""
    under_way = [trial for trial in trials if not trial.is_over]
    rest = sum(max(0.0, expected(trials, trial.estimate) - trial.core_seconds) for trial in under_way)
    return sum(trial.core_seconds for trial in trials) + rest


def table(sweep: Sweep, trials: Sequence[Trial]) -> pd.DataFrame:
    """The trials that have a loss, the best first.

    Returns:
        A row each: run, one column an axis, loss (nats a token), core_seconds.
    """
    columns = ["run", *(axis.name for axis in sweep.axes), "loss", "core_seconds"]
    rows = [
        {"run": trial.run, **trial.values, "loss": trial.loss, "core_seconds": trial.core_seconds}
        for trial in trials
        if trial.is_over and trial.loss is not None
    ]
    return pd.DataFrame(rows, columns=columns).sort_values("loss", kind="stable", ignore_index=True)


def importance(sweep: Sweep, rows: pd.DataFrame) -> pd.DataFrame:
    """How much of the differences between trials each axis explains by itself.

    The variance of the losses' means over an axis's values, as a share of the variance of all losses. On a whole grid
    the shares add up to at most 1: what is missing, the axes do only together. Where a grid is not whole, and in a
    study, which looks where it is good, they are a hint.

    Args:
        sweep: Its axes.
        rows: Its ``table``; trials that diverged are left out.

    Returns:
        A row an axis, axis and share (0 to 1), the largest first; empty with fewer than three trials.
    """
    rows = rows[rows["loss"] < math.inf]
    whole = float(rows["loss"].var(ddof=0)) if len(rows) >= 3 else 0.0
    if whole == 0:
        return pd.DataFrame(columns=["axis", "share"])
    shares = []
    for axis in sweep.axes:
        values = rows[axis.name]
        groups = values if values.nunique() <= GROUPS else pd.qcut(values, GROUPS, duplicates="drop")
        by_value = rows.groupby(groups, observed=True)["loss"]
        means, counts = by_value.mean(), by_value.count()
        between = float((counts * (means - rows["loss"].mean()) ** 2).sum()) / len(rows)
        shares.append({"axis": axis.name, "share": between / whole})
    return pd.DataFrame(shares).sort_values("share", ascending=False, kind="stable", ignore_index=True)


def keep(path: Path, sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Write down what came of a sweep; trials that diverged or have no loss are kept as such."""
    plain = [asdict(trial) | {"loss": None if trial.loss == math.inf else trial.loss} for trial in trials]
    content = {"sweep": to_plain(sweep), "trials": plain, "versions": versions()}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@cache
def recorded() -> tuple[Sweep, tuple[Trial, ...]]:
    """The sweep that comes with the program: twelve trials on our own story."""
    content = json.loads((RECORDED / "sweep.json").read_text(encoding="utf-8"))
    return from_plain(content["sweep"]), tuple(Trial(**trial) for trial in content["trials"])

"""Runs side by side: what was set differently, what came of it, and whether two of them are the same to the last bit.

How to read it: a ``Compared`` is a run wherever it is kept; ``differences`` and ``results`` are the two tables over up
to ``MOST_RUNS`` of them; ``same_run`` goes through two runs line by line, and ``in_words`` says what it found.

What is left out: the figure (``figures.comparison``), and why digits part. That is arithmetic: numbers with a limited
number of digits give another sum when they are added in another order, as other threads, processors or versions do.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gptcore import overfitting
from gptcore.config import GPTConfig, TrainConfig, to_json
from gptcore.parameters import count_parameters

MOST_RUNS = 5  # at once: more curves in one figure can't be told apart
CURVES = {"batch_loss": "batch", "train_loss": "training", "val_loss": "validation"}
NUMBERS = {**{name: f"{curve} loss" for name, curve in CURVES.items()}, "grad_norm": "gradient length", "lr": "rate"}
Column = NDArray[np.float64]
FORMULA_SIGNS = ("=", "+", "-", "@")  # with them a spreadsheet begins to calculate


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A run as it is compared.

    Attributes:
        name: In the key, the tables and the files; no two runs of one comparison have the same.
        text: Title of the text that it learns from.
        sha256: Of that text.
        model: The model as it is trained: with a compact vocabulary, the size that the text gives it.
        training: The settings.
        metrics: A row for each update: step, epoch, tokens_seen, batch_loss, grad_norm, lr, train_loss and val_loss, in
            nats a token; where they are known, epochs_read and seconds.
        state: As in a run's status, or "recorded".
        versions: What is known of the program and the machine that it ran on.
        digits: Digits after the point that are kept of a column; a column that is not named keeps all.
    """

    name: str
    text: str
    sha256: str
    model: GPTConfig
    training: TrainConfig
    metrics: pd.DataFrame
    state: str
    versions: Mapping[str, str] = field(default_factory=dict)
    digits: Mapping[str, int] = field(default_factory=dict)


def settings(run: Compared) -> dict[str, Any]:
    """Everything that was set, by its field's name; epochs that steps replace are None, for they decide nothing."""
    training = to_json(run.training)
    if run.training.steps is not None:
        training["epochs"] = None
    size = {"parameters": count_parameters(run.model)}
    return {"text": run.text, "text_sha256": run.sha256[:12], **to_json(run.model), **size, **training}


def differences(runs: Sequence[Compared]) -> pd.DataFrame:
    """The settings in which runs differ, and no others.

    Returns:
        A row for each such setting, its name as the index; a column for each run.
    """
    table = pd.DataFrame({run.name: settings(run) for run in runs}, dtype=object)
    differ = [len(set(map(repr, row))) > 1 for row in table.to_numpy()]
    return table[differ]


def results(runs: Sequence[Compared]) -> pd.DataFrame:
    """What came of each run, in one row: losses in nats a token, times in seconds of the machine that it ran on.

    Returns:
        Columns run, best_validation, best_step, train_loss and val_loss (both of the last evaluation), updates,
        seconds, tokens_a_second, state; a value that is not known is missing.
    """
    return pd.DataFrame([_result(run) for run in runs]).astype({"updates": "Int64", "best_step": "Int64"})


def _result(run: Compared) -> dict[str, Any]:
    rows = run.metrics
    found = rows.loc[rows["train_loss"].notna(), ["step", "epoch", "train_loss", "val_loss"]]
    looked: list[dict[str, Any]] = found.to_dict("records")  # type: ignore[assignment]
    looks = overfitting.evaluations(looked)
    best = overfitting.best(looks) if looks else None
    last = looked[-1] if looked else {}
    seconds = rows["seconds"].iloc[-1] if len(rows) and "seconds" in rows else None
    return {
        "run": run.name,
        "best_validation": best.validation if best else None,
        "best_step": best.step if best else None,
        "train_loss": last.get("train_loss"),
        "val_loss": last.get("val_loss"),
        "updates": len(rows),
        "seconds": seconds,
        "tokens_a_second": rows["tokens_seen"].iloc[-1] / seconds if seconds else None,
        "state": run.state,
    }


def causes(table: pd.DataFrame) -> list[str]:
    """The settings in a table of differences that somebody chose; others only follow from these.

    >>> causes(pd.DataFrame({"a": [1], "b": [2]}, index=["lr"]))
    ['lr']
    """
    differ = [str(name) for name in table.index]
    follow = {"text", "text_sha256", "parameters"}
    if {"text_sha256", "compact_vocab", "train_share", "train_fraction", "sealed_fraction"} & set(differ):
        follow.add("vocab_size")  # of a compact vocabulary
    return ["text"] * ("text_sha256" in differ) + [name for name in differ if name not in follow]


def are_judged_alike(runs: Sequence[Compared]) -> bool:
    """Whether validation losses may be compared: one text, cut at one place, and one vocabulary to guess from."""
    return len({(run.sha256, *cuts(run), run.model.vocab_size) for run in runs}) <= 1


def cuts(run: Compared) -> tuple[float, float]:
    """Where a run's text is cut, which decides by which part it is judged."""
    return run.training.train_fraction, run.training.sealed_fraction


class Sameness(NamedTuple):
    """How two runs compare, line by line.

    Attributes:
        steps: Steps that both have.
        alone: Steps that only one of them has.
        parts_at: The first step at which a number differs; None where none does.
        number: Which number that is, a key of ``NUMBERS``; "" where none does.
        by: How much it differs there.
        most: The largest difference between two losses of one step, nats a token.
        most_at: The step where that is; -1 where there is none.
        last: The largest difference between two losses of the last step that both have.
        rounded: Whether one of the runs keeps only some digits, to which both were rounded.
    """

    steps: int
    alone: int
    parts_at: int | None
    number: str
    by: float
    most: float
    most_at: int
    last: float
    rounded: bool


def same_run(first: Compared, second: Compared) -> Sameness:
    """Compare the numbers of two runs, step by step and bit by bit.

    Seconds are left out: no two runs take the same time. A loss that only one of them measured at a step is no
    difference. A recording that keeps only some digits is held to these.
    """
    here, there = first.metrics, second.metrics
    steps, mine, others = np.intersect1d(here["step"], there["step"], return_indices=True)
    digits = {**first.digits, **second.digits}
    apart = {
        name: _apart(here[name].to_numpy(float)[mine], there[name].to_numpy(float)[others], digits.get(name))
        for name in NUMBERS
    }
    losses = np.max([apart[name] for name in CURVES], axis=0)
    parted = np.flatnonzero(np.any([distance > 0 for distance in apart.values()], axis=0))
    at = int(parted[0]) if len(parted) else None
    number = "" if at is None else next(name for name in NUMBERS if apart[name][at] > 0)
    return Sameness(
        steps=len(steps),
        alone=len(here) + len(there) - 2 * len(steps),
        parts_at=None if at is None else int(steps[at]),
        number=number,
        by=0.0 if at is None else float(apart[number][at]),
        most=float(losses.max(initial=0.0)),
        most_at=int(steps[losses.argmax()]) if len(steps) else -1,
        last=float(losses[-1]) if len(steps) else 0.0,
        rounded=bool(digits),
    )


def _apart(first: Column, second: Column, digits: int | None) -> Column:
    """How far apart two columns are, row by row; 0 where either has no number."""
    if digits is not None:  # Python's own round, as the recording was written: NumPy's is not always the nearest
        first, second = (np.array([round(float(value), digits) for value in column]) for column in (first, second))
    same = (first == second) | np.isnan(first) | np.isnan(second)
    return np.abs(np.subtract(first, second, out=np.zeros_like(first), where=~same))


def in_words(same: Sameness) -> str:
    """The verdict as the end of a sentence: "the two runs are ...".

    >>> in_words(Sameness(300, 0, None, "", 0.0, 0.0, 0, 0.0, rounded=False))
    'identical to the last bit in all 300 steps'
    """
    if not same.steps:
        return "not comparable yet: they have no step in common"
    if same.parts_at is None:
        how = "to the digits that the recording keeps" if same.rounded else "to the last bit"
        where = f"the {same.steps:,} steps that both have" if same.alone else f"all {same.steps:,} steps"
        return f"identical {how} in {where}"
    return (
        f"not identical: they part at step {same.parts_at:,}, where the {NUMBERS[same.number]} differs by "
        f"{same.by:.2g}. Their losses are at most {same.most:.2g} nats a token apart, at step {same.most_at:,}, and "
        f"{same.last:.2g} at the last step that both have"
    )


def circumstances(run: Compared) -> dict[str, Any]:
    """What a run's last digits hang on; None where it was not recorded."""
    training, known = run.training, run.versions
    return {
        "seed": training.seed,
        "threads": training.threads,
        "precision": training.precision,
        "arithmetic": "the book's" if training.reference else "fast",
        **{name: known.get(name) for name in ("python", "torch", "machine", "processor")},
        "text_sha256": run.sha256,
    }


def recipe(sha256: str, model: GPTConfig, training: TrainConfig) -> tuple[str, GPTConfig, TrainConfig]:
    """What decides a run's numbers, circumstances aside: runs of one recipe ought to be the same.

    Args:
        sha256: Of the text.
        model: As it was asked for.
        training: The settings; how many threads and how much time there were is no part of the recipe.
    """
    return sha256, model, replace(training, threads=None, max_minutes=None)


def curves_table(runs: Sequence[Compared]) -> pd.DataFrame:
    """All losses of all runs in long form: a row for each number.

    Returns:
        Columns run, step, tokens_seen, epochs_read, seconds, curve ("batch", "training" or "validation"), loss.
    """
    where = ["run", "step", "tokens_seen", "epochs_read", "seconds"]
    wide = [run.metrics.assign(run=run.name).reindex(columns=[*where, *CURVES]) for run in runs]
    long = [each.rename(columns=CURVES).melt(where, var_name="curve", value_name="loss") for each in wide if len(each)]
    if not long:
        return pd.DataFrame(columns=[*where, "curve", "loss"])
    return pd.concat(long, ignore_index=True).dropna(subset="loss")


def as_csv(table: pd.DataFrame) -> bytes:
    r"""A table as a file for a spreadsheet; a text that it would take for a formula gets an apostrophe in front.

    >>> as_csv(pd.DataFrame({"run": ["=1+1"], "loss": [-0.5]}))
    b'"run","loss"\n"\'=1+1",-0.5\n'
    """
    plain = table.map(_harmless).rename(columns=_harmless, index=_harmless)
    named = plain.index.name is not None
    # Every text between quotes: without them a lone carriage return would begin a new line, and what follows a cell.
    return plain.to_csv(index=named, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).encode()


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet calculates: numbers stay numbers, a text stays a text."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(FORMULA_SIGNS) else cell

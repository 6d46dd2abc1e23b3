"""The same run with other seeds: how much of a curve is chance?

How to read it: ``PLANS`` are the runs that are recorded; ``band`` is where their validation curves lie and
``is_inside`` whether another run's does too, by a stated rule; ``differences`` says in which settings a run can't be
compared. What is left out: training (``recordings`` does it), and how much is the judge's doing (``judges``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.recordings import Plan

SEEDS = (123, 124, 125, 126, 127)

PLANS = [
    Plan(f"seed-{seed}", f"seed {seed}", OWN_STORY, MODEL_PRESETS["class"], replace(TRAIN_PRESETS["class"], seed=seed))
    for seed in SEEDS
]

WIDTH = 3.0  # standard deviations; by Student's t with five values, 19 of 20 further seeds lie within 3.04
INSIDE = 0.9  # share of its evaluations that a run needs within the band: a few may lie outside by chance
# What moves no loss: the seed's own field, how long and how it may run, and what it says on the way.
FREE = ("seed", "threads", "max_minutes", "sample_at", "sample_prompt", "sample_tokens")


class Placed(NamedTuple):
    """Where a run lies.

    Attributes:
        inside: Whether at least ``INSIDE`` of its evaluations lie within the band.
        within: Evaluations within the band.
        compared: Evaluations at steps that the band has.
        outside: The stretches without, as first and last step.
    """

    inside: bool
    within: int
    compared: int
    outside: list[tuple[int, int]]


class Difference(NamedTuple):
    """A setting that a run has otherwise."""

    field: str
    here: Any
    recorded: Any


def band(curves: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Where the validation losses of some runs lie: their mean, and ``WIDTH`` standard deviations to both sides.

    The lowest and highest of five would be too narrow: a sixth lies outside them once in three times.

    Args:
        curves: Rows of metrics, evaluated at the same steps.

    Returns:
        A frame of step, mean, low and high, in nats a token.

    >>> runs = [pd.DataFrame({"step": [0], "val_loss": [loss]}) for loss in (1.0, 2.0, 3.0)]
    >>> band(runs).to_dict("records")
    [{'step': 0, 'mean': 2.0, 'low': -1.0, 'high': 5.0}]
    """
    losses = pd.concat([curve.set_index("step")["val_loss"].dropna() for curve in curves], axis=1, join="inner")
    mean, spread = losses.mean(axis=1), WIDTH * losses.std(axis=1)
    return pd.DataFrame({"mean": mean, "low": mean - spread, "high": mean + spread}).reset_index()


def is_inside(metrics: pd.DataFrame, of: pd.DataFrame) -> Placed:
    """Whether a run's validation curve lies in a band.

    Args:
        metrics: The run's rows.
        of: A frame of ``band``.

    Raises:
        ValueError: The run was evaluated at none of the band's steps.
    """
    both = metrics[["step", "val_loss"]].dropna().merge(of, on="step")
    if both.empty:
        raise ValueError("this run has no evaluation yet at a step of the recorded ones")
    within = both["val_loss"].between(both["low"], both["high"])
    runs = [list(group) for _, group in groupby(zip(both["step"], within, strict=True), key=lambda row: row[1])]
    outside = [(int(run[0][0]), int(run[-1][0])) for run in runs if not run[0][1]]
    return Placed(bool(within.mean() >= INSIDE), int(within.sum()), len(both), outside)


def differences(text: Text, model: GPTConfig, training: TrainConfig) -> list[Difference]:
    """The settings that keep a run from being compared with the recorded seeds: all that differ and move a loss."""
    plan = PLANS[0]
    found = (
        [] if text.text == load_text(plan.text).text else [Difference("text", text.title, load_text(plan.text).title)]
    )
    unlike = [*FREE, "vocab_size"] if training.compact_vocab else FREE  # a compact vocabulary has the text's size
    for here, recorded in ((asdict(model), asdict(plan.model)), (asdict(training), asdict(plan.training))):
        found += [
            Difference(name, value, recorded[name])
            for name, value in here.items()
            if name not in unlike and value != recorded[name]
        ]
    return found

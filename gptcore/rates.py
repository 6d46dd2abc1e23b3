"""Which learning rate? A range test finds its order of magnitude in one short run, and a sweep tries the neighbours.

How to read it: ``RANGE_TEST`` is the run, its rate growing by one factor at every step; ``read_range`` smooths the
losses of its batches and applies the rule; ``sweep`` gives the five rates to try, and ``best_of`` names the best.

The rule: a third of the rate at which the smoothed loss is lowest. There the loss has only just stopped falling, so a
run at that rate would live on the edge. Others take a tenth, or where the loss falls fastest; that is given, too.

What is left out: that the best rate depends on the schedule, on the batch size and on how long one trains. A range test
ends before any of this shows, which is why a sweep comes after it. Source: Smith 2015, "Cyclical Learning Rates".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, TrainConfig
from gptcore.corpora import OWN_STORY
from gptcore.recordings import Plan

SMOOTHING = 0.7  # of the smoothed loss so far that each new one keeps
SHARE = 1 / 3  # of the rate at the lowest point
EXPLODED = 1.0  # nats above where it began
FACTORS = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)
STEPS = 60
DECAY = 50  # the class preset's cosine ends at a fiftieth of its peak; so does each of the sweep

RANGE_TEST = Plan(
    "range-test",
    "Range test",
    OWN_STORY,
    MODEL_PRESETS["class"],
    replace(
        TRAIN_PRESETS["class"], steps=STEPS, lr=1.0, range_from=1e-5, min_lr=None, eval_every=STEPS, sample_tokens=0
    ),
)


class RangeReading(NamedTuple):
    """What a range test says; rates have no unit, losses are in nats a token.

    Attributes:
        smoothed: The loss of each step, smoothed.
        lowest: The rate at its lowest point.
        steepest: The rate at which it falls fastest, for the same factor of the rate.
        explodes: The first rate, after the lowest point, at which it lies a nat above its beginning; None for none.
        suggestion: ``SHARE`` of ``lowest``, to two digits.
    """

    smoothed: np.ndarray
    lowest: float
    steepest: float
    explodes: float | None
    suggestion: float


def smooth(losses: np.ndarray) -> np.ndarray:
    """Each loss averaged with those before it, older ones counting less; the first ones are not pulled towards 0.

    >>> smooth(np.array([2.0, 2.0, 3.0])).round(2).tolist()
    [2.0, 2.0, 2.46]
    """
    kept, weight, result = 0.0, 0.0, np.empty(len(losses))
    for step, loss in enumerate(losses):
        kept = SMOOTHING * kept + (1 - SMOOTHING) * loss
        weight = SMOOTHING * weight + 1 - SMOOTHING
        result[step] = kept / weight
    return result


def to_two_digits(rate: float) -> float:
    """A rate as one would type it.

    >>> to_two_digits(0.004731)
    0.0047
    """
    return float(f"{rate:.2g}")


def read_range(rows: pd.DataFrame) -> RangeReading:
    """Apply the rule to a range test.

    Args:
        rows: Its lr and batch_loss, a row for each update; three or more.

    Raises:
        ValueError: There are fewer.
    """
    if len(rows) < 3:
        raise ValueError(f"a range test needs at least 3 updates, has {len(rows)}")
    rates, smoothed = rows["lr"].to_numpy(), smooth(rows["batch_loss"].to_numpy())
    low = int(smoothed.argmin())
    falling = np.diff(smoothed[: low + 1])
    steepest = int(falling.argmin()) + 1 if len(falling) else 0
    above = np.flatnonzero(smoothed[low:] > smoothed[0] + EXPLODED)
    return RangeReading(
        smoothed=smoothed,
        lowest=float(rates[low]),
        steepest=float(rates[steepest]),
        explodes=float(rates[low + above[0]]) if len(above) else None,
        suggestion=to_two_digits(float(rates[low]) * SHARE),
    )


def _at(rate: float) -> TrainConfig:
    preset = TRAIN_PRESETS["class"]
    return replace(preset, lr=rate, min_lr=to_two_digits(rate / DECAY), steps=100, sample_tokens=0)


def sweep(suggestion: float) -> list[Plan]:
    """Five short runs with rates a factor of three apart, the suggestion in the middle.

    >>> [plan.training.lr for plan in sweep(0.009)]
    [0.001, 0.003, 0.009, 0.027, 0.081]
    """
    rates = [to_two_digits(suggestion * factor) for factor in FACTORS]
    return [
        Plan(f"sweep-{rank}", f"rate {rate:g}", OWN_STORY, MODEL_PRESETS["class"], _at(rate))
        for rank, rate in enumerate(rates, 1)
    ]


def best_of(losses: Mapping[float, float]) -> float:
    """The rate with the lowest validation loss, the smallest of equals; one is needed.

    >>> best_of({0.001: 5.9, 0.003: 5.4, 0.01: 5.6})
    0.003
    """
    return min(losses, key=lambda rate: (losses[rate], rate))


RECORDED_SUGGESTION = 0.0082  # what the recorded range test says; a test holds it to that
PLANS = [RANGE_TEST, *sweep(RECORDED_SUGGESTION)]

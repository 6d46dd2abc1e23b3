"""What an opened seal says: who foretells it best, and what choosing by validation made look better than it is.

How to read it: ``outcome`` puts the scores of a challenge in order; ``apart`` says whether two models differ by more
than chance makes. Models are compared block by block, on the same tokens: a passage that is hard for both of them says
nothing about which one is better.

Two things lie between a validation loss and the loss on the sealed part. The parts are different text, which is the
same for every run. And of many runs the one with the lowest validation loss was kept: the lowest of many noisy scores
is, on average, lower than that model deserves. The runs that were not chosen show the first alone.

What is left out: that each run's own weights were chosen by validation, too. That holds for all of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gptcore.challenge import Score, Tried, best_of_each


class Place(NamedTuple):
    """One person's chosen run.

    Attributes:
        label: How the person is called.
        run: Its id.
        tries: How many runs it was chosen from.
        validation: Its lowest validation loss, in nats a token.
        sealed: Its loss on the sealed part, in nats a token.
        error: The standard error of that.
        by_validation: Its place by validation, from 1; those with equal losses share one.
        by_sealed: Its place on the sealed part.
        weights: "best" or "last".
        blocks: The sealed losses block by block.
    """

    label: str
    run: str
    tries: int
    validation: float
    sealed: float
    error: float
    by_validation: int
    by_sealed: int
    weights: str
    blocks: tuple[float, ...]

    @property
    def rise(self) -> float:
        """By how much the sealed loss is above the validation loss."""
        return self.sealed - self.validation


class Measured(NamedTuple):
    """A number and its standard error, both in nats a token; NaN where one measurement alone says nothing of chance."""

    mean: float
    error: float

    @property
    def is_clear(self) -> bool:
        """Whether it differs from zero by more than twice its standard error: chance alone does that 1 time in 20."""
        return abs(self.mean) > 2 * self.error


class Outcome(NamedTuple):
    """What came of a challenge.

    Attributes:
        places: By validation loss, the lowest first.
        missing: By label, those who have no place, and why.
        rise: From validation to sealed loss, the mean over the chosen runs.
        others: The same over the runs that were not chosen; None where no such run was scored.
        other_runs: How many these are.
    """

    places: list[Place]
    missing: dict[str, str]
    rise: Measured
    others: Measured | None
    other_runs: int

    @property
    def by_choosing(self) -> Measured | None:
        """How much more the chosen runs rise than the others: what choosing by validation made look better."""
        if self.others is None:
            return None
        return Measured(self.rise.mean - self.others.mean, math.hypot(self.rise.error, self.others.error))


def measure(values: Sequence[float]) -> Measured:
    """Their mean, and its standard error.

    >>> measure([1.0, 3.0])
    Measured(mean=2.0, error=1.0)
    """
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Measured(float(np.mean(values)) if values else math.nan, spread)


def outcome(tried: Sequence[Tried], scores: Mapping[str, Score]) -> Outcome:
    """Put the scores of a challenge in order.

    Args:
        tried: All runs that counted when the seal was opened.
        scores: By run, as far as they are there; what is not counts for nothing.
    """
    chosen = [each for each in best_of_each(tried) if each.run in scores]
    scored = [(each, scores[each.run], loss) for each in chosen if (loss := scores[each.run].loss) is not None]
    tries = Counter(each.seat for each in tried)
    places = [
        Place(
            each.label,
            each.run,
            tries[each.seat],
            each.validation,
            loss,
            measure(score.blocks).error,
            1 + sum(other.validation < each.validation for other, _, _ in scored),
            1 + sum(theirs < loss for _, _, theirs in scored),
            score.weights,
            score.blocks,
        )
        for each, score, loss in scored
    ]
    others = [
        loss - each.validation
        for each in tried
        if each not in chosen and each.run in scores and (loss := scores[each.run].loss) is not None
    ]
    return Outcome(
        places,
        {each.label: scores[each.run].problem for each in chosen if scores[each.run].loss is None},
        measure([place.rise for place in places]),
        measure(others) if others else None,
        len(others),
    )


def apart(first: Place, second: Place) -> Measured:
    """By how much the first is better than the second on the sealed part, block by block."""
    return measure([theirs - ours for ours, theirs in zip(first.blocks, second.blocks, strict=True)])

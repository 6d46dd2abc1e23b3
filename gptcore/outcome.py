"""What an opened seal says: who foretells it best, and what choosing by validation made look better than it is.

How to read it: ``outcome`` puts the scores of a challenge in order; ``apart`` says whether two models differ by more
than chance makes. Models are compared block by block, on the same tokens: a passage that is hard for both of them says
nothing about which one is better.

Two things lie between a validation loss and the loss on the sealed part. The parts are different text, which is the
same for every run. And of many runs the one with the lowest validation loss was kept: the lowest of many noisy scores
is, on average, lower than that model deserves. A person's runs that were not chosen show the first alone, and a person
counts once, however many runs these are: runs of one person are much alike.

What is left out: that each run's own weights were chosen by validation, too. That holds for all of them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from gptcore.challenge import Score, Tried, best_of_each

T_TABLE = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # for 1 to 10 degrees of freedom


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
    """A mean, in nats a token, and what chance may make of it.

    Attributes:
        mean: Of all values.
        error: Its standard error; NaN where one value alone says nothing of chance.
        values: How many there are.
    """

    mean: float
    error: float
    values: int

    @property
    def is_clear(self) -> bool:
        """Whether chance alone, with a true mean of zero, is so far from zero less than 1 time in 20."""
        return self.values > 1 and abs(self.mean) > t_factor(self.values - 1) * self.error


def t_factor(freedom: int) -> float:
    """How many standard errors from zero a mean is, by chance alone, 1 time in 20: Student's t, both sides.

    Two for many values, as everybody knows; more for few, whose spread is itself a guess.

    Args:
        freedom: Degrees of freedom: one less than there are values.

    Source: any table of the 97.5% quantile; beyond its end the expansion about the normal distribution's, Abramowitz
    and Stegun, Handbook of Mathematical Functions, 26.7.5, to the third order.

    >>> [round(t_factor(freedom), 3) for freedom in (1, 4, 29)]
    [12.706, 2.776, 2.045]
    """
    if freedom <= len(T_TABLE):
        return T_TABLE[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


class Outcome(NamedTuple):
    """What came of a challenge.

    Attributes:
        places: By validation loss, the lowest first.
        missing: By label, those who have no place, and why.
        rise: From validation to sealed loss, the mean over the chosen runs.
        by_choosing: How much more a person's chosen run rises than that person's others do on average, the mean over
            the people who have others with a score; None where nobody has.
    """

    places: list[Place]
    missing: dict[str, str]
    rise: Measured
    by_choosing: Measured | None


def measure(values: Sequence[float]) -> Measured:
    """Their mean, and its standard error.

    >>> measure([1.0, 3.0])
    Measured(mean=2.0, error=1.0, values=2)
    """
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Measured(float(np.mean(values)) if values else math.nan, spread, len(values))


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
    return Outcome(
        places,
        {each.label: scores[each.run].problem for each in chosen if scores[each.run].loss is None},
        measure([place.rise for place in places]),
        _by_choosing(tried, scores),
    )


def _by_choosing(tried: Sequence[Tried], scores: Mapping[str, Score]) -> Measured | None:
    others: defaultdict[int, list[float]] = defaultdict(list)
    chosen = {each.seat: each.run for each in best_of_each(tried)}
    rises = {}
    for each in tried:
        loss = scores[each.run].loss if each.run in scores else None
        if loss is None:
            continue
        if each.run == chosen[each.seat]:
            rises[each.seat] = loss - each.validation
        else:
            others[each.seat].append(loss - each.validation)
    extra = [rise - float(np.mean(others[seat])) for seat, rise in rises.items() if others[seat]]
    return measure(extra) if extra else None


def apart(first: Place, second: Place) -> Measured:
    """By how much the first is better than the second on the sealed part; what chance may do, block by block.

    This tells chance of two models that were named beforehand. The lowest of many, picked afterwards, is lucky, too.
    """
    blocks = measure([theirs - ours for ours, theirs in zip(first.blocks, second.blocks, strict=True)])
    return blocks._replace(mean=second.sealed - first.sealed)  # of all guesses: some at the end fill no block

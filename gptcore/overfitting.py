"""When does learning become reciting? The rules by which a run's evaluations are read, stated so that one can disagree.

How to read it: ``evaluations`` picks the rows that have both losses; ``best`` is the moment to stop; ``parting`` is
where the curves part; ``judge`` says whether a run has over-fitted. What is left out: which passages are recited
(``memorization``), and the sentences that a page makes of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any, Literal, NamedTuple

UNTRAINED = -1  # the step of a model before its first update
RISE = 0.02  # a validation loss this share above its best counts as risen; less may be chance

BY_HEART = 0.5  # nats a token; below it a model is right about the training text more often than not: exp(-0.5) = 0.6
PHASES = (  # by how many of the lines lie above the validation loss: a blind guess, counting tokens, counting pairs
    "guessing blindly",
    "learning which tokens are common",
    "learning which token follows which",
    "knowing more than pairs of tokens",
)

State = Literal["improving", "nothing left", "perhaps", "over-fitted", "unstable"]


class Evaluation(NamedTuple):
    """One look at a run; losses in nats a token, epochs counted from 1."""

    step: int
    epoch: int
    train: float
    validation: float

    @property
    def gap(self) -> float:
        """How much better the model knows the text it learns from."""
        return self.validation - self.train


class Judgement(NamedTuple):
    """What is said of a run.

    Attributes:
        state: "improving": the latest validation loss is the best; "nothing left": its best is 0; "perhaps": risen by
            no more than ``RISE``; "over-fitted": risen by more while the training loss fell on; "unstable": both rose.
        rise: The latest validation loss above the best, as a share of it.
    """

    state: State
    best: Evaluation
    latest: Evaluation
    rise: float


def evaluations(rows: Iterable[Mapping[str, Any]]) -> list[Evaluation]:
    """The rows of metrics that have both losses, in order.

    >>> rows = [{"step": 0, "epoch": 0, "train_loss": 3.0, "val_loss": 3.5}, {"step": 1, "train_loss": None}]
    >>> evaluations(rows)
    [Evaluation(step=0, epoch=1, train=3.0, validation=3.5)]
    """

    def has(row: Mapping[str, Any], name: str) -> bool:
        return row.get(name) is not None and not isnan(row[name])

    return [
        Evaluation(int(row["step"]), int(row["epoch"]) + 1, float(row["train_loss"]), float(row["val_loss"]))
        for row in rows
        if has(row, "train_loss") and has(row, "val_loss")
    ]


def best(looks: Sequence[Evaluation]) -> Evaluation:
    """The trained state with the lowest validation loss, the first of equals; at least one evaluation is needed."""
    trained = [look for look in looks if look.step != UNTRAINED]
    return min(trained or looks, key=lambda look: look.validation)


def parting(looks: Sequence[Evaluation]) -> Evaluation | None:
    """Where the curves part: the first evaluation in a second epoch or later, before the best one, that has a gap.

    With windows that don't overlap every batch of the first epoch is new, so nothing can be known by heart yet.
    """
    until = best(looks).step
    return next((look for look in looks if look.epoch >= 2 and look.gap > 0 and look.step < until), None)


def judge(looks: Sequence[Evaluation]) -> Judgement:
    """Whether a run has over-fitted; needs one evaluation or more.

    >>> judge([Evaluation(0, 1, 5.0, 5.0), Evaluation(9, 2, 3.0, 4.0), Evaluation(19, 3, 1.0, 5.0)]).state
    'over-fitted'
    """
    at_best, latest = best(looks), looks[-1]
    rise = latest.validation / at_best.validation - 1 if at_best.validation else 0.0
    if latest.step == at_best.step:
        state: State = "improving"
    elif at_best.validation == 0:
        state = "nothing left"
    elif rise <= RISE:
        state = "perhaps"
    else:
        state = "over-fitted" if latest.train < at_best.train else "unstable"
    return Judgement(state, at_best, latest, rise)


def phase(looks: Sequence[Evaluation], levels: Sequence[float]) -> str:
    """What the latest evaluation shows, in a few words: the lines it has crossed, and whether it has over-fitted.

    Args:
        looks: The evaluations up to there.
        levels: The losses of a blind guess, of counting tokens and of counting pairs, as far as they are known.

    >>> phase([Evaluation(0, 1, 6.0, 6.5)], [10.8, 6.4, 6.1])
    'learning which tokens are common'
    """
    latest = looks[-1]
    if latest.train < BY_HEART:
        return "knowing the text by heart"
    if len(looks) > 1 and judge(looks).state == "over-fitted":
        return "over-fitting"
    return PHASES[sum(latest.validation < level for level in levels[: len(PHASES) - 1])]

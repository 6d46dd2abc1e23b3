"""Is this curve normal? A run held to stated rules, each with its number and its limit, so that one can disagree.

How to read it: ``examine`` gives a ``Finding`` for every rule, ``RULES`` in their order; ``suspects`` turns what was
found into names of the ``gallery``, the most telling first. The limits below were chosen by hand, with room on both
sides, so that they tell the recorded curves of the gallery apart; a test holds them to that.

What is left out: certainty. Two mistakes at once, or a text that is unlike others, can look like anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan
from typing import Literal, NamedTuple, get_args

import pandas as pd

from gptcore import overfitting

NEAR = 0.5  # nats: how far from ln V an untrained model may start
EXPLODED = 1.0  # nats above a blind guess: worse than knowing nothing
LEAK = 0.5  # of what counting pairs reaches: no model of a short text gets there on unseen text
FAINT = 0.02  # the length of a gradient that moves nothing; it is near 1 in a small model, whatever its loss
GROWN = 10.0  # times its length at the start
FALLEN = 0.5  # nats: a training loss that has fallen by less has hardly moved
SPIKE = 0.5  # nats from one evaluation to the next
DROPPED = 0.1  # nats: how far dropout, at the least, lifts a batch's loss above an evaluation
SAME = 0.001  # nats: two losses that differ by less are one
LEAST_DROPOUT = 0.2  # below this its effect drowns in noise
EDGE = 10  # updates at either end over which the gradient's length is averaged

Rule = Literal[
    "start", "diverged", "same", "leak", "gradient", "stuck", "pile", "spikes", "dropout", "over-fitted", "counting"
]
RULES: tuple[Rule, ...] = get_args(Rule)


class Levels(NamedTuple):
    """What knowing nothing and mere counting reach on a text, nats a token (``baselines``)."""

    blind: float
    tokens: float | None = None
    pairs: float | None = None


class Curve(NamedTuple):
    """What is known of a run.

    Attributes:
        rows: Its metrics in order: step, epoch, batch_loss, grad_norm, train_loss, val_loss; step -1 is the untrained
            model. One evaluation is needed.
        levels: Of its text.
        drop_rate: Of its model.
        reason: Why it ended before its time.
    """

    rows: pd.DataFrame
    levels: Levels
    drop_rate: float = 0.0
    reason: str | None = None

    @property
    def evaluated(self) -> pd.DataFrame:
        """The rows that have a training loss."""
        return self.rows[self.rows["train_loss"].notna()]

    @property
    def updates(self) -> pd.DataFrame:
        """The rows of updates: all but that of the untrained model."""
        return self.rows[self.rows["step"] >= 0]


class Finding(NamedTuple):
    """What one rule says.

    Attributes:
        rule: Its name.
        found: Whether something is unusual by this rule.
        value: What was measured.
        limit: What it was held to.
    """

    rule: Rule
    found: bool
    value: float
    limit: float


def _start(curve: Curve) -> Finding | None:
    """An untrained model guesses blindly: its loss is near ln V."""
    first = curve.rows.iloc[0]
    if first["step"] >= 0:
        return None
    off = abs(float(first["train_loss"]) - curve.levels.blind)
    return Finding("start", off > NEAR, off, NEAR)


def _diverged(curve: Curve) -> Finding:
    """The run ended because a number was none, or its training loss is worse than a blind guess."""
    last, limit = float(curve.evaluated["train_loss"].iloc[-1]), curve.levels.blind + EXPLODED
    ended = (curve.reason or "").startswith("diverged")
    return Finding("diverged", ended or last > limit, last, limit)


def _same(curve: Curve) -> Finding | None:
    """Both losses are one number all along: the same text was measured twice."""
    apart = float((curve.evaluated["train_loss"] - curve.evaluated["val_loss"]).abs().max())
    return None if isnan(apart) else Finding("same", apart <= SAME, apart, SAME)


def _leak(curve: Curve) -> Finding | None:
    """Unseen text is guessed better than can be: the answer must have been in the input."""
    lowest = float(curve.rows["val_loss"].min())
    if curve.levels.pairs is None or isnan(lowest):
        return None
    limit = LEAK * curve.levels.pairs
    return Finding("leak", lowest < limit, lowest, limit)


def _length(curve: Curve) -> float | None:
    """The gradient's mean length over the last updates, as a multiple of that over the first."""
    lengths = curve.updates["grad_norm"]
    first, last = float(lengths.iloc[:EDGE].mean()), float(lengths.iloc[-EDGE:].mean())
    return last / first if len(lengths) >= 2 * EDGE and first > 0 else None


def _gradient(curve: Curve) -> Finding | None:
    """There is next to no gradient, though nearly everything is left to learn."""
    if len(curve.updates) < 2 * EDGE:
        return None
    length = float(curve.updates["grad_norm"].median())
    return Finding("gradient", length < FAINT and _fall(curve) < FALLEN, length, FAINT)


def _fall(curve: Curve) -> float:
    losses = curve.evaluated["train_loss"]
    return float(losses.iloc[0] - losses.min())


def _stuck(curve: Curve) -> Finding | None:
    """The training loss has hardly moved."""
    if len(curve.updates) < 2 * EDGE:
        return None
    return Finding("stuck", _fall(curve) < FALLEN, _fall(curve), FALLEN)


def _pile(curve: Curve) -> Finding | None:
    """The gradient grows many times longer, though the loss comes down."""
    ratio = _length(curve)
    return None if ratio is None else Finding("pile", ratio > GROWN, ratio, GROWN)


def _spikes(curve: Curve) -> Finding | None:
    """The training loss jumps up from one evaluation to the next."""
    rises = curve.evaluated["train_loss"].diff()
    return None if len(rises) < 2 else Finding("spikes", float(rises.max()) > SPIKE, float(rises.max()), SPIKE)


def _dropout(curve: Curve) -> Finding | None:
    """Dropout makes learning harder, not judging: evaluations should lie below the batches of the same time.

    Measured over the second half of the run, each evaluation against the batches since the one before.
    """
    looks = curve.evaluated[curve.evaluated["step"] >= 0]
    if curve.drop_rate < LEAST_DROPOUT or len(looks) < 4 or curve.updates.empty:
        return None
    late = looks.iloc[len(looks) // 2 :]
    since = int(looks["step"].iloc[len(looks) // 2 - 1])
    batches = float(curve.updates.loc[curve.updates["step"] > since, "batch_loss"].mean())
    above = batches - float(late["train_loss"].mean())
    return Finding("dropout", above < DROPPED, above, DROPPED)


def _over_fitted(curve: Curve) -> Finding | None:
    """``overfitting.judge``: the validation loss has risen while the training loss has fallen on."""
    looks = overfitting.evaluations(_records(curve.evaluated))
    if len(looks) < 2:
        return None
    judged = overfitting.judge(looks)
    return Finding("over-fitted", judged.state == "over-fitted", judged.rise, overfitting.RISE)


def _records(rows: pd.DataFrame) -> list[Mapping[str, float]]:
    return rows[["step", "epoch", "train_loss", "val_loss"]].to_dict("records")  # type: ignore[return-value]


def _counting(curve: Curve) -> Finding | None:
    """It guesses unseen text no better than a tally sheet of tokens does."""
    lowest = float(curve.rows["val_loss"].min())
    if curve.levels.tokens is None or isnan(lowest):
        return None
    return Finding("counting", lowest > curve.levels.tokens, lowest, curve.levels.tokens)


_EXAMINATIONS: dict[Rule, Callable[[Curve], Finding | None]] = {
    "start": _start,
    "diverged": _diverged,
    "same": _same,
    "leak": _leak,
    "gradient": _gradient,
    "stuck": _stuck,
    "pile": _pile,
    "spikes": _spikes,
    "dropout": _dropout,
    "over-fitted": _over_fitted,
    "counting": _counting,
}


def examine(curve: Curve) -> dict[Rule, Finding]:
    """What each rule says, in the order of ``RULES``; a rule that can't be applied (yet) says nothing."""
    said = {rule: _EXAMINATIONS[rule](curve) for rule in RULES}
    return {rule: finding for rule, finding in said.items() if finding is not None}


def suspects(curve: Curve) -> list[str]:
    """Which curves of the gallery this one is like, the most telling sign first; never empty.

    Two names are no curve of the gallery: "same-text", where both losses are one number, and "unfinished", where
    nothing is wrong by our rules, and counting still does better.
    """
    found = {rule for rule, finding in examine(curve).items() if finding.found}
    named = [name for rule, name in _NAMES.items() if rule in found]
    if "leak" in found:
        named.insert(0, "not-shifted" if _leaked_at_once(curve) else "no-mask")
    if "gradient" in found:
        named.remove("stuck")  # it is, but this is why
    return named or (["unfinished"] if "counting" in found else ["healthy"])


_NAMES: dict[Rule, str] = {
    "diverged": "diverging",
    "same": "same-text",
    "gradient": "softmax-twice",
    "stuck": "stuck",
    "pile": "no-zero-grad",
    "spikes": "too-fast",
    "dropout": "dropout-left-on",
    "over-fitted": "over-fitting",
}


def _leaked_at_once(curve: Curve) -> bool:
    """Whether unseen text was guessed better than pairs can be counted by the end of the second reading.

    To copy what stands in the same place is learnt at once; to look one place ahead takes attention a while.
    """
    pairs = curve.levels.pairs
    early = curve.rows.loc[curve.rows["epoch"] < 2, "val_loss"]
    return pairs is not None and bool((early < pairs).any())

"""A run looked at again: its evaluations, what it said at each of them, and whether it has begun to over-fit.

How to read it: ``curve`` is what the charts draw, ``points`` are the evaluations as numbers, ``phases`` names what they
show, and ``verdict`` and ``best_so_far`` put a rule of ``gptcore.overfitting`` into a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from gptcore import overfitting
from gptcore.overfitting import RISE, UNTRAINED, Evaluation
from gptcore.runs.store import Run
from pages._ui import resources

COUNTING_LINES = 3  # a blind guess, counting tokens, counting pairs: the first of a chart's lines
RULE = (
    f"The rule: a run has over-fitted once its validation loss lies more than {RISE:.0%} above its best while the "
    "training loss has fallen on."
)


def when(step: int) -> str:
    """A step as a student reads it.

    >>> when(UNTRAINED), when(55)
    ('before training', 'step 55')
    """
    return "before training" if step == UNTRAINED else f"step {step}"


def curve(run: Run) -> pd.DataFrame:
    """A run's metric rows, with the losses before any update in front of them."""
    rows, _ = run.metrics()
    before = run.status.get("untrained")
    if before:
        rows = [{"step": UNTRAINED, "epoch": 0, "tokens_seen": 0, **before}, *rows]
    frame = pd.DataFrame(rows, columns=resources.METRIC_COLUMNS)
    return frame.astype({"batch_loss": float, "train_loss": float, "val_loss": float})


def points(rows: pd.DataFrame) -> list[Evaluation]:
    """The evaluations that have both losses, in order."""
    looked_at: list[dict[str, Any]] = rows.loc[rows["train_loss"].notna()].to_dict("records")  # type: ignore[assignment]
    return overfitting.evaluations(looked_at)


def phases(run: Run) -> Callable[[int], str]:
    """Tells what the evaluations of a run show up to a step, in a few words (``overfitting.phase``)."""
    looks = points(curve(run))
    levels = list(resources.reference_lines(run.text.text, run.train_config).values())[:COUNTING_LINES]

    def at(step: int) -> str:
        known = [look for look in looks if look.step <= step]
        return overfitting.phase(known, levels) if known else "not evaluated"

    return at


def verdict(looks: Sequence[Evaluation]) -> str:
    """Whether a run has over-fitted, by ``RULE``, in a sentence with its numbers; needs two evaluations or more."""
    state, at_best, latest, rise = overfitting.judge(looks)
    moved = (
        f"since step {at_best.step} the validation loss has risen by {rise:.1%}, from {at_best.validation:.2f} to "
        f"{latest.validation:.2f}"
    )
    fell = f"from {at_best.train:.2f} to {latest.train:.2f}"
    return {
        "improving": f"Not yet: the latest validation loss, {latest.validation:.2f} nats a token, is the best so far.",
        "nothing left": f"Nothing is left to learn: at step {at_best.step} every token of the unseen text was certain.",
        "perhaps": f"Not by our rule: {moved}. So small a rise may be chance.",
        "over-fitted": f"Yes: {moved}, while the training loss fell {fell}.",
        "unstable": f"No, but something else is wrong: {moved}, and the training loss rose as well, {fell}. A learning "
        "rate that is too large does this.",
    }[state]


def best_so_far(run: Run) -> str:
    """The best validation loss of a run, and what its later updates were for: said only where the run has ended."""
    looks = points(resources.metrics(run))
    if not looks or overfitting.best(looks).step == looks[-1].step:
        return "The validation loss tells how well the model guesses text that it never trains on."
    at_best = overfitting.best(looks)
    said = f"The best validation loss{'' if run.has_ended else ' so far'} is {at_best.validation:.2f}, "
    said += f"at step {at_best.step}"
    if run.has_ended and overfitting.judge(looks).state == "over-fitted":
        return f"{said}: what the model learnt after that, it learnt about this text alone."
    return f"{said}; whether a rise since then means anything, the lesson on over-fitting says."


def stopped(looks: Sequence[Evaluation], updates: int) -> str:
    """What stopping at the best step would have kept and saved, of so many updates."""
    at_best, latest = overfitting.best(looks), looks[-1]
    if at_best.step == latest.step:
        return f"Had you stopped before step {at_best.step}, you would have stopped too early: it was still improving."
    return (
        f"Had you stopped at step {at_best.step}, you would have kept a validation loss of {at_best.validation:.2f} "
        f"and saved {updates - 1 - at_best.step:,} of {updates:,} updates. By step {latest.step} they took the "
        f"training loss from {at_best.train:.2f} to {latest.train:.2f} and the validation loss to "
        f"{latest.validation:.2f}."
    )


def parting(looks: Sequence[Evaluation]) -> str:
    """A gap alone is no harm: the curves part before the validation loss is at its best."""
    at_best, early = overfitting.best(looks), overfitting.parting(looks)
    if early is None:
        return f"The validation loss is best at step {at_best.step}, in epoch {at_best.epoch}."
    return (
        f"A gap alone is no harm: at step {early.step}, in epoch {early.epoch}, it is {early.gap:.2f} nats already, "
        f"and yet the validation loss is best only at step {at_best.step}, in epoch {at_best.epoch}."
    )


def judges(run: Run) -> str:
    """How much text judges a run: the validation windows of one evaluation."""
    shape, config = run.model_config, run.train_config
    counts = resources.text_counts(run.text.text, shape.context_length, config).validation
    batches = min(counts.batches, config.eval_batches)
    windows = min(counts.windows, batches * config.batch_size)
    return (
        f"At each evaluation {windows:,} validation window{'s' * (windows != 1)} in {batches:,} "
        f"batch{'es' * (batches != 1)} judge the run, {windows * shape.context_length:,} tokens in all: the fewer, the "
        "noisier, so small ups and downs are chance."
    )

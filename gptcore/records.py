"""What a training run reports: losses, samples, and the two ways in which it can end before its time.

The loop makes these records, ``runs`` writes them to files, and the pages draw them. What is left out: how they come
about (``training``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Stop = Callable[[], bool]  # asked now and then; true ends the run as soon as may be


def never() -> bool:
    """Nobody asks for an end."""
    return False


class DivergedError(ArithmeticError):
    """The loss is no longer a number; the last finite weights are unharmed."""


class StoppedError(Exception):
    """A reference run was stopped inside an evaluation, which draws random numbers: its state is not whole."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model says after ``step`` when asked to go on; step -1 is before any update."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class UntrainedRecord:
    """Losses before any update, in nats a token; no validation loss where no window fits."""

    train_loss: float
    val_loss: float | None
    sample: Sample


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One update. Losses are in nats a token; ``seconds`` counts from the start of the run, evaluations included."""

    step: int
    epoch: int
    tokens_seen: int
    batch_loss: float
    grad_norm: float
    lr: float
    seconds: float
    train_loss: float | None = None
    val_loss: float | None = None
    sample: Sample | None = None


Record = UntrainedRecord | StepRecord

"""Where a run is computed, and how well that place is used.

How to read it: ``choose`` takes the quickest device there is; ``Pace`` watches a run's records, and ``share_of_peak``
sets its arithmetic against what the device reaches in one large product of matrices, measured here and now. Makers
print a higher peak, which no product reaches.

What is left out: a graphics card's memory, which PyTorch refuses to exceed in a sentence of its own. The two lines that
name "cuda" and "mps" have only been run on machines without either.
"""

from __future__ import annotations

import os
import time
from collections import deque
from statistics import median

import torch

from gptcore.config import GPTConfig, Precision, TrainConfig
from gptcore.estimate import step_operations
from gptcore.machine import processor
from gptcore.records import Record, StepRecord

CPU = torch.device("cpu")

SIDES = {"cpu": 768}  # of the matrices that are multiplied to measure
CARD_SIDE = 8_192
TRIES = 12
REMEMBERED = 100  # updates


def is_there(name: str) -> bool:
    """Whether this machine has such a device."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return there[name]


def choose(asked: str | None = None, *, reference: bool = False) -> torch.device:
    """The device that was asked for, or else the quickest: a graphics card, Apple's, the processor.

    Args:
        asked: "cpu", "cuda" or "mps"; None to choose.
        reference: Whether it is for a run that follows the book, whose digits were printed by a processor.

    Raises:
        ValueError: This machine has no such device.

    >>> choose(reference=True)
    device(type='cpu')
    """
    if asked is not None and not is_there(asked):
        raise ValueError(f"--device {asked}: this machine has none; leave it out, or choose cpu")
    name = asked or next(name for name in ("cuda", "mps", "cpu") if name == "cpu" or (is_there(name) and not reference))
    if name == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun: a card for each process
        torch.cuda.set_device(device)
        return device
    return torch.device(name)


def called(device: torch.device) -> str:
    """A device as a person calls it.

    >>> called(CPU).startswith("the processor (")
    True
    """
    names = {"cpu": "the processor", "cuda": "a graphics card", "mps": "Apple's graphics processor"}
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return f"{names[device.type]} ({model})"


def best_precision(device: torch.device) -> Precision | None:
    """The number format that a device does best in, where nobody says: bfloat16 on a graphics card that has it."""
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else None


def peak(device: torch.device, precision: Precision) -> float:
    """Operations a second that a device reaches on one large product of matrices, with this process's threads."""
    side = SIDES.get(device.type, CARD_SIDE)
    a, b = torch.randn(2, side, side, device=device, dtype=getattr(torch, precision))
    best = float("inf")
    for _ in range(TRIES):  # the best of some: what else the machine does is not its speed
        began = time.perf_counter()
        torch.mm(a, b)[0, 0].item()  # a card is not done before a number can be read
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


class Pace:
    """How long an update takes: the median of the last hundred in which nothing was evaluated.

    Attributes:
        shape: Of the model that is trained; None before the first record.
    """

    def __init__(self) -> None:
        self.shape: GPTConfig | None = None
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._before: float | None = None

    def see(self, record: Record, shape: GPTConfig) -> None:
        """Take note of the next record of a model of this shape."""
        self.shape = shape
        if not isinstance(record, StepRecord):
            return
        if self._before is not None and record.train_loss is None:
            self._seconds.append(record.seconds - self._before)
        self._before = record.seconds

    @property
    def step_seconds(self) -> float | None:
        """Seconds an update; None before there was one to look at."""
        return median(self._seconds) if self._seconds else None


def share_of_peak(shape: GPTConfig, batch_size: int, step_seconds: float, peak_speed: float) -> float:
    """Which part of a speed a run reaches, 0 to 1: the operations of its updates alone are counted.

    >>> share_of_peak(GPTConfig(context_length=256), 2, step_seconds=1.0, peak_speed=393985916928 * 2)
    0.5
    """
    return step_operations(shape, batch_size) / step_seconds / peak_speed


def how_fast(pace: Pace, training: TrainConfig, device: torch.device, processes: int = 1) -> str:
    """Tokens a second, and the share of the peak that this is, in a sentence; measures the peak.

    Args:
        pace: It has seen a run.
        training: The run's settings.
        device: Where each process computes.
        processes: How many there are.
    """
    if pace.shape is None or pace.step_seconds is None:
        return "too few updates to tell how fast they were"
    tokens = training.batch_size * pace.shape.context_length / pace.step_seconds
    speed = processes * peak(device, training.precision)
    share = share_of_peak(pace.shape, training.batch_size, pace.step_seconds, speed)
    return f"{tokens:,.0f} tokens/s, {share:.0%} of what one large product of matrices reaches on {called(device)}"

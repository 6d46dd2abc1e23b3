"""A race: one small model trained twice from the same start, by the plain loop and by the quick one.

How to read it: ``race`` makes the updates in turns and keeps each one's loss and core-seconds. The plain loop is the
textbook's: whole logits, cross-entropy, AdamW. The quick one is what ``training`` does: both come from the same weights
and see the same batch, so their losses can be compared number by number.

What is left out: what each single technique gains (``techniques``).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gptcore import fast
from gptcore.library import new_model
from gptcore.loss import mean_loss
from gptcore.one_step import alone
from gptcore.techniques import NARROW, random_batch

UPDATES, SECONDS = 5, 0.6
LR, DECAY = 1e-3, 0.1


class Lap(NamedTuple):
    """One update: the loss before it in nats a token, and its core-seconds."""

    loss: float
    seconds: float


class Race(NamedTuple):
    """The same updates made twice, by the plain loop and by the quick one."""

    tokens: int
    plain: tuple[Lap, ...]
    quick: tuple[Lap, ...]

    @property
    def times(self) -> float:
        """How many times quicker the quick loop was."""
        return sum(lap.seconds for lap in self.plain) / sum(lap.seconds for lap in self.quick)


def _laps(optimiser: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> Iterator[Lap]:
    """Updates for as long as someone asks for more."""
    while True:
        began = time.thread_time()
        optimiser.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        optimiser.step()
        yield Lap(value.item(), time.thread_time() - began)


def race(updates: int = UPDATES, seconds: float = SECONDS) -> Race:
    """Train one small model twice from the same start on the same batch: as the book writes it, and as ``fast`` does.

    Args:
        updates: At most so many of each.
        seconds: Of a core: after so many no other update begins.
    """
    inputs, targets = random_batch(NARROW, 1)
    first = new_model(NARROW, 0).train()
    second = copy.deepcopy(first)
    with alone():
        plain = _laps(
            torch.optim.AdamW(first.parameters(), lr=LR, weight_decay=DECAY),
            lambda: mean_loss(first(inputs), targets),
        )
        quick = _laps(
            fast.fused_adamw(second.parameters(), lr=LR, weight_decay=DECAY),
            lambda: fast.fused_loss(second, inputs, targets),
        )
        laps: list[tuple[Lap, Lap]] = []
        began = time.thread_time()
        while len(laps) < updates and (not laps or time.thread_time() - began < seconds):
            laps.append((next(plain), next(quick)))
    return Race(inputs.numel(), tuple(lap for lap, _ in laps), tuple(lap for _, lap in laps))

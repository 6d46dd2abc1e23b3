"""How everything here is timed: one thread, in turns, medians; and what this machine can do at most.

Seconds are those of the processor, not of the clock on the wall: what else runs on the machine then takes no time from
a measurement, though it still takes room in the caches. With one thread the two are the same on an idle machine.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from gptcore.config import Precision

ROUNDS = 5
Action = Callable[[], object]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def one_thread() -> None:
    """Compute on one core from now on, as the program itself does beside a class."""
    torch.set_num_threads(1)


def core_seconds(action: Action) -> float:
    """Seconds of a core that one call takes."""
    began = time.process_time()
    action()
    return time.process_time() - began


def medians(*actions: Action, rounds: int = ROUNDS) -> list[float]:
    """Median core-seconds of each action; they take turns, so that a busy moment falls on all of them."""
    for action in actions:
        action()  # warm
    times = [[core_seconds(action) for action in actions] for _ in range(rounds)]
    return [statistics.median(seen) for seen in zip(*times, strict=True)]


def products_a_second(dtype: torch.dtype, size: int = 1024) -> float:
    """The rate at which one core multiplies large matrices, in floating-point operations a second: the best of some."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    torch.mm(a, b)
    return 2 * size**3 / min(core_seconds(lambda: torch.mm(a, b)) for _ in range(15))


def bytes_a_second() -> float:
    """The rate at which one core reads memory, as a product of a large matrix and a vector does; the best of some."""
    matrix, vector = torch.randn(32_768, 2_048), torch.randn(2_048)
    torch.mv(matrix, vector)
    return 4 * matrix.numel() / min(core_seconds(lambda: torch.mv(matrix, vector)) for _ in range(9))


def where_time_goes(action: Action, most: int = 4) -> str:
    """A profile in one line: the PyTorch operations in which one more call spends most of its time, with their shares.

    >>> where_time_goes(lambda: torch.ones(400, 400) @ torch.ones(400, 400)).startswith("aten::mm ")
    True
    """
    action()  # warm
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        action()
    operations = sorted(seen.key_averages(), key=lambda each: -each.self_cpu_time_total)
    total = sum(each.self_cpu_time_total for each in operations)
    return ", ".join(f"{each.key} {each.self_cpu_time_total / total:.0%}" for each in operations[:most])


def load() -> float:
    """How many processes wanted a core in the last minute, this one among them."""
    return os.getloadavg()[0]

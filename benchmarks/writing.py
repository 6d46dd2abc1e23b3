"""Thirty students let the bundled model write at the same moment: how long a text takes, and how long others wait.

One real server. Each student presses "Go on" in the lesson on sampling, for fifty tokens; one more only has the page
drawn again, as a moved control does. The students' side runs on the same cores.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import numpy as np

from benchmarks import server
from benchmarks.student import Student

CLASS = 30
LOOKS = 100
GOAL_MS = 400  # for 95 of 100 looks
PAGE = "sampling"


async def _write(student: Student, started: asyncio.Event) -> float:
    """Seconds until a text is written."""
    await started.wait()
    began = time.perf_counter()
    await student.click("sampling_go")
    return time.perf_counter() - began


async def _look(student: Student, looks: int) -> list[float]:
    """Milliseconds of each drawing."""
    waited = []
    for _ in range(looks):
        began = time.perf_counter()
        await student.look_again()
        waited.append((time.perf_counter() - began) * 1e3)
    return waited


async def _measure(port: int) -> tuple[list[float], list[float]]:
    """Seconds of each text, and milliseconds of each drawing of another student's page meanwhile."""
    writers = [Student(port, PAGE) for _ in range(CLASS)]
    async with Student(port, PAGE) as other:
        await asyncio.gather(*(writer.__aenter__() for writer in writers))
        started = asyncio.Event()
        texts = asyncio.gather(*(_write(writer, started) for writer in writers))
        started.set()
        looks = await _look(other, LOOKS)
        seconds = await texts
        await asyncio.gather(*(writer.__aexit__() for writer in writers))
        if faults := [fault for student in [*writers, other] for fault in student.faults]:
            raise RuntimeError(f"a page shows {faults}")
    return seconds, looks


def main() -> None:
    """Print how long the texts took, and how long another student waited beside them."""
    with server.running() as running:
        seconds, looks = asyncio.run(_measure(running.port))
    print(f"{CLASS} students let the bundled model write 50 tokens at once")
    print(f"{'':48} {'measured':>10} {'goal':>6}")
    print(f"{'a text, median, s':48} {statistics.median(seconds):10.1f}")
    print(f"{'the last text, s':48} {max(seconds):10.1f}")
    print(f"{'another page drawn again meanwhile, median, ms':48} {statistics.median(looks):10.0f}")
    print(f"{'95th of 100, ms':48} {np.percentile(looks, 95):10.0f} {GOAL_MS:6}")

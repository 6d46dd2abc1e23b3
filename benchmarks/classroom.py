"""Thirty students press "Train" within a minute: when does each see the best step of a curve, when is the last done?

One real server, thirty sessions that poll as browsers do, the class preset on the program's own story. All times
count from the first click. The students' side runs on the same machine and costs it a little.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from dataclasses import dataclass

import psutil

from benchmarks import server
from benchmarks.student import Student

STUDENTS = 30
SPREAD_SECONDS = 60.0  # between the first click and the last
PATIENCE_SECONDS = 600.0
GOAL_CURVE, GOAL_DONE = 90, 150
SEEN = re.compile(r"after step (\d+) .* best at step (\d+)\.")


@dataclass
class Seen:
    """What one student saw, in seconds after the first click of the class, and what went wrong."""

    clicked: float = 0.0
    curve: float = 0.0
    done: float = 0.0
    answers: tuple[float, ...] = ()
    faults: tuple[str, ...] = ()


def _has_minimum(chart: str) -> bool:
    """Whether a chart of one's own run shows a best step with later ones behind it."""
    found = SEEN.search(chart)
    return not chart.startswith("Recorded") and found is not None and int(found[1]) > int(found[2])


async def _study(number: int, port: int, began: float) -> Seen:
    async with Student(port, "training") as student:
        await asyncio.sleep(max(0.0, began + SPREAD_SECONDS * number / max(1, STUDENTS - 1) - time.perf_counter()))
        seen = Seen(clicked=time.perf_counter() - began)
        await student.click("training_start")
        while not seen.done and time.perf_counter() - began < PATIENCE_SECONDS:
            now = time.perf_counter() - began
            if not seen.curve and _has_minimum(student.chart):
                seen.curve = now
            if any(" done · step" in caption for caption in student.captions):
                seen.done = now
                break
            await asyncio.sleep(student.interval or 1.0)
            await student.poll()
        seen.answers, seen.faults = tuple(student.answers), tuple(student.faults)
        return seen


async def _class(port: int) -> list[Seen]:
    # All pages are open before the first click, as in a lesson.
    began = time.perf_counter() + STUDENTS * 0.4
    return await asyncio.gather(*(_study(number, port, began) for number in range(STUDENTS)))


def main() -> None:
    """Print what the class saw."""
    with server.running() as running:
        asyncio.run(_warm(running.port))
        before = running.process.memory_info().rss
        seen = asyncio.run(_class(running.port))
        after = running.process.memory_info().rss
        used = sum(running.process.cpu_times()[:2])
    finished = [each for each in seen if each.done]
    answers = sorted(second for each in seen for second in each.answers)
    print(f"{STUDENTS} students, the class preset, clicks within {SPREAD_SECONDS:.0f} s, {psutil.cpu_count()} cores")
    print(f"{'':44} {'ours':>9} {'goal':>9}")
    rows = (
        ("every student sees a curve with its best step, s", max(each.curve for each in seen), GOAL_CURVE),
        ("the last run is done, s", max((each.done for each in finished), default=float("nan")), GOAL_DONE),
        ("click to done, median of students, s", statistics.median(e.done - e.clicked for e in finished), None),
        ("a poll's answer, median, ms", statistics.median(answers) * 1e3, None),
        ("a poll's answer, 95th of 100, ms", answers[int(0.95 * len(answers))] * 1e3, 400),
        ("runs not finished", STUDENTS - len(finished), 0),
        ("errors on any screen", sum(len(each.faults) for each in seen), 0),
        ("server's memory grew by, MiB", (after - before) / 2**20, 50),
        ("server's own processor time, s", used, None),
    )
    for name, ours, goal in rows:
        print(f"{name:52} {ours:9.1f} {'' if goal is None else goal:>9}")
    for fault in sorted({fault for each in seen for fault in each.faults}):
        print("  ", fault)


async def _warm(port: int) -> None:
    """Open the page once and give the server time to have its processes ready, as before a lesson."""
    async with Student(port, "training"):
        await asyncio.sleep(10)

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
SPREAD_SECONDS = 2.0  # between one click and the next: the first and the last of thirty lie a minute apart
PATIENCE_SECONDS = 600.0
WATCH_SECONDS = 3.0  # between two looks at the memory of all processes
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


@dataclass(frozen=True)
class Played:
    """A class that has trained.

    Attributes:
        seen: What each student saw.
        grew: Bytes by which the server itself grew.
        held: Bytes that the server and all that it started held together at most (PSS).
        used: Seconds of a processor that the server itself used.
    """

    seen: tuple[Seen, ...]
    grew: int
    held: int
    used: float

    @property
    def finished(self) -> list[Seen]:
        """Those whose run was done in time."""
        return [each for each in self.seen if each.done]

    @property
    def faults(self) -> list[str]:
        """What went wrong on any screen, each kind once."""
        return sorted({fault for each in self.seen for fault in each.faults})

    @property
    def answers(self) -> list[float]:
        """Seconds of every poll's answer, the quickest first."""
        return sorted(second for each in self.seen for second in each.answers)


def _has_minimum(chart: str) -> bool:
    """Whether a chart of one's own run shows a best step with later ones behind it."""
    found = SEEN.search(chart)
    return not chart.startswith("Recorded") and found is not None and int(found[1]) > int(found[2])


async def _study(number: int, port: int, began: float) -> Seen:
    async with Student(port, "training") as student:
        await asyncio.sleep(max(0.0, began + SPREAD_SECONDS * number - time.perf_counter()))
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


async def _class(port: int, students: int) -> list[Seen]:
    # All pages are open before the first click, as in a lesson.
    began = time.perf_counter() + students * 0.4
    return await asyncio.gather(*(_study(number, port, began) for number in range(students)))


async def _watch(running: server.Server, held: list[int]) -> None:
    """Note every few seconds what the whole family holds, until this is cancelled."""
    while True:
        held.append(await asyncio.to_thread(running.memory))
        await asyncio.sleep(WATCH_SECONDS)


async def _play(running: server.Server, students: int) -> tuple[list[Seen], int]:
    held: list[int] = []
    watch = asyncio.create_task(_watch(running, held))
    seen = await _class(running.port, students)
    watch.cancel()
    return seen, max([*held, running.memory()])


def play(students: int) -> Played:
    """A whole class run on a server of its own."""
    with server.running() as running:
        asyncio.run(_warm(running.port))
        before, used = running.process.memory_info().rss, sum(running.process.cpu_times()[:2])
        seen, held = asyncio.run(_play(running, students))
        grew = running.process.memory_info().rss - before
        return Played(tuple(seen), grew, held, sum(running.process.cpu_times()[:2]) - used)


async def _warm(port: int) -> None:
    """Open the page once and give the server time to have its processes ready, as before a lesson."""
    async with Student(port, "training"):
        await asyncio.sleep(10)


def main() -> None:
    """Print what the class saw."""
    played = play(STUDENTS)
    finished, answers = played.finished, played.answers
    last_click = SPREAD_SECONDS * (STUDENTS - 1)
    print(f"{STUDENTS} students, the class preset, clicks within {last_click:.0f} s, {psutil.cpu_count()} cores")
    print(f"{'':44} {'ours':>9} {'goal':>9}")
    rows = (
        ("every student sees a curve with its best step, s", max(each.curve for each in played.seen), GOAL_CURVE),
        ("the last run is done, s", max((each.done for each in finished), default=float("nan")), GOAL_DONE),
        ("click to done, median of students, s", statistics.median(e.done - e.clicked for e in finished), None),
        ("a poll's answer, median, ms", statistics.median(answers) * 1e3, None),
        ("a poll's answer, 95th of 100, ms", answers[int(0.95 * len(answers))] * 1e3, 400),
        ("runs not finished", STUDENTS - len(finished), 0),
        ("errors on any screen", sum(len(each.faults) for each in played.seen), 0),
        ("server's memory grew by, MiB", played.grew / 2**20, 50),
        ("the server and its runs held at most, MiB", played.held / 2**20, None),
        ("server's own processor time, s", played.used, None),
    )
    for name, ours, goal in rows:
        print(f"{name:52} {ours:9.1f} {'' if goal is None else goal:>9}")
    for fault in played.faults:
        print("  ", fault)

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

from benchmarks import server
from benchmarks.results import Row
from benchmarks.student import Student
from gptcore.machine import MIB

STUDENTS = 30
SPREAD_SECONDS = 2.0  # between one click and the next: the first and the last of thirty lie a minute apart
PATIENCE_SECONDS = 600.0
WATCH_SECONDS = 3.0  # between two looks at the memory of all processes
GOAL_CURVE, GOAL_DONE, GOAL_MS, GOAL_MIB = 90, 150, 400, 50
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


def measure() -> list[Row]:
    """What the class saw."""
    played = play(STUDENTS)
    finished, answers = played.finished, played.answers
    done = max((each.done for each in finished), default=None)
    itself = statistics.median(each.done - each.clicked for each in finished) if finished else None
    clicks = f"{STUDENTS} students, clicks within {SPREAD_SECONDS * (STUDENTS - 1):.0f} s"
    return [
        Row(f"{clicks}: each saw a curve with its best step", _last_curve(played), "s", most=GOAL_CURVE),
        Row(f"{clicks}: the last run is done", done, "s", most=GOAL_DONE),
        Row("click to done, median of students", itself, "s"),
        Row("a poll's answer, median", statistics.median(answers) * 1e3, "ms"),
        Row("a poll: 95 of 100 answers within", answers[int(0.95 * len(answers))] * 1e3, "ms", most=GOAL_MS),
        Row("runs not finished", STUDENTS - len(finished), "runs", most=0),
        Row("errors on any screen", sum(len(each.faults) for each in played.seen), "errors", most=0),
        Row("the server grew by", played.grew / MIB, "MiB", most=GOAL_MIB),
        Row("the server and its runs held at most", played.held / MIB, "MiB"),
        Row("the server's own processor time", played.used, "s", limit="; ".join(played.faults)),
    ]


def _last_curve(played: Played) -> float | None:
    """When the last student saw a curve with its best step; None where one never did."""
    curves = [each.curve for each in played.seen]
    return max(curves) if all(curves) else None

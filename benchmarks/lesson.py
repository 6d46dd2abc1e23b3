"""A class in one lesson: many students move controls on the heaviest page, alone and beside two runs; twenty minutes.

How to read it: ``heaviest`` asks every lesson what one more drawing costs the server, and takes the dearest; ``crowd``
lets students move controls there, each one every few seconds, as hands do; ``hour`` plays a lesson of twenty minutes,
page by page and with a run each, in an eighth of the time. Runs can't be hurried, so that part is harder than the real
one. ``alone`` is measured by itself, ``measure`` is all the rest.

What is left out: the room's network, and browsers. The students' side runs on the same machine and costs it a little.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import server
from benchmarks.results import Row
from benchmarks.server import Server
from benchmarks.student import Student, visit
from gptcore.machine import MIB
from gptcore.paths import REPOSITORY
from gptcore.runs.store import RunStore

CROWDS = ((30, 10), (60, 5))  # students, and how often each moves a control
NO_LESSONS = {"plan", "classroom"}  # pages of their own beside the lessons
THINK_SECONDS = 6.0  # between two moves of one student, on average
WARM, LOOKS = 2, 4
SETTLE_SECONDS = 10.0  # until processes that wait for runs are there
ALONE_MS, GOAL_MS, GOAL_MIB = 150, 400, 50
PUPILS = 30
LESSON_SECONDS, QUICKER = 20 * 60, 8


class Act(NamedTuple):
    """What each student does from a minute on: opens a page, and moves a control there so many times."""

    minute: float
    page: str
    moves: int


PLAN = (
    Act(0, "", 2),
    Act(2, "tokens", 4),
    Act(4, "windows", 3),
    Act(6, "training", 2),
    Act(11, "overfitting", 3),
    Act(14, "sampling", 5),
    Act(18, "loss", 2),
)
TRAINS = "training"  # where each presses "Train"


class Crowd(NamedTuple):
    """What a crowd met: seconds of each answer, faults on screens, and bytes by which the server grew."""

    answers: list[float]
    faults: int
    grew: int

    @property
    def p95(self) -> float:
        """Milliseconds within which 95 of 100 answers came."""
        return sorted(self.answers)[int(0.95 * len(self.answers))] * 1e3


def lessons() -> list[str]:
    """Every lesson as an address names it; home's is empty. From the folder: importing pages starts their caches."""
    names = {page.stem for page in (REPOSITORY / "pages").glob("*.py")} - NO_LESSONS
    return ["" if name == "home" else name for name in sorted(names)]


async def _cost(running: Server, page: str) -> float:
    """Seconds of the server's processor for one more drawing of a page."""
    async with Student(running.port, page) as student:
        for _ in range(WARM):
            await student.look_again()
        before = sum(running.process.cpu_times()[:2])
        for _ in range(LOOKS):
            await student.look_again()
        return (sum(running.process.cpu_times()[:2]) - before) / LOOKS


def heaviest(running: Server) -> tuple[str, float]:
    """The lesson whose drawing costs the server most, as its address names it, and the seconds."""
    costs = {page: asyncio.run(_cost(running, page)) for page in lessons()}
    return max(costs.items(), key=lambda each: each[1])


async def _move(student: Student, times: int, dice: random.Random, think: float) -> list[float]:
    """Move a control so many times; the seconds that each answer took."""
    answers = []
    for _ in range(times):
        await asyncio.sleep(dice.uniform(0.5, 1.5) * think)
        began = time.perf_counter()
        await student.look_again()
        answers.append(time.perf_counter() - began)
    return answers


async def _moves(port: int, page: str, number: int, times: int, think: float) -> tuple[list[float], int]:
    dice = random.Random(number)
    await asyncio.sleep(dice.uniform(0.0, think))
    async with Student(port, page) as student:
        return await _move(student, times, dice, think), len(student.faults)


async def _all_move(port: int, page: str, students: int, times: int, think: float) -> list[tuple[list[float], int]]:
    return await asyncio.gather(*(_moves(port, page, number, times, think) for number in range(students)))


def crowd(running: Server, page: str, students: int, times: int, think: float = THINK_SECONDS) -> Crowd:
    """Let so many students open a page and each move a control so many times."""
    before = running.process.memory_info().rss
    met = asyncio.run(_all_move(running.port, page, students, times, think))
    answers = [second for each, _ in met for second in each]
    return Crowd(answers, sum(faults for _, faults in met), running.process.memory_info().rss - before)


async def _attend(port: int, number: int, began: float, quicker: float, plan: Sequence[Act]) -> tuple[list[float], int]:
    dice = random.Random(number)
    answers: list[float] = []
    async with Student(port, plan[0].page) as student:
        for act in plan:
            begins = began + (act.minute + dice.uniform(0.0, 0.5)) * 60 / quicker
            await asyncio.sleep(max(0.0, begins - time.perf_counter()))
            await student.go_to(act.page)
            if act.page == TRAINS:
                await student.click("training_start")
            answers += await _move(student, act.moves, dice, THINK_SECONDS / quicker)
            if act.page == TRAINS:
                await student.poll()
        return answers, len(student.faults)


async def _all_attend(port: int, students: int, quicker: float, plan: Sequence[Act]) -> list[tuple[list[float], int]]:
    began = time.perf_counter()
    return await asyncio.gather(*(_attend(port, number, began, quicker, plan) for number in range(students)))


def hour(running: Server, students: int, quicker: float = QUICKER, plan: Sequence[Act] = PLAN) -> tuple[Crowd, float]:
    """Play a whole lesson: what the students met, and the seconds until all had come to the end and their runs, too."""
    before, began = running.process.memory_info().rss, time.perf_counter()
    met = asyncio.run(_all_attend(running.port, students, quicker, plan))
    store = RunStore(running.home / "runs")
    while any(run.status["state"] in ("queued", "running", "interrupted") for run in store.whole()):
        if time.perf_counter() - began > LESSON_SECONDS:
            break
        time.sleep(0.2)
    took = time.perf_counter() - began
    undone = sum(run.status["state"] != "done" for run in store.whole())
    answers = [second for each, _ in met for second in each]
    faults = sum(each for _, each in met) + undone
    return Crowd(answers, faults, running.process.memory_info().rss - before), took


def _rows(
    what: str, met: Crowd, most: float | None = GOAL_MS, mib: float | None = GOAL_MIB, limit: str = ""
) -> list[Row]:
    return [
        Row(f"{what}: 95 of 100 answers within", met.p95, "ms", most=most, limit=limit),
        Row(f"{what}: errors", met.faults, "errors", most=0),
        Row(f"{what}: the server grew by", met.grew / MIB, "MiB", most=mib),
    ]


def _opened(running: Server) -> None:
    """Every lesson was open once, as before a class; processes for runs are ready."""
    asyncio.run(visit(running.port, *lessons()))
    time.sleep(SETTLE_SECONDS)


def alone() -> list[Row]:
    """The crowds with nothing that trains."""
    with server.running() as running:
        _opened(running)
        page, cost = heaviest(running)
        rows = []
        for students, times in CROWDS:
            what = f"{students} students x {times} on {page or 'home'}, nothing training"
            busy = students / THINK_SECONDS * cost
            limit = f"a drawing takes the server {cost * 1e3:.0f} ms, one after the other: {busy:.0%} of its time"
            rows += _rows(what, crowd(running, page, students, times), ALONE_MS, limit=limit)
        return rows


def measure() -> list[Row]:
    """The crowds beside two runs that train, then a whole lesson on a server of its own."""
    rows = []
    with server.running() as running:
        _opened(running)
        page, cost = heaviest(running)
        name = page or "home"
        rows.append(Row(f"the heaviest lesson, {name}: one drawing, of the server's processor", cost * 1e3, "ms"))
        for _ in range(2):
            running.train()
        for students, times in CROWDS:
            met = crowd(running, page, students, times)
            rows += _rows(f"{students} students x {times} on {name}, two runs training", met)
    with server.running() as running:
        _opened(running)
        met, took = hour(running, PUPILS)
        what = f"a lesson of 20 minutes, {PUPILS} students, {QUICKER} times as quick"
        rows += [Row(f"{what}: all at the end, all runs done", took, "s", most=LESSON_SECONDS / QUICKER)]
        rows += _rows(what, met, None, None)  # the goals are those of hands, which are not so quick
    return rows

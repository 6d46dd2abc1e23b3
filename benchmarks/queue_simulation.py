"""How long would a class, a school, a country wait? A lesson is played against the queue, without training anything.

``make bench ARGS=queue_simulation`` prints the table of docs/servers.md. A school puts in its own figures:
``python -m benchmarks.queue_simulation --students 120 --slots 8 --run-seconds 30``.

A lesson: nine of ten students press "Train" within its first minute, the others come within ten. Who has seen a run
end thinks for one to three minutes and starts another, three in all. One in thirty presses eight times at once.

How to read it: ``play`` goes from event to event; ``Line`` says whose turn it is. The rule is that of ``queue.turns``,
which orders everybody anew at each look; here only those move whose standing has changed, so that 100,000 fit.
tests/unit/test_queue_simulation.py holds both to the same order. Time is counted in whole milliseconds, so that equal
is equal.

What is left out: memory (``queue.fits`` counts it as well as cores), runs of several threads, processes that die, and
what the dispatcher itself costs (``dispatching``): here it is as quick at 100,000 students as at thirty.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gptcore.runs.requests import MOST_WAITING

# Measured (benchmarks/README.md): a run of the "class" preset, and from a request to its first point, on one core.
RUN_SECONDS, START_SECONDS = 3.7, 0.18
SPREAD = 0.1  # a run takes up to so much more or less than another
FIRST_MINUTE, STRAGGLERS, IN_TIME = 60_000, 600_000, 0.9
RUNS_EACH, THINKING = 3, (60_000, 180_000)
ONE_IN, AT_ONCE = 30, 8
LESSON = 45 * 60_000
STUDENTS, SLOTS = (30, 300, 3_000, 100_000), (1, 2, 4, 8, 16, 32, 100, 300, 1_000)
CLICK, END = 1, 0  # at the same instant a slot first comes free
NOTICED = 1_000  # nobody minds a shorter wait
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


class Plan(NamedTuple):
    """What one student means to do.

    Attributes:
        first: When the first click comes, in milliseconds from the beginning of the lesson.
        lengths: Milliseconds that each of the student's runs will hold a slot.
        pauses: Milliseconds from the end of a run to the next click; with none, all clicks come at once.
    """

    first: int
    lengths: tuple[int, ...]
    pauses: tuple[int, ...] = ()


def lesson(students: int, run_seconds: float = RUN_SECONDS, seed: int = 123) -> list[Plan]:
    """What a class of so many does in a lesson (see the head of this file)."""
    draw = random.Random(seed)
    mean = 1_000 * (run_seconds + START_SECONDS)

    def plan(student: int) -> Plan:
        first = draw.randrange(FIRST_MINUTE if draw.random() < IN_TIME else STRAGGLERS)
        is_eager = student % ONE_IN == ONE_IN - 1
        runs = AT_ONCE if is_eager else RUNS_EACH
        lengths = tuple(round(mean * draw.uniform(1 - SPREAD, 1 + SPREAD)) for _ in range(runs))
        return Plan(first, lengths, () if is_eager else tuple(draw.randint(*THINKING) for _ in lengths[1:]))

    return [plan(student) for student in range(students)]


class Rule(Protocol):
    """Who may start next."""

    def add(self, owner: int, number: int) -> None:
        """A run joins those who wait."""

    def waiting(self, owner: int) -> int:
        """How many runs of this owner wait."""

    def take(self, now: int) -> tuple[int, int] | None:
        """Owner and number of the run that starts now; None where nobody waits."""

    def end(self, owner: int, number: int, now: int, /) -> None:
        """A run that was taken has ended."""


@dataclass(slots=True)
class _Owner:
    """What one owner has under way. At the time t the owner has used ``used + running * t`` milliseconds."""

    waiting: deque[int] = field(default_factory=deque)
    running: int = 0
    used: int = 0


class Line:
    """The rule of ``queue.turns`` for runs of one thread: fewest runs under way, least used, first come.

    Of two owners with as many runs under way each has used more after a while, but both equally much more: who was
    first stays first. So an owner's standing changes only when a run of that owner starts or ends.
    """

    def __init__(self) -> None:
        self._owners: defaultdict[int, _Owner] = defaultdict(_Owner)
        self._standings: list[tuple[int, int, int, int]] = []  # running, used, number, owner; old ones lie among them

    def _stand(self, name: int) -> None:
        owner = self._owners[name]
        if owner.waiting:
            heapq.heappush(self._standings, (owner.running, owner.used, owner.waiting[0], name))

    def add(self, owner: int, number: int) -> None:
        self._owners[owner].waiting.append(number)
        if len(self._owners[owner].waiting) == 1:
            self._stand(owner)

    def waiting(self, owner: int) -> int:
        return len(self._owners[owner].waiting)

    def take(self, now: int) -> tuple[int, int] | None:
        while self._standings:
            running, used, number, name = heapq.heappop(self._standings)
            owner = self._owners[name]
            if not owner.waiting or (owner.running, owner.used, owner.waiting[0]) != (running, used, number):
                continue  # this is how the owner stood before something changed
            owner.waiting.popleft()
            owner.running += 1
            owner.used -= now
            self._stand(name)
            return name, number
        return None

    def end(self, owner: int, _number: int, now: int, /) -> None:
        self._owners[owner].running -= 1
        self._owners[owner].used += now
        self._stand(owner)


@dataclass(slots=True)
class Outcome:
    """What came of a lesson.

    Attributes:
        starts: Run, owner, and when it started, in order; runs are numbered as they were queued.
        waits: Milliseconds that each of them had waited.
        ends: When each run ended, in order.
        refused: Clicks that were answered with "five of your runs are waiting already".
        looking: At most so many students at once had a run waiting or under way: each of their pages polls.
    """

    starts: list[tuple[int, int, int]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    refused: int = 0
    looking: int = 0


class _Lesson:
    """A lesson under way: what is still to come, and who has what in the queue."""

    def __init__(self, plans: Sequence[Plan], slots: int, rule: Rule) -> None:
        self.rule, self.free, self.outcome = rule, slots, Outcome()
        self.lengths = [list(reversed(plan.lengths)) for plan in plans]
        self.pauses = [list(reversed(plan.pauses)) for plan in plans]
        self.queued: list[int] = []  # when each run was
        self.under_way: Counter[int] = Counter()  # runs of each student that wait or run
        self.looking = 0
        at_first = ((owner, plan) for owner, plan in enumerate(plans) for _ in plan.lengths[len(plan.pauses) :])
        self.events = [(plan.first, CLICK, owner, 0) for owner, plan in at_first]  # when, what, whose, which run ended
        heapq.heapify(self.events)

    def click(self, owner: int, now: int) -> None:
        if self.rule.waiting(owner) >= MOST_WAITING:
            self.outcome.refused += 1
            return
        self.queued.append(now)
        self.rule.add(owner, len(self.queued))
        self.looking += not self.under_way[owner]
        self.under_way[owner] += 1
        self.outcome.looking = max(self.outcome.looking, self.looking)

    def end(self, owner: int, run: int, now: int) -> None:
        self.free += 1
        self.rule.end(owner, run, now)
        self.outcome.ends.append(now)
        self.under_way[owner] -= 1
        self.looking -= not self.under_way[owner]
        if self.pauses[owner]:
            heapq.heappush(self.events, (now + self.pauses[owner].pop(), CLICK, owner, 0))

    def start(self, now: int) -> None:
        while self.free and (taken := self.rule.take(now)):
            owner, run = taken
            self.free -= 1
            self.outcome.starts.append((run, owner, now))
            self.outcome.waits.append(now - self.queued[run - 1])
            heapq.heappush(self.events, (now + self.lengths[owner].pop(), END, owner, run))


def play(plans: Sequence[Plan], slots: int, rule: Rule) -> Outcome:
    """Play a lesson to the end of its last run.

    Args:
        plans: What each student means to do; student i owns the runs of plan i.
        slots: Runs that can be under way at once.
        rule: Whose turn it is.
    """
    lesson = _Lesson(plans, slots, rule)
    while lesson.events:
        now = lesson.events[0][0]
        while lesson.events and lesson.events[0][0] == now:
            _, kind, owner, run = heapq.heappop(lesson.events)
            if kind == END:
                lesson.end(owner, run, now)
            else:
                lesson.click(owner, now)
        lesson.start(now)
    return lesson.outcome


def _share(values: Sequence[int], share: float) -> int:
    """The value below which so large a share of sorted values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


def in_words(milliseconds: float) -> str:
    """A time as one would say it.

    >>> in_words(4_240), in_words(600_000), in_words(3 * 86_400_000)
    ('4.2 s', '10.0 min', '3.0 d')
    """
    seconds = milliseconds / 1_000
    for length, unit in UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _row(students: int, slots: int, outcome: Outcome) -> str:
    waits = sorted(outcome.waits)
    in_time = sum(end <= LESSON for end in outcome.ends) / len(outcome.ends)
    times = (_share(waits, 0.5), _share(waits, 0.95), waits[-1], max(outcome.ends))
    cells = (f"{students:,}", f"{slots:,}", *map(in_words, times), f"{100 * in_time:.0f} %", f"{outcome.looking:,}")
    return "| " + " | ".join(cells) + " |"


def table(students: Sequence[int], slots: Sequence[int], run_seconds: float) -> Iterator[str]:
    """The rows, until more slots would no longer shorten a wait that anybody notices."""
    yield "| students | slots | wait, median | 95 of 100 | longest | last run done | done in 45 min | pages polling |"
    yield "|---|---|---|---|---|---|---|---|"
    for number in students:
        plans = lesson(number, run_seconds)
        for count in slots:
            outcome = play(plans, count, Line())
            yield _row(number, count, outcome)
            if max(outcome.waits) < NOTICED:
                break


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue_simulation")
    parser.add_argument("--students", type=int, nargs="+", default=STUDENTS, help="in one lesson")
    parser.add_argument("--slots", type=int, nargs="+", default=SLOTS, help="runs at once: about one a core")
    parser.add_argument("--run-seconds", type=float, default=RUN_SECONDS, help="that a run takes on one core")
    asked = parser.parse_args(arguments)
    print(f"a lesson of {RUNS_EACH} runs each, {asked.run_seconds:g} s a run; simulated, not trained")
    for row in table(asked.students, asked.slots, asked.run_seconds):
        print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

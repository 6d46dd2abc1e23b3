"""The simulated queue has the order of the real one, and its waits are those of a sum done by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.queue_simulation import AT_ONCE, RUNS_EACH, Line, Plan, Rule, in_words, lesson, play
from gptcore.runs.queue import Ticket, fits, turns
from gptcore.runs.requests import MOST_WAITING
from gptcore.runs.store import Run

SLOTS = 2


class Real:
    """The queue's own rule, asked for everybody's turn each time a run may start."""

    def __init__(self) -> None:
        self.tickets: dict[int, Ticket] = {}
        self.began: dict[int, int] = {}

    def add(self, owner: int, number: int) -> None:
        run = Run(Path(f"{number}"))
        self.tickets[number] = Ticket(run, number, f"{owner}", "queued", 0, 1, 0, 0.0, "", None, None)

    def waiting(self, owner: int) -> int:
        return sum(ticket.state == "queued" and ticket.owner == f"{owner}" for ticket in self.tickets.values())

    def take(self, now: int) -> tuple[int, int] | None:
        for number, ticket in self.tickets.items():
            if ticket.state == "running":
                self.tickets[number] = ticket._replace(used=float(now - self.began[number]))
        tickets = list(self.tickets.values())
        order = turns(tickets)
        if not order:
            return None
        assert fits(order[0], [ticket for ticket in tickets if ticket.state == "running"], 2**50)
        number = order[0].number
        self.tickets[number], self.began[number] = order[0]._replace(state="running"), now
        return int(order[0].owner), number

    def end(self, owner: int, number: int, now: int) -> None:
        ended = self.tickets[number]._replace(state="done", used=float(now - self.began[number]))
        self.tickets[number] = ended


@pytest.fixture(autouse=True)
def as_many_cores_as_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptcore.runs.queue.cores", lambda: SLOTS)


@given(st.randoms(use_true_random=False))
def test_the_simulated_queue_starts_every_run_when_the_real_rule_does(draw: random.Random) -> None:
    def plan() -> Plan:
        runs, first = draw.randint(1, 8), draw.randint(0, 9)
        pauses = tuple(draw.randint(0, 9) for _ in range(draw.randint(0, runs - 1)))  # few instants: much is equal
        return Plan(first, tuple(draw.randint(1, 9) for _ in range(runs)), pauses)

    plans = [plan() for _ in range(draw.randint(1, 9))]
    assert play(plans, SLOTS, Line()) == play(plans, SLOTS, Real())


def test_a_whole_class_starts_as_by_the_real_rule() -> None:
    plans = lesson(30)
    assert play(plans, SLOTS, Line()) == play(plans, SLOTS, Real())


@pytest.mark.parametrize("rule", [Line(), Real()])
def test_waits_are_those_of_a_sum_by_hand(rule: Rule) -> None:
    greedy, patient = Plan(0, (10,) * 9), Plan(1, (4, 4), (2,))
    outcome = play([greedy, patient], SLOTS, rule)
    # Two of the greedy one's five start at 0. At 10 both end: the patient one, who has used nothing, comes first.
    assert outcome.starts[:4] == [(1, 0, 0), (2, 0, 0), (6, 1, 10), (3, 0, 10)]
    assert outcome.starts[4:] == [(4, 0, 14), (7, 1, 20), (5, 0, 24)]
    assert outcome.waits == [0, 0, 9, 10, 14, 4, 24]
    assert outcome.ends == [10, 10, 14, 20, 24, 24, 34]
    assert (outcome.refused, outcome.looking) == (9 - MOST_WAITING, 2)


def test_every_run_of_a_lesson_is_started_once_or_refused() -> None:
    plans = lesson(300)
    outcome = play(plans, 4, Line())
    assert len({run for run, _, _ in outcome.starts}) == len(outcome.starts) == len(outcome.ends)
    assert len(outcome.starts) + outcome.refused == 290 * RUNS_EACH + 10 * AT_ONCE


def test_with_a_slot_for_every_run_nobody_waits() -> None:
    assert set(play(lesson(30), 30 * AT_ONCE, Line()).waits) == {0}


def test_times_are_said_in_the_unit_one_would_choose() -> None:
    assert in_words(119_000) == "119.0 s"
    assert in_words(7_200_000) == "2.0 h"

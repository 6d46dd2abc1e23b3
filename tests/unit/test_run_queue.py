"""Whose turn it is, what may run side by side, and how long the others wait: all of it sums over tickets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcore.config import to_json
from gptcore.machine import MIB
from gptcore.parameters import training_disk, training_memory
from gptcore.runs import queue
from gptcore.runs.files import replace_json
from gptcore.runs.queue import (
    LEAST_DISK,
    PROCESS_BYTES,
    SERVER_BYTES,
    Place,
    Ticket,
    fits,
    look,
    needs,
    place,
    slots_of,
    turns,
    waits,
)
from gptcore.runs.store import Run, RunStore
from tests.tiny import MODEL, SETTINGS, STORY

STATES = ("queued", "interrupted", "running", "done", "failed", "cancelled")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "cores", lambda: 2)


def with_cores(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "cores", lambda: number)


def ticket(number: int, owner: str | None = None, state: str = "queued", **changes: Any) -> Ticket:
    run = Run(Path(f"{number:016}"))
    whole = Ticket(run, number, owner or run.id, state, 0, 1, 0, 0.0, "tiny", None, 10)
    return whole._replace(**changes)


def numbers(tickets: Iterable[Ticket]) -> list[int]:
    return [each.number for each in tickets]


# ----------------------------------------------------------------------------------------------------- whose turn it is


def test_who_came_first_starts_first_where_nothing_else_decides() -> None:
    assert numbers(turns([ticket(3, "c"), ticket(1, "a"), ticket(2, "b")])) == [1, 2, 3]


def test_whoever_has_the_fewest_runs_under_way_comes_first() -> None:
    busy, idle = ticket(1, "a", "running"), ticket(9, "b", used=1e6)
    assert numbers(turns([busy, ticket(2, "a"), idle])) == [9, 2]


def test_of_those_with_as_many_under_way_whoever_used_least_comes_first() -> None:
    past = [ticket(1, "a", "done", used=50.0), ticket(2, "b", "failed", used=20.0), ticket(3, "b", "done", used=29.0)]
    assert numbers(turns([*past, ticket(4, "a"), ticket(5, "b"), ticket(6, "c")])) == [6, 5, 4]


def test_an_owner_who_submits_many_delays_nobody_else() -> None:
    many = [ticket(number, "greedy") for number in range(1, 201)]
    others = [ticket(300, "b"), ticket(301, "c")]
    assert numbers(turns([*many, *others]))[:4] == [1, 300, 301, 2]


def test_thirty_students_with_three_runs_each_take_turns() -> None:
    order = turns([ticket(3 * student + each, f"s{student}") for student in range(30) for each in range(3)])
    rounds = [{each.owner for each in order[begin : begin + 30]} for begin in (0, 30, 60)]
    assert [len(owners) for owners in rounds] == [30, 30, 30]


def test_runs_of_nobody_are_nobodys_burden_to_each_other() -> None:
    assert numbers(turns([ticket(1, state="running", used=1e6), ticket(3), ticket(2)])) == [2, 3]


def test_an_interrupted_run_waits_like_a_queued_one_and_an_ended_one_does_not() -> None:
    tickets = [ticket(number, state=state) for number, state in enumerate(STATES)]
    assert [each.state for each in turns(tickets)] == ["queued", "interrupted"]


def by_the_rule(tickets: list[Ticket]) -> list[Ticket]:
    """The rule as it is said: the fewest runs under way, then the least used, then first come."""
    taken = {each.owner: 0 for each in tickets}
    used = {each.owner: 0.0 for each in tickets}
    for each in tickets:
        taken[each.owner] += each.state == "running"
        used[each.owner] += each.used
    waiting, order = [each for each in tickets if each.state in queue.WAITING], []
    while waiting:
        first = min(waiting, key=lambda each: (taken[each.owner], used[each.owner], each.number))
        taken[first.owner] += 1
        waiting.remove(first)
        order.append(first)
    return order


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(STATES), st.sampled_from((0.0, 1.5, 4.0)))),
    st.randoms(),
)
def test_turns_are_those_of_the_rule_as_it_is_said(drawn: list[tuple[str, str, float]], chance: Random) -> None:
    tickets = [ticket(number, owner, state, used=used) for number, (owner, state, used) in enumerate(drawn)]
    chance.shuffle(tickets)
    assert turns(tickets) == by_the_rule(tickets)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(STATES), st.floats(0, 1e9)), max_size=12))
def test_everybody_who_waits_has_exactly_one_turn(drawn: list[tuple[str, str, float]]) -> None:
    tickets = [ticket(number, owner, state, used=used) for number, (owner, state, used) in enumerate(drawn)]
    waiting = [each for each in tickets if each.state in queue.WAITING]
    assert sorted(numbers(turns(tickets))) == numbers(waiting)
    assert [each.ticket for each in waits(tickets)] == turns(tickets)


# ----------------------------------------------------------------------------------------------- what runs side by side


@pytest.mark.parametrize(
    ("cores", "threads", "slots"), [(1, 1, 1), (2, 1, 1), (2, 2, 1), (4, 2, 2), (4, 4, 3), (16, 16, 15)]
)
def test_a_run_on_all_cores_leaves_one_slot_to_others(
    cores: int, threads: int, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cores(cores, monkeypatch)
    assert slots_of(ticket(1, threads=threads)) == slots


def test_runs_start_as_long_as_slots_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cores(4, monkeypatch)
    one, all_cores = ticket(1, threads=1), ticket(2, threads=4)
    assert fits(one, [all_cores], 2**40)
    assert not fits(one, [all_cores, one], 2**40)
    assert fits(one, [one] * 3, 2**40)
    assert not fits(one, [one] * 4, 2**40)
    assert not fits(all_cores, [one] * 2, 2**40)


def test_runs_start_as_long_as_memory_is_free_each_with_a_process_of_its_own() -> None:
    need = 100 * MIB
    run = ticket(1, memory=need)
    assert fits(run, [run], SERVER_BYTES + 2 * (need + PROCESS_BYTES))
    assert not fits(run, [run], SERVER_BYTES + 2 * (need + PROCESS_BYTES) - 1)


def test_alone_a_run_always_starts() -> None:
    assert fits(ticket(1, threads=1_024, memory=2**50), [], 2**20)


# --------------------------------------------------------------------------------------------- how long the others wait


def seconds(tickets: list[Ticket]) -> list[tuple[int, float | None]]:
    return [(each.ticket.number, each.seconds) for each in waits(tickets)]


def test_those_who_wait_follow_those_who_end_first() -> None:
    running = [
        ticket(1, state="running", step_seconds=1.0, steps_left=10),
        ticket(2, state="running", step_seconds=0.5, steps_left=60),
    ]
    waiting = [ticket(3, steps_left=5), ticket(4, steps_left=5), ticket(5)]
    pace = 0.75  # of the two that run, halfway between
    assert seconds([*running, *waiting]) == [(3, 10.0), (4, 10.0 + 5 * pace), (5, 10.0 + 2 * 5 * pace)]


def test_a_free_slot_is_free_at_once() -> None:
    assert seconds([ticket(1, state="running", step_seconds=1.0), ticket(2), ticket(3)]) == [(2, 0.0), (3, 10.0)]


def test_a_run_that_takes_several_slots_waits_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cores(3, monkeypatch)
    running = [ticket(n, state="running", step_seconds=1.0, steps_left=10 * n) for n in (1, 2, 3)]
    assert seconds([*running, ticket(4, threads=3, steps_left=5), ticket(5)]) == [(4, 20.0), (5, 25.0)]


def test_elsewhere_a_run_takes_one_slot_whatever_it_asks_for() -> None:
    running = [ticket(number, state="running", threads=2, step_seconds=1.0, steps_left=number) for number in (1, 2, 3)]
    expected = waits([*running, ticket(4, threads=8)], elsewhere=4)
    assert [each.seconds for each in expected] == [0.0]
    expected = waits([*running, ticket(4, threads=8)], elsewhere=3)
    assert [each.seconds for each in expected] == [1.0]


def test_while_no_machine_is_there_the_wait_is_not_told() -> None:
    assert [each.seconds for each in waits([ticket(1), ticket(2)], elsewhere=0)] == [None, None]


LARGE = 1_000 * MIB
ROOM = SERVER_BYTES + 2 * PROCESS_BYTES + LARGE + 100 * MIB  # for a large run and a small one


def large(number: int, **changes: Any) -> Ticket:
    return ticket(number, memory=LARGE, step_seconds=1.0, **changes)


def held(tickets: list[Ticket], limit: int = ROOM, elsewhere: int | None = None) -> list[tuple[Any, ...]]:
    return [(each.ticket.number, each.seconds, each.memory) for each in waits(tickets, elsewhere, limit)]


def test_a_run_that_memory_alone_holds_back_is_told_so_and_when_that_comes_free() -> None:
    tickets = [large(1, state="running", steps_left=7), large(2), ticket(3, step_seconds=1.0)]
    assert held(tickets) == [(2, 7.0, LARGE + PROCESS_BYTES), (3, 7.0, None)]  # a slot is free all the time
    assert held(tickets, limit=ROOM + LARGE) == [(2, 0.0, None), (3, 7.0, None)]
    assert held(tickets, elsewhere=2) == [(2, 0.0, None), (3, 7.0, None)]  # another machine's memory is its own affair


def test_a_slot_that_comes_free_does_not_help_where_memory_is_still_held() -> None:
    running = [ticket(1, state="running", step_seconds=1.0, steps_left=3), large(2, state="running", steps_left=8)]
    assert held([*running, large(3)]) == [(3, 8.0, LARGE + PROCESS_BYTES)]
    assert held([*running, large(3)], limit=ROOM + LARGE) == [(3, 3.0, None)]


def test_where_nobody_knows_when_memory_comes_free_the_wait_is_not_told_but_what_for() -> None:
    riddle = large(1, state="running", kind="riddle")._replace(step_seconds=None)
    assert held([riddle, large(2)]) == [(2, None, LARGE + PROCESS_BYTES)]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(STATES), st.integers(0, 2_000), st.integers(1, 20)), max_size=9
    )
)
def test_whoever_is_told_to_wait_no_more_is_who_the_dispatcher_would_start(
    drawn: list[tuple[str, str, int, int]],
) -> None:
    tickets = [
        ticket(number, owner, state, memory=size * MIB, step_seconds=1.0, steps_left=left)
        for number, (owner, state, size, left) in enumerate(drawn)
    ]
    running = [each for each in tickets if each.state == "running"]
    started = []
    for each in turns(tickets):
        if not fits(each, running, ROOM):
            break
        running.append(each)
        started.append(each.number)
    assert [number for number, seconds, _ in held(tickets) if seconds == 0.0] == started


def test_the_pace_is_that_of_the_runs_kind_ended_ones_included() -> None:
    past = [ticket(n, state="done", step_seconds=pace) for n, pace in ((1, 2.0), (2, 3.0), (3, 70.0))]
    other = ticket(4, state="done", kind="huge", step_seconds=900.0)
    assert seconds([*past, other, ticket(5), ticket(6), ticket(7)])[-1] == (7, 30.0)


def test_an_interrupted_run_has_a_pace_of_its_own() -> None:
    begun = ticket(1, state="interrupted", step_seconds=4.0, steps_left=5)
    assert seconds([begun, ticket(2, state="running", step_seconds=1.0, steps_left=99), ticket(3)])[1] == (3, 20.0)


@pytest.mark.parametrize("unknown", [{"step_seconds": None}, {"step_seconds": 1.0, "steps_left": None}], ids=str)
def test_behind_a_run_whose_end_nobody_knows_the_wait_is_not_told(unknown: dict[str, Any]) -> None:
    known = ticket(1, state="running", kind="known", step_seconds=1.0)
    riddle = ticket(2, state="running", kind="riddle", **unknown)
    assert seconds([known, riddle, ticket(3, kind="known"), ticket(4)]) == [(3, 10.0), (4, 20.0)]
    assert seconds([known, riddle, ticket(3, kind="riddle", step_seconds=None, steps_left=None), ticket(4)]) == [
        (3, 10.0),
        (4, None),
    ]


# --------------------------------------------------------------------------------------------------- a run's own ticket


def test_a_ticket_is_read_from_the_runs_folder(runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS, owner="somebody", plan={"memory": 5, "disk": 7, "steps": 10})
    fresh = look(run)
    assert fresh[:8] == (run, 1, "somebody", "queued", 0, 1, 5, 0.0)
    assert (fresh.step_seconds, fresh.steps_left) == (None, 10)
    run.update_status(state="running", attempt=2, step=3, seconds=8.0, total_steps=12)
    begun = look(run)
    assert (begun.state, begun.attempt, begun.used) == ("running", 2, 8.0)
    assert (begun.step_seconds, begun.steps_left) == (2.0, 8)
    assert begun.kind == fresh.kind


def test_threads_are_those_there_are_and_all_of_them_count_as_used(runs: RunStore) -> None:
    several, everything = (runs.create(STORY, MODEL, replace(SETTINGS, threads=n)) for n in (1_024, None))
    for run in (several, everything):
        run.update_status(seconds=3.0, step=0)
        assert (look(run).threads, look(run).used) == (2, 6.0)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"lr": 0.5, "seed": 9, "epochs": 90}, True),
        ({"batch_size": 2}, False),
        ({"precision": "bfloat16"}, False),
        ({"eval_every": 1}, False),
        ({"threads": 2}, False),
    ],
    ids=str,
)
def test_runs_are_of_one_kind_where_a_step_takes_as_long(changes: dict[str, Any], same: bool, runs: RunStore) -> None:
    first, second = (runs.create(STORY, MODEL, training) for training in (SETTINGS, replace(SETTINGS, **changes)))
    assert (look(first).kind == look(second).kind) is same


def test_a_run_of_nobody_owns_itself_and_one_without_a_plan_has_no_end_in_sight(runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS, owner=None)
    assert (look(run).owner, look(run).memory, look(run).steps_left) == (run.id, 0, None)


@pytest.mark.parametrize("broken", ["gone", "config", "status", "old"])
def test_a_folder_that_is_no_run_of_this_version_has_no_ticket(broken: str, runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    if broken == "gone":
        runs.delete(run)
    elif broken == "old":
        replace_json(run.folder / "config.json", {"model": to_json(MODEL)})
    else:
        (run.folder / f"{broken}.json").write_text('{"state', encoding="utf-8")
    with pytest.raises((OSError, ValueError, KeyError)):
        look(run)


def test_what_a_run_needs_follows_from_its_settings() -> None:
    small = needs(MODEL, SETTINGS)
    assert small == (sum(training_memory(MODEL, SETTINGS).values()), LEAST_DISK)
    large = replace(MODEL, vocab_size=50_257, emb_dim=768)
    with_sgd = replace(SETTINGS, optimiser="sgd")
    assert needs(large, SETTINGS).disk == sum(training_disk(large, "adamw").values()) > needs(large, with_sgd).disk
    assert needs(large, replace(SETTINGS, batch_size=64)).memory > needs(large, SETTINGS).memory


# ---------------------------------------------------------------------------------------------------- a run's own place


def test_a_runs_place_is_where_the_dispatcher_saw_it_last(runs: RunStore) -> None:
    first, second, unseen = (runs.create(STORY, MODEL, SETTINGS) for _ in range(3))
    rows = [{"run": second.id, "seconds": 2.5, "memory": 7}, {"run": first.id, "seconds": None}]
    replace_json(runs.root / queue.QUEUE_FILE, rows)
    assert place(runs, second) == Place(1, 2, 2.5, memory=7)
    assert place(runs, first) == Place(2, 2, None)
    assert place(runs, unseen) is None


@pytest.mark.parametrize("written", [None, b"", b'[{"run": "', b"\xff\xfe", json.dumps([]).encode()], ids=repr)
def test_where_nobody_looked_yet_or_the_file_is_broken_there_is_no_place(written: bytes | None, runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    if written is not None:
        (runs.root / queue.QUEUE_FILE).write_bytes(written)
    assert place(runs, run) is None

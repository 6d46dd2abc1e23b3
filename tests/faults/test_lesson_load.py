"""What the benchmark of a whole lesson plays, played small: a few students on a real server, beside a run."""

from __future__ import annotations

import pytest

from benchmarks import server
from benchmarks.lesson import PLAN, TRAINS, Act, crowd, hour, lessons
from benchmarks.student import visit
from gptcore.runs.store import RunStore
from pages._ui.frame import LESSONS
from tests.tiny import apart, awaited

pytestmark = pytest.mark.timeout(600)


def test_the_plan_names_lessons_that_there_are_in_the_order_of_its_minutes() -> None:
    assert set(lessons()) == {lesson.key for lesson in LESSONS} - {"home"} | {""}
    assert {act.page for act in PLAN} <= set(lessons())
    assert [act.minute for act in PLAN] == sorted(act.minute for act in PLAN)
    assert [act.page for act in PLAN].count(TRAINS) == 1
    assert PLAN[-1].minute < 20


def test_students_move_controls_beside_a_run_and_go_through_a_lesson_without_an_error() -> None:
    with server.running() as running:
        awaited(visit(running.port, "tokens"))  # runs are started once a page was opened
        run = running.train()
        met = apart(lambda: crowd(running, "tokens", students=3, times=2, think=0.2))
        assert len(met.answers) == 6
        assert met.faults == 0
        assert met.p95 > 0
        assert run.status["state"] == "running"
        run.ask_to_stop()
    with server.running() as running:
        plan = (Act(0, "", 1), Act(1, TRAINS, 1), Act(2, "sampling", 1))
        met, took = apart(lambda: hour(running, 2, quicker=60.0, plan=plan))
        ended = [run.status["state"] for run in RunStore(running.home / "runs").whole()]
    assert ended == ["done", "done"]
    assert len(met.answers) == 6
    assert met.faults == 0
    assert took > 2.0

"""What is kept for all students: asked once, bounded, never stale, and a refusal is not kept."""

from __future__ import annotations

import json
import threading
import time

import pytest

from gptcore.runs.store import Run
from pages._ui import compared, resources, trials
from pages._ui.compared import Offer
from pages._ui.kept import kept


def test_the_same_question_is_answered_once_and_the_oldest_is_forgotten() -> None:
    asked: list[int] = []

    @kept(2)
    def double(x: int) -> list[int]:
        asked.append(x)
        return [2 * x]

    assert double(1) is double(1)
    double(2)
    double(3)
    assert asked == [1, 2, 3]
    assert double(1) == [2]
    assert asked == [1, 2, 3, 1]


def test_those_who_ask_at_once_wait_for_one_answer() -> None:
    asked: list[int] = []

    @kept(2)
    def slow(x: int) -> int:
        asked.append(x)
        time.sleep(0.05)
        return x

    students = [threading.Thread(target=slow, args=(0,)) for _ in range(8)]
    for student in students:
        student.start()
    for student in students:
        student.join()
    assert asked == [0]


def test_a_refusal_is_not_kept() -> None:
    answers = iter([False, True])

    @kept(2)
    def moody() -> str:
        if not next(answers):
            raise ValueError("not now")
        return "now"

    with pytest.raises(ValueError, match="not now"):
        moody()
    assert moody() == "now"


def test_a_run_is_looked_at_once_until_something_is_written_into_its_folder(finished_run: Run) -> None:
    offer = Offer("mine", finished_run)
    looks = (resources.metrics, trials.of_run, lambda run: compared.look(Offer("mine", run)))
    before = [look(finished_run) for look in looks]
    assert all(look(finished_run) is seen for look, seen in zip(looks, before, strict=True))
    last = finished_run.metrics()[0][-1]
    with (finished_run.folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**last, "step": last["step"] + 1}) + "\n")
    rows, shown, mine = (look(finished_run) for look in looks)
    assert len(rows) == len(before[0]) + 1 == len(mine.metrics)
    assert shown.rows["step"].iloc[-1] == last["step"] + 1
    assert compared.look(offer) is mine

"""A whole class at once: everybody gets a turn, nobody reads another's token, and no id leads out of the folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.queue import look, place, turns
from gptcore.runs.requests import MOST_WAITING, QueueError, submit
from gptcore.runs.store import Run, RunStore, owner_of
from tests.faults.processes import work_until
from tests.tiny import MODEL, SETTINGS, STORY, losses, until

STUDENTS = 30
SHORT = replace(SETTINGS, epochs=1, steps=2)


def at_once(requests: list[Callable[[], Run]]) -> list[Run | QueueError]:
    """Many threads ask the queue in the same moment, as the server's do; runs, and refusals."""

    def ask(request: Callable[[], Run]) -> Run | QueueError:
        try:
            return request()
        except QueueError as refusal:
            return refusal

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(ask, requests))


def owners_in_turn(store: RunStore) -> list[str]:
    return [ticket.owner for ticket in turns([look(run) for run in store])]


def test_thirty_students_submit_at_once_and_all_their_runs_are_trained(store: RunStore, dispatcher: Dispatcher) -> None:
    def request(student: int) -> Callable[[], Run]:
        return lambda: submit(store, STORY, MODEL, replace(SHORT, seed=student), owner_of(str(student)))

    at_once([request(student) for student in range(STUDENTS)])
    runs = list(store)
    assert [run.config["number"] for run in runs] == list(range(1, STUDENTS + 1))
    assert len({run.config["owner"] for run in runs}) == STUDENTS
    assert owners_in_turn(store) == [run.config["owner"] for run in runs]  # who came first is first
    dispatcher.start()
    until(lambda: place(store, runs[-1]) is not None or runs[-1].has_ended)
    until(lambda: all(run.has_ended for run in runs))
    assert {run.status["state"] for run in runs} == {"done"}
    assert all(len(losses(run)) == SHORT.steps for run in runs)


def test_of_200_runs_that_one_student_submits_five_wait_and_the_others_are_refused(store: RunStore) -> None:
    greedy = owner_of("greedy")
    answers = at_once([lambda: submit(store, STORY, MODEL, SHORT, greedy) for _ in range(8)] * 25)
    refusals = [answer for answer in answers if isinstance(answer, QueueError)]
    assert len(list(store)) == MOST_WAITING
    assert len(refusals) == 200 - MOST_WAITING
    assert {str(refusal) for refusal in refusals} == {
        "5 of your runs are waiting already: cancel one, or wait until one has started"
    }


def test_one_who_submits_many_is_met_again_after_everybody_else(store: RunStore) -> None:
    greedy, *others = (owner_of(name) for name in ("greedy", "patient", "late"))
    for owner in (greedy, greedy, greedy, *others):
        submit(store, STORY, MODEL, SHORT, owner)
    assert owners_in_turn(store) == [greedy, *others, greedy, greedy]
    first = next(iter(store))
    first.update_status(state="done", step=1, seconds=60.0)  # has used the machine
    assert owners_in_turn(store) == [*others, greedy, greedy]


def test_no_file_and_no_name_in_the_data_folder_holds_the_token_of_an_owner(
    store: RunStore, dispatcher: Dispatcher
) -> None:
    token = "5ecre7" * 5
    done, cancelled = (submit(store, STORY, MODEL, SHORT, owner_of(token)) for _ in range(2))
    cancelled.ask_to_stop()
    work_until(dispatcher, lambda: done.has_ended and cancelled.has_ended)
    paths = list(store.root.parent.rglob("*"))
    assert {"config.json", "status.json", "metrics.jsonl", "queue.json"} <= {path.name for path in paths}
    assert all(token not in str(path) for path in paths)
    assert all(token.encode() not in path.read_bytes() for path in paths if path.is_file())


# ---------------------------------------------------------------------------------------------- ids and strange folders


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no symbolic links")
def test_a_link_to_a_folder_is_no_run_and_is_never_trained(store: RunStore, dispatcher: Dispatcher) -> None:
    elsewhere = RunStore(store.root.parent / "elsewhere").create(STORY, MODEL, SHORT)
    (store.root / elsewhere.id).symlink_to(elsewhere.folder, target_is_directory=True)
    after = store.create(STORY, MODEL, SHORT)
    assert store.find(elsewhere.id) is None
    assert store.find(f"../elsewhere/{elsewhere.id}") is None
    assert list(store) == [after]
    work_until(dispatcher, lambda: after.has_ended)
    assert elsewhere.status == {"state": "queued"}


@pytest.mark.parametrize(
    ("name", "content"),
    [(name, content) for name in ("config.json", "status.json") for content in ("", "{", "[]", "{}")]
    + [("config.json", '{"training": 9, "model": null}')],
)
def test_a_run_whose_files_are_damaged_or_old_stands_in_nobodys_way(
    name: str, content: str, store: RunStore, dispatcher: Dispatcher
) -> None:
    damaged = store.create(STORY, MODEL, SHORT)
    (damaged.folder / name).write_text(content, encoding="utf-8")
    after = submit(store, STORY, MODEL, SHORT, owner_of("next"))
    work_until(dispatcher, lambda: after.has_ended)
    assert after.status["state"] == "done"
    assert after in list(store)
    assert store.find(after.id) == after

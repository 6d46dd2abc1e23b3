"""What people may ask of the queue: all is checked before there is a folder, and only its owner may change a run."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gptcore import machine
from gptcore.batches import prepare
from gptcore.machine import check_memory, cores
from gptcore.runs import requests, store
from gptcore.runs.queue import LEAST_DISK, PROCESS_BYTES, needs
from gptcore.runs.requests import QueueError, cancel, go_on, is_of, remove, submit
from gptcore.runs.store import Run, RunStore, owner_of
from gptcore.training import new_state
from tests.tiny import MODEL, SETTINGS, STORY, no_file_beyond

ANNA, BEN = owner_of("anna's browser"), owner_of("ben's browser")


def folders(runs: RunStore) -> list[str]:
    return [path.name for path in runs.root.iterdir() if path.is_dir()] if runs.root.is_dir() else []


# ------------------------------------------------------------------------------------------------------------- to train


def test_a_submitted_run_says_what_it_will_need(runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, SETTINGS, ANNA)
    shape = replace(MODEL, vocab_size=prepare(STORY, MODEL, SETTINGS).tokenizer.vocab_size)
    assert run.config["plan"] == {"memory": needs(shape, SETTINGS).memory, "disk": LEAST_DISK, "steps": 10}
    assert (run.config["owner"], run.config["number"]) == (ANNA, 1)
    assert run.status == {"state": "queued"}


@pytest.mark.parametrize(
    "changes", [{}, {"stride": 3}, {"steps": 7}, {"train_fraction": 0.5, "batch_size": 3}, {"epochs": 4}], ids=str
)
def test_the_planned_steps_are_those_that_the_run_will_do(changes: dict[str, Any], runs: RunStore) -> None:
    settings = replace(SETTINGS, **changes)
    run = submit(runs, STORY, MODEL, settings)
    assert run.config["plan"]["steps"] == new_state(MODEL, settings, prepare(STORY, MODEL, settings)).total_steps


@pytest.mark.parametrize(("asked", "kept"), [(None, cores()), (1, 1), (7, 7)])
def test_the_number_of_threads_is_written_down_so_that_load_changes_no_result(
    asked: int | None, kept: int, runs: RunStore
) -> None:
    assert submit(runs, STORY, MODEL, replace(SETTINGS, threads=asked)).train_config == replace(SETTINGS, threads=kept)


def test_the_sixth_waiting_run_of_an_owner_is_refused_and_others_are_not(runs: RunStore) -> None:
    for _ in range(5):
        submit(runs, STORY, MODEL, SETTINGS, ANNA)
    with pytest.raises(QueueError, match=r"^5 of your runs are waiting already: cancel one, or wait until "):
        submit(runs, STORY, MODEL, SETTINGS, ANNA)
    assert len(folders(runs)) == 5
    submit(runs, STORY, MODEL, SETTINGS, BEN)


def test_only_what_waits_counts(runs: RunStore) -> None:
    states = ("running", "done", "failed", "cancelled", "queued", "interrupted", "queued", "interrupted", "queued")
    made = []
    for state in states:
        made.append(submit(runs, STORY, MODEL, SETTINGS, ANNA))
        made[-1].update_status(state=state)
    with pytest.raises(QueueError):
        submit(runs, STORY, MODEL, SETTINGS, ANNA)
    made[-1].ask_to_stop()
    submit(runs, STORY, MODEL, SETTINGS, ANNA)


def test_while_others_wait_to_submit_nobody_reads_the_runs_of_strangers_again(
    runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is held meanwhile: with some thousand runs in the folder a class would wait for it in vain."""
    for owner in (ANNA, BEN, BEN, None):
        submit(runs, STORY, MODEL, SETTINGS, owner).update_status(state="done")
    submit(runs, STORY, MODEL, SETTINGS, ANNA)
    read: list[Path] = []
    read_text = Path.read_text

    def noted(path: Path, *arguments: Any, **named: Any) -> str:
        read.append(path)
        return read_text(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", noted)
    submit(runs, STORY, MODEL, SETTINGS, ANNA)
    known = {run.folder.name for run in runs.whole(owner=ANNA)}
    others = {path.parent.name for path in read if path.is_relative_to(runs.root)} - {runs.root.name}
    assert others <= known


def test_runs_of_nobody_are_not_limited(runs: RunStore) -> None:
    assert len({submit(runs, STORY, MODEL, SETTINGS).id for _ in range(5)}) == 5


def test_of_many_requests_of_one_owner_at_once_five_are_granted(
    runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A click in each of eight tabs: all are checked before the first of them is in the queue."""
    together = threading.Barrier(8)

    def meet(needed: int, what: str) -> None:
        check_memory(needed, what)
        together.wait(10)

    monkeypatch.setattr("gptcore.runs.requests.check_memory", meet)

    def ask(_: int) -> Run | None:
        try:
            return submit(runs, STORY, MODEL, SETTINGS, ANNA)
        except QueueError:
            return None

    with ThreadPoolExecutor(8) as pool:
        granted = [run for run in pool.map(ask, range(8)) if run is not None]
    assert len(granted) == requests.MOST_WAITING == 5


def test_a_run_that_cannot_fit_is_refused_with_the_sum(runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = submit(runs, STORY, MODEL, SETTINGS)
    needed = run.config["plan"]["memory"] + PROCESS_BYTES
    monkeypatch.setattr(machine, "memory_limit", lambda: needed)
    submit(runs, STORY, MODEL, SETTINGS)
    monkeypatch.setattr(machine, "memory_limit", lambda: needed - 1)
    with pytest.raises(MemoryError, match=rf"^this run needs {needed // 2**20} MiB of {(needed - 1) // 2**20} MiB: "):
        submit(runs, STORY, MODEL, SETTINGS)
    assert len(folders(runs)) == 2


def test_a_text_or_a_prompt_that_cannot_be_used_makes_no_folder(runs: RunStore) -> None:
    with pytest.raises(ValueError, match="needs at least 8"):
        submit(runs, replace(STORY, text="The lamp."), MODEL, SETTINGS)
    with pytest.raises(ValueError, match="it has no token"):
        submit(runs, STORY, MODEL, replace(SETTINGS, sample_prompt="Zebra"))
    assert folders(runs) == []


def test_where_nothing_can_be_stored_the_refusal_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder", encoding="utf-8")
    with pytest.raises(OSError, match=r"^the run can't be stored: Not a directory$"):
        submit(RunStore(tmp_path / "home" / "runs"), STORY, MODEL, SETTINGS)


@pytest.mark.parametrize("room", [100, 1_000])
def test_a_disk_that_fills_up_while_a_run_is_made_keeps_nothing_of_it(room: int, runs: RunStore) -> None:
    """The first refusal meets the text, the second the configuration."""
    submit(runs, replace(STORY, text=STORY.text[:900]), MODEL, SETTINGS)
    before = sorted(runs.root.rglob("*"))
    with no_file_beyond(room), pytest.raises(OSError, match=r"^the run can't be stored: File too large$"):
        submit(runs, replace(STORY, text=STORY.text[:900]), MODEL, SETTINGS)
    assert sorted(runs.root.rglob("*")) == before


# ----------------------------------------------------------------------------------------- to stop, to go on, to forget


def test_only_its_owner_may_change_a_run(runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, SETTINGS, ANNA)
    for ask in (cancel, partial(go_on, runs), partial(remove, runs)):
        with pytest.raises(PermissionError, match=r"^this run is somebody else's: it can be watched, not changed$"):
            ask(run, {BEN})
    assert runs.find(run.id) == run
    assert not (run.folder / "cancel").exists()
    assert run.status == {"state": "queued"}
    cancel(run, {BEN, ANNA})
    assert run.was_asked_to_stop
    remove(runs, run, [ANNA])
    assert list(runs) == []


def test_a_run_of_nobody_can_be_watched_by_all_and_changed_by_none(runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, SETTINGS)
    assert not is_of(run, {ANNA})
    with pytest.raises(PermissionError):
        cancel(run, {ANNA})


@pytest.mark.parametrize(("limit", "then"), [(None, None), (10.0, 12.5)])
def test_a_run_that_goes_on_gets_as_much_time_again(limit: float | None, then: float | None, runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, replace(SETTINGS, max_minutes=limit), ANNA)
    run.update_status(state="failed", reason="stopped at its limit of 10 minutes", seconds=150.0)
    go_on(runs, run, {ANNA})
    assert run.status["state"] == "queued"
    assert run.train_config.max_minutes == then


def stopped(run: Run, minutes: float) -> Run:
    """The run as it is once it has met its limit after so many minutes."""
    run.update_status(state="failed", reason="stopped at its limit", seconds=60 * minutes, can_go_on=True)
    return run


def test_however_often_a_run_goes_on_it_gets_the_time_that_it_was_begun_with(runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, replace(SETTINGS, max_minutes=10.0), ANNA)
    limits = []
    for _ in range(4):
        go_on(runs, stopped(run, run.train_config.max_minutes or 0.0), {ANNA})
        limits.append(run.train_config.max_minutes)
    assert limits == [20.0, 30.0, 40.0, 50.0]


@pytest.mark.parametrize(("used", "then"), [(4.0, 14.0), (11.0, 15.0)])
def test_a_run_goes_on_within_a_teachers_limit_of_all_its_minutes(used: float, then: float, runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, replace(SETTINGS, max_minutes=10.0), ANNA)
    go_on(runs, stopped(run, used), {ANNA}, most_minutes=15.0)
    assert run.train_config.max_minutes == then


def test_a_run_without_a_limit_gets_the_teachers(runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, SETTINGS, ANNA)
    go_on(runs, stopped(run, 4.0), {ANNA}, most_minutes=15.0)
    assert run.train_config.max_minutes == 15.0


def test_a_run_that_has_trained_for_as_long_as_a_teacher_allows_does_not_go_on(runs: RunStore) -> None:
    run = submit(runs, STORY, MODEL, replace(SETTINGS, max_minutes=10.0), ANNA)
    before = stopped(run, 10.004).config
    with pytest.raises(
        QueueError, match=r"^this run has trained for 10 minutes, and in this class at most 10 are allo"
    ):
        go_on(runs, run, {ANNA}, most_minutes=10.0)
    assert (run.config, run.status["state"]) == (before, "failed")


def test_a_run_that_goes_on_waits_like_a_new_one_and_is_refused_like_one(runs: RunStore) -> None:
    ended = [submit(runs, STORY, MODEL, SETTINGS, ANNA) for _ in range(5)]
    for run in ended:
        run.update_status(state="cancelled", can_go_on=True)
    waiting = [submit(runs, STORY, MODEL, SETTINGS, ANNA) for _ in range(3)]
    for run in ended[:2]:
        go_on(runs, run, {ANNA})
    with pytest.raises(QueueError, match=r"^5 of your runs are waiting already: cancel one, or wait until "):
        go_on(runs, ended[2], {ANNA})
    assert ended[2].status["state"] == "cancelled"
    waiting[0].update_status(state="running")
    go_on(runs, ended[2], {ANNA})


def test_where_others_are_submitting_or_a_process_holds_the_run_the_refusal_names_no_path(
    runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.05)
    run = submit(runs, STORY, MODEL, SETTINGS, ANNA)
    run.update_status(state="cancelled", can_go_on=True)
    with runs.lock:
        for ask in (lambda: submit(runs, STORY, MODEL, SETTINGS, ANNA), lambda: go_on(runs, run, {ANNA})):
            with pytest.raises(QueueError, match=r"^so many runs are being submitted at this moment: press again$"):
                ask()
    with run.lock:
        for change in (go_on, remove):
            with pytest.raises(QueueError, match=r"^a process still holds this run: press again in a moment$"):
                change(runs, run, {ANNA})
    assert list(runs) == [run]
    assert run.status["state"] == "cancelled"

"""What a run writes down: every line once, checkpoints that load, and what happens while the disk refuses.

The refusals are real: the system is told that no file may grow beyond some size, which meets a write halfway.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptcore.batches import prepare
from gptcore.checkpoint import load_weights
from gptcore.records import Record, StepRecord
from gptcore.runs import journal as journals
from gptcore.runs import store
from gptcore.runs.files import cut_after, replace_json
from gptcore.runs.journal import RESERVE_BYTES, Journal, last_state, save_checkpoint
from gptcore.runs.queue import LEAST_DISK
from gptcore.runs.store import Run
from gptcore.training import TrainingState, new_state, train
from tests.tiny import MODEL, SETTINGS, STORY, losses, no_file_beyond

DATA = prepare(STORY, MODEL, SETTINGS)
WEIGHTS = 4 * sum(p.numel() for p in new_state(MODEL, SETTINGS, DATA).model.parameters())


class Told:
    """A run that is trained and written down record by record, as a test asks for them."""

    def __init__(self, run: Run, state: TrainingState | None = None) -> None:
        self.run = run
        self.state = state or new_state(MODEL, SETTINGS, DATA)
        self.journal = Journal(run, self.state)
        self.stream: Iterator[Record] = train(self.state)
        self.losses: dict[int, float] = {}

    def go_on_to(self, step: int) -> None:
        """Write everything down up to and including this step."""
        for record in self.stream:
            self.journal.file(record, self.state)
            if isinstance(record, StepRecord):
                self.losses[record.step] = record.batch_loss
                if record.step == step:
                    return

    def size(self, name: str) -> int:
        path = self.run.folder / name
        return path.stat().st_size if path.exists() else 0


@pytest.fixture
def told(run: Run) -> Told:
    return Told(run)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -------------------------------------------------------------------------------------------------- a disk that is well


def test_every_record_becomes_a_line_and_the_status_follows_the_evaluations(told: Told) -> None:
    told.go_on_to(5)
    assert losses(told.run) == told.losses
    assert [sample["step"] for sample in told.run.samples()] == [-1, 4]
    status = told.run.status
    assert (status["step"], status["unsaved_since"]) == (3, None)
    assert status["untrained"].keys() == {"train_loss", "val_loss"}


def test_lines_hold_any_character_of_a_sample(run: Run) -> None:
    told = Told(run)
    sample = {"step": -1, "prompt": "語\u2028", "text": "\ud800 \x85\n"}
    told.journal._append(journals.SAMPLES, sample)
    told.journal._flush()
    assert (run.folder / journals.SAMPLES).read_bytes().count(b"\n") == 1


def test_a_reserve_is_held_while_the_run_goes_and_given_back_at_its_end(told: Told) -> None:
    assert told.size(".reserve") == RESERVE_BYTES
    told.journal.end("done", None, step=9)
    assert not (told.run.folder / ".reserve").exists()
    assert (told.run.status["state"], told.run.status["step"]) == ("done", 9)


def test_a_deleted_folder_is_no_full_disk(told: Told) -> None:
    told.go_on_to(1)
    (told.run.folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="the folder of run run is gone"):
        told.go_on_to(2)


def test_drafts_of_a_process_that_was_killed_are_removed(run: Run) -> None:
    (run.folder / "checkpoints").mkdir()
    drafts = (".status.json.7.9.part", ".last.7.part", ".tmpX7", "checkpoints/.step-000003.safetensors.7.part")
    for name in drafts:
        (run.folder / name).write_bytes(b"half")
    Told(run)
    assert not any((run.folder / name).exists() for name in drafts)
    assert listing(run.folder) == [".reserve", "checkpoints", "config.json", "text.txt"]


@pytest.mark.parametrize(
    ("step", "kept"),
    [(0, 0), (1, 2), (3, 4), (4, 5), (9, 5)],
    ids=["from the start", "1", "3", "4", "beyond"],
)
def test_what_a_resumed_run_will_do_again_is_cut(step: int, kept: int, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    rows = [{"step": step, "text": "語\u2028"} for step in range(-1, 4)]
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    path.write_bytes(b"".join(lines))
    cut_after(path, step)
    assert path.read_bytes() == b"".join(lines[:kept])


@pytest.mark.parametrize("torn", [b'{"st', b'{"step": 2}', "語".encode()[:2]])
def test_an_unfinished_last_line_is_cut(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n{"step": 1}\n' + torn)
    cut_after(path, 9)
    assert path.read_bytes() == b'{"step": 0}\n{"step": 1}\n'


def test_nothing_to_cut_makes_no_file(tmp_path: Path) -> None:
    cut_after(tmp_path / "metrics.jsonl", 0)
    assert listing(tmp_path) == []


# -------------------------------------------------------------------------------------------------- a disk that refuses


def test_lines_wait_while_the_disk_refuses_and_are_written_later_each_once(told: Told) -> None:
    told.go_on_to(2)
    before = (told.run.folder / journals.METRICS).read_bytes()
    with no_file_beyond(len(before) + 20):  # half a line would fit
        told.go_on_to(5)
        assert (told.run.folder / journals.METRICS).read_bytes() == before
        assert told.run.status["unsaved_since"] == 3
    told.go_on_to(8)
    assert (told.run.folder / journals.METRICS).read_bytes().startswith(before)
    assert losses(told.run) == told.losses
    assert len(told.losses) == 9


def test_a_first_line_that_is_refused_leaves_no_half_a_file(told: Told) -> None:
    with no_file_beyond(20):
        told.go_on_to(0)
        assert (told.size(journals.METRICS), told.size(journals.SAMPLES)) == (0, 0)
    told.go_on_to(1)
    assert losses(told.run) == told.losses
    assert [sample["step"] for sample in told.run.samples()] == [-1]


def test_a_status_that_is_refused_is_made_up_for_with_the_next(told: Told) -> None:
    told.go_on_to(2)
    with no_file_beyond(0):
        told.go_on_to(4)
    assert (told.run.status["step"], told.run.status["unsaved_since"]) == (0, None)
    told.go_on_to(6)
    assert (told.run.status["step"], told.run.status["unsaved_since"]) == (6, 3)


def test_the_reserve_makes_room_to_say_that_nothing_is_saved(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other runs have filled the disk: there is room again for as much as this run gives up."""
    told.go_on_to(2)
    write = replace_json

    def full(path: Path, value: Any) -> None:
        if told.size(".reserve"):
            raise OSError(28, "No space left on device")
        write(path, value)

    monkeypatch.setattr(store, "replace_json", full)
    with no_file_beyond(600):  # less than the lines there are
        told.go_on_to(3)
    assert (told.run.status["step"], told.run.status["unsaved_since"]) == (3, 3)
    assert not (told.run.folder / ".reserve").exists()


def test_a_checkpoint_ends_the_unsaved_time_because_the_run_can_go_on_from_it(told: Told) -> None:
    told.go_on_to(2)
    with no_file_beyond(700):
        told.go_on_to(3)
        told.journal.save(told.state)
        assert told.run.status["unsaved_since"] == 3
    told.go_on_to(6)
    assert told.run.status["unsaved_since"] == 3
    told.journal.save(told.state)
    assert told.run.status["unsaved_since"] is None
    state = last_state(told.run, DATA)
    assert state is not None
    assert state.step == 7


def test_a_checkpoint_that_is_refused_leaves_the_ones_before_and_is_told(told: Told) -> None:
    told.go_on_to(1)
    told.journal.save(told.state)
    told.go_on_to(4)
    with no_file_beyond(4_000):  # room for lines and status, not for weights
        told.journal.save(told.state)
    assert told.run.status["unsaved_since"] == 4
    assert listing(told.run.folder / "checkpoints") == ["step-000002.safetensors"]
    state = last_state(told.run, DATA)
    assert state is not None
    assert state.step == 2


def test_a_checkpoint_is_never_ahead_of_the_lines(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed right after it goes on from there: what waited for the disk would be lost."""
    told.go_on_to(2)
    with no_file_beyond(told.size(journals.METRICS) + 20):
        told.go_on_to(5)

    class Killed(BaseException):
        pass

    def save_and_die(run: Run, state: TrainingState) -> None:
        save_checkpoint(run, state)
        raise Killed

    monkeypatch.setattr(journals, "save_checkpoint", save_and_die)
    with pytest.raises(Killed):
        told.journal.save(told.state)
    again = Told(told.run, last_state(told.run, DATA))
    again.go_on_to(9)
    assert losses(told.run) == told.losses | again.losses


def test_best_weights_that_are_refused_are_not_called_saved(told: Told) -> None:
    told.go_on_to(0)
    first = told.run.status["best"]
    with no_file_beyond(4_000):
        told.go_on_to(6)
        assert told.run.status["best"] == first
        assert told.run.status["unsaved_since"] == 3
    told.go_on_to(9)
    best = told.run.status["best"]
    assert best["step"] == 9
    load_weights(told.run.folder / "best.safetensors")


def test_the_end_is_written_with_all_that_waited(told: Told) -> None:
    told.go_on_to(2)
    with no_file_beyond(0):
        told.go_on_to(9)
    told.journal.end("done", None, step=9)
    assert losses(told.run) == told.losses
    assert (told.run.status["state"], told.run.status["step"]) == ("done", 9)


# -------------------------------------------------------------------------------------------- what the disk is good for


@pytest.mark.parametrize(
    ("free", "keeps"),
    [
        (LEAST_DISK, "all"),
        (LEAST_DISK // 2, "best"),
        (2 * WEIGHTS + RESERVE_BYTES, "best"),
        (2 * WEIGHTS, "nothing"),
        (0, "nothing"),
    ],
)
def test_what_a_run_keeps_follows_from_the_room_there_is(
    free: int, keeps: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    told = Told(run)
    assert told.journal.keeps == keeps
    told.go_on_to(9)
    told.journal.save(told.state)
    assert (run.weights("best") is not None) is (keeps != "nothing")
    assert (run.weights("last") is not None) is (keeps == "all")
    assert (last_state(run, DATA) is not None) is (keeps == "all")
    assert losses(run) == told.losses
    assert run.status["best"]["step"] == 9


def test_what_a_run_holds_already_counts_as_room_for_it_each_file_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    (run.folder / "checkpoints").mkdir()
    newest = run.folder / "checkpoints" / "step-000010.safetensors"
    with newest.open("wb") as file:
        file.truncate(LEAST_DISK - RESERVE_BYTES)
    (run.folder / "last.safetensors").hardlink_to(newest)
    assert Told(run).journal.keeps == "best"
    with newest.open("r+b") as file:
        file.truncate(LEAST_DISK)
    assert Told(run).journal.keeps == "all"


def test_a_run_that_keeps_no_checkpoint_is_well_again_once_its_lines_are_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    told = Told(run)
    told.go_on_to(2)
    with no_file_beyond(told.size(journals.METRICS) + 20):
        told.go_on_to(4)
        assert run.status["unsaved_since"] == 3
    told.go_on_to(5)
    assert run.status["unsaved_since"] is None


# ---------------------------------------------------------------------------------------------------------- checkpoints


def test_two_checkpoints_are_kept_and_the_last_is_a_second_name_of_the_newest(told: Told) -> None:
    for step in (2, 5, 8):
        told.go_on_to(step)
        save_checkpoint(told.run, told.state)
    assert listing(told.run.folder / "checkpoints") == ["step-000006.safetensors", "step-000009.safetensors"]
    newest = told.run.folder / "checkpoints" / "step-000009.safetensors"
    assert newest.samefile(told.run.folder / "last.safetensors")


def test_saving_twice_at_one_step_keeps_the_one_before(told: Told) -> None:
    for step in (2, 5):
        told.go_on_to(step)
        save_checkpoint(told.run, told.state)
    save_checkpoint(told.run, told.state)
    assert listing(told.run.folder / "checkpoints") == ["step-000003.safetensors", "step-000006.safetensors"]


def test_a_file_system_without_second_names_gets_a_copy(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    told.go_on_to(2)
    save_checkpoint(told.run, told.state)
    newest, last = told.run.folder / "checkpoints" / "step-000003.safetensors", told.run.folder / "last.safetensors"
    assert not newest.samefile(last)
    assert newest.read_bytes() == last.read_bytes()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_where_the_last_checkpoint_is_damaged_the_one_before_serves(damage: str, told: Told) -> None:
    for step in (2, 5):
        told.go_on_to(step)
        save_checkpoint(told.run, told.state)
    newest = told.run.folder / "checkpoints" / "step-000006.safetensors"
    raw = bytearray(newest.read_bytes())
    raw[-1] ^= 1
    if damage == "gone":
        newest.unlink()
    else:
        newest.write_bytes({"flip": bytes(raw), "cut": bytes(raw[:-9]), "empty": b""}[damage])
    state = last_state(told.run, DATA)
    assert state is not None
    assert state.step == 3


def test_where_no_checkpoint_is_whole_there_is_no_state_to_go_on_from(told: Told) -> None:
    assert last_state(told.run, DATA) is None
    told.go_on_to(2)
    save_checkpoint(told.run, told.state)
    (told.run.folder / "checkpoints" / "step-000003.safetensors").write_bytes(b"")
    assert last_state(told.run, DATA) is None


def test_a_state_goes_on_with_the_settings_that_the_run_has_now(told: Told) -> None:
    told.go_on_to(2)
    save_checkpoint(told.run, told.state)
    told.run.reopen(epochs=5)
    state = last_state(told.run, DATA)
    assert state is not None
    assert state.config == replace(SETTINGS, epochs=5)


@pytest.mark.parametrize(
    ("cost", "wait"),
    [(0.0, 5.0), (0.05, 5.0), (0.5, 25.0), (3.0, 150.0), (100.0, 600.0)],
)
def test_the_dearer_a_checkpoint_was_the_later_comes_the_next(
    cost: float, wait: float, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    saved: list[float] = []

    def save(run: Run, state: TrainingState) -> None:
        nonlocal now
        saved.append(now)
        now += cost

    monkeypatch.setattr(journals, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(journals, "save_checkpoint", save)
    told = Told(run)
    while len(saved) < 3:
        told.state.step += 1
        told.journal.save_when_due(told.state)
        now += 0.125
    assert saved[0] == 1_005.0
    assert saved[2] - (saved[1] + cost) == pytest.approx(wait, abs=0.13)

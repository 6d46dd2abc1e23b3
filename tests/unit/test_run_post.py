"""How a run's files travel to a guest and back: in pieces by way of the engine, or over a disk that both machines have.

The guest is in this process; all that is left out is the network between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gptcore.runs import guest, post
from gptcore.runs.files import Stamp, stamp_of
from gptcore.runs.post import BEST, Post, Worker
from gptcore.runs.store import Run, RunStore
from tests.tiny import MODEL, SETTINGS, STORY, awaited

CHECKPOINT = "checkpoints/step-000020.safetensors"


class Near(Post):
    """A post that need not go far; ``asked`` tells what went by way of the engine."""

    def __init__(self, run: Run, folder: Path, its_own: Path) -> None:
        worker = Worker("tls://10.0.0.6:4000", 1, "room-1", 2, 2**30, str(folder), ())
        super().__init__(cast("Any", None), worker, run, 2)
        self.asked: list[str] = []
        self._worker = SimpleNamespace(local_directory=str(its_own))

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.asked.append(function.__name__)
        return function(*arguments, *([self._worker] if function is guest.receive else []))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A run that has a checkpoint, in a data folder; there is no guest yet."""
    guests: dict[str, Any] = {}
    monkeypatch.setattr(guest, "_guests", guests)
    run = RunStore(tmp_path / "home" / "runs").create(STORY, MODEL, SETTINGS)
    (run.folder / "checkpoints").mkdir()
    (run.folder / CHECKPOINT).write_bytes(b"the state after twenty updates")
    yield run
    for each in list(guests.values()):
        each.leave()


@pytest.fixture
def shared(run: Run, tmp_path: Path) -> Near:
    """To a worker that keeps its guests in the data folder."""
    return Near(run, tmp_path / "home" / "guests", tmp_path / "home" / "guests")


@pytest.fixture
def apart(run: Run, tmp_path: Path) -> Near:
    """To a worker whose folder has the same name, on a disk of its own."""
    return Near(run, tmp_path / "home" / "guests", tmp_path / "another disk" / "guests")


def folder_of(near: Near) -> Path:
    return guest._guests[near.key].run.folder


def write(near: Near, name: str, content: bytes) -> dict[str, Stamp]:
    """What the guest says of a file that it has just replaced."""
    path = folder_of(near) / name
    draft = path.with_name("draft")
    draft.write_bytes(content)
    draft.replace(path)
    return {name: stamp_of(path.stat())}


def arrived(near: Near, name: str) -> bool:
    """Whether a file is the same here and there, and whether the two are one."""
    here, there = near.run.folder / name, folder_of(near) / name
    assert here.read_bytes() == there.read_bytes()
    return here.samefile(there)


def test_over_a_shared_disk_files_take_a_second_name_and_only_the_first_word_travels(shared: Near) -> None:
    awaited(shared.send())
    assert all(arrived(shared, name) for name in ("text.txt", "config.json", CHECKPOINT))
    awaited(shared.fetch(write(shared, BEST, b"the best weights")))
    assert arrived(shared, BEST)
    assert shared.asked == ["receive"]


def test_a_folder_of_the_same_name_on_another_disk_is_not_taken_for_a_shared_one(apart: Near) -> None:
    awaited(apart.send())
    assert not any(arrived(apart, name) for name in ("text.txt", "config.json", CHECKPOINT))
    awaited(apart.fetch(write(apart, BEST, b"the best weights")))
    assert not arrived(apart, BEST)
    assert apart.asked == ["receive"] * 4 + ["pick_up"]


def test_a_worker_that_keeps_its_guests_beside_the_data_folder_is_left_its_own(run: Run, tmp_path: Path) -> None:
    beside = Near(run, tmp_path / "guests", tmp_path / "guests")
    awaited(beside.send())
    assert not arrived(beside, CHECKPOINT)


def test_where_the_shared_disk_shows_another_file_than_the_guest_spoke_of_it_is_asked(shared: Near) -> None:
    awaited(shared.send())
    told = write(shared, BEST, b"the best so far")
    better = write(shared, BEST, b"better")
    awaited(shared.fetch(told))
    assert shared.asked == ["receive", "pick_up"]
    assert not arrived(shared, BEST)
    assert not shared.has(BEST, told)
    assert shared.has(BEST, better)


def test_what_is_the_same_here_and_there_does_not_travel_again(shared: Near) -> None:
    awaited(shared.send())
    stamps = write(shared, BEST, b"the best weights")
    awaited(shared.fetch(stamps))
    (shared.run.folder / BEST).unlink()
    awaited(shared.fetch(stamps | {CHECKPOINT: stamp_of((folder_of(shared) / CHECKPOINT).stat())}))
    assert not (shared.run.folder / BEST).exists()
    assert shared.asked == ["receive"]


@pytest.mark.parametrize("size", [0, 6, 7, 8, 21])
def test_a_file_that_is_larger_than_a_piece_arrives_whole(
    size: int, apart: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (guest, post):
        monkeypatch.setattr(module, "PIECE_BYTES", 7)
    awaited(apart.send())
    assert not arrived(apart, CHECKPOINT)
    awaited(apart.fetch(write(apart, BEST, bytes(range(size)))))
    assert not arrived(apart, BEST)

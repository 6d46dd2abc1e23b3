"""What a worker answers about its guest: whole lines, files as they were when they were asked for, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptcore.runs import guest
from gptcore.runs.guest import PIECE_BYTES, News
from tests.tiny import awaited

KEY = guest.key_of("0123456789abcdef", 2)


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that nobody has visited, and that starts no processes."""
    monkeypatch.setattr(guest, "_guests", {})
    monkeypatch.setattr(guest, "_waiting", [SimpleNamespace()])
    monkeypatch.setattr(guest, "ANSWER_SECONDS", 0.0)


@pytest.fixture
def worker(tmp_path: Path) -> Any:
    """As much of a worker as is looked at."""
    return SimpleNamespace(local_directory=str(tmp_path))


@pytest.fixture
def folder(worker: Any, tmp_path: Path) -> Iterator[Path]:
    """The folder of a guest that has arrived."""
    for name, content in {"config.json": b"{}", "status.json": json.dumps({"state": "queued"}).encode()}.items():
        guest.receive(KEY, name, 0, content, worker)
    yield tmp_path / KEY
    awaited(guest.dismiss(KEY))


def ask(offsets: dict[str, int] | None = None, wish: str | None = None) -> News:
    news = awaited(guest.news(KEY, offsets or {}, wish))
    assert news is not None
    return news


def test_a_file_arrives_in_pieces(worker: Any, folder: Path) -> None:
    name = "checkpoints/step-000020.safetensors"
    guest.receive(KEY, name, 0, b"first, ", worker)
    stamp = guest.receive(KEY, name, 7, b"then", worker)
    assert (folder / name).read_bytes() == b"first, then"
    assert ask().stamps == {name: stamp}
    guest.receive(KEY, name, 0, b"anew", worker)
    assert (folder / name).read_bytes() == b"anew"


def test_lines_are_told_whole_and_from_where_they_are_known(folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(b'{"step": 0}\n{"step": 1}\n{"st')
    assert ask().lines["metrics.jsonl"] == b'{"step": 0}\n{"step": 1}\n'
    assert ask({"metrics.jsonl": 12}).lines == {
        "metrics.jsonl": b'{"step": 1}\n',
        "samples.jsonl": b"",
        "probes.jsonl": b"",
    }
    assert ask({"metrics.jsonl": 24}).lines["metrics.jsonl"] == b""


def test_many_lines_come_in_several_answers(folder: Path) -> None:
    line = b"x" * 99 + b"\n"
    whole = line * (PIECE_BYTES // 60)
    (folder / "metrics.jsonl").write_bytes(whole)
    told = b""
    while piece := ask({"metrics.jsonl": len(told)}).lines["metrics.jsonl"]:
        assert PIECE_BYTES >= len(piece) > PIECE_BYTES // 2 or told
        told += piece
    assert told == whole


def test_only_the_newest_checkpoint_is_offered(folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    for name in ("best.safetensors", "checkpoints/step-000020.safetensors", "checkpoints/step-000040.safetensors"):
        (folder / name).write_bytes(b"weights")
    assert sorted(ask().stamps) == ["best.safetensors", "checkpoints/step-000040.safetensors"]


def test_a_file_that_is_replaced_while_it_is_picked_up_is_handed_over_as_it_was(folder: Path) -> None:
    best = folder / "best.safetensors"
    best.write_bytes(b"the best so far")
    stamp = ask().stamps["best.safetensors"]
    assert guest.pick_up(KEY, "best.safetensors") == (stamp, b"the best so far")
    better = folder / "better"
    better.write_bytes(b"better")
    better.replace(best)
    assert guest.read(KEY, 0) == b"the best so far"
    assert guest.read(KEY, 4) == b"best so far"
    assert ask().stamps["best.safetensors"] != stamp


def test_a_file_that_is_gone_is_not_handed_over(folder: Path) -> None:
    assert guest.pick_up(KEY, "best.safetensors") is None


def test_a_cancel_is_handed_on_as_the_page_would_say_it(folder: Path) -> None:
    assert not (folder / "cancel").exists()
    ask(wish="cancel")
    ask(wish="cancel")
    assert (folder / "cancel").exists()


def test_of_an_attempt_that_is_not_here_nothing_is_told(folder: Path) -> None:
    other = guest.key_of(guest.run_of(KEY), guest.attempt_of(KEY) + 1)
    assert awaited(guest.news(other, {}, None)) is None
    awaited(guest.dismiss(other))
    assert folder.exists()


def test_a_guest_that_is_dismissed_leaves_nothing(worker: Any, folder: Path) -> None:
    assert guest.report(worker)["guests"] == [KEY]
    awaited(guest.dismiss(KEY))
    assert guest.report(worker)["guests"] == []
    assert not folder.exists()


def test_a_guest_whose_courier_never_came_back_leaves_by_itself(
    worker: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "LEASE_SECONDS", -1.0)
    assert guest.report(worker)["guests"] == []
    assert not folder.exists()

"""A container in a free cloud: its limits count, one run trains at a time, and what can't fit is refused beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.machine import MIB, cores, memory_limit
from gptcore.runs import dispatcher, queue
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.queue import PROCESS_BYTES, SERVER_BYTES, SMALL_BYTES, fits, look, needs, runs_at_once, slots
from gptcore.runs.requests import submit
from gptcore.runs.store import RunStore
from tests.tiny import MODEL, SETTINGS, STORY

CLOUD = 2_700  # MiB: what Streamlit's documentation names as the most


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of two cores and the memory of a free cloud."""
    monkeypatch.setenv("GPTCORE_MEMORY_MIB", str(CLOUD))
    monkeypatch.setattr(queue, "cores", lambda: 2)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("150000 100000\n", 1), ("7800 100000\n", 1), ("max 100000\n", None), ("", None), ("99900000 100000\n", None)],
)
def test_a_containers_share_of_the_processor_counts(written: str, expected: int | None, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(written, encoding="ascii")
    there = cores(tmp_path / "nothing")
    assert there >= 1
    assert cores(file) == (expected or there)


def test_the_lowest_of_the_containers_limit_and_what_is_asked_for_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memory.max"
    file.write_text(str(800 * MIB), encoding="ascii")
    monkeypatch.setenv("GPTCORE_MEMORY_MIB", "900")
    assert memory_limit(tmp_path / "nothing") == 900 * MIB
    assert memory_limit(file) == 800 * MIB
    monkeypatch.setenv("GPTCORE_MEMORY_MIB", "700")
    assert memory_limit(file) == 700 * MIB
    monkeypatch.setenv("GPTCORE_MEMORY_MIB", "plenty")  # no number: as if nothing was said
    assert memory_limit(file) == 800 * MIB


@pytest.mark.usefixtures("cloud")
def test_a_small_machine_has_one_slot_and_keeps_one_process_ready(tmp_path: Path) -> None:
    assert slots() == 1
    assert Dispatcher(tmp_path).most_warm == 1


def test_a_machine_that_is_just_large_enough_has_a_slot_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "cores", lambda: 2)
    monkeypatch.setattr(queue, "memory_limit", lambda: SMALL_BYTES)
    assert slots() == 2
    monkeypatch.setattr(queue, "memory_limit", lambda: SMALL_BYTES - 1)
    assert slots() == 1


@pytest.mark.usefixtures("cloud")
def test_the_second_run_waits_on_a_small_machine_though_it_would_fit(runs: RunStore) -> None:
    first, second = (look(submit(runs, STORY, MODEL, SETTINGS)) for _ in range(2))
    assert fits(first, [], dispatcher.memory_limit())
    assert not fits(second, [first._replace(state="running")], dispatcher.memory_limit())


def test_runs_at_once_are_as_many_as_the_queue_would_start(runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "cores", lambda: 4)
    ticket = look(submit(runs, STORY, MODEL, SETTINGS))._replace(threads=1)
    each = ticket.memory + PROCESS_BYTES
    for limit in (0, SERVER_BYTES + 2 * each - 1, SERVER_BYTES + 2 * each, SERVER_BYTES + 9 * each):
        running = [ticket]
        while fits(ticket, running, limit):
            running.append(ticket)
        assert runs_at_once(ticket.memory, limit) == len(running)


@pytest.mark.usefixtures("cloud")
def test_the_books_model_is_refused_with_its_sum_before_it_starts(runs: RunStore) -> None:
    shape, training = MODEL_PRESETS["book-124m"], TRAIN_PRESETS["book-124m"]
    total = (needs(shape, training).memory + PROCESS_BYTES) // MIB
    with pytest.raises(MemoryError, match=rf"^this run needs {total:,} MiB of {CLOUD:,} MiB: choose a smaller model"):
        submit(runs, load_text(OWN_STORY), shape, training)
    assert not list(runs.whole())
    submit(runs, load_text(OWN_STORY), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])

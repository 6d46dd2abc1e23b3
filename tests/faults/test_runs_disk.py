"""What happens to runs when the disk is full, can't be written, forgets, or loses a folder: really full, really gone.

Where nobody may mount a small disk, the system's limit on the size of a file refuses what a full disk would refuse.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.kills import tally
from gptcore.batches import prepare
from gptcore.paths import REPOSITORY
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.journal import last_state
from gptcore.runs.requests import submit
from gptcore.runs.store import Run, RunStore
from gptcore.runs.worker import execute
from tests.faults.processes import (
    BEGUN,
    LONG,
    begin,
    begun,
    expect_undisturbed_losses,
    gone_on,
    is_working,
    pid,
    work_until,
)
from tests.tiny import MODEL, SETTINGS, STORY, losses, stop_at, until

resource = pytest.importorskip("resource", reason="Windows has no limit on the size of a file")
linux = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
KILLS = 30
MIB = 2**20


@contextmanager
def no_file_above(size: int, process: int = 0) -> Iterator[None]:
    """The system refuses to let a process, or this one, write any file beyond this size."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        if is_working(process or os.getpid()):
            resource.prlimit(process, resource.RLIMIT_FSIZE, before)


def mount(folder: Path, megabytes: int) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(store: RunStore, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of its own for the runs, of 128 MB or as many as the test asks for."""
    megabytes = getattr(request, "param", 128)
    if not mount(store.root, megabytes):
        pytest.skip("mounting a small disk takes an administrator on Linux")
    yield store.root
    subprocess.run(["umount", "--lazy", str(store.root)], check=True)


def fill(disk: Path) -> Path:
    """Write until there is no room for another byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            while True:
                try:
                    if file.write(bytes(size)) < size:
                        break
                except OSError:
                    break
    assert shutil.disk_usage(disk).free == 0
    return filler


# ------------------------------------------------------------------------------------------------------ no room is left


def expect_to_go_on_unsaved_and_to_catch_up(dispatcher: Dispatcher, run: Run, give_room: Callable[[], object]) -> None:
    """The disk is full now; ``give_room`` ends that."""
    work_until(dispatcher, lambda: run.status["unsaved_since"] is not None)
    written = len(run.metrics()[0])
    assert run.status["state"] == "running"
    assert BEGUN < run.status["unsaved_since"] <= written
    give_room()
    work_until(dispatcher, gone_on(run))
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    assert (run.status["state"], run.status["unsaved_since"], run.status["attempt"]) == ("cancelled", None, 2)
    assert len(losses(run)) > written
    expect_undisturbed_losses(run)


@linux
def test_a_run_whose_metrics_cannot_be_written_goes_on_says_so_and_catches_up(
    store: RunStore, dispatcher: Dispatcher
) -> None:
    run = begun(store)
    begin(dispatcher, run)
    limit = no_file_above((run.folder / "metrics.jsonl").stat().st_size + 100, pid(run))
    limit.__enter__()
    expect_to_go_on_unsaved_and_to_catch_up(dispatcher, run, lambda: limit.__exit__(None, None, None))


def test_a_run_on_a_full_disk_goes_on_says_so_and_catches_up(
    disk: Path, store: RunStore, dispatcher: Dispatcher
) -> None:
    run = begun(store)
    begin(dispatcher, run)
    expect_to_go_on_unsaved_and_to_catch_up(dispatcher, run, fill(disk).unlink)


@linux
def test_a_run_that_ends_while_nothing_can_be_saved_says_so_and_goes_on_from_the_checkpoint_before(
    store: RunStore, dispatcher: Dispatcher
) -> None:
    run = begun(store)
    begin(dispatcher, run)
    with no_file_above((run.folder / "metrics.jsonl").stat().st_size + 100, pid(run)):
        work_until(dispatcher, lambda: run.status["unsaved_since"] is not None)
        run.ask_to_stop()
        work_until(dispatcher, lambda: run.has_ended)
    assert run.status["state"] == "cancelled"
    assert run.status["unsaved_since"] > BEGUN
    run.reopen()
    begin(dispatcher, run)
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    assert run.status["unsaved_since"] is None
    expect_undisturbed_losses(run)


@linux
def test_a_run_whose_end_cannot_be_written_down_is_not_forgotten(store: RunStore, dispatcher: Dispatcher) -> None:
    run = begun(store)
    begin(dispatcher, run)
    process = pid(run)
    with no_file_above(1, process):
        run.ask_to_stop()
        work_until(dispatcher, lambda: not run.is_alive)
    work_until(dispatcher, lambda: run.has_ended)
    assert run.status["state"] == "cancelled"
    run.reopen()
    begin(dispatcher, run)
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    expect_undisturbed_losses(run)


def test_a_run_that_is_to_begin_on_a_full_disk_waits_for_room_and_costs_nobody_a_process(
    disk: Path, store: RunStore, dispatcher: Dispatcher
) -> None:
    run = store.create(STORY, MODEL, SETTINGS)
    filler = fill(disk)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            dispatcher.tick()
    assert all(child.ticket is None for child in dispatcher.children)
    assert run.status == {"state": "queued"}
    filler.unlink()
    work_until(dispatcher, lambda: run.has_ended)
    assert (run.status["state"], run.status["attempt"]) == ("done", 1)


@pytest.mark.parametrize(("disk", "keeps"), [(20, "best"), (1, "nothing")], indirect=["disk"])
def test_a_disk_too_small_for_checkpoints_is_used_as_far_as_it_goes(disk: Path, keeps: str, store: RunStore) -> None:
    if keeps == "nothing":
        (disk / "filler").write_bytes(bytes(MIB - 80 * 2**10))
    run = store.create(STORY, MODEL, SETTINGS)
    assert execute(run) == "done"
    assert (run.status["keeps"], run.status["unsaved_since"]) == (keeps, None)
    assert losses(run)
    assert not (run.folder / "checkpoints").exists()
    assert (run.weights("best") is not None) == (keeps == "best")


def expect_refusal_to_submit(store: RunStore, why: str) -> None:
    before = sorted(store.root.iterdir()) if store.root.is_dir() else []
    with pytest.raises(OSError, match=f"^the run can't be stored: {why}$"):
        submit(store, STORY, MODEL, SETTINGS)
    assert (sorted(store.root.iterdir()) if store.root.is_dir() else []) == before


def test_a_run_is_not_submitted_to_a_full_disk_and_nothing_of_it_is_left(disk: Path, store: RunStore) -> None:
    earlier = submit(store, STORY, MODEL, SETTINGS)
    filler = fill(disk)
    expect_refusal_to_submit(store, "No space left on device")
    assert list(store) == [earlier]
    filler.unlink()
    submit(store, STORY, MODEL, SETTINGS)


@linux
def test_a_run_whose_text_cannot_be_written_is_not_submitted_and_nothing_of_it_is_left(store: RunStore) -> None:
    submit(store, STORY, MODEL, SETTINGS)
    with no_file_above(len(STORY.text) // 2):
        expect_refusal_to_submit(store, "File too large")
    submit(store, STORY, MODEL, SETTINGS)


# ----------------------------------------------------------------------------------------------- nothing can be written


def expect_to_end_with_a_word(dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher.start()
    dispatcher.join()
    (record,) = caplog.records
    assert record.getMessage().startswith("no run can be trained: ")
    assert record.exc_info is None


def test_where_the_data_folder_cannot_be_made_there_are_no_runs_and_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store = RunStore(tmp_path / "file" / "runs")
    expect_to_end_with_a_word(Dispatcher(store.root), caplog)
    assert list(store) == []
    assert store.find("0" * 16) is None
    expect_refusal_to_submit(store, "Not a directory")


def test_serve_runs_says_in_a_line_that_the_data_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    done = subprocess.run(
        [sys.executable, "-m", "gptcore", "serve-runs"],
        cwd=REPOSITORY,
        env=os.environ | {"GPTCORE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"gptcore: no run can be trained in {tmp_path / 'runs'}: it can't be written"
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_can_only_be_read_shows_its_runs_and_takes_no_new_ones(
    disk: Path, store: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    run, waiting = begun(store), store.create(STORY, MODEL, SETTINGS)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    expect_to_end_with_a_word(Dispatcher(store.root), caplog)
    assert list(store) == [run, waiting]
    assert len(losses(run)) == BEGUN
    assert waiting.status == {"state": "queued"}
    expect_refusal_to_submit(store, "Read-only file system")


# -------------------------------------------------------------------------------------------------- damaged checkpoints


def test_whenever_a_process_is_killed_between_and_amid_checkpoints_the_last_one_or_the_one_before_loads(
    tmp_path: Path,
) -> None:
    seen = tally(tmp_path / "run", KILLS)
    assert (seen["kills"], seen["faults"]) == (KILLS, [])


def test_what_is_left_of_a_checkpoint_that_was_being_written_is_removed(store: RunStore) -> None:
    """A draft is as large as a checkpoint, and safetensors has drafts of its own."""
    run = begun(store)
    for name in (".step-000021.safetensors.1.part", ".tmpA1b2C3"):
        (run.folder / "checkpoints" / name).write_bytes(b"half")
    (run.folder / ".tmpD4e5F6").write_bytes(b"half")
    execute(run, stop_at(BEGUN + 1, run.ask_to_stop))
    left = [path.name for path in run.folder.rglob(".*")]
    assert left == []


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit is flipped in the header": lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
    "a bit is flipped in a number": lambda raw: raw[:-999] + bytes([raw[-999] ^ 8]) + raw[-998:],
    "the last byte is missing": lambda raw: raw[:-1],
    "half is missing": lambda raw: raw[: len(raw) // 2],
    "only the length of the header is left": lambda raw: raw[:8],
    "nothing is left": lambda raw: b"",
}


def twice_saved(store: RunStore) -> tuple[Run, Path]:
    """A run with two checkpoints, and the newer one."""
    run = begun(store)
    assert execute(run, stop_at(BEGUN + 9, run.ask_to_stop)) == "cancelled"
    run.reopen()
    older, newer = sorted((run.folder / "checkpoints").iterdir())
    assert newer.samefile(run.folder / "last.safetensors")
    assert (older.name, newer.name) == (f"step-{BEGUN:06d}.safetensors", f"step-{BEGUN + 10:06d}.safetensors")
    return run, newer


def test_wherever_the_newest_checkpoint_is_damaged_the_one_before_loads(store: RunStore) -> None:
    run, newest = twice_saved(store)
    data, whole = prepare(STORY, MODEL, LONG), newest.read_bytes()
    draw = random.Random(123)
    flips = [(draw.randrange(len(whole)), 1 << draw.randrange(8)) for _ in range(40)]
    flipped = [whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :] for at, bit in flips]
    cut = [whole[: draw.randrange(len(whole))] for _ in range(10)]
    for damaged in (*flipped, *cut, *(damage(whole) for damage in DAMAGES.values())):
        newest.write_bytes(damaged)
        state = last_state(run, data)
        assert state is not None
        assert state.step == BEGUN
    newest.write_bytes(whole)
    state = last_state(run, data)
    assert state is not None
    assert state.step == BEGUN + 10


@pytest.mark.parametrize("damage", ["a bit is flipped in a number", "half is missing"])
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before_to_the_same_losses(
    damage: str, store: RunStore, dispatcher: Dispatcher
) -> None:
    run, newest = twice_saved(store)
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    begin(dispatcher, run)
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    assert run.status["state"] == "cancelled"
    expect_undisturbed_losses(run)


# ------------------------------------------------------------------------------------------------------ deleted folders


def remove(folder: Path) -> None:
    """As someone at a terminal would, again and again while a process still writes into it."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def test_the_process_of_a_deleted_run_ends_leaves_nothing_and_others_go_on(
    store: RunStore, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptcore.runs.queue.cores", lambda: 2)
    deleted, other = begun(store), begun(store)
    begin(dispatcher, deleted)
    begin(dispatcher, other)
    process, has_gone_on = pid(deleted), gone_on(other)
    remove(deleted.folder)
    until(lambda: not is_working(process))
    work_until(dispatcher, has_gone_on)
    assert not deleted.folder.exists()
    assert list(store) == [other]
    assert (other.status["state"], other.status["attempt"]) == ("running", 2)
    work_until(dispatcher, lambda: all(child.process.pid != process for child in dispatcher.children))


def test_a_run_that_is_deleted_before_anybody_noticed_its_end_keeps_no_process(
    store: RunStore, dispatcher: Dispatcher
) -> None:
    run = begun(store)
    begin(dispatcher, run)
    process = pid(run)
    run.ask_to_stop()
    until(lambda: run.has_ended and not run.is_alive)
    store.delete(run)
    work_until(dispatcher, lambda: all(child.ticket is None for child in dispatcher.children))
    until(lambda: not is_working(process))
    assert list(store) == []
    assert all(child.process.pid != process for child in dispatcher.children)


def test_to_ask_after_a_deleted_run_does_not_bring_back_its_folder(store: RunStore) -> None:
    run = begun(store)
    remove(run.folder)
    assert not run.is_alive
    assert run.status == {"state": "queued"}
    assert run.metrics() == ([], 0)
    with pytest.raises(FileNotFoundError):
        execute(run)
    assert not run.folder.exists()


def test_a_run_that_cannot_be_looked_at_keeps_no_other_from_training(store: RunStore, dispatcher: Dispatcher) -> None:
    """As where somebody else once started the program, and its files can't be opened."""
    locked, other = begun(store), store.create(STORY, MODEL, SETTINGS)
    locked.update_status(state="running")
    (locked.folder / "lock").unlink()
    (locked.folder / "lock").mkdir()
    work_until(dispatcher, lambda: other.has_ended)
    assert other.status["state"] == "done"

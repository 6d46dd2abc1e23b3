"""A run from beginning to end: what its folder holds, every way in which it ends, and that going on changes no loss."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from filelock import Timeout

from gptcore import training
from gptcore.batches import prepare
from gptcore.checkpoint import load_weights
from gptcore.config import GPTConfig, TrainConfig, to_json
from gptcore.library import load_model
from gptcore.paths import REPOSITORY
from gptcore.runs import journal, worker
from gptcore.runs.files import replace_json
from gptcore.runs.processes import describe
from gptcore.runs.store import Run, RunStore, create_run
from gptcore.runs.worker import execute
from gptcore.training import TrainingState, evaluate, new_state
from tests.tiny import MODEL, SETTINGS, STORY, losses, stop_at, until

METRICS = ["step", "epoch", "tokens_seen", "batch_loss", "grad_norm", "lr", "seconds", "train_loss", "val_loss"]


@pytest.fixture
def save_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every record."""
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", (-1.0, -1.0))


@pytest.fixture
def terminate() -> Iterator[Callable[[], None]]:
    """As if this process had been asked to end."""
    yield worker._terminated.set
    worker._terminated.clear()


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def undisturbed(folder: Path, settings: TrainConfig = SETTINGS, model: GPTConfig = MODEL) -> dict[int, float]:
    """The losses of the same run that nobody stopped."""
    whole = create_run(folder / "undisturbed", STORY, model, settings)
    assert execute(whole) == "done"
    return losses(whole)


# ------------------------------------------------------------------------------------------------------ what is written


def test_a_run_writes_its_folder(run: Run) -> None:
    assert execute(run) == "done"
    assert listing(run.folder) == [
        "best.safetensors",
        "checkpoints",
        "config.json",
        "last.safetensors",
        "metrics.jsonl",
        "probes.jsonl",
        "samples.jsonl",
        "status.json",
        "text.txt",
    ]
    assert listing(run.folder / "checkpoints") == ["step-000010.safetensors"]
    assert run.has_ended
    assert not run.is_alive


def test_metrics_have_a_line_a_step_with_losses_where_it_was_evaluated(run: Run) -> None:
    execute(run)
    rows, _ = run.metrics()
    assert [list(row) for row in rows] == [METRICS] * 10
    assert [row["step"] for row in rows if row["train_loss"] is not None] == [0, 3, 6, 9]
    assert [row["step"] for row in rows if row["val_loss"] is not None] == [0, 3, 6, 9]


def test_samples_begin_before_any_update(run: Run) -> None:
    execute(run)
    samples = run.samples()
    assert [sample["step"] for sample in samples] == [-1, 4, 9]
    assert all(sample["prompt"] == "The lamp" for sample in samples)
    assert all(sample["text"].startswith("The lamp") for sample in samples)


def test_metrics_can_be_followed_while_they_grow(run: Run) -> None:
    seen: list[int] = []
    offset = 0

    def follow(record: Any, state: TrainingState) -> None:
        nonlocal offset
        rows, offset = run.metrics(offset)
        seen.extend(row["step"] for row in rows)

    execute(run, follow)
    assert seen == list(range(10))


def test_the_status_tells_where_it_stands_and_what_was_before(run: Run) -> None:
    execute(run)
    status = run.status
    assert (status["state"], status["reason"], status["step"]) == ("done", None, 9)
    assert (status["total_steps"], status["batches_per_epoch"]) == (10, 5)
    assert (status["keeps"], status["unsaved_since"]) == ("all", None)
    assert status["untrained"].keys() == {"train_loss", "val_loss"}
    assert status["seconds"] > 0


def test_the_status_names_the_process_and_counts_how_often_a_run_was_taken_up(run: Run) -> None:
    process = psutil.Process()
    execute(run, stop_at(2, run.ask_to_stop))
    assert run.status["attempt"] == 1
    run.reopen()
    seen: list[dict[str, Any]] = []
    execute(run, stop_at(5, lambda: seen.append(run.status)))
    (status,) = seen
    assert (status["state"], status["attempt"]) == ("running", 2)
    assert status["process"] == describe(process)


def test_the_best_weights_are_those_of_the_lowest_validation_loss(run: Run) -> None:
    execute(run)
    rows, _ = run.metrics()
    best = min((row for row in rows if row["val_loss"] is not None), key=lambda row: row["val_loss"])
    assert run.status["best"] == {"step": best["step"], "val_loss": best["val_loss"]}
    data = prepare(STORY, MODEL, SETTINGS)
    state = new_state(MODEL, SETTINGS, data)
    model, _ = load_weights(run.folder / "best.safetensors")
    state.model.load_state_dict(model.state_dict())
    assert evaluate(state)[1] == pytest.approx(best["val_loss"])


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_runs_folder_is_a_model_to_talk_with(run: Run, which: str) -> None:
    execute(run)
    model, tokenizer = load_model(run.folder, which)
    assert not model.training
    assert tokenizer.decode(tokenizer.encode("The lamp")) == "The lamp"
    assert run.weights(which) == run.folder / f"{which}.safetensors"


def test_where_the_best_weights_are_missing_the_last_ones_serve(run: Run) -> None:
    execute(run)
    (run.folder / "best.safetensors").unlink()
    assert run.weights("best") is None
    load_model(run.folder, "best")


def test_a_run_without_a_validation_window_has_no_best_and_no_nan(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, train_fraction=1.0))
    assert execute(run) == "done"
    assert {row["val_loss"] for row in run.metrics()[0]} == {None}
    assert "best" not in run.status
    assert "NaN" not in (run.folder / "metrics.jsonl").read_text(encoding="utf-8")


def test_a_run_with_a_lone_surrogate_in_its_text_can_be_trained(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", replace(STORY, text=STORY.text + "\ud800 alone"), MODEL, SETTINGS)
    assert execute(run) == "done", run.status["reason"]


@pytest.mark.parametrize(("asked", "taken"), [(1, 1), (3, 3), (None, 4), (1_024, 4)])
def test_a_run_takes_the_threads_it_asks_for_as_far_as_there_are_cores(
    asked: int | None, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[int] = []
    monkeypatch.setattr(worker, "cores", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    execute(create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, threads=asked, steps=1)))
    assert set_to == [taken]


def test_the_dispatcher_is_told_that_a_run_has_ended(runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    runs.bell.unlink()
    runs.bell.touch()
    before = runs.bell.stat().st_mtime_ns
    execute(run)
    assert runs.bell.stat().st_mtime_ns > before


# ------------------------------------------------------------------------------------------------ stopped, and going on


def test_a_run_that_is_asked_to_stop_stops_after_its_step(run: Run) -> None:
    def ask_twice() -> None:
        run.ask_to_stop()
        run.ask_to_stop()

    assert execute(run, stop_at(2, ask_twice)) == "cancelled"
    assert list(losses(run)) == [0, 1, 2]
    assert (run.status["state"], run.status["step"], run.status["can_go_on"]) == ("cancelled", 2, True)
    assert run.weights("last") is not None


def test_a_cancelled_run_can_be_reopened_and_gives_the_losses_of_one_never_stopped(run: Run) -> None:
    execute(run, stop_at(2, run.ask_to_stop))
    run.reopen()
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert [sample["step"] for sample in run.samples()] == [-1, 4, 9]
    assert not run.status["can_go_on"]


def test_a_run_that_is_stopped_five_times_gives_the_losses_of_one_never_stopped(run: Run) -> None:
    for step in (0, 1, 4, 5, 8):
        assert execute(run, stop_at(step, run.ask_to_stop)) == "cancelled"
        run.reopen()
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert run.status["attempt"] == 6


def test_a_finished_run_can_be_given_more_epochs(run: Run) -> None:
    execute(run)
    run.reopen(epochs=3)
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent, replace(SETTINGS, epochs=3))


def test_a_finished_run_that_is_taken_up_again_is_done_at_once(run: Run) -> None:
    execute(run)
    before = losses(run)
    run.reopen()
    assert execute(run) == "done"
    assert losses(run) == before


@pytest.mark.parametrize("reference", [False, True], ids=["fast", "reference"])
@pytest.mark.parametrize("saved", [False, True], ids=["no checkpoint", "checkpoints"])
def test_a_run_that_is_stopped_inside_an_evaluation_goes_on_to_the_same_losses(
    reference: bool, saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if saved:
        request.getfixturevalue("save_always")
    settings = replace(SETTINGS, reference=reference, compact_vocab=not reference)
    small = replace(MODEL, emb_dim=2, n_heads=1)  # a reference run has the whole vocabulary
    run = create_run(tmp_path / "run", STORY, small, settings)

    def ask_then_evaluate(state: TrainingState, stop: training.Stop) -> Any:
        if state.step == 3:
            run.ask_to_stop()
        return evaluate(state, stop)

    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", ask_then_evaluate)
        assert execute(run) == "cancelled"
    # The book's evaluations draw random numbers: half of one can't be saved, so its update is done again.
    assert list(losses(run)) == ([0, 1, 2] if reference else [0, 1, 2, 3])
    run.reopen()
    assert execute(run) == "done"
    assert losses(run) == undisturbed(tmp_path, settings, small)


def test_a_program_that_is_stopped_saves_its_run_which_goes_on_at_the_next_start(
    run: Run, terminate: Callable[[], None]
) -> None:
    assert execute(run, stop_at(2, terminate)) == "interrupted"
    assert run.status["reason"] == "the program was stopped; the run goes on when it is started again"
    assert not run.has_ended
    assert list(losses(run)) == [0, 1, 2]
    worker._terminated.clear()
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert run.status["reason"] is None


def test_a_run_ends_at_its_time_limit_saved_and_goes_on_when_it_is_given_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def pass_time() -> None:
        nonlocal now
        now += 601.0

    monkeypatch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: now))
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, max_minutes=10.0))
    assert execute(run, stop_at(2, pass_time)) == "failed"
    assert run.status["reason"] == "stopped at its limit of 10 minutes"
    assert run.status["can_go_on"]
    assert list(losses(run)) == [0, 1, 2]
    run.reopen(max_minutes=None)
    assert execute(run, stop_at(5, pass_time)) == "done"
    assert losses(run) == undisturbed(tmp_path)


def test_the_time_limit_counts_what_was_used_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, max_minutes=10.0))

    def grow_old(record: Any, state: TrainingState) -> None:
        if state.step == 3:
            state.seconds = 601.0
            run.ask_to_stop()

    assert execute(run, grow_old) == "cancelled"
    run.reopen()
    assert execute(run) == "failed"
    assert run.status["reason"] == "stopped at its limit of 10 minutes"


# ---------------------------------------------------------------------------------------------------- death and failure


class Killed(BaseException):
    """As if the process were gone: nothing of the program catches it."""


def die() -> None:
    raise Killed


def test_a_run_that_died_goes_on_from_its_checkpoint_without_a_doubled_or_missing_step(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = iter([True, False] * 20)
    save = journal.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(journal, "CHECKPOINT_SECONDS", (-1.0, -1.0))
        patch.setattr(journal, "save_checkpoint", lambda run, state: save(run, state) if next(saves) else None)
        with pytest.raises(Killed):
            execute(run, stop_at(6, die))
    with (run.folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 7, "epo')
    with (run.folder / "samples.jsonl").open("ab") as file:
        file.write('{"step": 7, "text": "語'.encode()[:-1])
    assert run.status["state"] == "running"
    assert not run.is_alive
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert [sample["step"] for sample in run.samples()] == [-1, 4, 9]


def test_a_run_that_died_before_its_first_checkpoint_starts_again(run: Run) -> None:
    with pytest.raises(Killed):
        execute(run, stop_at(3, die))
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert [sample["step"] for sample in run.samples()] == [-1, 4, 9]


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(run: Run, save_always: None) -> None:
    with pytest.raises(Killed):
        execute(run, stop_at(6, die))
    last = run.folder / "last.safetensors"  # one file under two names: both are damaged
    last.write_bytes(last.read_bytes()[:-9])
    assert execute(run) == "done", run.status["reason"]
    assert losses(run) == undisturbed(run.folder.parent)


def test_a_run_that_diverges_says_why_keeps_its_last_finite_state_and_cannot_go_on(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, lr=1e5, epochs=20))
    assert execute(run) == "failed"
    reason = run.status["reason"]
    assert reason.startswith("diverged at step ")
    assert "learning rate 100000" in reason
    assert len(losses(run)) == int(reason.split()[3].rstrip(";"))
    assert not run.status["can_go_on"]
    last = run.weights("last")
    assert last is not None
    model, _ = load_weights(last)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_a_text_that_is_too_short_fails_with_its_numbers(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", replace(STORY, text="The lamp burned low."), MODEL, SETTINGS)
    assert execute(run) == "failed"
    assert "needs at least 8 + 1 = 9" in run.status["reason"]
    assert run.has_ended


def test_a_setting_that_this_version_does_not_know_is_named_and_not_run(run: Run) -> None:
    config = run.config
    config["training"] = to_json(SETTINGS) | {"warp": 9}
    replace_json(run.folder / "config.json", config)
    assert execute(run) == "failed"
    assert run.status["reason"] == "TrainConfig has no field warp"


def test_a_file_that_is_gone_fails_the_run_in_words(run: Run) -> None:
    (run.folder / "text.txt").unlink()
    assert execute(run) == "failed"
    assert run.status["reason"] == "a file of this run is gone"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("by zero"), "an error of the program: ZeroDivisionError: by zero"),
        (RuntimeError("x" * 900), "an error of the program: RuntimeError: " + "x" * 461),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
        (MemoryError(), "MemoryError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_that_nobody_expected_is_told_to_whoever_watches(
    error: Exception, reason: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    assert execute(run, stop_at(2, fail)) == "failed"
    assert run.status["reason"] == reason
    assert not run.is_alive


def test_a_run_whose_folder_is_deleted_ends_without_a_trace(runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)

    def delete() -> None:
        for path in sorted(run.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        run.folder.rmdir()

    with pytest.raises(FileNotFoundError):
        execute(run, stop_at(2, delete))
    assert not run.folder.exists()


def test_a_run_that_was_deleted_before_it_began_is_not_begun(runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    runs.delete(run)
    with pytest.raises(FileNotFoundError):
        execute(run)
    assert not run.folder.exists()


def test_a_run_that_another_process_trains_is_left_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOCK_SECONDS", 0.1)
    run.update_status(state="running")
    before = run.status
    with run.lock.acquire(), pytest.raises(Timeout):
        execute(run)
    assert run.status == before


# ------------------------------------------------------------------------------------------------------ too much memory


class Left(BaseException):
    """As if the process had ended itself."""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], worker._Watch]:
    """A watch that looks without a pause when its ``run`` is called, and raises where the process would end."""

    def leave() -> None:
        raise Left

    monkeypatch.setattr(worker, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(worker, "_leave_at_once", leave)
    return worker._Watch


def test_a_process_that_outgrows_its_plan_is_ended_with_the_sum(
    run: Run, watch: Callable[[Run], worker._Watch]
) -> None:
    watching = watch(run)
    watching._most = 2**20
    with pytest.raises(Left):
        watching.run()
    assert run.status["state"] == "failed"
    assert run.status["reason"].startswith("out of memory: it held ")
    assert " MiB of the 1 MiB set aside for it; choose a smaller model" in run.status["reason"]


def test_a_run_that_outgrew_its_memory_is_not_offered_to_go_on(run: Run, watch: Callable[[Run], worker._Watch]) -> None:
    """It would outgrow it again, whatever was said of it before."""
    execute(run, stop_at(2, run.ask_to_stop))
    assert run.status["can_go_on"]
    run.reopen()
    watching = watch(run)
    watching._most = 2**20
    with pytest.raises(Left):
        watching.run()
    assert not run.status.get("can_go_on")


def test_what_is_set_aside_follows_the_plan(tmp_path: Path, watch: Callable[[Run], worker._Watch]) -> None:
    planned = create_run(tmp_path / "a", STORY, MODEL, SETTINGS, plan={"memory": 10 * 2**30})
    plain = create_run(tmp_path / "b", STORY, MODEL, SETTINGS)
    assert watch(planned)._most - watch(plain)._most == pytest.approx(15 * 2**30, abs=2**26)


def test_a_process_whose_run_was_deleted_ends_itself(runs: RunStore, watch: Callable[[Run], worker._Watch]) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    watching = watch(run)
    runs.delete(run)
    with pytest.raises(Left):
        watching.run()
    assert not run.folder.exists()


def test_a_watch_ends_with_its_run(run: Run) -> None:
    with (watching := worker._Watch(run)):
        assert watching.is_alive()
    watching.join(10)
    assert not watching.is_alive()


# -------------------------------------------------------------------------------------------- a process that takes runs


@pytest.fixture
def me(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """This process as ``main`` sees it: nothing about the real one is changed, and nothing ends it."""
    real = psutil.Process()
    me = SimpleNamespace(
        pid=real.pid,
        create_time=real.create_time,
        nice=lambda _: None,
        memory_info=lambda: SimpleNamespace(rss=0),
    )
    monkeypatch.setattr(worker, "psutil", SimpleNamespace(Process=lambda: me))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(worker, "_warm_up", lambda: None)
    monkeypatch.setattr(worker._Watch, "run", lambda self: None)
    return me


@pytest.fixture
def order(me: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts runs on the standard input of ``main``."""

    def give(*runs: Run) -> None:
        lines = "".join(json.dumps({"folder": str(run.folder)}) + "\n" for run in runs)
        monkeypatch.setattr(sys, "stdin", StringIO(lines))

    return give


def several(runs: RunStore, number: int) -> list[Run]:
    return [runs.create(STORY, MODEL, replace(SETTINGS, steps=1)) for _ in range(number)]


def test_runs_are_taken_one_after_another_until_there_are_no_more_orders(
    runs: RunStore, order: Callable[..., None]
) -> None:
    first, second = several(runs, 2)
    (second.folder / "text.txt").unlink()
    third = runs.create(STORY, MODEL, SETTINGS)
    order(first, second, third)
    assert worker.main() == 0
    assert [run.status["state"] for run in (first, second, third)] == ["done", "failed", "done"]


@pytest.mark.parametrize("reason", ["held", "deleted"])
def test_a_run_that_is_not_to_be_trained_ends_the_process_with_a_code_of_its_own(
    reason: str, runs: RunStore, order: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOCK_SECONDS", 0.1)
    run, following = several(runs, 2)
    run.update_status(state="running")
    order(run, following)
    if reason == "deleted":
        runs.delete(run)
        assert worker.main() == 3
    else:
        with run.lock.acquire():
            assert worker.main() == 3
        assert run.status["state"] == "running"
    assert following.status["state"] == "queued"


def test_a_process_that_was_asked_to_end_takes_no_further_run(
    runs: RunStore, order: Callable[..., None], terminate: Callable[[], None]
) -> None:
    first, second = several(runs, 2)
    order(first, second)
    terminate()
    assert worker.main() == 0
    assert [run.status["state"] for run in (first, second)] == ["interrupted", "queued"]


def test_a_process_that_has_grown_makes_room_for_a_fresh_one(
    runs: RunStore, order: Callable[..., None], me: SimpleNamespace
) -> None:
    first, second = several(runs, 2)
    order(first, second)
    me.memory_info = lambda: SimpleNamespace(rss=worker.RETIRE_BYTES + 1 if first.has_ended else 0)
    assert worker.main() == 0
    assert [run.status["state"] for run in (first, second)] == ["done", "queued"]


def test_an_end_that_cannot_be_written_down_is_not_passed_over(
    runs: RunStore, order: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that went on waiting would leave its run "running" for ever, trained by nobody."""
    (run,) = several(runs, 1)
    update = Run.update_status

    def refuse(run: Run, **changes: Any) -> None:
        if changes.get("state") == "done":
            raise OSError(28, "No space left on device")
        update(run, **changes)

    monkeypatch.setattr(Run, "update_status", refuse)
    order(run)
    try:
        code = worker.main()
    except OSError:
        code = 1
    assert code != 0


def test_a_real_process_trains_two_runs_one_after_the_other_and_ends_when_asked(runs: RunStore, tmp_path: Path) -> None:
    first, second = (runs.create(STORY, MODEL, SETTINGS) for _ in range(2))
    errors = tmp_path / "errors.txt"
    with errors.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "gptcore.runs.worker"],
            cwd=REPOSITORY,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stderr=file,
        )
    assert child.stdin is not None
    try:
        for run in (first, second):
            child.stdin.write(json.dumps({"folder": str(run.folder)}).encode() + b"\n")
            child.stdin.flush()
            until(lambda run=run: run.has_ended or child.poll() is not None)  # type: ignore[misc]
            assert run.status["state"] == "done", errors.read_text(encoding="utf-8")
            assert run.status["process"]["pid"] == child.pid
            until(lambda run=run: not run.is_alive)  # type: ignore[misc]
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
    assert losses(first) == losses(second) == undisturbed(tmp_path)
    assert not (first.folder / "worker.log").exists()
    assert errors.read_bytes() == b""

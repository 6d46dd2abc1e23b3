"""Runs as folders: what is written, what survives a stop or a kill, who may start, and which ids lead anywhere."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import Timeout

from gptcore.batches import prepare
from gptcore.checkpoint import load_weights
from gptcore.config import GPTConfig, TrainConfig, to_json
from gptcore.corpora import Text
from gptcore.library import load_model
from gptcore.runs import queue, store, worker
from gptcore.runs.queue import Dispatcher
from gptcore.runs.store import RUN_ID, Run, RunStore, create_run, read_lines
from gptcore.runs.worker import execute
from gptcore.training import StepRecord, TrainingState, evaluate, new_state

STORY = Text(
    "story",
    "A story",
    "The lamp burned low and the keeper slept. The clock struck one, and then the keeper woke by the lamp. " * 9,
    "The lamp",
)
MODEL = GPTConfig(vocab_size=40, context_length=8, emb_dim=16, n_heads=2, n_layers=1, drop_rate=0.2)
SETTINGS = TrainConfig(
    batch_size=4, lr=1e-2, epochs=2, eval_every=3, eval_batches=2, sample_tokens=4, compact_vocab=True, threads=1
)
METRICS = ["step", "epoch", "tokens_seen", "batch_loss", "grad_norm", "lr", "seconds", "train_loss", "val_loss"]
FOREVER = replace(SETTINGS, steps=1_000_000, eval_every=1_000_000)
PATIENCE_SECONDS = 120  # for a child process on a crowded machine; nothing is measured


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path / "run", STORY, MODEL, SETTINGS)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def stop_at(step: int, action: Callable[[], None]) -> Callable[[Any, TrainingState], None]:
    """A watcher that does something once, after this step."""

    def watch(record: Any, state: TrainingState) -> None:
        if isinstance(record, StepRecord) and record.step == step:
            action()

    return watch


def losses(run: Run) -> dict[int, float]:
    """Batch losses by step; a step that is written twice fails."""
    rows, _ = run.metrics()
    assert [row["step"] for row in rows] == list(range(len(rows)))
    return {row["step"]: row["batch_loss"] for row in rows}


def undisturbed(folder: Path, settings: TrainConfig = SETTINGS) -> dict[int, float]:
    """The losses of the same run that nobody stopped."""
    whole = create_run(folder / "undisturbed", STORY, MODEL, settings)
    assert execute(whole) == "done"
    return losses(whole)


# ------------------------------------------------------------------------------------------------------ what is written


def test_a_run_writes_its_folder(run: Run) -> None:
    assert run.status == {"state": "queued"}
    assert execute(run) == "done"
    assert listing(run.folder) == [
        "best.safetensors",
        "checkpoints",
        "config.json",
        "last.safetensors",
        "metrics.jsonl",
        "samples.jsonl",
        "status.json",
        "text.txt",
    ]
    assert listing(run.folder / "checkpoints") == ["step-000010.safetensors"]
    assert run.has_ended
    assert not run.is_alive


def test_the_config_holds_all_it_takes_to_do_it_again(run: Run) -> None:
    assert run.model_config == MODEL
    assert run.train_config == SETTINGS
    assert run.text == STORY
    assert run.config["text"]["sha256"] == STORY.sha256
    assert run.config["versions"].keys() == {"python", "torch", "machine"}
    assert run.config["created"] <= time.time()


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


def test_the_status_tells_where_it_stands_and_what_was_before(run: Run) -> None:
    execute(run)
    status = run.status
    assert (status["state"], status["reason"], status["step"]) == ("done", None, 9)
    assert (status["total_steps"], status["batches_per_epoch"]) == (10, 5)
    assert status["untrained"].keys() == {"train_loss", "val_loss"}
    assert status["seconds"] > 0


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


def test_two_checkpoints_are_kept_and_the_last_is_a_second_name_of_the_newest(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHECKPOINT_SECONDS", -1.0)  # after every record
    execute(run)
    assert listing(run.folder / "checkpoints") == ["step-000009.safetensors", "step-000010.safetensors"]
    newest = run.folder / "checkpoints" / "step-000010.safetensors"
    assert newest.samefile(run.folder / "last.safetensors")


def test_a_run_without_a_validation_window_has_no_best_and_no_nan(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, train_fraction=1.0))
    assert execute(run) == "done"
    assert {row["val_loss"] for row in run.metrics()[0]} == {None}
    assert "best" not in run.status
    assert "NaN" not in (run.folder / "metrics.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        STORY.text + "\r\rlone returns\r\n",
        STORY.text + "\u2028\x85\x0c\x1e",
        STORY.text + "<script>alert(1)</script>\0",
        STORY.text + "\ud800 alone",
    ],
    ids=["returns", "separators", "script", "surrogate"],
)
def test_a_text_comes_back_as_it_was_given(text: str, tmp_path: Path) -> None:
    given = replace(STORY, text=text, title="=HYPERLINK(\u202e)\n<img onerror>", prompt="The\nlamp")
    run = create_run(tmp_path / "run", given, MODEL, SETTINGS)
    assert run.text == given


def test_a_run_with_a_lone_surrogate_in_its_text_can_be_trained(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", replace(STORY, text=STORY.text + "\ud800 alone"), MODEL, SETTINGS)
    assert execute(run) == "done", run.status["reason"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="already holds something; choose another folder, or go on with --resume"):
        create_run(tmp_path, STORY, MODEL, SETTINGS)
    assert listing(tmp_path) == ["mine.txt"]


def test_a_status_is_replaced_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.update_status(state="running", step=3)
    run.update_status(step=4)
    assert {key: run.status[key] for key in ("state", "step")} == {"state": "running", "step": 4}

    def cut(path: Path, data: str, encoding: str) -> None:
        path.write_bytes(data[:9].encode(encoding))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", cut)
    with pytest.raises(OSError, match="No space left"):
        run.update_status(step=5)
    assert run.status["step"] == 4


# ------------------------------------------------------------------------------------------------------ lines of a file


def test_an_unfinished_last_line_is_left_for_next_time(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n{"step": 1}\n{"ste')
    rows, offset = read_lines(path)
    assert [row["step"] for row in rows] == [0, 1]
    assert read_lines(path, offset) == ([], offset)
    with path.open("ab") as file:
        file.write(b'p": 2}\n')
    rows, end = read_lines(path, offset)
    assert [row["step"] for row in rows] == [2]
    assert end == path.stat().st_size


def test_a_character_cut_in_two_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    whole = json.dumps({"text": "語\u2028\x85"}, ensure_ascii=False).encode() + b"\n"
    path.write_bytes(whole + whole[:11])
    assert read_lines(path) == ([{"text": "語\u2028\x85"}], len(whole))


def test_no_file_and_an_empty_one_have_no_lines(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "metrics.jsonl") == ([], 0)
    assert read_lines(tmp_path / "metrics.jsonl", 7) == ([], 7)
    (tmp_path / "metrics.jsonl").touch()
    assert read_lines(tmp_path / "metrics.jsonl") == ([], 0)


def test_metrics_can_be_followed_while_they_grow(run: Run) -> None:
    seen: list[int] = []
    offset = 0

    def follow(record: Any, state: TrainingState) -> None:
        nonlocal offset
        rows, offset = run.metrics(offset)
        seen.extend(row["step"] for row in rows)

    execute(run, follow)
    assert seen == list(range(10))


# ------------------------------------------------------------------------------------------------ stopped, and going on


def test_a_run_that_is_asked_to_stop_stops_after_its_step(run: Run) -> None:
    def ask_twice() -> None:
        run.ask_to_stop()
        run.ask_to_stop()

    assert execute(run, stop_at(2, ask_twice)) == "cancelled"
    assert list(losses(run)) == [0, 1, 2]
    assert (run.status["state"], run.status["step"]) == ("cancelled", 2)
    assert run.weights("last") is not None


def test_a_cancelled_run_can_be_reopened_and_gives_the_losses_of_one_never_stopped(run: Run) -> None:
    execute(run, stop_at(2, run.ask_to_stop))
    run.reopen()
    assert run.status["state"] == "queued"
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert [sample["step"] for sample in run.samples()] == [-1, 4, 9]


def test_a_finished_run_can_be_given_more_epochs(run: Run) -> None:
    execute(run)
    run.reopen(epochs=3)
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent, replace(SETTINGS, epochs=3))


class Killed(BaseException):
    """As if the process were gone: nothing of the program catches it."""


def die() -> None:
    raise Killed


def test_a_run_that_died_goes_on_from_its_checkpoint_without_a_doubled_or_missing_step(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = iter([True, False] * 20)
    monkeypatch.setattr(worker, "CHECKPOINT_SECONDS", -1.0)
    save = worker.save_checkpoint
    monkeypatch.setattr(worker, "save_checkpoint", lambda run, state: save(run, state) if next(saves) else None)
    with pytest.raises(Killed):
        execute(run, stop_at(6, die))
    with (run.folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 7, "epo')
    with (run.folder / "samples.jsonl").open("ab") as file:
        file.write('{"step": 7, "text": "語'.encode()[:-1])
    assert run.status["state"] == "running"
    assert not run.is_alive
    monkeypatch.undo()
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert [sample["step"] for sample in run.samples()] == [-1, 4, 9]


def test_a_run_that_died_before_its_first_checkpoint_starts_again(run: Run) -> None:
    with pytest.raises(Killed):
        execute(run, stop_at(3, die))
    assert execute(run) == "done"
    assert losses(run) == undisturbed(run.folder.parent)
    assert [sample["step"] for sample in run.samples()] == [-1, 4, 9]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_where_the_last_checkpoint_is_damaged_the_one_before_serves(
    damage: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(Killed):
        execute(run, stop_at(6, die))
    last = run.folder / "last.safetensors"
    raw = bytearray(last.read_bytes())
    raw[-1] ^= 1
    if damage == "gone":
        last.unlink()
    else:  # one file under two names: both are damaged
        last.write_bytes({"flip": raw, "cut": raw[:-9], "empty": b""}[damage])
    assert execute(run) == "done", run.status["reason"]
    assert losses(run) == undisturbed(run.folder.parent)


def test_a_run_that_diverges_says_why_and_keeps_its_last_finite_state(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, lr=1e5, epochs=20))
    assert execute(run) == "failed"
    reason = run.status["reason"]
    assert reason.startswith("diverged at step ")
    assert "learning rate 100000" in reason
    assert len(losses(run)) == int(reason.split()[3].rstrip(";"))
    last = run.weights("last")
    assert last is not None
    model, _ = load_weights(last)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_a_text_that_is_too_short_fails_with_its_numbers(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", replace(STORY, text="The lamp burned low."), MODEL, SETTINGS)
    assert execute(run) == "failed"
    assert "needs at least 8 + 1 = 9" in run.status["reason"]
    assert run.has_ended


def test_a_run_that_another_process_trains_is_left_alone(run: Run) -> None:
    run.update_status(state="running")
    before = run.status
    with run.lock.acquire():
        assert run.is_alive
        with pytest.raises(Timeout):
            execute(run)
    assert not run.is_alive
    assert run.status == before


# ------------------------------------------------------------------------------------------------------ looked up by id


@pytest.fixture
def runs(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def test_ids_cannot_be_guessed_and_lead_back_to_their_runs(runs: RunStore) -> None:
    made = [runs.create(STORY, MODEL, SETTINGS) for _ in range(3)]
    assert len({run.id for run in made}) == 3
    for run in made:
        assert RUN_ID.fullmatch(run.id)
        assert runs.find(run.id) == run
    assert list(runs) == made  # the oldest first


HOSTILE_IDS = (
    "",
    ".",
    "..",
    "../" * 8 + "etc",
    "/etc/passwd",
    "{id}/",
    "{id}/../{id}",
    "./{id}",
    "{id}\0",
    "{id}\n",
    "*",
    "[a-z0-9]" * 4,
    "{upper}",
    "a" * 16,
    "a" * 100_000,
    "<script>alert(1)</script>",
    "\ud800" * 16,
)


@pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=lambda text: repr(text)[:24])
def test_an_id_that_is_no_runs_finds_none(hostile: str, runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    if run.id.upper() == run.id:
        pytest.skip("this id has no letter to make a capital of")
    assert runs.find(hostile.replace("{id}", run.id).replace("{upper}", run.id.upper())) is None


def test_no_folder_yet_means_no_runs(runs: RunStore) -> None:
    assert list(runs) == []
    assert runs.find("a" * 16) is None


def test_what_is_no_run_is_not_listed(runs: RunStore, tmp_path: Path) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    (runs.root / ("b" * 16)).mkdir()  # no config yet: half made
    (runs.root / "dispatcher.lock").touch()
    create_run(runs.root / "short", STORY, MODEL, SETTINGS)
    outside = create_run(tmp_path / "outside", STORY, MODEL, SETTINGS)
    (runs.root / ("c" * 16)).symlink_to(outside.folder)
    assert list(runs) == [run]
    assert runs.find("c" * 16) is None


def test_a_run_whose_folder_is_deleted_is_gone(runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    (run.folder / "config.json").unlink()
    assert runs.find(run.id) is None


# ------------------------------------------------------------------------------------------------- who starts, and when


class FakeChild:
    """A child process that does nothing and ends when told."""

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeChild]:
    """On a machine of two cores no run becomes a process; the children that would be, by run."""
    children: dict[str, FakeChild] = {}

    def start(run: Run) -> FakeChild:
        run.update_status(state="running")
        return children.setdefault(run.id, FakeChild())

    monkeypatch.setattr(queue, "start", start)
    monkeypatch.setattr(queue, "cores", lambda: 2)
    return children


def add(dispatcher: Dispatcher, threads: int | None) -> Run:
    return dispatcher.store.create(STORY, MODEL, replace(SETTINGS, threads=threads))


def test_runs_start_while_cores_are_free_and_the_next_when_one_ends(
    tmp_path: Path, started: dict[str, FakeChild]
) -> None:
    dispatcher = Dispatcher(tmp_path)
    first, second, third = (add(dispatcher, threads=1) for _ in range(3))
    dispatcher.tick()
    dispatcher.tick()
    assert list(started) == [first.id, second.id]
    started[first.id].code = 0
    first.update_status(state="done")
    dispatcher.tick()
    assert list(started) == [first.id, second.id, third.id]
    assert first.status["state"] == "done"


def test_a_run_that_takes_all_cores_is_not_overtaken_by_smaller_ones(
    tmp_path: Path, started: dict[str, FakeChild]
) -> None:
    dispatcher = Dispatcher(tmp_path)
    small = add(dispatcher, threads=1)
    large = add(dispatcher, threads=None)  # all cores
    late = add(dispatcher, threads=1)
    dispatcher.tick()
    assert list(started) == [small.id]
    started[small.id].code = 0
    small.update_status(state="done")
    dispatcher.tick()
    assert list(started) == [small.id, large.id]
    assert late.status["state"] == "queued"


def test_a_run_that_asks_for_more_cores_than_there_are_starts_alone(
    tmp_path: Path, started: dict[str, FakeChild]
) -> None:
    dispatcher = Dispatcher(tmp_path)
    huge = add(dispatcher, threads=1_024)
    dispatcher.tick()
    assert list(started) == [huge.id]


def test_a_queued_run_that_is_cancelled_never_starts(tmp_path: Path, started: dict[str, FakeChild]) -> None:
    dispatcher = Dispatcher(tmp_path)
    run = add(dispatcher, threads=1)
    run.ask_to_stop()
    dispatcher.tick()
    assert started == {}
    assert run.status["state"] == "cancelled"


def test_a_child_that_ends_without_a_word_has_failed_with_its_code(
    tmp_path: Path, started: dict[str, FakeChild]
) -> None:
    dispatcher = Dispatcher(tmp_path)
    run = add(dispatcher, threads=1)
    dispatcher.tick()
    started[run.id].code = -9
    dispatcher.tick()
    assert run.status["state"] == "failed"
    assert run.status["reason"] == "the training process ended with code -9"


def test_a_run_that_nobody_trains_any_more_is_interrupted(tmp_path: Path, started: dict[str, FakeChild]) -> None:
    """A server that was killed left it behind; another one finds it."""
    dispatcher = Dispatcher(tmp_path)
    lost, alive = add(dispatcher, threads=1), add(dispatcher, threads=1)
    for run in (lost, alive):
        run.update_status(state="running")
    with alive.lock.acquire():
        dispatcher.tick()
        assert (lost.status["state"], alive.status["state"]) == ("interrupted", "running")
    assert lost.status["reason"] == "the training process is gone"


def test_a_folder_that_is_deleted_ends_nobody_elses_queue(tmp_path: Path, started: dict[str, FakeChild]) -> None:
    dispatcher = Dispatcher(tmp_path)
    gone, other = add(dispatcher, threads=1), add(dispatcher, threads=1)
    dispatcher.tick()
    for path in gone.folder.iterdir():
        path.unlink()
    gone.folder.rmdir()
    started[gone.id].code = 1
    started[other.id].code = 1
    dispatcher.tick()
    assert other.status["state"] == "failed"
    assert dispatcher.children == {}


def until(condition: Callable[[], bool], action: Callable[[], None] = lambda: None) -> None:
    """Wait for something that a child process does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        action()
        time.sleep(0.02)


@pytest.fixture
def dispatcher(tmp_path: Path) -> Iterator[Dispatcher]:
    """A dispatcher that is ticked by hand; the children it leaves behind are ended."""
    dispatcher = Dispatcher(tmp_path / "runs")
    yield dispatcher
    for _, child in dispatcher.children.values():
        child.kill()
        child.wait()


def test_a_queued_run_is_trained_by_a_child_process_to_its_end(dispatcher: Dispatcher) -> None:
    run = dispatcher.store.create(STORY, MODEL, SETTINGS)
    until(lambda: run.has_ended, dispatcher.tick)
    assert run.status["state"] == "done", (run.folder / "worker.log").read_text(encoding="utf-8")
    assert len(losses(run)) == 10
    assert (run.folder / "worker.log").read_bytes() == b""
    until(lambda: dispatcher.children == {}, dispatcher.tick)
    assert run.status["state"] == "done"


def test_a_child_that_is_cancelled_stops_and_another_that_is_killed_is_named_with_its_reason(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "cores", lambda: 2)
    cancelled, killed = (dispatcher.store.create(STORY, MODEL, FOREVER) for _ in range(2))
    for run in (cancelled, killed):
        until(lambda run=run: len(run.metrics()[0]) > 3, dispatcher.tick)  # type: ignore[misc]
        assert run.is_alive
    cancelled.ask_to_stop()
    os.kill(dispatcher.children[killed.id][1].pid, signal.SIGKILL)
    until(lambda: cancelled.has_ended and killed.has_ended, dispatcher.tick)
    assert cancelled.status["state"] == "cancelled"
    assert cancelled.weights("last") is not None
    assert killed.status["state"] in ("failed", "interrupted")
    assert killed.status["reason"] == "the training process ended with code -9"
    assert not killed.is_alive
    assert len(losses(cancelled)) == cancelled.status["step"] + 1


def test_one_dispatcher_works_on_a_folder_and_the_next_takes_over(
    tmp_path: Path, started: dict[str, FakeChild]
) -> None:
    first, second = Dispatcher(tmp_path), Dispatcher(tmp_path)
    first.start()
    try:
        until((tmp_path / "dispatcher.lock").exists)
        run = add(first, threads=1)
        until(lambda: run.id in first.children)
        second.start()
        time.sleep(2 * queue.LOOK_SECONDS)
        assert second.children == {}
        with run.lock.acquire():  # its child lives on
            first.stop()
            first.join()
            next_run = add(second, threads=1)
            until(lambda: next_run.id in second.children)
            assert run.status["state"] == "running"
    finally:
        for dispatcher in (first, second):
            dispatcher.stop()
            if dispatcher.is_alive():
                dispatcher.join()


@pytest.mark.parametrize(
    ("text", "held", "code", "state"),
    [(STORY.text, False, 0, "done"), ("The lamp", False, 1, "failed"), (STORY.text, True, 3, "running")],
    ids=["well", "failed", "somebody else's"],
)
def test_a_worker_tells_by_its_exit_code_how_it_went(
    text: str, held: bool, code: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(tmp_path / "run", replace(STORY, text=text), MODEL, SETTINGS)
    monkeypatch.setattr(sys, "argv", ["worker", str(run.folder)])
    if held:
        run.update_status(state="running")
        with run.lock.acquire():
            assert worker.main() == code
    else:
        assert worker.main() == code
    assert run.status["state"] == state


def test_a_setting_that_this_version_does_not_know_is_named_and_not_run(run: Run) -> None:
    config = run.config
    config["training"] = to_json(SETTINGS) | {"warp": 9}
    store._replace_json(run.folder / "config.json", config)
    assert execute(run) == "failed"
    assert run.status["reason"] == "TrainConfig has no field warp"

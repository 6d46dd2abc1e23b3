"""What happens to runs when processes die, hang, outgrow their share, or are told to end: real ones, really killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from subprocess import Popen

import psutil
import pytest

from gptcore.runs import dispatcher as dispatching
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.queue import QUEUE_FILE, place
from gptcore.runs.store import Run, RunStore
from tests.faults.processes import (
    LONG,
    begin,
    begun,
    expect_undisturbed_losses,
    gone_on,
    is_working,
    pid,
    undisturbed,
    work_until,
)
from tests.tiny import FOREVER, MODEL, SETTINGS, STORY, losses, until

Serve = Callable[[], Popen[bytes]]
SLOW = replace(MODEL, emb_dim=256, n_layers=8)  # milliseconds a token


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptcore.runs.queue.cores", lambda: 2)


# ---------------------------------------------------------------------------------------------------- a child is killed


@pytest.mark.usefixtures("two_cores")
def test_a_killed_run_goes_on_by_itself_three_deaths_end_it_and_its_neighbour_notices_nothing(
    store: RunStore, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, other = begun(store), store.create(STORY, MODEL, LONG)
    for deaths in (1, 2):
        begin(dispatcher, victim)
        os.kill(pid(victim), signal.SIGKILL)
        with monkeypatch.context() as patched:  # nothing is taken up, so that one can look
            patched.setattr(dispatching, "fits", lambda *_: False)
            work_until(dispatcher, lambda: victim.status["state"] == "interrupted")
        assert victim.status["reason"] == (
            "the process was killed (signal 9); the run goes on from its last checkpoint by itself"
        )
        assert victim.status["deaths"] == deaths
        assert not victim.is_alive
    begin(dispatcher, other)
    begin(dispatcher, victim)
    os.kill(pid(victim), signal.SIGKILL)
    work_until(dispatcher, lambda: victim.has_ended)
    assert victim.status["state"] == "failed"
    assert victim.status["reason"].startswith("its process died 3 times")
    expect_undisturbed_losses(victim)

    begin(dispatcher, other)
    assert (other.status["attempt"], other.status.get("deaths", 0)) == (1, 0)
    other.ask_to_stop()
    work_until(dispatcher, lambda: other.has_ended)
    assert losses(other) == undisturbed(len(losses(other)))


def test_an_ended_run_whose_process_is_killed_stays_ended(store: RunStore, dispatcher: Dispatcher) -> None:
    run = store.create(STORY, MODEL, SETTINGS)
    work_until(dispatcher, lambda: run.has_ended)
    os.kill(pid(run), signal.SIGKILL)
    work_until(dispatcher, lambda: all(child.process.pid != pid(run) for child in dispatcher.children))
    assert (run.status["state"], run.status["attempt"], run.status["reason"]) == ("done", 1, None)


# --------------------------------------------------------------------------------------------------- a run's own limits


def test_a_run_that_outgrows_its_memory_is_ended_with_the_sum_and_not_taken_up_again(
    store: RunStore, dispatcher: Dispatcher
) -> None:
    run = store.create(STORY, MODEL, FOREVER, plan={"memory": -(2**40)})
    work_until(dispatcher, lambda: run.has_ended)
    assert run.status["state"] == "failed"
    assert run.status["reason"].startswith("out of memory: it held ")
    assert run.status["reason"].endswith("set aside for it; choose a smaller model, context or batch")
    after = store.create(STORY, MODEL, SETTINGS)
    work_until(dispatcher, lambda: after.has_ended)
    assert (run.status["state"], run.status["attempt"]) == ("failed", 1)
    assert after.status["state"] == "done"


def test_a_run_at_its_time_limit_is_saved_and_goes_on_to_the_same_losses_when_given_more(
    store: RunStore, dispatcher: Dispatcher
) -> None:
    run = begun(store)
    limit = run.status["seconds"] / 60 + 0.01
    run.reopen(max_minutes=limit)
    work_until(dispatcher, lambda: run.has_ended)
    assert (run.status["state"], run.status["reason"]) == ("failed", f"stopped at its limit of {limit:g} minutes")
    done = len(losses(run))
    assert run.status["step"] == done - 1
    assert run.weights("last") is not None
    run.reopen(max_minutes=None, steps=done + 5)
    work_until(dispatcher, lambda: run.has_ended)
    assert run.status["state"] == "done"
    assert losses(run) == undisturbed(done + 5)


# ------------------------------------------------------------------------------------------------------- cancelled runs


def test_a_cancelled_run_stops_after_its_step_and_a_second_cancel_changes_nothing(
    store: RunStore, dispatcher: Dispatcher
) -> None:
    run = begun(store)
    begin(dispatcher, run)
    run.ask_to_stop()
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    ended = run.status
    assert ended["state"] == "cancelled"
    assert ended["step"] == len(losses(run)) - 1
    assert run.weights("last") is not None
    run.ask_to_stop()
    dispatcher.tick()
    assert run.status == ended
    expect_undisturbed_losses(run)


def test_a_cancel_reaches_a_run_between_two_tokens_of_a_sample(store: RunStore, dispatcher: Dispatcher) -> None:
    run = store.create(STORY, SLOW, replace(LONG, sample_tokens=4_096, eval_batches=1))
    work_until(dispatcher, lambda: "total_steps" in run.status)  # which is written before the first evaluation
    time.sleep(0.5)  # it is over by now, and the sample takes many seconds
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    assert run.status["state"] == "cancelled"
    assert all(len(sample["text"]) < 4_096 for sample in run.samples())  # a token has one character at least
    assert losses(run) == {}


def test_a_cancel_reaches_a_run_between_two_batches_of_an_evaluation(store: RunStore, dispatcher: Dispatcher) -> None:
    long_text = replace(STORY, text=STORY.text * 300)
    run = store.create(long_text, SLOW, replace(LONG, eval_batches=65_536))
    work_until(dispatcher, lambda: "total_steps" in run.status)
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    assert run.status["state"] == "cancelled"
    assert "untrained" not in run.status
    assert (run.samples(), losses(run)) == ([], {})


def test_a_run_that_hangs_when_it_is_cancelled_is_asked_then_killed(
    store: RunStore, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(store)
    begin(dispatcher, run)
    hanging = pid(run)
    os.kill(hanging, signal.SIGSTOP)  # a step that never ends
    monkeypatch.setattr(dispatching, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(dispatching, "KILL_SECONDS", 0.2)
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    assert (run.status["state"], run.status["reason"]) == ("cancelled", None)
    assert not psutil.pid_exists(hanging)
    expect_undisturbed_losses(run)
    run.reopen()
    begin(dispatcher, run)
    assert run.status["state"] == "running"


# ------------------------------------------------------------------------------------------------- the server is killed


def fill(store: RunStore, serve: Serve) -> tuple[Popen[bytes], Run, Run]:
    """A server, a run under way that needs all memory there is, and one that has to wait for it."""
    long = begun(store, plan={"memory": 2**50})
    server = serve()
    until(lambda: long.status["state"] == "running")
    short = store.create(STORY, MODEL, SETTINGS)
    until(lambda: place(store, short) is not None)
    until(gone_on(long))
    return server, long, short


def test_a_second_server_waits_takes_over_when_the_first_is_killed_and_adopts_its_run(
    store: RunStore, serve: Serve
) -> None:
    first, long, short = fill(store, serve)
    worker = pid(long)
    second = serve()
    until(lambda: (store.root.parent / "server.log").read_text(encoding="utf-8").count("training what is queued") == 2)
    first.kill()
    first.wait()
    (store.root / QUEUE_FILE).unlink()
    until(lambda: place(store, short) is not None)  # the second has looked
    until(gone_on(long))
    assert is_working(worker)
    assert (pid(long), long.status["attempt"], short.status["state"]) == (worker, 1 + 1, "queued")
    assert second.poll() is None

    long.ask_to_stop()
    until(lambda: long.has_ended and short.has_ended)
    assert (long.status["state"], short.status["state"]) == ("cancelled", "done")
    expect_undisturbed_losses(long)
    until(lambda: not is_working(worker))  # nobody hands it another run


def test_a_second_server_that_is_stopped_while_it_waits_leaves_the_runs_of_the_first_alone(
    store: RunStore, serve: Serve
) -> None:
    _, long, short = fill(store, serve)
    worker, attempt, second = pid(long), long.status["attempt"], serve()
    until(lambda: (store.root.parent / "server.log").read_text(encoding="utf-8").count("training what is queued") == 2)
    second.send_signal(signal.SIGTERM)
    assert second.wait() == 0
    until(gone_on(long))
    assert is_working(worker)
    assert (pid(long), long.status["attempt"], short.status["state"]) == (worker, attempt, "queued")


def kill_server_and_worker(server: Popen[bytes], run: Run) -> None:
    server.kill()
    os.kill(pid(run), signal.SIGKILL)
    server.wait()
    until(lambda: not run.is_alive)
    assert run.status["state"] == "running"  # nobody was left to say otherwise
    with (run.folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 1')


def stop_in_order(server: Popen[bytes], run: Run) -> None:
    server.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    until(lambda: not run.is_alive)  # the server waits for its workers, but not for ever
    assert run.status["state"] == "interrupted"
    assert run.status["reason"] == "the program was stopped; the run goes on when it is started again"
    assert run.status["step"] == len(losses(run)) - 1


def test_a_run_interrupted_five_times_gives_the_losses_of_one_left_alone(store: RunStore, serve: Serve) -> None:
    run = begun(store)
    for interrupt in (stop_in_order, kill_server_and_worker, stop_in_order, kill_server_and_worker, stop_in_order):
        before, server = run.status["attempt"], serve()
        until(lambda: run.status["attempt"] > before)  # noqa: B023  (asked here and now)
        until(gone_on(run))
        interrupt(server, run)
    assert (run.status["attempt"], run.status["deaths"]) == (1 + 5, 2)
    expect_undisturbed_losses(run)
    assert "Traceback" not in (store.root.parent / "server.log").read_text(encoding="utf-8")

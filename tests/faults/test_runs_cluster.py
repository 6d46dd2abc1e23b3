"""What happens to runs on other machines when workers, the scheduler, the server or the network between them fail.

Real processes throughout, and real certificates: a scheduler and two workers, as the README starts them.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors import safe_open

from benchmarks.lab import Lab, Worker, end, make_certificates
from gptcore.runs import cluster, courier, post
from gptcore.runs import dispatcher as dispatching
from gptcore.runs.checkpoints import newest
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.machines import cluster_now, machines
from gptcore.runs.queue import place
from gptcore.runs.store import Run, RunStore, create_run
from gptcore.runs.worker import execute
from tests.faults.processes import LONG, begun, expect_undisturbed_losses, gone_on, is_working
from tests.tiny import MODEL, SETTINGS, STORY, losses, until

WORKERS = 2


@pytest.fixture
def run(store: RunStore) -> Run:
    """A run that was begun here, before there was another machine; to be asked for before ``far``."""
    return begun(store)


@pytest.fixture
def far(lab: Lab, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dispatcher]:
    """A dispatcher whose runs are trained elsewhere, with all workers there."""
    lab.fill(WORKERS)
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    dispatcher = Dispatcher(store.root)
    dispatcher.start()
    until(lambda: len(machines(store.root)) == 1 and machines(store.root)[0].slots == WORKERS)
    yield dispatcher
    dispatcher.close()


def process_there(worker: Worker, run: Run) -> int:
    """The process that trains a run on a worker."""
    found: list[int] = []

    def look() -> None:
        for guest in worker.guests():
            status = guest.status
            if guest.id.startswith(run.id) and status["state"] == "running" and "pid" in (status.get("process") or {}):
                found.append(status["process"]["pid"])

    until(lambda: found, look)
    return found[-1]


def stop(run: Run) -> None:
    """Cancel a run twice, and see what it leaves."""
    run.ask_to_stop()
    run.ask_to_stop()
    until(lambda: run.has_ended)
    assert (run.status["state"], run.status["reason"]) == ("cancelled", None)
    assert run.status["step"] == len(losses(run)) - 1
    assert run.weights("last") is not None


def digest(path: Path) -> str:
    """The hash of all that a file of weights holds; the order of its header is chance."""
    with safe_open(path, framework="pt") as file:
        return str(file.metadata()["sha256"])


def under_way(run: Run) -> None:
    until(lambda: run.status["state"] == "running")
    until(gone_on(run))


# ------------------------------------------------------------------------------------------------------------- all well


def test_a_run_that_is_trained_elsewhere_leaves_what_it_would_have_left_here(
    lab: Lab, far: Dispatcher, store: RunStore, tmp_path: Path
) -> None:
    here = create_run(tmp_path / "here", STORY, MODEL, SETTINGS)
    execute(here)
    there = store.create(STORY, MODEL, SETTINGS)
    until(lambda: there.has_ended)
    assert there.status["state"] == "done"
    assert there.status["process"] == {"machine": platform.node()}
    assert losses(there) == losses(here)
    assert there.samples() == here.samples()
    assert there.probes() == here.probes()
    assert there.status["best"] == here.status["best"]
    assert digest(there.folder / "best.safetensors") == digest(here.folder / "best.safetensors")
    files = {path.relative_to(here.folder) for path in here.folder.rglob("*")}
    assert {path.relative_to(there.folder) for path in there.folder.rglob("*")} == files
    until(lambda: [worker.guests() for worker in lab.workers] == [[]] * WORKERS)


def test_whole_files_take_a_second_name_where_both_machines_have_one_disk(
    lab: Lab, store: RunStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.fill(0)
    for worker in lab.workers:
        end(worker.process)
    worker = lab.start_worker(store.root.parent / "guests")  # in the data folder
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    sent = newest(run)[0]
    dispatcher = Dispatcher(store.root)
    dispatcher.start()
    try:
        under_way(run)
        (there,) = worker.guests()
        assert sent.samefile(there.folder / "checkpoints" / sent.name)
        until(lambda: newest(run)[0] != sent)
        came = newest(run)[0]
        assert came.samefile(there.folder / "checkpoints" / came.name)
        assert not (run.folder / "metrics.jsonl").samefile(there.folder / "metrics.jsonl")  # one writer each
        stop(run)
        until(lambda: worker.guests() == [])
    finally:
        dispatcher.close()
        end(worker.process)
    expect_undisturbed_losses(run)


def test_a_page_can_tell_what_runs_where(run: Run, far: Dispatcher, store: RunStore) -> None:
    other = store.create(STORY, MODEL, LONG)
    until(lambda: {*machines(store.root)[0].runs} == {run.id, other.id})
    waiting = store.create(STORY, MODEL, SETTINGS)
    until(lambda: place(store, waiting) is not None)
    (machine,) = machines(store.root)
    assert (machine.name, machine.slots) == (platform.node(), WORKERS)
    assert waiting.status["state"] == "queued"
    for each in (run, other):
        under_way(each)
        stop(each)
        expect_undisturbed_losses(each)
    until(lambda: waiting.has_ended)
    until(lambda: machines(store.root)[0].runs == ())


def test_nobody_beyond_this_machine_reaches_any_of_it(lab: Lab, far: Dispatcher) -> None:
    assert lab.scheduler is not None
    for process in (lab.scheduler, *(worker.process for worker in lab.workers)):
        sockets = psutil.Process(process.pid).net_connections(kind="inet")
        listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}


def test_a_certificate_of_another_school_opens_nothing(
    lab: Lab, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.fill(WORKERS)
    others = make_certificates(tmp_path / "others")
    files = {"GPTCORE_TLS_CA": "ca.pem", "GPTCORE_TLS_CERT": "machine.pem", "GPTCORE_TLS_KEY": "machine.key"}
    for name, value in (lab.environment | {name: str(others / file) for name, file in files.items()}).items():
        monkeypatch.setenv(name, value)
    dispatcher = Dispatcher(store.root)
    dispatcher.start()
    run = store.create(STORY, MODEL, SETTINGS)
    until(lambda: cluster_now(store.root) is not None)
    now = cluster_now(store.root)
    dispatcher.close()
    assert now is not None
    assert now.why_not is not None
    assert now.why_not.startswith(f"tls://127.0.0.1:{lab.port} can't be reached: ")
    assert (machines(store.root), run.status["state"]) == ((), "queued")


# --------------------------------------------------------------------------------------------------------- it is killed


def test_a_worker_is_killed_and_its_run_goes_on_on_another(lab: Lab, run: Run, far: Dispatcher) -> None:
    under_way(run)
    host = lab.host_of(run)
    child, before = process_there(host, run), run.status["attempt"]
    host.process.kill()
    host.process.wait()
    until(lambda: run.status["attempt"] > before)
    under_way(run)
    assert lab.host_of(run) is not host
    until(lambda: not is_working(child))  # nobody would fetch what it writes
    assert (run.status["attempt"], run.status["deaths"]) == (before + 1, 1)
    stop(run)
    expect_undisturbed_losses(run)


def test_the_process_that_trains_elsewhere_is_killed_and_the_run_goes_on(lab: Lab, run: Run, far: Dispatcher) -> None:
    under_way(run)
    before = run.status["attempt"]
    os.kill(process_there(lab.host_of(run), run), signal.SIGKILL)
    until(lambda: run.status["attempt"] > before)
    under_way(run)
    assert run.status["deaths"] == 1
    stop(run)
    expect_undisturbed_losses(run)


def test_the_scheduler_is_killed_and_the_queue_goes_on_with_the_next(
    lab: Lab, run: Run, far: Dispatcher, store: RunStore
) -> None:
    under_way(run)
    before, former = run.status["attempt"], list(lab.workers)
    child = process_there(lab.host_of(run), run)
    lab.kill_scheduler()
    until(lambda: run.status["state"] == "interrupted")
    assert run.status["reason"] == (
        "the connection to the other machines was lost; the run goes on from its last checkpoint by itself"
    )
    until(lambda: machines(store.root) == ())
    waiting = store.create(STORY, MODEL, SETTINGS)
    for worker in former:  # each ends by itself; the README starts it again
        worker.process.wait(60)
    until(lambda: not is_working(child))
    lab.fill(WORKERS)
    until(lambda: run.status["attempt"] > before)
    under_way(run)
    until(lambda: waiting.has_ended)
    assert (run.status.get("deaths", 0), waiting.status["state"]) == (0, "done")
    stop(run)
    expect_undisturbed_losses(run)


def test_a_worker_that_hangs_is_given_up_and_what_it_does_later_reaches_nobody(
    lab: Lab, far: Dispatcher, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "ASK_SECONDS", 2.0)
    monkeypatch.setattr(cluster, "MEET_SECONDS", 2.0)
    run = begun(store)
    under_way(run)
    host = lab.host_of(run)
    child, before = process_there(host, run), run.status["attempt"]
    os.kill(host.process.pid, signal.SIGSTOP)  # its child goes on
    until(lambda: run.status["attempt"] > before)
    under_way(run)
    assert is_working(child)
    os.kill(host.process.pid, signal.SIGCONT)
    until(lambda: not is_working(child))
    until(lambda: host.guests() == [])
    under_way(run)
    stop(run)
    expect_undisturbed_losses(run)


def test_the_server_is_killed_and_the_next_sends_the_former_attempt_away(
    lab: Lab, run: Run, serve: Callable[[], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.fill(WORKERS)
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    first = serve()
    under_way(run)
    child, before = process_there(lab.host_of(run), run), run.status["attempt"]
    first.kill()
    first.wait()
    assert is_working(child)
    second = serve()
    until(lambda: run.status["attempt"] > before)
    under_way(run)
    until(lambda: not is_working(child))
    assert run.status.get("deaths", 0) == 0
    second.send_signal(signal.SIGTERM)
    assert second.wait() == 0
    assert run.status["state"] == "interrupted"
    assert run.status["step"] == len(losses(run)) - 1
    expect_undisturbed_losses(run)


# ----------------------------------------------------------------------------------------------- the web machine's disk


def test_what_this_disk_refuses_waits_there_and_is_written_later(
    run: Run, far: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way(run)

    def refuse(_path: Path, _lines: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(courier, "append", refuse)
        until(lambda: run.status.get("unsaved_since") is not None)
        written = len(losses(run))
    until(lambda: run.status.get("unsaved_since") is None)
    until(lambda: len(losses(run)) > written)
    assert run.status["attempt"] == 2
    stop(run)
    expect_undisturbed_losses(run)


def test_a_run_whose_folder_is_deleted_is_ended_there(lab: Lab, run: Run, far: Dispatcher, store: RunStore) -> None:
    under_way(run)
    child = process_there(lab.host_of(run), run)
    shutil.rmtree(run.folder, ignore_errors=True)
    until(lambda: not is_working(child))
    until(lambda: not run.folder.exists() and all(worker.guests() == [] for worker in lab.workers))
    after = store.create(STORY, MODEL, SETTINGS)
    until(lambda: after.has_ended)
    assert after.status["state"] == "done"


def test_a_run_that_hangs_there_when_it_is_cancelled_is_asked_then_killed(
    lab: Lab, run: Run, far: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way(run)
    hanging = process_there(lab.host_of(run), run)
    os.kill(hanging, signal.SIGSTOP)  # a step that never ends
    monkeypatch.setattr(dispatching, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(dispatching, "KILL_SECONDS", 0.5)
    run.ask_to_stop()
    until(lambda: run.has_ended)
    assert (run.status["state"], run.status["reason"]) == ("cancelled", None)
    assert not is_working(hanging)
    expect_undisturbed_losses(run)


def test_a_run_that_does_not_fit_there_says_so(far: Dispatcher, store: RunStore) -> None:
    huge: Any = replace(MODEL, emb_dim=2**16, n_heads=1, n_layers=96)
    run = store.create(STORY, huge, SETTINGS)
    until(lambda: run.has_ended)
    assert run.status["state"] == "failed"
    assert run.status["reason"].startswith("this run needs ")

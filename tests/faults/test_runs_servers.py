"""Two web servers on one data folder: one starts the runs of both, and when it is killed the other one does."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from subprocess import Popen

import pytest

from benchmarks.student import Student
from gptcore.runs.queue import QUEUE_FILE, place
from gptcore.runs.store import Run, RunStore
from tests.faults.processes import (
    answers,
    begun,
    end,
    end_all_of,
    expect_undisturbed_losses,
    gone_on,
    is_working,
    pid,
    serve_pages,
    workers_of,
)
from tests.tiny import MODEL, SETTINGS, STORY, awaited, losses, until

TAKEN_OVER_SECONDS = 30  # it takes one or two; a crowded machine takes its time


@dataclass(frozen=True)
class Server:
    """A web server and its port on the loopback address."""

    process: Popen[bytes]
    port: int


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


@pytest.fixture
def servers(store: RunStore) -> Iterator[list[Server]]:
    """Two servers that have been visited: the first visit has a server look for runs."""
    home = store.root.parent
    servers = [Server(serve_pages(home, port), port) for port in (_free_port(), _free_port())]
    try:
        for server in servers:
            until(lambda: answers(server.port))  # noqa: B023  (asked here and now)
            awaited(visit(server))
        until(lambda: any(workers_of(server.process) for server in servers))
        yield servers
    finally:
        for server in servers:
            end(server.process)
        end_all_of(home)


async def visit(server: Server) -> None:
    """Open the page of training, and leave."""
    async with Student(server.port, "training") as student:
        assert student.faults == []


async def train(server: Server) -> None:
    """Press "Train"."""
    async with Student(server.port, "training") as student:
        await student.click("training_start")
        assert student.faults == []


async def seen(server: Server, run: Run) -> list[str]:
    """What a server shows to whoever opens the address of a run."""
    async with Student(server.port, "training", run=run.id) as student:
        assert student.faults == []
        return list(student.captions)


def new_run(store: RunStore, server: Server) -> Run:
    """A run that somebody starts on this server."""
    before = set(store)
    awaited(train(server))
    (run,) = set(store) - before
    return run


def expect_trained_once(run: Run) -> None:
    """A run has ended well, in one process, and has each of its steps once."""
    until(lambda: run.has_ended)
    assert (run.status["state"], run.status["attempt"]) == ("done", 1)
    assert list(losses(run)) == list(range(run.config["plan"]["steps"]))


def test_a_run_started_on_either_server_is_trained_once_and_seen_on_both(
    store: RunStore, servers: list[Server]
) -> None:
    runs = [new_run(store, server) for server in servers]
    for run in runs:
        expect_trained_once(run)
    assert len(list(store)) == 2
    assert sorted(bool(workers_of(server.process)) for server in servers) == [False, True]  # one of them dispatches
    for run in runs:
        for server in servers:
            captions = awaited(seen(server, run))
            assert any(" done · step" in caption for caption in captions), captions


def test_when_the_server_that_starts_the_runs_is_killed_the_other_one_does_within_seconds(
    store: RunStore, servers: list[Server]
) -> None:
    long = begun(store, plan={"memory": 2**50})  # leaves room for nobody beside it
    store.bell.touch()
    until(lambda: long.status["state"] == "running")
    short = store.create(STORY, MODEL, SETTINGS, plan={"steps": 10})
    until(lambda: place(store, short) is not None)
    until(gone_on(long))
    worker, attempt = pid(long), long.status["attempt"]
    (leads,) = (server for server in servers if workers_of(server.process))
    (other,) = (server for server in servers if server is not leads)

    leads.process.kill()
    killed = time.monotonic()
    leads.process.wait()
    (store.root / QUEUE_FILE).unlink()
    until(lambda: place(store, short) is not None)  # the other one has looked
    assert time.monotonic() - killed < TAKEN_OVER_SECONDS
    until(gone_on(long))
    assert is_working(worker)
    assert (pid(long), long.status["attempt"]) == (worker, attempt)  # adopted, not started again

    late = new_run(store, other)
    long.ask_to_stop()
    until(lambda: long.has_ended)
    assert long.status["state"] == "cancelled"
    expect_undisturbed_losses(long)
    expect_trained_once(short)
    expect_trained_once(late)
    assert len(list(store)) == len({long, short, late})

"""Runs under way, the processes that train them, and the ends of both.

Nothing here stands in for a part of the program: the workers, the dispatchers and their deaths are real.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from gptcore.batches import prepare
from gptcore.config import TrainConfig
from gptcore.paths import REPOSITORY
from gptcore.records import StepRecord
from gptcore.runs.dispatcher import Child, Dispatcher
from gptcore.runs.store import Run, RunStore
from gptcore.runs.worker import execute
from gptcore.training import new_state, train
from tests.tiny import MODEL, PATIENCE_SECONDS, SETTINGS, STORY, losses, stop_at, until

LONG = replace(SETTINGS, steps=1_000_000, eval_every=10)  # ends when it is cancelled
BEGUN = 20  # steps that a run has done, and saved, before a test disturbs it


def begun(store: RunStore, training: TrainConfig = LONG, **about: Any) -> Run:
    """A run that has done its first steps and waits in the queue; its last checkpoint is where it stands."""
    run = store.create(STORY, MODEL, training, **about)
    assert execute(run, stop_at(BEGUN - 1, run.ask_to_stop)) == "cancelled"
    run.reopen()
    return run


def undisturbed(steps: int) -> dict[int, float]:
    """The batch losses of a run that nobody looks at: no file, no process, no pause."""
    torch.set_num_threads(1)
    settings = replace(LONG, steps=steps, eval_every=steps)
    records = train(new_state(MODEL, settings, prepare(STORY, MODEL, settings)))
    return {record.step: record.batch_loss for record in records if isinstance(record, StepRecord)}


def expect_undisturbed_losses(run: Run) -> None:
    """A run that was begun and went on has each step once, and each loss to the last bit."""
    seen = losses(run)
    assert len(seen) > BEGUN
    assert seen == undisturbed(len(seen))


def gone_on(run: Run, steps: int = 20) -> Callable[[], bool]:
    """Whether a run has come some steps further than it is now."""
    past = len(run.metrics()[0])
    return lambda: len(run.metrics()[0]) >= past + steps


def work_until(dispatcher: Dispatcher, condition: Callable[[], object]) -> None:
    """Let a dispatcher look, as its thread does, until something is so."""

    def look() -> None:
        with suppress(OSError):  # the thread tries again, too
            dispatcher._something_happened()  # it hears the bell
            dispatcher.tick()
            dispatcher._keep_warm()

    until(condition, look)


def begin(dispatcher: Dispatcher, run: Run) -> None:
    """Let a run be taken up, and train a little."""
    work_until(dispatcher, lambda: run.status["state"] == "running")
    work_until(dispatcher, gone_on(run))


def pid(run: Run) -> int:
    """The process that trains a run, or did."""
    number: int = run.status["process"]["pid"]
    return number


def is_working(number: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def serve_runs(home: Path) -> subprocess.Popen[bytes]:
    """``python -m gptcore serve-runs`` on a data folder; on one core where that can be had: it keeps fewer waiting."""
    with (home / "server.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gptcore", "serve-runs"],
            cwd=REPOSITORY,
            env=os.environ | {"GPTCORE_HOME": str(home)},
            stdout=log,
            stderr=log,
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(server.pid, {max(os.sched_getaffinity(0))})
    return server


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and bury it."""
    process.kill()
    process.wait()


def end_all_of(home: Path) -> None:
    """Kill every process that still works on a data folder, whoever started it."""
    for process in psutil.process_iter():
        try:
            its_home = process.environ().get("GPTCORE_HOME")
        except psutil.Error:  # somebody else's, or gone
            continue
        if its_home == str(home) and process.pid != os.getpid():
            process.kill()


def rest(children: list[Child]) -> None:
    """Leave to the next test those processes that are done with their run, and end the others."""
    for child in list(children):
        if child.ticket is not None and child.ticket.run.has_ended:
            child.ticket = None
        if child.ticket is not None or child.process.poll() is not None:
            children.remove(child)
            end(child.process)
            child.hang_up()


def serve_pages(home: Path, port: int) -> subprocess.Popen[bytes]:
    """A web server on a data folder, at once; it answers a little later."""
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "GPTCORE_DATA"}
    with (home / "server.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=environment | {"GPTCORE_HOME": str(home)}, stdout=log, stderr=log
        )


def answers(port: int) -> bool:
    """Whether a web server is there; asking opens no session."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=PATIENCE_SECONDS):
            return True
    except urllib.error.URLError:
        return False


def workers_of(server: subprocess.Popen[bytes]) -> list[int]:
    """The processes that a server has started to train."""
    return [child.pid for child in psutil.Process(server.pid).children() if "gptcore.runs.worker" in child.cmdline()]

"""How quickly a run begins, stops and comes back, and what it costs that somebody is there to start it.

Real processes throughout: a dispatcher in this process for what a click does, ``serve-runs`` in one of its own for what
a restart does. Medians of ``ROUNDS``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.kills import tally
from benchmarks.results import Row
from benchmarks.server import until
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.paths import REPOSITORY
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.requests import submit
from gptcore.runs.store import Run, RunStore

ROUNDS = 9
KILLS = 120
STUDENTS = 30
IDLE_RUNS, IDLE_SECONDS = 200, 20.0
SETTLE_SECONDS = 10  # until a dispatcher has its processes wait
SHORT = replace(TRAIN_PRESETS["class"], steps=20)
LONG = replace(TRAIN_PRESETS["class"], steps=100_000)


def _submit(store: RunStore, steps: int = SHORT.steps or 1, owner: str | None = None) -> Run:
    return submit(store, load_text(OWN_STORY), MODEL_PRESETS["class"], replace(SHORT, steps=steps), owner)


def _has_point(run: Run) -> bool:
    return bool(run.metrics()[0])


def _pid(run: Run) -> int:
    return int(run.status["process"]["pid"])


def first_point(store: RunStore) -> float:
    """From the request to the first line of metrics, checks and storing included; a warm process waits."""
    began = time.perf_counter()
    run = _submit(store)
    until(lambda: _has_point(run))
    seconds = time.perf_counter() - began
    until(lambda: run.has_ended)
    return seconds


def cancel(store: RunStore) -> float:
    """From the request to the state "cancelled", saved."""
    run = _submit(store, LONG.steps or 1)
    until(lambda: len(run.metrics()[0]) > 5)
    run.ask_to_stop()
    return until(lambda: run.has_ended)


def kill(store: RunStore) -> float:
    """From kill -9 of the training process to the next line of metrics, written by another process."""
    run = _submit(store, LONG.steps or 1)
    until(lambda: len(run.metrics()[0]) > 5)
    attempt = run.status["attempt"]
    psutil.Process(_pid(run)).kill()
    before = len(run.metrics()[0])
    seconds = until(lambda: run.status.get("attempt", 0) > attempt and 0 < len(run.metrics()[0]) != before)
    run.ask_to_stop()
    until(lambda: run.has_ended)
    return seconds


@contextmanager
def _serving(home: Path) -> Iterator[psutil.Popen]:
    command = [sys.executable, "-m", "gptcore", "serve-runs"]
    with psutil.Popen(
        command, cwd=REPOSITORY, env=os.environ | {"GPTCORE_HOME": str(home)}, stderr=subprocess.DEVNULL
    ) as process:
        yield process
        process.terminate()


def restart(home: Path) -> float:
    """Everything is killed; from the new start of the dispatcher's process to the next line of metrics."""
    store = RunStore(home / "runs")
    with _serving(home) as process:
        run = _submit(store, LONG.steps or 1)
        until(lambda: len(run.metrics()[0]) > 5)
        for member in [process, *process.children(recursive=True)]:
            member.kill()
    attempt, before = run.status["attempt"], len(run.metrics()[0])
    began = time.perf_counter()
    with _serving(home):
        until(lambda: run.status["attempt"] > attempt and 0 < len(run.metrics()[0]) != before)
        seconds = time.perf_counter() - began
        run.ask_to_stop()
        until(lambda: run.has_ended)
    return seconds


def idle(home: Path) -> float:
    """The share of a core that the dispatcher takes with many ended runs and nothing to do, in percent."""
    store = RunStore(home / "runs")
    for _ in range(IDLE_RUNS):
        store.create(load_text(OWN_STORY), MODEL_PRESETS["class"], SHORT).update_status(state="done")
    with _serving(home) as process:
        time.sleep(SETTLE_SECONDS)
        before = sum(process.cpu_times()[:2])
        time.sleep(IDLE_SECONDS)
        return 100 * (sum(process.cpu_times()[:2]) - before) / IDLE_SECONDS


def together(store: RunStore) -> float:
    """Thirty students submit at the same moment: until the last is told that the run is queued."""
    began = time.perf_counter()
    with ThreadPoolExecutor(STUDENTS) as pool:
        runs = list(pool.map(lambda number: _submit(store, owner=f"student {number}"), range(STUDENTS)))
    seconds = time.perf_counter() - began
    for run in runs:
        run.ask_to_stop()
    until(lambda: all(run.has_ended for run in runs))
    return seconds


def _median(measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    return statistics.median(measure() for _ in range(rounds))


def measure() -> list[Row]:
    """All of it, the class preset throughout."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        dispatcher = Dispatcher(home / "runs")
        dispatcher.start()
        time.sleep(SETTLE_SECONDS)
        store = dispatcher.store
        rows = [
            Row("request to first point, a process waits", _median(lambda: first_point(store)), "s", most=0.5),
            Row("cancel to cancelled and saved", _median(lambda: cancel(store)), "s", most=0.5),
            Row("kill -9 to next metric", _median(lambda: kill(store), rounds=5), "s", most=3.0),
            Row(f"{STUDENTS} submissions at one moment", together(store), "s"),
        ]
        dispatcher.close()
    with tempfile.TemporaryDirectory() as name:
        rows.append(Row("everything killed, restart to next metric", _median(lambda: restart(Path(name)), 3), "s"))
    with tempfile.TemporaryDirectory() as name:
        what = f"dispatcher with nothing to do, {IDLE_RUNS} old runs, of a core"
        rows.append(Row(what, idle(Path(name)), "%", most=1.0))
    with tempfile.TemporaryDirectory() as name:
        seen = tally(Path(name), KILLS)
        what = f"unreadable after {KILLS} kills, {seen['midway']} of them midway"
        rows.append(Row(what, len(seen["faults"]), "checkpoints", most=0))
    return rows

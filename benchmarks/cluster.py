"""What other machines cost and bring: two workers against one, a run there against a run here, and how faults end.

Real processes throughout, with certificates, all on this machine: what a network adds is not in these figures. Two
workers need two free cores to be twice as fast as one.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.lab import Lab
from benchmarks.server import until
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.machines import machines
from gptcore.runs.store import Run, RunStore

RUNS = 20
ROUNDS = 9
CLASS = replace(TRAIN_PRESETS["class"], threads=1)
LONG_STEPS = 100_000


def _add(store: RunStore, steps: int) -> Run:
    return store.create(load_text(OWN_STORY), MODEL_PRESETS["class"], replace(CLASS, steps=steps))


@contextmanager
def _here(root: Path) -> Iterator[RunStore]:
    """A dispatcher that trains on this machine, in one process that waits."""
    dispatcher = Dispatcher(root)
    dispatcher.most_warm = 1
    dispatcher.start()
    time.sleep(10)  # until the process waits
    yield dispatcher.store
    dispatcher.close()


@contextmanager
def _there(root: Path, lab: Lab, workers: int) -> Iterator[RunStore]:
    """A dispatcher that has so many workers."""
    for worker in lab.workers[workers:]:
        worker.process.kill()
        worker.process.wait()
    lab.fill(workers)
    os.environ.update(lab.environment)
    dispatcher = Dispatcher(root)
    dispatcher.start()
    until(lambda: sum(machine.slots for machine in machines(root)) == workers)
    time.sleep(10)  # until their processes wait
    yield dispatcher.store
    dispatcher.close()
    for name in lab.environment:
        del os.environ[name]


def many(store: RunStore) -> float:
    """Seconds for all runs of a class, queued at one moment."""
    runs = [_add(store, CLASS.steps or 1) for _ in range(RUNS)]
    seconds = until(lambda: all(run.has_ended for run in runs))
    if any(run.status["state"] != "done" for run in runs):
        raise RuntimeError("a run failed")
    return seconds


def one(store: RunStore) -> float:
    """From the request to the end of a run of some tenths of a second; median."""

    def measure() -> float:
        run = _add(store, steps=30)
        return until(lambda: run.has_ended)

    return statistics.median(measure() for _ in range(ROUNDS))


def _begun(store: RunStore) -> Run:
    run = _add(store, LONG_STEPS)
    until(lambda: len(run.metrics()[0]) > 20)
    return run


def cancel(store: RunStore) -> float:
    """From the request to the state "cancelled", with everything brought back."""
    run = _begun(store)
    run.ask_to_stop()
    return until(lambda: run.has_ended)


def _goes_on(run: Run, disturb: Callable[[], object]) -> float:
    """From a disturbance to the next line of metrics, from another attempt."""
    until((run.folder / "last.safetensors").exists)
    attempt = run.status["attempt"]
    disturb()
    began = time.perf_counter()
    until(lambda: run.status["attempt"] > attempt)
    before = len(run.metrics()[0])
    until(lambda: len(run.metrics()[0]) != before)
    seconds = time.perf_counter() - began
    run.ask_to_stop()
    until(lambda: run.has_ended)
    steps = [row["step"] for row in run.metrics()[0]]
    if steps != list(range(len(steps))):
        raise RuntimeError("a step is missing or there twice")
    return seconds


def kill_worker(store: RunStore, lab: Lab) -> float:
    """From kill -9 of the worker that has a run to the next line, from the other one."""
    run = _begun(store)
    return _goes_on(run, lab.host_of(run).process.kill)


def restart_scheduler(store: RunStore, lab: Lab) -> float:
    """From kill -9 of the scheduler, which is started again at once as its workers are, to the next line."""

    def disturb() -> None:
        lab.kill_scheduler()
        lab.start_scheduler()
        for worker in lab.workers:
            worker.process.wait()
        lab.fill(2)

    return _goes_on(_begun(store), disturb)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _here(folder / "here") as store:
            here = one(store)
        lab = Lab(folder)
        try:
            with _there(folder / "one", lab, 1) as store:
                there, alone = one(store), many(store)
            with _there(folder / "two", lab, 2) as store:
                pair = many(store)
                stopped, killed = cancel(store), kill_worker(store, lab)
            with _there(folder / "restart", lab, 2) as store:
                restarted = restart_scheduler(store, lab)
        finally:
            lab.close()
    rows: list[tuple[str, float, str]] = [
        (f"{RUNS} class runs on one worker, s", alone, ""),
        (f"{RUNS} class runs on two workers, s", pair, ""),
        ("one worker's time / two workers'", alone / pair, "1.8"),
        ("a short run here, s", here, ""),
        ("a short run there, more than here, s", there - here, "0.3"),
        ("cancel to cancelled, and all brought back, s", stopped, "2"),
        ("kill -9 of a worker to the next step elsewhere, s", killed, "5"),
        ("kill -9 and restart of scheduler and workers to the next step, s", restarted, "30"),
    ]
    print(f"other machines, all of them this one, the class preset, {psutil.cpu_count()} cores")
    print(f"{'':66} {'ours':>9} {'goal':>9}")
    for label, ours, goal in rows:
        print(f"{label:66} {ours:9.2f} {goal:>9}")


if __name__ == "__main__":
    main()

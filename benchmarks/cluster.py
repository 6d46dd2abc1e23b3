"""What other machines cost and bring: two workers against one, a run there against a run here, and how faults end.

Real processes throughout, with certificates, all on this machine: what a network adds is not in these figures. Seconds
are those of the clock on the wall. Two workers need two free cores to be twice as fast as one, so the table also says
who took how much of the cores meanwhile.

How to read it: ``measure`` is the order of events; ``many`` and ``one`` are what is compared. What is left out: many
runs that wait (``dispatching``), and machines that are unlike each other.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.lab import Lab
from benchmarks.results import Row
from benchmarks.server import until
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.machine import cores
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.machines import machines
from gptcore.runs.store import Run, RunStore

RUNS = 20
ROUNDS = 5
CLASS = replace(TRAIN_PRESETS["class"], threads=1)
SHORT_STEPS, LONG_STEPS = 30, 100_000
SELDOM_SECONDS = 0.1  # between two looks at a class: looking takes time from those who are looked at


class Class(NamedTuple):
    """What the runs of a class took.

    Attributes:
        seconds: Until all were done.
        taken: Seconds of one core that each kind of process worked meanwhile.
    """

    seconds: float
    taken: dict[str, float]

    def shares(self) -> str:
        """Who had how much of all cores."""
        whole = self.seconds * cores()
        shares = {name: seconds / whole for name, seconds in self.taken.items()}
        rest = {"idle or others'": max(0.0, 1 - sum(shares.values()))}
        return ", ".join(f"{name} {share:.1%}" for name, share in (shares | rest).items())


def _add(store: RunStore, steps: int) -> Run:
    return store.create(load_text(OWN_STORY), MODEL_PRESETS["class"], replace(CLASS, steps=steps))


def _done(runs: list[Run]) -> float:
    """Seconds until all runs have ended well."""
    seconds = until(lambda: all(run.has_ended for run in runs), SELDOM_SECONDS)
    if any(run.status["state"] != "done" for run in runs):
        raise RuntimeError("a run failed")
    return seconds


def _warm(store: RunStore, processes: int) -> None:
    """Have each process train once: all that is loaded when it is first used is there from then on."""
    _done([_add(store, SHORT_STEPS) for _ in range(processes)])


@contextmanager
def _here(root: Path) -> Iterator[RunStore]:
    """A dispatcher that trains on this machine, in one process that waits."""
    dispatcher = Dispatcher(root)
    dispatcher.most_warm = 1
    dispatcher.start()
    _warm(dispatcher.store, 1)
    yield dispatcher.store
    dispatcher.close()


@contextmanager
def _there(root: Path, lab: Lab, workers: int) -> Iterator[RunStore]:
    """A dispatcher that has so many workers."""
    lab.fill(workers)
    os.environ.update(lab.environment)
    dispatcher = Dispatcher(root)
    dispatcher.start()
    _meet(root, workers)
    _warm(dispatcher.store, workers)
    yield dispatcher.store
    dispatcher.close()
    for name in lab.environment:
        del os.environ[name]


def _meet(root: Path, workers: int) -> None:
    until(lambda: sum(machine.slots for machine in machines(root)) == workers)


def _taken(lab: Lab) -> dict[str, float]:
    """Seconds of one core so far, by kind of process; the dispatcher is a thread of this one."""
    workers = [psutil.Process(worker.process.pid) for worker in lab.workers]
    children = [child.cpu_times()[:2] for worker in workers for child in worker.children()]
    buried = [worker.cpu_times()[2:4] for worker in workers]  # children that made room for fresh ones
    taken = {"training": sum(map(sum, [*children, *buried])), "workers": sum(sum(w.cpu_times()[:2]) for w in workers)}
    if lab.scheduler is not None:
        taken["scheduler"] = sum(psutil.Process(lab.scheduler.pid).cpu_times()[:2])
    return taken | {"dispatcher": time.process_time()}


def many(store: RunStore, lab: Lab) -> Class:
    """All runs of a class, queued at one moment."""
    before = _taken(lab)
    seconds = _done([_add(store, CLASS.steps or 1) for _ in range(RUNS)])
    return Class(seconds, {name: taken - before[name] for name, taken in _taken(lab).items()})


def one(store: RunStore) -> float:
    """From the request to the end of a run of some tenths of a second; median."""

    def measure() -> float:
        run = _add(store, SHORT_STEPS)
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


def measure() -> list[Row]:
    """A class on one worker and on two, a short run here and there, and what goes wrong."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what is killed here is killed on purpose
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _here(folder / "here" / "runs") as store:
            here = one(store)
        lab = Lab(folder)
        try:
            with _there(folder / "one" / "runs", lab, 1) as store:
                there, alone = one(store), many(store, lab)
            with _there(folder / "two" / "runs", lab, 2) as store:
                pair = many(store, lab)
                stopped, killed = cancel(store), kill_worker(store, lab)
                lab.fill(2)
                _meet(store.root, 2)
                restarted = restart_scheduler(store, lab)
        finally:
            lab.close()
    each, beside = (found.taken["training"] / RUNS for found in (alone, pair))
    limit = f"of {cores()} cores: {pair.shares()}; a run takes {each:.2f} core-seconds, beside another {beside:.2f}"
    most = f"here {here:.2f} s, there {there:.2f} s"
    return [
        Row(
            f"{RUNS} class runs on two workers",
            pair.seconds,
            "s",
            alone.seconds,
            "one worker",
            1.8,
            limit=limit,
        ),
        Row("a short run on a worker, more than here", there - here, "s", most=0.3, limit=most),
        Row("cancel to cancelled, and all brought back", stopped, "s", most=2),
        Row("kill -9 of a worker to the next step elsewhere", killed, "s", most=5),
        Row("kill -9 and restart of scheduler and workers to the next step", restarted, "s", most=30),
    ]

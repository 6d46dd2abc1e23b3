"""What it costs the server to draw a page anew beside a run of two thousand updates: the pages that show whole runs.

One real server, one session, one real run (the class preset, longer). A moved control is asked for again and again; the
server's own processor time is what counts, because a class shares it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks import server
from benchmarks.student import Student
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.runs.store import RunStore
from gptcore.runs.worker import execute

UPDATES = 2_000
PAGES = ("training", "overfitting", "compare")
WARM, LOOKS = 5, 30
GOAL_MS = 60
SETTLE_SECONDS = 10  # until the server has its processes for runs ready


def _train(home: Path) -> str:
    """A real run of so many updates in the server's data folder; its id."""
    settings = replace(TRAIN_PRESETS["class"], steps=UPDATES, max_minutes=None)
    run = RunStore(home / "runs").create(load_text(OWN_STORY), MODEL_PRESETS["class"], settings)
    if execute(run) != "done":
        raise RuntimeError(f"the run to look at ended as {run.status}")
    return run.id


async def _look(port: int, page: str, run: str, process: psutil.Process) -> tuple[float, float]:
    """Milliseconds that a page takes to be drawn anew: of the server's processor, mean; of a student's, median."""
    async with Student(port, page, run) as student:
        for _ in range(WARM):
            await student.look_again()
        waited = []
        before = sum(process.cpu_times()[:2])
        for _ in range(LOOKS):
            began = time.perf_counter()
            await student.look_again()
            waited.append(time.perf_counter() - began)
        used = sum(process.cpu_times()[:2]) - before
        if student.faults:
            raise RuntimeError(f"{page} shows {student.faults}")
    return used / LOOKS * 1e3, statistics.median(waited) * 1e3


def main() -> None:
    """Print what each page costs."""
    with server.running() as running:
        run = _train(running.home)
        time.sleep(SETTLE_SECONDS)
        costs = {page: asyncio.run(_look(running.port, page, run, running.process)) for page in PAGES}
    print(f"a page drawn anew beside a run of {UPDATES:,} updates")
    print(f"{'':32} {'server ms':>10} {'waited ms':>10} {'goal':>6}")
    for page, (used, waited) in costs.items():
        print(f"{page:32} {used:10.1f} {waited:10.1f} {GOAL_MS:6}")

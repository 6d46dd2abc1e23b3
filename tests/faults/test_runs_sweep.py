"""A sweep through other machines: all of it comes back, and its best run is the one that its settings give alone."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.lab import Lab, end
from gptcore.corpora import OWN_STORY
from gptcore.paths import REPOSITORY
from gptcore.runs.store import Run, RunStore, create_run
from gptcore.runs.worker import execute
from tests.tiny import losses, until

TRIALS = 12
AXES = ["--vary", "lr=0.002,0.006,0.018", "--vary", "emb_dim=16,32,48,64"]
FLOAT32 = 1e-5  # nats: twenty updates in a row, summed in another order


def start_sweep(home: Path, lab: Lab, log: Path) -> subprocess.Popen[bytes]:
    """The command of the README, on a data folder of its own, with fewer updates."""
    command = [
        sys.executable,
        "-m",
        "gptcore",
        "sweep",
        "--text",
        OWN_STORY,
        *AXES,
        "--steps",
        "20",
        "--budget",
        "1000",
    ]
    environment = os.environ | lab.environment | {"GPTCORE_HOME": str(home)}
    with log.open("wb") as errors:
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=errors)


def test_a_sweep_of_twelve_runs_finishes_on_two_workers_and_its_best_is_reproduced_alone(
    lab: Lab, store: RunStore, tmp_path: Path
) -> None:
    lab.fill(2)
    seen: list[set[str]] = [set(), set()]  # the runs that each worker had

    def look() -> None:
        for runs, worker in zip(seen, lab.workers, strict=True):
            runs |= {guest.id.rpartition("-")[0] for guest in worker.guests()}

    sweep = start_sweep(store.root.parent, lab, tmp_path / "sweep.log")
    try:
        until(lambda: len(list(store)) == TRIALS or sweep.poll() is not None, look)
        until(lambda: sweep.poll() is not None, look)
        said = sweep.communicate()[0].decode()
    finally:
        end(sweep)
    assert sweep.returncode == 0, (tmp_path / "sweep.log").read_text()
    assert f"all is tried: {TRIALS} of {TRIALS} trials" in said

    runs = list(store)
    assert [(run.status["state"], run.status["attempt"]) for run in runs] == [("done", 1)] * TRIALS
    assert {run.status["process"]["machine"] for run in runs} == {platform.node()}
    assert all(seen)
    assert set.union(*seen) <= {run.id for run in runs}
    assert not set.intersection(*seen)

    named = re.search(r"^best: (.+)$", said, re.MULTILINE)
    assert named is not None
    best = Run(Path(named[1]))
    assert best in runs
    assert best.status["best"]["val_loss"] == min(run.status["best"]["val_loss"] for run in runs)
    alone = create_run(tmp_path / "alone", best.text, best.model_config, best.train_config)
    assert execute(alone) == "done"
    assert losses(alone) == pytest.approx(losses(best), abs=FLOAT32)
    assert alone.status["best"]["step"] == best.status["best"]["step"]
    assert alone.status["best"]["val_loss"] == pytest.approx(best.status["best"]["val_loss"], abs=FLOAT32)

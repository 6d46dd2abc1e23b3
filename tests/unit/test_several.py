"""One run in two real processes: the same losses as in one, and checkpoints that either can go on from."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest

from gptcore.batches import prepare
from gptcore.config import TrainConfig
from gptcore.corpora import OWN_STORY
from gptcore.device import CPU
from gptcore.paths import REPOSITORY
from gptcore.runs.store import Run, create_run
from gptcore.several import Together
from gptcore.training import new_state
from tests.tiny import FOREVER, MODEL, SETTINGS, STORY, until

STEPS = 50
TOLERANCE = 1e-5  # nats
CONSTANT = ["--min-lr", "5e-3"]  # a cosine would end elsewhere in half a run
SETUP = ["--text", OWN_STORY, "--preset", "class", "--eval-every", "10", "--sample-tokens", "4", *CONSTANT]
ENVIRONMENT = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def started(*arguments: str, processes: int) -> list[str]:
    """The command line, alone or as torchrun starts it; all processes talk over this machine's own network."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *(torchrun if processes > 1 else []), "-m", "gptcore", *arguments]


def command(*arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    start = started(*arguments, processes=processes)
    return subprocess.run(start, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def train(folder: Path, *arguments: str, processes: int = 1) -> Run:
    done = command("train", *SETUP, "--out", str(folder), *arguments, processes=processes)
    assert done.returncode == 0, done.stderr
    return Run(folder)


def losses(run: Run) -> dict[tuple[str, int], float]:
    """The losses of every step and of every tenth evaluation; each step is there once."""
    rows, _ = run.metrics()
    assert [row["step"] for row in rows] == list(range(STEPS))
    batches = {("batch", row["step"]): row["batch_loss"] for row in rows}
    return batches | {("validation", row["step"]): row["val_loss"] for row in rows if row["step"] % 10 == 0}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("alone") / "run", "--steps", str(STEPS))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("together") / "run", "--steps", str(STEPS), processes=2)


def assert_same(one: Run, other: Run) -> None:
    assert losses(other) == pytest.approx(losses(one), abs=TOLERANCE)


def test_two_processes_give_the_losses_of_one(alone: Run, together: Run) -> None:
    assert together.status["state"] == "done"
    assert_same(alone, together)
    assert losses(together) != losses(alone), "two sums of halves round differently, so two processes were at work"


def test_unequal_shares_and_a_tied_head_give_the_same_mean(tmp_path: Path) -> None:
    shape = replace(MODEL, tie_weights=True, qkv_bias=True, drop_rate=0.0)
    settings = replace(SETTINGS, batch_size=5, steps=STEPS, grad_clip=1.0, eval_every=10)
    runs = []
    for processes in (1, 2):
        run = create_run(tmp_path / str(processes), STORY, shape, settings)
        done = command("train", "--resume", str(run.folder), processes=processes)
        assert done.returncode == 0, done.stderr
        runs.append(run)
    assert_same(*runs)


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_a_run_goes_on_from_either_kind_of_checkpoint(alone: Run, tmp_path: Path, first: int, second: int) -> None:
    half = train(tmp_path / "run", "--steps", "25", processes=first)
    done = command("train", "--resume", str(half.folder), "--steps", str(STEPS), processes=second)
    assert done.returncode == 0, done.stderr
    assert_same(alone, half)


def test_a_run_that_is_cancelled_ends_in_all_processes_and_is_saved(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, FOREVER)
    with Popen(started("train", "--resume", str(run.folder), processes=2), cwd=REPOSITORY, env=ENVIRONMENT) as process:
        until(lambda: run.metrics()[0])
        run.ask_to_stop()
        process.wait(60)
    assert run.status["state"] == "cancelled"
    assert run.weights("last") is not None


def test_a_run_that_diverges_ends_in_all_processes_with_its_reason(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, lr=1e30))
    wild = command("train", "--resume", str(run.folder), processes=2)
    assert wild.returncode == 1
    assert "gptcore: diverged at step" in wild.stderr
    assert run.status["state"] == "failed"


def test_what_several_processes_cannot_do_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    team = Together(CPU, here=2)
    with pytest.raises(ValueError, match="batch_size=1 gives 2 processes no window each"):
        team.check(TrainConfig(batch_size=1))
    with pytest.raises(ValueError, match="follows the book"):
        team.check(TrainConfig(reference=True))
    with pytest.raises(ValueError, match="sampled_vocab draws for a whole batch"):
        team.check(TrainConfig(sampled_vocab=4))
    team.check(TrainConfig(batch_size=3))


def test_one_process_is_a_team_that_changes_nothing() -> None:
    state = new_state(MODEL, SETTINGS, prepare(STORY, MODEL, SETTINGS))
    assert (state.team.leads, state.team.size) == (True, 1)
    assert [state.team.agree(stop=stop) for stop in (True, False)] == [True, False]

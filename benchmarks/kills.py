"""How often does ``kill -9`` amid back-to-back checkpoints leave a run that can't go on? It should be never.

``python -m benchmarks.kills FOLDER KILLS`` saves checkpoints in a child process without pause, kills it at a random
moment, reads what it left, and starts over. The children are forked from one process that has PyTorch loaded, so that a
kill costs a fraction of a second. Linux and macOS only: Windows can't fork.

How to read it: ``kill_while_saving`` is one round, ``rounds`` all of them; ``tally`` runs them in a process of their
own, because a process that has threads should not be forked.

What is left out: power cuts. When a process is killed, the system still writes out what it was given.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn, TypedDict

import torch

from gptcore.batches import prepare
from gptcore.checkpoint import CheckpointError, load_state
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, find_text
from gptcore.paths import REPOSITORY
from gptcore.runs.checkpoints import remove_drafts
from gptcore.runs.journal import last_state, save_checkpoint
from gptcore.runs.store import Run, create_run
from gptcore.training import TrainingState, new_state, train

LONGEST_SAVES = 6.0  # a kill falls somewhere within the time of so many checkpoints
STEP_BYTES = 8


class Kill(NamedTuple):
    """What one kill left behind.

    Attributes:
        state: From which the run goes on; None where there is none.
        last: The step of last.safetensors.
        midway: Whether a checkpoint was being written when it came.
        fault: What can't be read, or is not what was saved; None where all is well.
    """

    state: TrainingState | None
    last: int
    midway: bool
    fault: str | None


class Tally(TypedDict):
    """How many kills there were, how many of them fell into a checkpoint, and what was wrong afterwards."""

    kills: int
    midway: int
    faults: list[str]


def _save_without_pause(run: Run, state: TrainingState, told: int) -> NoReturn:
    """Save checkpoint after checkpoint, and tell which are done, until killed."""
    try:
        while True:
            state.step += 1
            save_checkpoint(run, state)
            os.write(told, state.step.to_bytes(STEP_BYTES, "big"))
    finally:
        os._exit(1)  # a forked child must never return into what its parent was doing


def _fork_and_kill(run: Run, state: TrainingState, seconds: float) -> int:
    """The last checkpoint that a child said was done before it was killed; that of the state where it said nothing."""
    hear, tell = os.pipe()
    child = os.fork()
    if not child:
        _save_without_pause(run, state, tell)
    os.close(tell)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(hear, "rb") as pipe:
        said = pipe.read()
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError("the child that saves checkpoints died before it was killed")
    return int.from_bytes(said[-STEP_BYTES:], "big") if said else state.step


def kill_while_saving(run: Run, state: TrainingState, last: int, seconds: float) -> Kill:
    """Save checkpoints in a child process from where the state stands, kill it after some time, and look.

    Args:
        run: Whose folder is written.
        state: The newest checkpoint there.
        last: The step of last.safetensors, which may be one behind where the child before was killed.
        seconds: How long the child lives.
    """
    remove_drafts(run.folder)  # as every run does that goes on
    done = _fork_and_kill(run, state, seconds)
    last = done if done > state.step else last
    drafts = [*run.folder.rglob(".*.part"), *run.folder.rglob(".tmp*")]
    newest = last_state(run, state.data)
    if newest is None:
        return Kill(None, last, bool(drafts), "no checkpoint can be read")
    midway = bool(drafts) or newest.step > done
    try:
        step = load_state(run.folder / "last.safetensors", state.data).step
    except CheckpointError as error:
        return Kill(newest, last, midway, str(error))
    # The checkpoint under way may be there already. It gets its two names one after the other, "last" being the second.
    if newest.step in (done, done + 1) and last <= step <= newest.step:
        return Kill(newest, step, midway, None)
    return Kill(newest, step, midway, f"{done} was saved, but {newest.step} is the newest and {step} is the last")


def rounds(folder: Path, kills: int, seed: int = 123) -> Iterator[Kill]:
    """Begin a run of the class preset in an empty folder, and kill it while it saves, again and again."""
    torch.set_num_threads(1)
    text, shape = find_text(OWN_STORY), MODEL_PRESETS["class"]
    settings = replace(TRAIN_PRESETS["class"], steps=2)
    run = create_run(folder, text, shape, settings)
    state = new_state(shape, settings, prepare(text, shape, settings))
    for _ in train(state):  # so that the optimiser has something to remember
        pass
    began = time.perf_counter()
    save_checkpoint(run, state)
    longest = LONGEST_SAVES * (time.perf_counter() - began)
    draw, last = random.Random(seed), state.step
    for _ in range(kills):
        kill = kill_while_saving(run, state, last, draw.uniform(0, longest))
        yield kill
        if kill.state is None:
            return
        state, last = kill.state, kill.last


def tally(folder: Path, kills: int) -> Tally:
    """Kill so many times, in a process of its own; the folder must be empty, or not there yet."""
    command = [sys.executable, "-m", "benchmarks.kills", str(folder), str(kills)]
    result: Tally = json.loads(subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True).stdout)
    return result


def main() -> None:
    """Print the tally as JSON."""
    seen = list(rounds(Path(sys.argv[1]), int(sys.argv[2])))
    faults = [kill.fault for kill in seen if kill.fault]
    print(json.dumps(Tally(kills=len(seen), midway=sum(kill.midway for kill in seen), faults=faults)))


if __name__ == "__main__":
    main()

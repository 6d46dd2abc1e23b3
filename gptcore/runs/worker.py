"""The process that trains: it waits, is handed a run's folder, trains it to its end, and waits again.

It has PyTorch imported while it waits, so that a run begins at once. It trains one run at a time; if it dies, only that
run is lost, and goes on from its last checkpoint in another process.

How to read it: ``execute`` drives ``training.train`` and hands its records to the journal; ``assist`` is what the other
processes do where several train one run; ``main`` is what a child process starts; ``_Watch`` ends a process that
outgrows what was set aside for its run.

What is left out: when a run may start (``queue``), and how processes are started and buried (``dispatcher``).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import psutil
import torch
from filelock import Timeout

from gptcore.batches import prepare
from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.machine import MIB, check_memory, cores
from gptcore.records import DivergedError, Record, StoppedError
from gptcore.runs.journal import Journal, last_state
from gptcore.runs.processes import describe, is_gone
from gptcore.runs.queue import needs
from gptcore.runs.store import Run
from gptcore.several import Alone
from gptcore.training import TrainingState, new_state, train

LOGGER = logging.getLogger(__name__)
LOCK_SECONDS = 1.0  # whoever asks whether a run is alive holds its lock for an instant
WATCH_SECONDS = 0.5
SPARE_BYTES = 256 * MIB  # on top of one and a half times what the formula says
RETIRE_BYTES = 200 * MIB  # a process that has grown this much between two runs makes room for a fresh one
NICENESS = 10  # pages come before runs

_terminated = threading.Event()


class _End(NamedTuple):
    """How a run ends; whether it makes sense to go on with it later."""

    state: str
    reason: str | None = None
    can_go_on: bool = False


def begin(run: Run, team: Alone) -> TrainingState:
    """A run's state where this process computes: from its last checkpoint, or from the start.

    Raises:
        ValueError: The text or the settings can't be used; the message says why.
        MemoryError: The run can't fit this machine; nothing was allocated yet.
    """
    team.check(run.train_config)
    data = prepare(run.text, run.model_config, run.train_config)
    shape = replace(run.model_config, vocab_size=data.tokenizer.vocab_size)
    check_memory(needs(shape, run.train_config).memory, "this run")
    state = last_state(run, data) or new_state(run.model_config, run.train_config, data)
    _join(state, team)
    return state


def _join(state: TrainingState, team: Alone) -> None:
    """Bring a state to the device of this process."""
    state.team = team
    if team.device.type != "cpu":
        state.model.to(team.device)
        state.optimiser.load_state_dict(state.optimiser.state_dict())  # its memory follows the weights
        parts = (state.data.train_ids, state.data.validation_ids)
        train_ids, validation_ids = (ids.to(team.device) for ids in parts)
        state.data = replace(state.data, train_ids=train_ids, validation_ids=validation_ids)
    team.reseed(state.config.seed, state.step)


def _take_threads(run: Run, team: Alone) -> None:
    """As many as the run asks for, of this process's share of the cores."""
    share = max(1, cores() // team.here)
    torch.set_num_threads(min(run.train_config.threads or share, share))


def _why_stop(run: Run, minutes: float, limit: float | None) -> _End | None:
    """The state that a run is to end in before its time, and the reason; None as long as it may go on."""
    if run.was_asked_to_stop:
        return _End("cancelled")
    if _terminated.is_set():
        return _End("interrupted", "the program was stopped; the run goes on when it is started again")
    if limit is not None and minutes > limit:
        return _End("failed", f"stopped at its limit of {limit:g} minutes")
    return None


def execute(run: Run, watch: Callable[[Record, TrainingState], None] | None = None, team: Alone | None = None) -> str:
    """Train a run to its end, in this process.

    Args:
        run: A queued or interrupted run that no other process is training.
        watch: Called with every record, for a progress bar.
        team: The processes that train it, which this one leads; None for this one alone, on the processor.

    Returns:
        The state that the run ended in: "done", "cancelled", "interrupted" or "failed".

    Raises:
        Timeout: Another process is training this run.
        FileNotFoundError: The run's folder was deleted.
        OSError: The run's end could not be written.
    """
    team = team or Alone()
    with run.lock.acquire(timeout=LOCK_SECONDS):
        process, attempt = describe(psutil.Process()), run.status.get("attempt", 0) + 1
        run.update_status(state="running", reason=None, can_go_on=False, attempt=attempt, process=process)
        try:
            _take_threads(run, team)
            state = begin(run, team)
            journal = Journal(run, state)
            end = _train_and_file(journal, state, watch)
        except FileNotFoundError:
            if not run.exists:
                raise
            end = _failed(run, "a file of this run is gone")
        except (ValueError, OSError, MemoryError) as error:
            end = _failed(run, str(error) or type(error).__name__)
        except Exception as error:  # whatever it is, it has to be told to whoever watches
            LOGGER.exception("run %s failed", run.id)
            end = _failed(run, f"an error of the program: {type(error).__name__}: {error}"[:500])
        else:
            journal.end(**end._asdict(), step=state.step - 1, seconds=state.seconds)
    run.ring()
    return end.state


def _failed(run: Run, reason: str) -> _End:
    run.update_status(state="failed", reason=reason)
    return _End("failed")


def _train_and_file(
    journal: Journal, state: TrainingState, watch: Callable[[Record, TrainingState], None] | None
) -> _End:
    run = journal.run
    journal.note(
        total_steps=state.total_steps,
        batches_per_epoch=state.batches_per_epoch,
        keeps=journal.keeps,
        first_step=state.step,
    )
    began = time.perf_counter() - state.seconds
    resumable = journal.keeps == "all"

    def why_stop() -> _End | None:
        end = _why_stop(run, (time.perf_counter() - began) / 60, state.config.max_minutes)
        return end and end._replace(can_go_on=resumable)

    try:
        for record in train(state, lambda: why_stop() is not None):
            journal.file(record, state)
            journal.save_when_due(state)
            state.team.reseed(state.config.seed, state.step)
            if watch is not None:
                watch(record, state)
    except DivergedError as error:
        if all(bool(torch.isfinite(p).all()) for p in state.model.parameters()):
            journal.save(state)
        return _End("failed", str(error))
    except StoppedError:  # between two states that are whole: the last checkpoint is where the run goes on
        return why_stop() or _End("done")
    finally:
        state.team.dismiss()
    journal.save(state)
    return (state.step < state.total_steps and why_stop()) or _End("done")


def assist(run: Run, team: Alone) -> None:
    """Train a run along with the process that leads, which alone writes.

    Args:
        run: Its folder, reached under the same path on every machine.
        team: The processes, as this one sees them.

    Raises:
        ValueError: The text or the settings can't be used; the leader says so as well.
    """
    _take_threads(run, team)
    state = begin(run, team)
    records = train(state)
    with suppress(DivergedError):
        while next(records, None) is not None:
            team.reseed(state.config.seed, state.step)
    team.dismiss()


class _Watch(threading.Thread):
    """Looks at this process twice a second while it trains, and ends it when it holds more memory than it may.

    The system would end some process when memory runs out, perhaps the server. A run whose folder was deleted is ended
    as well: nobody could see it. So is one whose host is gone, where it has one: nobody would fetch what it writes.
    """

    def __init__(self, run: Run, host: dict[str, Any] | None = None) -> None:
        super().__init__(name="watch", daemon=True)
        self.run_watched = run
        self._host = host
        self._over = threading.Event()
        planned = run.config.get("plan", {}).get("memory", 0)
        self._most = psutil.Process().memory_info().rss + int(1.5 * planned) + SPARE_BYTES

    def run(self) -> None:
        """Look until the run is over."""
        while not self._over.wait(WATCH_SECONDS):
            if not self.run_watched.exists or (self._host is not None and is_gone(self._host)):
                _leave_at_once()
            held = psutil.Process().memory_info().rss
            if held > self._most:
                with suppress(OSError):
                    self.run_watched.update_status(
                        state="failed",
                        can_go_on=False,  # it would only grow again
                        reason=f"out of memory: it held {held // MIB:,} MiB of the {self._most // MIB:,} MiB set "
                        "aside for it; choose a smaller model, context or batch",
                    )
                _leave_at_once()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()


def _leave_at_once() -> NoReturn:
    os._exit(1)  # not sys.exit: the thread that trains would not notice


def _on_terminate(_signal: int, _frame: object) -> None:
    _terminated.set()
    if not _training.locked():
        sys.exit(0)


_training = threading.Lock()  # held while a run is trained: a signal then waits until its state is saved


def _warm_up() -> None:
    """Do all of a run once, in small: PyTorch loads parts of itself only when they are first used, for a second."""
    torch.set_num_threads(1)
    text = Text("warm-up", "warm-up", "The first of all steps takes longest. " * 9, "The")
    shape = GPTConfig(context_length=8, emb_dim=8, n_heads=1, n_layers=1)
    settings = TrainConfig(batch_size=1, steps=1, sample_tokens=1, compact_vocab=True)
    for _ in train(new_state(shape, settings, prepare(text, shape, settings))):
        pass


def main() -> int:
    """Train the runs whose folders arrive on standard input, one a line, until it is closed.

    An order may name a ``host``, a process without which the run makes no sense (see ``guest``).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the server, which ends its children in order
    signal.signal(signal.SIGTERM, _on_terminate)
    psutil.Process().nice(getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", NICENESS))  # Windows has classes instead
    _warm_up()
    fresh = psutil.Process().memory_info().rss
    for line in sys.stdin:
        order = json.loads(line)
        run = Run(Path(order["folder"]))
        logging.basicConfig(handlers=[logging.FileHandler(run.folder / "worker.log", delay=True)], force=True)
        try:
            with _training, _Watch(run, order.get("host")):
                execute(run)
        except (Timeout, FileNotFoundError):  # another process has it, or nobody wants it any more
            return 3
        except OSError:
            LOGGER.exception("the end of run %s is not written", run.id)
            return 1
        if _terminated.is_set() or psutil.Process().memory_info().rss > fresh + RETIRE_BYTES:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())

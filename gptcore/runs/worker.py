"""The process that trains one run and writes down what happens.

How to read it: ``execute`` drives ``training.train`` and files its records; ``main`` is what a child process starts.

What is left out: when a run may start (``queue``).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from gptcore.batches import TrainingData, prepare
from gptcore.checkpoint import CheckpointError, load_state, publish, save_state, save_weights
from gptcore.machine import check_memory
from gptcore.parameters import training_memory
from gptcore.runs.store import Run, read_lines
from gptcore.training import (
    DivergedError,
    Record,
    TrainingState,
    UntrainedRecord,
    new_state,
    train,
)

LOGGER = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 120.0
CHECKPOINTS_KEPT = 2
LOCK_SECONDS = 1.0  # whoever asks whether a run is alive holds its lock for an instant


class _Journal:
    """Appends records to the run's files, each line whole."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.best: float | None = run.status.get("best", {}).get("val_loss")

    def _append(self, name: str, row: dict[str, Any]) -> None:
        with (self.run.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def file(self, record: Record, state: TrainingState) -> None:
        """Write one record down; keep the weights when the validation loss is the best so far."""
        if record.sample is not None:
            self._append("samples.jsonl", asdict(record.sample))
        row = asdict(record)
        del row["sample"]
        if isinstance(record, UntrainedRecord):
            self.run.update_status(untrained=row)
            return
        self._append("metrics.jsonl", row)
        if record.train_loss is not None:
            self.run.update_status(step=record.step, seconds=record.seconds)
        if record.val_loss is not None and (self.best is None or record.val_loss < self.best):
            self.best = record.val_loss
            save_weights(self.run.folder / "best.safetensors", state.model, state.data.tokenizer)
            self.run.update_status(best={"step": record.step, "val_loss": record.val_loss})


def save_checkpoint(run: Run, state: TrainingState) -> None:
    """Save the whole state, call it the last one, and drop the oldest beyond two."""
    folder = run.folder / "checkpoints"
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{state.step:06d}.safetensors"
    save_state(path, state)
    draft = run.folder / f".last.{os.getpid()}.part"
    draft.unlink(missing_ok=True)
    try:
        os.link(path, draft)  # the same file under a second name: no second copy
    except OSError:  # a file system without such links
        shutil.copyfile(path, draft)
    publish(draft, run.folder / "last.safetensors")
    for old in sorted(folder.glob("step-*.safetensors"))[:-CHECKPOINTS_KEPT]:
        old.unlink()


def _cut_after(path: Path, step: int) -> None:
    """Drop the lines of steps that a resumed run will do again, and an unfinished last line."""
    rows, _ = read_lines(path)
    kept = [row for row in rows if step > 0 and row["step"] < step]
    draft = path.with_name(f".{path.name}.part")
    draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
    publish(draft, path)


def _last_whole_state(run: Run, data: TrainingData) -> TrainingState | None:
    """The newest checkpoint that is whole; a damaged one gives way to the one before."""
    for path in sorted((run.folder / "checkpoints").glob("step-*.safetensors"), reverse=True):
        try:
            return load_state(path, data, run.train_config)
        except CheckpointError as error:
            LOGGER.warning("%s; trying the checkpoint before", error)
    return None


def begin(run: Run) -> TrainingState:
    """A run's state: from its last checkpoint, or from the start.

    Raises:
        ValueError: The text or the settings can't be used; the message says why.
        MemoryError: The run can't fit this machine; nothing was allocated yet.
    """
    data = prepare(run.text, run.model_config, run.train_config)
    shape = replace(run.model_config, vocab_size=data.tokenizer.vocab_size)
    check_memory(sum(training_memory(shape, run.train_config.batch_size).values()), "this run")
    state = _last_whole_state(run, data) or new_state(run.model_config, run.train_config, data)
    for name in ("metrics.jsonl", "samples.jsonl"):
        _cut_after(run.folder / name, state.step)
    return state


def execute(run: Run, watch: Callable[[Record, TrainingState], None] | None = None) -> str:
    """Train a run to its end, in this process.

    Args:
        run: A queued or interrupted run that no other process is training.
        watch: Called with every record, for a progress bar.

    Returns:
        The state that the run ended in: "done", "cancelled" or "failed".

    Raises:
        Timeout: Another process is training this run.
    """
    with run.lock.acquire(timeout=LOCK_SECONDS):
        try:
            run.update_status(state="running", reason=None)
            if threads := run.train_config.threads:
                torch.set_num_threads(threads)
            state = begin(run)
            run.update_status(total_steps=state.total_steps, batches_per_epoch=state.batches_per_epoch)
            end = _train_and_file(run, state, watch)
            run.update_status(state=end, step=state.step - 1, seconds=state.seconds)
        except (DivergedError, ValueError, OSError, MemoryError) as error:
            end = "failed"
            run.update_status(state=end, reason=str(error) or type(error).__name__)
        return end


def _train_and_file(run: Run, state: TrainingState, watch: Callable[[Record, TrainingState], None] | None) -> str:
    journal = _Journal(run)
    saved = time.monotonic()
    end = "done"
    try:
        for record in train(state):
            journal.file(record, state)
            if watch is not None:
                watch(record, state)
            if run.was_asked_to_stop:
                end = "cancelled"
                break
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_checkpoint(run, state)
                saved = time.monotonic()
    except DivergedError:
        if all(bool(torch.isfinite(p).all()) for p in state.model.parameters()):
            save_checkpoint(run, state)
        raise
    save_checkpoint(run, state)
    return end


def main() -> int:
    """Train the run whose folder is the first argument; the exit code says whether it ended well."""
    run = Run(Path(sys.argv[1]))
    try:
        return 1 if execute(run) == "failed" else 0
    except Timeout:
        return 3


if __name__ == "__main__":
    sys.exit(main())

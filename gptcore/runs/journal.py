"""What a running process writes into its run's folder, and what it does when the disk refuses.

A run is worth more than its files: where a line or a checkpoint can't be written, the run goes on, the lines wait in
memory, and the status says since which step nothing was saved. As soon as there is room again everything is written.

How to read it: ``Journal.file`` writes one record down, ``Journal.save`` a checkpoint; ``last_state`` is the way back.
What is left out: what a checkpoint holds (``gptcore.checkpoint``).
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from gptcore.batches import TrainingData
from gptcore.checkpoint import CheckpointError, load_state, save_state, save_weights
from gptcore.parameters import training_disk
from gptcore.probes import choose_passages, is_due, probe, token_texts
from gptcore.records import Record, StepRecord, UntrainedRecord
from gptcore.runs.checkpoints import call_last, make_room, newest, remove_drafts
from gptcore.runs.files import append, cut_after
from gptcore.runs.queue import needs
from gptcore.runs.store import LINES, METRICS, PROBES, SAMPLES, Run
from gptcore.training import TrainingState

LOGGER = logging.getLogger(__name__)
RESERVE_BYTES = 64 * 2**10  # given up when the disk is full, so that the status can say so
CHECKPOINT_SHARE = 0.02  # of the time may go into checkpoints
CHECKPOINT_SECONDS = (5.0, 600.0)  # between two of them, at least and at most


class Journal:
    """Writes a run down, as far as the disk allows.

    Args:
        run: Its folder exists, and this process holds its lock.
        state: The run's state, at its beginning or as loaded.

    Attributes:
        keeps: "all" (best weights and checkpoints), "best" (weights alone: the run can't be resumed) or "nothing".
        unsaved_since: The step since which something could not be written; None where all is well.
    """

    def __init__(self, run: Run, state: TrainingState) -> None:
        self.run = run
        self.best: float | None = run.status.get("best", {}).get("val_loss")
        self.unsaved_since: int | None = None
        self._step = state.step - 1  # the last one that was reported
        self._saved_step = state.step or None
        self._waiting: dict[str, list[bytes]] = {name: [] for name in LINES}
        self._status: dict[str, Any] = {}
        self._saved, self._save_seconds = time.monotonic(), 0.0
        remove_drafts(run.folder)
        for name in LINES:
            cut_after(run.folder / name, state.step)
        T = state.model.config.context_length
        self._passages = choose_passages(state.data, T, state.config.stride or T)
        self.keeps = self._what_fits(state)
        self._reserve = run.folder / ".reserve"
        self._try(lambda: self._reserve.write_bytes(bytes(RESERVE_BYTES)))

    def _what_fits(self, state: TrainingState) -> str:
        weights = training_disk(state.model.config, state.config.optimiser)["best weights"]
        files = [path.stat() for path in self.run.folder.rglob("*") if path.is_file()]
        used = sum({each.st_ino: each.st_size for each in files}.values())  # one file may have two names
        free = shutil.disk_usage(self.run.folder).free + used
        if free >= needs(state.model.config, state.config).disk:
            return "all"
        return "best" if free >= 2 * weights + RESERVE_BYTES else "nothing"

    def _try(self, write: Callable[[], object]) -> bool:
        """Write something; a full or broken disk is noted, a folder that is gone ends the run."""
        try:
            write()
        except FileNotFoundError:
            raise
        except OSError as error:
            LOGGER.warning("%s: not saved at step %d: %s", self.run.id, self._step, error)
            if self.unsaved_since is None:
                self.unsaved_since = self._step
            return False
        return True

    def note(self, **changes: Any) -> None:
        """Change the status; what can't be written now is written with the next change."""
        self._status |= changes | {"unsaved_since": self.unsaved_since}
        if self._try(lambda: self.run.update_status(**self._status)):
            self._status = {}
        elif self._reserve.exists():
            self._reserve.unlink()
            self.note(unsaved_since=self.unsaved_since)

    def _append(self, name: str, row: dict[str, Any]) -> None:
        self._waiting[name].append(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")

    def _write_lines(self, name: str) -> None:
        """Append what waits for one file.

        Raises:
            OSError: Nothing was written.
        """
        append(self.run.folder / name, b"".join(self._waiting[name]))
        self._waiting[name].clear()

    def _flush(self) -> bool:
        """Write the lines that wait, as far as the disk lets it."""
        written = [self._try(partial(self._write_lines, name)) for name, lines in self._waiting.items() if lines]
        return all(written)

    def file(self, record: Record, state: TrainingState) -> None:
        """Write one record down; keep the weights when the validation loss is the best so far."""
        if not self.run.exists:
            raise FileNotFoundError(f"the folder of run {self.run.id} is gone")
        row = asdict(record)
        sample = row.pop("sample")
        if sample is not None:
            self._append(SAMPLES, sample)
        if isinstance(record, UntrainedRecord):
            self._append(PROBES, self._probe(-1, state) | {"passages": self._shown(state)})
            self._flush()
            self.note(untrained=row)
            return
        self._append(METRICS, row)
        if record.train_loss is not None and self._asks_at(record.step, state):
            self._append(PROBES, self._probe(record.step, state))
        self._step = record.step
        was_unsaved = self.unsaved_since
        if self._flush() and self.keeps != "all":
            self.unsaved_since = None
        changes = self._keep_best(record, state)
        if record.train_loss is not None or self.unsaved_since != was_unsaved:
            self.note(step=record.step, seconds=record.seconds, **changes)

    def _shown(self, state: TrainingState) -> list[dict[str, Any]]:
        tokenizer = state.data.tokenizer
        return [{"part": part, "tokens": token_texts(tokenizer, ids)} for part, ids in self._passages]

    def _probe(self, step: int, state: TrainingState) -> dict[str, Any]:
        return {"step": step, **probe(state.model, state.data.tokenizer, self._passages)}

    def _asks_at(self, step: int, state: TrainingState) -> bool:
        """Whether the model is asked about the passages at this evaluation; at the last one always."""
        last, every = state.total_steps - 1, state.config.eval_every
        return step == last or is_due(step // every, last // every + 1)

    def _keep_best(self, record: StepRecord, state: TrainingState) -> dict[str, Any]:
        """Save the weights when they are the best so far; what changes in the status."""
        if record.val_loss is None or (self.best is not None and record.val_loss >= self.best):
            return {}
        path = self.run.folder / "best.safetensors"
        save = partial(save_weights, path, state.model, state.data.tokenizer)
        if self.keeps != "nothing" and not self._try(save):
            return {}  # the next evaluation that beats what is on the disk tries again
        self.best = record.val_loss
        return {"best": {"step": record.step, "val_loss": record.val_loss}}

    def save_when_due(self, state: TrainingState) -> None:
        """Save a checkpoint now and then: the dearer the last one was, the later."""
        least, most = CHECKPOINT_SECONDS
        wait = min(max(least, self._save_seconds / CHECKPOINT_SHARE), most)
        if time.monotonic() - self._saved >= wait:
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Save a checkpoint, if this run keeps any; never one that is ahead of the lines."""
        if self.keeps != "all" or self._saved_step == state.step:
            return
        began, before = time.monotonic(), self.unsaved_since
        if self._flush() and self._try(lambda: save_checkpoint(self.run, state)):
            self.unsaved_since, self._saved_step = None, state.step
        if self.unsaved_since != before:
            self.note()
        self._saved = time.monotonic()
        self._save_seconds = self._saved - began

    def end(self, state: str, reason: str | None, **changes: Any) -> None:
        """Write down how the run ended, and give the reserve back.

        Raises:
            OSError: That could not be written: to everybody else the run has not ended.
        """
        self._flush()
        self.note(state=state, reason=reason, **changes)
        self._reserve.unlink(missing_ok=True)
        if self._status:
            raise OSError(f"the end of run {self.run.id} could not be written")


def save_checkpoint(run: Run, state: TrainingState) -> None:
    """Save the whole state and call it the last one; the one before is kept, older ones make room first.

    Raises:
        OSError: The disk is full, or can't be written; the checkpoints that were there are unharmed.
    """
    path = run.folder / "checkpoints" / f"step-{state.step:06d}.safetensors"
    make_room(run, path)
    save_state(path, state)
    call_last(run, path)


def last_state(run: Run, data: TrainingData) -> TrainingState | None:
    """The newest checkpoint that is whole; a damaged one gives way to the one before."""
    for path in newest(run):
        try:
            return load_state(path, data, run.train_config)
        except CheckpointError as error:
            LOGGER.warning("%s; trying the checkpoint before", error)
    return None

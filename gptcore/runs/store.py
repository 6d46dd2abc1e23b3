"""What a run is on disk: one folder, readable by anyone, the only truth there is.

    config.json     text, model, training, owner, number, plan: all it takes to do it again; its end may be moved, and
                    then it also says which settings held before (``stretches``)
    text.txt        the text itself
    status.json     state, step, best evaluation, reason of an end; written by whoever holds the lock
    metrics.jsonl   one line per update
    samples.jsonl   what the model said, step -1 being before any update
    probes.jsonl    what it made of two passages of the text, one of either part, at its evaluations
    checkpoints/    whole states to resume from; last.safetensors is the newest of them
    best.safetensors  the weights with the best validation loss
    cancel          exists once someone asked the run to stop
    lock            held by the process that trains; the system frees it when that process dies, however it dies

How to read it: ``Run`` is one folder, ``RunStore`` the folder of folders. A run is looked up by its id, never by a path
that someone typed. Beside the runs lies ``bell``: whoever adds a run, or asks one to stop, touches it, so that the
dispatcher need not look at every folder all the time.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gptcore.config import GPTConfig, TrainConfig, from_json, to_json
from gptcore.corpora import Text
from gptcore.machine import versions
from gptcore.runs import index, stretches, texts
from gptcore.runs.files import read_lines, replace_json

RUN_ID = re.compile(r"[a-z0-9]{16,32}")
ENDED = ("done", "failed", "cancelled")  # a queued or interrupted run goes on by itself
BELL = "bell"
METRICS, SAMPLES, PROBES = LINES = "metrics.jsonl", "samples.jsonl", "probes.jsonl"
PATIENCE_SECONDS = 10.0  # for another process that is adding a run, or looking whether one is alive


def owner_of(token: str) -> str:
    """The name under which the holder of a secret token owns runs: a hash, so that no file ever holds the token."""
    return hashlib.sha256(f"glassbox-owner {token}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Run:
    """One run, which is one folder; nothing is remembered here."""

    folder: Path

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def exists(self) -> bool:
        """Whether there is a run; its folder may be deleted at any time."""
        return (self.folder / "config.json").is_file()

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for, as written when the run was made."""
        config: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return config

    @property
    def model_config(self) -> GPTConfig:
        """The model's shape; with a compact vocabulary the text decides its size."""
        return from_json(GPTConfig, self.config["model"])

    @property
    def train_config(self) -> TrainConfig:
        """The run's settings."""
        return from_json(TrainConfig, self.config["training"])

    @property
    def text(self) -> Text:
        """The text that the run learns from."""
        return texts.read(self.folder, self.config["text"])

    @property
    def status(self) -> dict[str, Any]:
        """Where the run stands; "queued" until a worker says otherwise."""
        try:
            status: dict[str, Any] = json.loads((self.folder / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"state": "queued"}
        return status

    def update_status(self, **changes: Any) -> None:
        """Change some fields of the status; a reader sees the former status or the new one, never half.

        Whoever writes holds the run's lock, so that no two processes write at once.
        """
        replace_json(self.folder / "status.json", self.status | changes | {"updated": time.time()})

    def metrics(self, offset: int = 0, most: int = -1) -> tuple[list[dict[str, Any]], int]:
        """Metric rows from an offset on (see ``read_lines``)."""
        return read_lines(self.folder / "metrics.jsonl", offset, most)

    def samples(self) -> list[dict[str, Any]]:
        """All samples so far, in order."""
        return read_lines(self.folder / "samples.jsonl")[0]

    def probes(self) -> list[dict[str, Any]]:
        """What the model made of the two passages so far, in order; the first row names them (``gptcore.probes``)."""
        return read_lines(self.folder / "probes.jsonl")[0]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come unless someone asks for it."""
        return self.status["state"] in ENDED

    @property
    def lock(self) -> FileLock:
        """Held by the process that trains this run.

        Raises:
            FileNotFoundError: The run was deleted; to take its lock would bring the folder back.
        """
        if not self.exists:
            raise FileNotFoundError(f"the folder of run {self.id} is gone")
        return FileLock(self.folder / "lock")

    @property
    def is_alive(self) -> bool:
        """Whether a process is training this run now."""
        try:
            with self.lock.acquire(blocking=False):
                return False
        except FileNotFoundError:
            return False
        except Timeout:
            return True

    def ring(self) -> None:
        """Tell the dispatcher, where this run lies in a store, that something about it has changed."""
        bell = self.folder.parent / BELL
        if bell.exists():
            bell.touch()

    def ask_to_stop(self) -> None:
        """Ask the run to stop after its current step; asking twice is harmless."""
        (self.folder / "cancel").touch()
        self.ring()

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether someone asked the run to stop."""
        return (self.folder / "cancel").exists()

    def reopen(self, **training: Any) -> None:
        """Make an ended run ready to go on from its last checkpoint, with other settings where they are given.

        Raises:
            Timeout: A process is training it.
        """
        with self.lock.acquire(timeout=1):
            replace_json(self.folder / "config.json", stretches.moved(self.config, self.folder, training))
            (self.folder / "cancel").unlink(missing_ok=True)
            self.update_status(state="queued", reason=None, deaths=0)
        self.ring()

    def weights(self, which: str) -> Path | None:
        """The file of the "best" or "last" weights, where there is one."""
        path = self.folder / f"{which}.safetensors"
        return path if path.is_file() else None


def create_run(folder: Path, text: Text, model: GPTConfig, training: TrainConfig, **about: Any) -> Run:
    """Make a run's folder; nothing is trained yet.

    Args:
        folder: Must not exist yet, or be empty.
        text: What to learn from; a copy is kept with the run.
        model: The model's shape.
        training: The run's settings.
        about: What else config.json is to hold: owner, number, plan.

    Raises:
        FileExistsError: The folder already holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} already holds something; choose another folder, or go on with --resume")
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "text": texts.write(folder, text),
        "model": to_json(model),
        "training": to_json(training),
        "versions": versions(),
        "created": time.time(),
    }
    replace_json(folder / "config.json", config | about)
    return Run(folder)


class RunStore:
    """The folder that holds one folder per run.

    Args:
        root: Made when the first run is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def bell(self) -> Path:
        """The file that is touched when the dispatcher should look."""
        return self.root / BELL

    @property
    def lock(self) -> FileLock:
        """Held while runs are counted and one is added."""
        return FileLock(self.root / "submit.lock", timeout=PATIENCE_SECONDS)

    def create(
        self,
        text: Text,
        model: GPTConfig,
        training: TrainConfig,
        check: Callable[[], object] = lambda: None,
        run_id: str | None = None,
        **about: Any,
    ) -> Run:
        """A new queued run with an id that can't be guessed, and the next number in the queue; the bell rings.

        Args:
            text: As for ``create_run``.
            model: As for ``create_run``.
            training: As for ``create_run``.
            check: Called while nobody else can add a run; what it raises keeps this one out.
            run_id: Such an id, where somebody expects the run under it.
            about: As for ``create_run``.

        Raises:
            OSError: The folder can't be written, or the disk is full; what was begun is removed.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        folder = self.root / (run_id or secrets.token_hex(8))
        try:
            with self.lock:
                check()
                last = index.last_number(self.root) or max((number for number, _, _ in self._numbered()), default=0)
                run = create_run(folder, text, model, training, number=last + 1, **about)
                index.note_number(self.root, last + 1)
            self.bell.touch()
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return run

    def delete(self, run: Run) -> None:
        """Remove a run for good. Its folder leaves the list first, so that nobody meets half of it.

        Raises:
            Timeout: A process is training it: cancel it first.
        """
        hidden = self.root / f".deleted-{run.id}"
        with run.lock.acquire(timeout=1):
            (run.folder / "config.json").unlink()  # from here on it is no run, so no process will take it up
        run.folder.replace(hidden)
        shutil.rmtree(hidden, ignore_errors=True)

    def whole(self, run_id: str | None = None, owner: str | None = None) -> Iterator[Run]:
        """The runs, or those with this id or owner, in no order; a folder without config.json is being made, or none.

        Whose a run is, is remembered: folders of others are not looked into again.
        """
        paths = self.root.iterdir() if self.root.is_dir() else ()
        named = (path for path in paths if RUN_ID.fullmatch(path.name) and run_id in (None, path.name))
        meant = (path for path in named if owner is None or owner == index.owner_in(self.root, path.name))
        yield from (run for run in map(Run, meant) if not run.folder.is_symlink() and run.exists)

    def _numbered(self) -> Iterator[tuple[int, float, Run]]:
        """Number and date of each run; one whose config can't be read is left out, and stands in nobody's way."""
        for run in self.whole():
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
                config = run.config
                yield int(config.get("number", 0)), float(config["created"]), run

    def __iter__(self) -> Iterator[Run]:
        """All whole runs, the first submitted first."""
        yield from (run for _, _, run in sorted(self._numbered(), key=lambda each: each[:2]))

    def find(self, run_id: str) -> Run | None:
        """The run with this id, or None: an id is compared with what is there, never joined to a path."""
        return next(self.whole(run_id), None)

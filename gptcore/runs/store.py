"""What a run is on disk: one folder, readable by anyone, the only truth there is.

    config.json     text, model, training, versions: all it takes to do it again
    text.txt        the text itself
    status.json     state, step, best evaluation, reason of an end
    metrics.jsonl   one line per update
    samples.jsonl   what the model said, step -1 being before any update
    checkpoints/    whole states to resume from; last.safetensors is the newest of them
    best.safetensors  the weights with the best validation loss
    cancel          exists once someone asked the run to stop

How to read it: ``Run`` is one folder, ``RunStore`` the folder of folders. A run is looked up by its id, never by a path
that someone typed.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gptcore.config import GPTConfig, TrainConfig, from_json, to_json
from gptcore.corpora import Text

RUN_ID = re.compile(r"[a-z0-9]{16,32}")
ENDED = ("done", "failed", "cancelled", "interrupted")


def _replace_json(path: Path, value: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.write_text(json.dumps(value, indent=1), encoding="utf-8")
    draft.replace(path)


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The JSON lines of a file from an offset on; an unfinished last line is left for next time.

    Returns:
        The rows, and the offset from which to go on.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            raw = file.read()
    except FileNotFoundError:
        return [], offset
    whole = raw[: raw.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if line.strip()], offset + len(whole)


@dataclass(frozen=True, slots=True)
class Run:
    """One run, which is one folder; nothing is remembered here."""

    folder: Path

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

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
        about = self.config["text"]
        # newline="": a lone carriage return in a student's text stays one
        with (self.folder / "text.txt").open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            return Text(about["key"], about["title"], file.read(), about["prompt"])

    @property
    def status(self) -> dict[str, Any]:
        """Where the run stands; "queued" until a worker says otherwise."""
        try:
            status: dict[str, Any] = json.loads((self.folder / "status.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"state": "queued"}
        return status

    def update_status(self, **changes: Any) -> None:
        """Change some fields of the status; a reader sees the former status or the new one, never half."""
        _replace_json(self.folder / "status.json", self.status | changes | {"updated": time.time()})

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Metric rows from an offset on (see ``read_lines``)."""
        return read_lines(self.folder / "metrics.jsonl", offset)

    def samples(self) -> list[dict[str, Any]]:
        """All samples so far, in order."""
        return read_lines(self.folder / "samples.jsonl")[0]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status["state"] in ENDED

    @property
    def lock(self) -> FileLock:
        """Held by the process that trains; the system frees it when that process dies, however it dies."""
        return FileLock(self.folder / "lock")

    @property
    def is_alive(self) -> bool:
        """Whether a process is training this run now."""
        try:
            with self.lock.acquire(blocking=False):
                return False
        except Timeout:
            return True

    def ask_to_stop(self) -> None:
        """Ask the run to stop after its current step; asking twice is harmless."""
        (self.folder / "cancel").touch()

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether someone asked the run to stop."""
        return (self.folder / "cancel").exists()

    def reopen(self, **training: Any) -> None:
        """Make an ended run ready to go on from its last checkpoint, with other settings where they are given."""
        config = self.config
        config["training"] = to_json(replace(self.train_config, **training))
        _replace_json(self.folder / "config.json", config)
        (self.folder / "cancel").unlink(missing_ok=True)
        self.update_status(state="queued", reason=None)

    def weights(self, which: str) -> Path | None:
        """The file of the "best" or "last" weights, where there is one."""
        path = self.folder / f"{which}.safetensors"
        return path if path.is_file() else None


def create_run(folder: Path, text: Text, model: GPTConfig, training: TrainConfig) -> Run:
    """Make a run's folder; nothing is trained yet.

    Args:
        folder: Must not exist yet, or be empty.
        text: What to learn from; a copy is kept with the run.
        model: The model's shape.
        training: The run's settings.

    Raises:
        FileExistsError: The folder already holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} already holds something; choose another folder, or go on with --resume")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "text.txt").open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        file.write(text.text)
    config = {
        "text": {"key": text.key, "title": text.title, "prompt": text.prompt, "sha256": text.sha256},
        "model": to_json(model),
        "training": to_json(training),
        "versions": {"python": platform.python_version(), "torch": version("torch"), "machine": platform.machine()},
        "created": time.time(),
    }
    _replace_json(folder / "config.json", config)
    return Run(folder)


class RunStore:
    """The folder that holds one folder per run.

    Args:
        root: Made when the first run is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, text: Text, model: GPTConfig, training: TrainConfig) -> Run:
        """A new queued run with an id that can't be guessed."""
        return create_run(self.root / secrets.token_hex(8), text, model, training)

    def _whole(self) -> Iterator[Run]:
        """The runs in no order; a folder without config.json is being made, or is none of ours."""
        if self.root.is_dir():
            runs = (Run(path) for path in self.root.iterdir() if RUN_ID.fullmatch(path.name) and not path.is_symlink())
            yield from (run for run in runs if (run.folder / "config.json").is_file())

    def __iter__(self) -> Iterator[Run]:
        """All whole runs, the oldest first."""
        yield from sorted(self._whole(), key=lambda run: (run.config["created"], run.id))

    def find(self, run_id: str) -> Run | None:
        """The run with this id, or None: an id is compared with what is there, never joined to a path."""
        return next((run for run in self._whole() if run.id == run_id), None)

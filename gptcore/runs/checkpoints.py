"""The checkpoints in a run's folder, as files: which are kept, which is the last, what is left of unfinished ones.

Nothing here knows what a checkpoint holds (``gptcore.checkpoint``), so nothing here needs PyTorch: they are written by
whoever trains, and by the courier who brings them from another machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from gptcore.durable import publish, twin
from gptcore.runs.store import Run

PATTERN = "step-*.safetensors"


def newest(run: Run) -> list[Path]:
    """The checkpoints that there are, the newest first."""
    return sorted((run.folder / "checkpoints").glob(PATTERN), reverse=True)


def make_room(run: Run, path: Path) -> None:
    """Before a checkpoint is written: keep the one before it, and no more."""
    path.parent.mkdir(exist_ok=True)
    for old in [other for other in newest(run) if other != path][1:]:
        old.unlink()


def call_last(run: Run, path: Path) -> None:
    """Give a checkpoint that is written its second name, ``last.safetensors``."""
    draft = run.folder / f".last.{os.getpid()}.part"
    twin(path, draft)
    publish(draft, run.folder / "last.safetensors")


def remove_drafts(folder: Path) -> None:
    """Remove what a process left behind that was killed while it wrote; ``.tmp`` is how safetensors calls its own."""
    for pattern in (".*.part", ".tmp*"):
        for draft in folder.rglob(pattern):
            draft.unlink(missing_ok=True)

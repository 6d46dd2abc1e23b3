"""Files that are there whole or not at all, whatever happens while they are written.

How to read it: write a draft beside the file, then ``publish`` it. What is left out: what the files hold.
"""

from __future__ import annotations

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Make sure that a file's content, or a folder's list of names, is on the disk and not only on its way."""
    if path.is_dir() and os.name == "nt":  # Windows has no such call for folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(draft: Path, path: Path) -> None:
    """Give a finished draft its name, so that at every instant the former file or the new one is there, whole."""
    fsync(draft)
    draft.replace(path)
    fsync(path.parent)

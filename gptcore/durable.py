"""Files that are there whole or not at all, whatever happens while they are written.

How to read it: write a draft beside the file, then ``publish`` it. What is left out: what the files hold.
"""

from __future__ import annotations

import os
import shutil
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


def twin(path: Path, draft: Path) -> None:
    """Give a file, which nobody changes in place, a second name; a copy where it can't have one."""
    draft.unlink(missing_ok=True)
    try:
        os.link(path, draft)
    except OSError:  # a file system without such links, or another disk
        shutil.copyfile(path, draft)


def publish(draft: Path, path: Path) -> None:
    """Give a finished draft its name, so that at every instant the former file or the new one is there, whole."""
    fsync(draft)
    draft.replace(path)
    fsync(path.parent)

"""Two kinds of file that one process writes while others read: those replaced whole, and lines that are appended."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

Stamp = tuple[int, int]  # of a file that is replaced whole: size and time of change


def stamp_of(found: os.stat_result) -> Stamp:
    """What tells a file from the one that takes its place."""
    return found.st_size, found.st_mtime_ns


def replace_json(path: Path, value: Any) -> None:
    """Write a file of JSON; a reader finds the former one or the new one, never half."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        draft.write_text(json.dumps(value, indent=1), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_lines(path: Path, offset: int = 0, most: int = -1) -> tuple[list[dict[str, Any]], int]:
    """The JSON lines of a file from an offset on; an unfinished last line is left for next time.

    Where no line ends at the offset, the file was cut because its run went back to a checkpoint: it is read anew.

    Args:
        path: The file; it need not be there.
        offset: Where the last look ended.
        most: Bytes to read at once, for whoever comes again for the rest; longer than any line.

    Returns:
        The rows, and the offset from which to go on.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, offset - 1))
            if offset and file.read(1) != b"\n":
                offset = file.seek(0)
            raw = file.read(most)
    except FileNotFoundError:
        return [], 0
    whole = raw[: raw.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if line.strip()], offset + len(whole)


def whole_lines(path: Path, offset: int, most: int) -> bytes:
    """The lines of a file from an offset on, as they are; none that is unfinished, or of a file that is not there."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            piece = file.read(most)
    except FileNotFoundError:
        return b""
    return piece[: piece.rfind(b"\n") + 1]


def append(path: Path, lines: bytes) -> None:
    """Append whole lines to a file that may not be there yet; where that fails, nothing of them is kept.

    Raises:
        OSError: Nothing was written.
    """
    with path.open("r+b" if path.exists() else "xb", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError:
            file.truncate(end)
            raise


def cut_after(path: Path, step: int) -> None:
    """Drop the lines of steps that a resumed run will do again, and an unfinished last line."""
    if not path.exists():
        return
    end = 0
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n") or json.loads(line)["step"] >= step or step == 0:
                break
            end += len(line)
    os.truncate(path, end)

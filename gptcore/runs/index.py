"""What nobody should look for in thousands of folders while others wait: the last number, and whose each run is.

Both follow from the folders and are safe to lose: the number stands in a file beside them, and an owner, who is written
down once and for good, is remembered by this process.

How to read it: ``last_number`` and ``note_number`` are the file, ``owner_in`` is the memory. What is left out: the
lock under which both are asked (``store``).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from gptcore.runs.files import replace_json

FILE = "last_number.json"
MOST_REMEMBERED = 2**16


def last_number(root: Path) -> int:
    """The number of the run that came last; 0 where no file says so, or none that can be read."""
    try:
        return int(json.loads((root / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, OverflowError):
        return 0


def note_number(root: Path, number: int) -> None:
    """Write down the number of the run that came last.

    Raises:
        OSError: The folder can't be written, or the disk is full.
    """
    replace_json(root / FILE, number)


def owner_in(root: Path, run_id: str) -> str | None:
    """Who owns a run; None where nobody does, or nothing that can be read says so."""
    try:
        return _owner_in(str(root), run_id)
    except (OSError, ValueError, TypeError, AttributeError):  # not remembered: it may be whole at the next look
        return None


@lru_cache(maxsize=MOST_REMEMBERED)
def _owner_in(root: str, run_id: str) -> str | None:
    owner: str | None = json.loads(Path(root, run_id, "config.json").read_text(encoding="utf-8")).get("owner")
    return owner

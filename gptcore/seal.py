"""What a class keeps of its challenge: its terms, who stood how when the seal was opened, and the scores since.

How to read it: ``Challenge`` is two files in the class's folder, so that neither a restart nor a second look counts
anything anew; ``Held`` is what the first of them says.

What is left out: who may begin a challenge and open its seal (the page), and what it is about (``challenge``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from gptcore.challenge import Score, Standings, Terms, Tried
from gptcore.classroom import PATIENCE_SECONDS
from gptcore.runs.files import replace_json


@dataclass(frozen=True, slots=True)
class Held:
    """A challenge as it stands in its file.

    Attributes:
        terms: What its runs have in common.
        opened: How it stood when the seal was opened; None while it is closed.
    """

    terms: Terms
    opened: Standings | None

    @property
    def is_sealed(self) -> bool:
        """Whether nobody has opened it yet."""
        return self.opened is None

    @property
    def tried(self) -> list[Tried]:
        """The runs that count, once the seal is open."""
        return [] if self.opened is None else self.opened.tried


def _read(opened: dict[str, Any] | None) -> Standings | None:
    if opened is None:
        return None
    return Standings(**{**opened, "tried": [Tried(*row) for row in opened["tried"]]})


class Challenge:
    """The challenge of a class; another class has none of it.

    Args:
        folder: The class's.
        key: The class's: a challenge of a former class is over.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.file, self.scores_file = folder / "challenge.json", folder / "scores.json"

    @property
    def _lock(self) -> FileLock:
        return FileLock(self.folder / "challenge.lock", timeout=PATIENCE_SECONDS)

    @property
    def scoring(self) -> FileLock:
        """Held by whoever scores: one at a time."""
        return FileLock(self.folder / "scoring.lock", timeout=0)

    def held(self) -> Held | None:
        """The challenge that is on, or whose seal is open; None where there is none, or it can't be read."""
        try:
            written = json.loads(self.file.read_text(encoding="utf-8"))
            if not self.key or written["class"] != self.key:
                return None
            return Held(Terms(**written["terms"]), _read(written["opened"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, terms: Terms) -> None:
        """Begin a challenge; a former one and its scores are gone.

        Raises:
            ValueError: There is no class to hold it.
            OSError: The file can't be written.
        """
        if not self.key:
            raise ValueError("a challenge needs a class: begin one first")
        with self._lock:
            self.scores_file.unlink(missing_ok=True)
            self._write(terms, None)

    def open(self, now: Standings) -> None:
        """Open the seal, once: these runs count, with the validation loss that they have ended with.

        Raises:
            ValueError: There is no seal to open, or no run that counts.
            OSError: The file can't be written.
        """
        with self._lock:
            held = self.held()
            if held is None or not held.is_sealed:
                raise ValueError("there is no seal to open: it is open already, or another challenge has begun")
            if not now.tried:
                raise ValueError("no run that has ended counts yet, so the seal stays closed")
            self._write(held.terms, now._asdict())

    def _write(self, terms: Terms, opened: dict[str, Any] | None) -> None:
        replace_json(self.file, {"class": self.key, "terms": terms._asdict(), "opened": opened})

    def scores(self) -> dict[str, Score]:
        """What was scored so far, by run."""
        try:
            rows: list[Mapping[str, Any]] = json.loads(self.scores_file.read_text(encoding="utf-8"))
            found = [Score(**{**row, "blocks": tuple(row["blocks"])}) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {score.run: score for score in found}

    def add(self, score: Score) -> None:
        """Keep one more score; whoever adds one holds ``scoring``.

        Raises:
            OSError: The file can't be written.
        """
        replace_json(self.scores_file, [each._asdict() for each in (self.scores() | {score.run: score}).values()])

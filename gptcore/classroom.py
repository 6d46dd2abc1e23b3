"""A class at its board: who sits in it, and what the newest run of each is doing.

How to read it: ``Register`` is one file of seats, without names unless somebody gives a nickname; ``board`` reads the
runs' folders and makes a row a person. A person goes by the hashes that own runs (``store.owner_of``), so the file
tells nobody who sat there.

What is left out: who may look and what is drawn (the page), and how runs get their turns (``runs.queue``).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from gptcore.runs import queue
from gptcore.runs.files import replace_json
from gptcore.runs.store import Run, RunStore

MOST_SHOWN = 60  # people on the board
MOST_MEMBERS = 200  # seats in the file: a link that got about must not let it grow for ever
MOST_NAMES = 33  # hashes that one person goes by: 32 that a browser may keep, and that of a visit still to be kept
NICKNAME_SIGNS = 24
PATIENCE_SECONDS = 5.0


class Member(NamedTuple):
    """Somebody in the class.

    Attributes:
        seat: From 1, in the order in which they came.
        names: Hashes under which runs are owned; those of the last visit to the class stand last.
        nickname: As typed, cut; may be empty.
    """

    seat: int
    names: tuple[str, ...]
    nickname: str = ""

    @property
    def label(self) -> str:
        """How this person is called on the board; the number stays, so that nobody passes for another.

        >>> Member(7, ()).label, Member(7, (), "Ada").label
        ('Student 7', 'Ada (7)')
        """
        return f"{self.nickname} ({self.seat})" if self.nickname else f"Student {self.seat}"


def tidy(nickname: str) -> str:
    r"""A nickname as it is kept: one line of signs that can be seen, cut.

    >>> tidy("  Ada\n Lovelace, Countess of Lovelace "), tidy("\u202eevil")
    ('Ada Lovelace, Countess o', 'evil')
    """
    seen = "".join(sign if sign.isprintable() else " " * sign.isspace() for sign in nickname)
    return " ".join(seen.split())[:NICKNAME_SIGNS].strip()


class Register:
    """One class: its key, which its link holds, and its seats; a folder with two files.

    Args:
        folder: Made when a class begins.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def file(self) -> Path:
        """The seats."""
        return self.folder / "seats.json"

    @property
    def key(self) -> str:
        """What the link to this class holds, unguessable; empty where no class has begun."""
        return self._noted("key")

    def begin(self) -> None:
        """Begin a class: a new link, and empty seats. Who came by the former link is no member any more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self.file.unlink(missing_ok=True)
            (self.folder / "shown").unlink(missing_ok=True)
            self._note("key", secrets.token_hex(8))

    @property
    def shown(self) -> str:
        """Id of the run that the teacher shows to the class; empty where there is none."""
        return self._noted("shown")

    def show(self, run_id: str) -> None:
        """Show a run to the class: every screen that follows goes there.

        Raises:
            OSError: The file can't be written.
        """
        self._note("shown", run_id)

    def _noted(self, name: str) -> str:
        """One line in a file of its own; empty where there is none."""
        try:
            return (self.folder / name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""

    def _note(self, name: str, line: str) -> None:
        draft = self.folder / f".{name}.part"
        draft.write_text(line, encoding="ascii")
        draft.replace(self.folder / name)

    @property
    def _lock(self) -> FileLock:
        return FileLock(self.folder / "lock", timeout=PATIENCE_SECONDS)

    def members(self) -> list[Member]:
        """Everybody, by seat; nobody where the file is missing or can't be read."""
        try:
            rows: list[dict[str, Any]] = json.loads(self.file.read_text(encoding="utf-8"))
            return [Member(row["seat"], tuple(row["names"]), row["nickname"]) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def find(self, names: Iterable[str]) -> Member | None:
        """Who goes by one of these names."""
        wanted = set(names)
        return next((member for member in self.members() if wanted & set(member.names)), None)

    def join(self, names: Sequence[str], nickname: str | None = None) -> Member:
        """Sit down, or come back; whoever turns out to hold two seats keeps the first.

        Args:
            names: All hashes that this person goes by now.
            nickname: A new one; empty to have none any more, None to leave it as it is.

        Raises:
            ValueError: Every seat is taken.
            OSError: The file can't be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            before = self.members()
            same = [member for member in before if set(names) & set(member.names)]
            if not same and len(before) >= MOST_MEMBERS:
                raise ValueError(f"all {MOST_MEMBERS} seats of this class are taken")
            former = dict.fromkeys(name for member in same for name in member.names if name not in names)
            called = next((member.nickname for member in same if member.nickname), "")
            me = Member(
                same[0].seat if same else 1 + max((member.seat for member in before), default=0),
                (*former, *names)[-MOST_NAMES:],  # those of visits that are over fall out, never the browser's own
                called if nickname is None else tidy(nickname),
            )
            after = sorted([*(member for member in before if member not in same), me])
            if after != before:
                replace_json(self.file, [member._asdict() for member in after])
        return me


@dataclass(frozen=True, slots=True)
class Row:
    """One person's newest run.

    Attributes:
        label: How the person is called.
        run: The run.
        state: As its status says; "stopping" once somebody has asked it to stop.
        text: The title of what it learns from: somebody's own words, perhaps.
        model: Its shape in words.
        done: Updates done.
        steps: Updates in all, where that is known.
        best: The best validation loss so far, in nats a token.
        waits: Its place in the queue.
    """

    label: str
    run: Run
    state: str
    text: str
    model: str
    done: int
    steps: int | None
    best: float | None
    waits: queue.Place | None

    @property
    def is_live(self) -> bool:
        """Whether it can be asked to stop."""
        return self.state in ("running", *queue.WAITING)


Seen = tuple[Run, dict[str, Any], dict[str, Any]]


def board(store: RunStore, members: Sequence[Member], *, guests: bool = False) -> tuple[list[Row], int]:
    """A row for each person who has a run, by seat, and how many more there are than can be shown.

    Args:
        store: All runs of this server.
        members: Who is in the class.
        guests: Whether those who are not are shown, too, after the others.
    """
    labels = {name: member.label for member in members for name in member.names}
    order = {member.label: member.seat for member in members}
    known = len(labels)
    newest: dict[str, Seen] = {}
    for run, config, status in in_order(store):
        owner = config.get("owner") or run.id
        if owner not in labels:
            if not guests:
                continue
            labels[owner] = f"Guest {1 + len(labels) - known}"
        newest[labels[owner]] = run, config, status
    ordered = sorted(newest, key=lambda label: order.get(label, MOST_MEMBERS + len(order)))
    places = queue.places(store)
    rows = [_row(label, *newest[label], places) for label in ordered[:MOST_SHOWN]]
    return rows, len(ordered) - len(rows)


def in_order(store: RunStore) -> list[Seen]:
    """Each run with its config and status, the first submitted first; one that can't be read stands in nobody's way."""
    return sorted(_read(store), key=lambda each: int(each[1].get("number", 0)))


def _read(store: RunStore) -> Iterator[Seen]:
    for run in store.whole():
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            config, status = run.config, run.status
            int(config.get("number", 0))
            if "state" in status and "title" in config["text"]:
                yield run, config, status


def _row(label: str, run: Run, config: dict[str, Any], status: dict[str, Any], places: dict[str, queue.Place]) -> Row:
    model = config["model"]
    row = Row(
        label=label,
        run=run,
        state=status["state"],
        text=config["text"]["title"],
        model=f"{model['n_layers']} × {model['emb_dim']}",
        done=status.get("step", -1) + 1,
        steps=status.get("total_steps", config.get("plan", {}).get("steps")),
        best=status.get("best", {}).get("val_loss"),
        waits=places.get(run.id),
    )
    return replace(row, state="stopping") if row.is_live and run.was_asked_to_stop else row

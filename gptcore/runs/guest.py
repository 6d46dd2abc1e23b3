"""A run as a guest on another machine: the folder it has there, the process that trains it, what may be asked of it.

Everything here runs inside ``dask worker``, where a run is trained by the very process body that trains it at home
(``worker``). The guest's folder is a copy that lives as long as the guest. The web machine's folder stays the only
truth: nothing is sent there; its courier asks, and writes down what it is told.

How to read it: in the order in which a courier calls: ``receive`` the run's files, ``train`` (the task that takes the
worker's slot), ``news`` over and over, ``pick_up`` and ``read`` for whole files, ``dismiss``. ``report`` is asked of
every worker, whether it has a guest or not. A key is a run and an attempt. A guest that nobody asks for leaves by
itself, and so does one whose worker ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import psutil

from gptcore.machine import cores, memory_limit
from gptcore.runs.child import Child
from gptcore.runs.files import Stamp, stamp_of, whole_lines
from gptcore.runs.processes import describe
from gptcore.runs.store import LINES, Run

if TYPE_CHECKING:
    from distributed import Worker

ANSWER_SECONDS = 0.5  # an answer waits this long for the end of the run, so that nobody asks too often
LOOK_SECONDS = 0.02
LEASE_SECONDS = 60.0  # without a word from the courier
PIECE_BYTES = 4 * 2**20  # of a file, or of lines, in one answer


class News(NamedTuple):
    """How a guest is.

    Attributes:
        status: Of its folder.
        lines: For each file of lines, those that are whole from the given offset on; at most a piece.
        stamps: The files to pick up, which are the best weights and the newest checkpoint, where there are any.
        over: Whether nothing will change any more.
        code: With which its process ended; None where it waits for the next run.
    """

    status: dict[str, Any]
    lines: dict[str, bytes]
    stamps: dict[str, Stamp]
    over: bool
    code: int | None


class Guest:
    """One attempt at a run."""

    def __init__(self, key: str, home: Path) -> None:
        self.key, self.run = key, Run(home / key)
        self.heard = time.monotonic()
        self.child: Child | None = None
        self.over, self.leaving, self.gone = threading.Event(), threading.Event(), threading.Event()
        self.parcel: BinaryIO | None = None  # held open, so that it can be replaced while it is picked up

    @property
    def may_stay(self) -> bool:
        """Whether someone may still ask for it."""
        return not self.leaving.is_set() and time.monotonic() - self.heard < LEASE_SECONDS

    @property
    def has_ended(self) -> bool:
        """Whether its process is done with it, in one way or the other."""
        if self.child is None or self.child.process.poll() is not None:
            return True
        status = self.run.status
        return bool(status["state"] != "running" and status.get("attempt") == attempt_of(self.key))

    def leave(self) -> None:
        """Remove all that there is of it."""
        _guests.pop(self.key, None)
        if self.parcel is not None:
            self.parcel.close()
        shutil.rmtree(self.run.folder, ignore_errors=True)
        self.gone.set()


_guests: dict[str, Guest] = {}  # of this worker
_waiting: list[Child] = []  # a process with PyTorch loaded, for the next guest
_door = threading.Lock()  # the task and those who ask are in different threads


def key_of(run_id: str, attempt: int) -> str:
    """The name of an attempt at a run."""
    return f"{run_id}-{attempt}"


def attempt_of(key: str) -> int:
    """The number of the attempt.

    >>> attempt_of(key_of("0123456789abcdef", 3))
    3
    """
    return int(key.rpartition("-")[2])


def run_of(key: str) -> str:
    """The id of the run.

    >>> run_of(key_of("0123456789abcdef", 3))
    '0123456789abcdef'
    """
    return key.rpartition("-")[0]


def _child(worker: Worker) -> Child:
    """A process that waits; the one that is there, or a new one."""
    with _door:
        while _waiting:
            child = _waiting.pop()
            if child.process.poll() is None:
                return child
            child.hang_up()
    return Child(Path(worker.local_directory))


def report(dask_worker: Worker) -> dict[str, Any]:
    """What this machine is, and who is here; a process is kept waiting for whoever comes next."""
    for guest in list(_guests.values()):
        if guest.child is None and not guest.may_stay:  # its courier went before it was trained
            guest.leave()
    logging.getLogger("distributed.worker").setLevel(logging.WARNING)  # else each question is a line in its log
    if not _guests and not _waiting:
        _waiting.append(_child(dask_worker))
    about = {"name": platform.node(), "cores": cores(), "memory": memory_limit()}
    return about | {"folder": dask_worker.local_directory, "guests": list(_guests)}


def receive(key: str, name: str, offset: int, piece: bytes, dask_worker: Worker) -> Stamp:
    """Take a piece of one of the run's files."""
    guest = _guests.setdefault(key, Guest(key, Path(dask_worker.local_directory)))
    guest.heard = time.monotonic()
    path = guest.run.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(piece)
    return stamp_of(path.stat())


def train(key: str) -> None:
    """Have the run trained, and stay until its courier has all of it. This is what takes the worker's slot."""
    from distributed import get_worker
    from distributed.core import Status

    worker, guest = get_worker(), _guests[key]

    def may_stay() -> bool:
        return guest.may_stay and worker.status in (Status.running, Status.paused)

    try:
        guest.child = child = _child(worker)
        child.send(guest.run.folder, host=describe(psutil.Process()))
        while may_stay() and not guest.has_ended:
            time.sleep(LOOK_SECONDS)
        if not guest.has_ended:
            child.process.kill()
            child.process.wait()
            child.hang_up()
        elif child.process.poll() is None:
            with _door:
                _waiting.append(child)
    finally:
        guest.over.set()
        while may_stay():
            guest.leaving.wait(LOOK_SECONDS)
        guest.leave()


def _stamps(folder: Path) -> dict[str, Stamp]:
    checkpoints = sorted((folder / "checkpoints").glob("step-*.safetensors"))
    found = {}
    for path in [folder / "best.safetensors", *checkpoints[-1:]]:
        with suppress(FileNotFoundError):  # none yet, or replaced this instant
            found[path.relative_to(folder).as_posix()] = stamp_of(path.stat())
    return found


async def news(key: str, offsets: dict[str, int], wish: str | None) -> News | None:
    """How the guest is; None if it is not here.

    Args:
        key: Of the guest.
        offsets: Up to where its lines are known.
        wish: "cancel" (as on the page), "terminate" or "kill", where its owner or its dispatcher wants that.
    """
    guest = _guests.get(key)
    if guest is None:
        return None
    guest.heard = time.monotonic()
    if wish == "cancel":
        guest.run.ask_to_stop()
    elif wish and guest.child is not None and not guest.over.is_set():
        getattr(guest.child.process, wish)()
    over = await asyncio.to_thread(guest.over.wait, ANSWER_SECONDS)
    folder = guest.run.folder  # looked at only now: when it is over, all is there
    status, stamps = guest.run.status, _stamps(folder)
    lines = {name: whole_lines(folder / name, offsets.get(name, 0), PIECE_BYTES) for name in LINES}
    return News(status, lines, stamps, over, guest.child.process.poll() if guest.child else None)


def pick_up(key: str, name: str) -> tuple[Stamp, bytes] | None:
    """Begin to hand over one of the guest's files, as it is now; None where another has taken its place.

    Returns:
        What the whole file is known by, and its first piece.
    """
    guest = _guests[key]
    if guest.parcel is not None:
        guest.parcel.close()
    try:
        guest.parcel = (guest.run.folder / name).open("rb")
    except FileNotFoundError:
        return None
    return stamp_of(os.fstat(guest.parcel.fileno())), guest.parcel.read(PIECE_BYTES)


def read(key: str, offset: int) -> bytes:
    """A piece of the file that is being picked up."""
    guest = _guests[key]
    if guest.parcel is None:
        raise FileNotFoundError(f"{key} has handed over no file")
    guest.heard = time.monotonic()
    guest.parcel.seek(offset)
    return guest.parcel.read(PIECE_BYTES)


async def dismiss(key: str) -> None:
    """Let the guest go, where it is here; returns when it has gone."""
    guest = _guests.get(key)
    if guest is not None:
        guest.leaving.set()
        if guest.child is None:
            guest.leave()
        await asyncio.to_thread(guest.gone.wait)

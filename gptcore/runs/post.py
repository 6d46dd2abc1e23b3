"""The calls from this machine to one guest on another, and the files that travel both ways.

Whole files travel in pieces, by way of the scheduler. Where the guest's folder lies in this machine's data folder, on a
disk that both machines have under one name, they get a second name instead; nothing else is different, so also then
nobody but the courier writes into the run's folder.

How to read it: ``ask`` is one call; ``send`` takes a run there, ``fetch`` brings back what has changed. What is left
out: when that is done, and what is written down of the answers (``courier``).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from gptcore.durable import publish, twin
from gptcore.runs import guest
from gptcore.runs.checkpoints import call_last, make_room, newest
from gptcore.runs.files import Stamp, stamp_of
from gptcore.runs.guest import PIECE_BYTES
from gptcore.runs.store import Run

if TYPE_CHECKING:
    from distributed import Client

ASK_SECONDS = 20.0  # a machine that does not answer for so long is lost
FETCH_SECONDS = 5.0  # between two looks for whole files
FETCH_SHARE = 0.1  # of the time may go into bringing them
BEST = "best.safetensors"


class MachineLostError(Exception):
    """A machine that does not answer, or does not know its guest any more."""


class MachineRefusedError(Exception):
    """A machine that answers, and whose own system refused what was asked, as a full disk does."""


class Worker(NamedTuple):
    """One worker, as it said itself.

    Attributes:
        address: Where it is reached.
        slots: Runs at a time: its resource "run".
        name: Of its machine; likewise ``cores`` and ``memory``.
        folder: Where its guests have theirs.
        strangers: The keys of its guests that are of no run of ours.
    """

    address: str
    slots: int
    name: str
    cores: int
    memory: int
    folder: str
    strangers: tuple[str, ...]


class Post:
    """The way to one attempt at a run.

    Args:
        client: A connection to the scheduler.
        worker: Where it is trained.
        run: Whose folder here is written.
        attempt: Its number.
    """

    def __init__(self, client: Client, worker: Worker, run: Run, attempt: int) -> None:
        self.client, self.address, self.run, self.attempt = client, worker.address, run, attempt
        self.key = guest.key_of(run.id, attempt)
        self._there = Path(worker.folder).resolve() / self.key
        self._is_shared = False  # whether the guest's folder can be reached from here
        self._seen: dict[str, Stamp] = {}  # files that are the same here and there
        self._due = time.monotonic() + FETCH_SECONDS

    @property
    def is_due(self) -> bool:
        """Whether it is time to look for whole files again."""
        return time.monotonic() >= self._due

    def has(self, name: str, stamps: dict[str, Stamp]) -> bool:
        """Whether a file here is the guest's, or the guest has none."""
        return stamps.get(name) == self._seen.get(name)

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Have the worker do something, and wait for the answer.

        Raises:
            MachineLostError: There is none.
            MachineRefusedError: The answer is that the system over there refused.
        """
        if self.client.status != "running":
            raise MachineLostError("no connection")
        call = self.client.run(function, *arguments, workers=[self.address])
        try:
            answers: dict[str, Any] = await asyncio.wait_for(call, ASK_SECONDS)
        except (OSError, KeyError, TimeoutError) as error:
            if _is_from_there(error):
                raise MachineRefusedError(error.strerror or type(error).__name__) from error
            raise MachineLostError(str(error) or type(error).__name__) from error
        return answers[self.address]

    def hand_over(self) -> Any:
        """Have the run trained; who keeps what is returned keeps the worker's slot for it."""
        return self.client.submit(
            guest.train,
            self.key,
            key=f"train-{self.key}",
            workers=[self.address],
            resources={"run": 1},
            pure=False,
        )

    async def send(self) -> None:
        """All that a process needs to begin, or to go on; the lines stay here."""
        status = {name: value for name, value in self.run.status.items() if name != "first_step"}
        first = json.dumps(status | {"attempt": self.attempt - 1}).encode()
        await self._send_piece("status.json", 0, first)
        self._is_shared = self._finds(first)
        for path in [self.run.folder / "text.txt", *newest(self.run), self.run.folder / "config.json"]:
            name = path.relative_to(self.run.folder).as_posix()
            if not self._lay(path, name):
                await self._send_file(path, name)

    def _finds(self, first: bytes) -> bool:
        """Whether what was just sent to the guest is found in a folder here: then it is the same disk."""
        if not self._there.is_relative_to(self.run.folder.resolve().parents[1]):
            return False
        with suppress(OSError):
            return (self._there / "status.json").read_bytes() == first
        return False

    def _lay(self, path: Path, name: str) -> bool:
        """Put a file into the guest's folder over a shared disk; whether that was done."""
        if not self._is_shared:
            return False
        with suppress(OSError):
            (self._there / name).parent.mkdir(exist_ok=True)
            twin(path, self._there / name)
            self._seen[name] = stamp_of((self._there / name).stat())
            return True
        return False

    async def _send_file(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                self._seen[name] = await self._send_piece(name, file.tell() - len(piece), piece)

    async def _send_piece(self, name: str, offset: int, piece: bytes) -> Stamp:
        stamp: Stamp = await self.ask(guest.receive, self.key, name, offset, piece)
        return stamp

    async def fetch(self, stamps: dict[str, Stamp]) -> None:
        """Bring the files that have changed."""
        began = time.monotonic()
        for name, stamp in stamps.items():
            if not self.has(name, stamps):
                await self._fetch_file(name, stamp)
        seconds = time.monotonic() - began
        self._due = began + max(FETCH_SECONDS, seconds / FETCH_SHARE)

    async def _fetch_file(self, name: str, stamp: Stamp) -> None:
        path = self.run.folder / name
        is_checkpoint = name != BEST
        if is_checkpoint:
            make_room(self.run, path)
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            brought = self._take(name, stamp, draft) or await self._read(name, draft)
            if brought is None:  # the next answer names its successor
                return
            publish(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        if is_checkpoint:
            call_last(self.run, path)
        self._seen[name] = brought

    def _take(self, name: str, stamp: Stamp, draft: Path) -> Stamp | None:
        """Bring a file over a shared disk; None where that disk does not show here yet what the guest has."""
        if not self._is_shared:
            return None
        with suppress(OSError):
            if stamp_of((self._there / name).stat()) == stamp:
                twin(self._there / name, draft)
                return stamp
        return None

    async def _read(self, name: str, draft: Path) -> Stamp | None:
        """Bring a file in pieces; None where it was replaced before its turn came."""
        begun: tuple[Stamp, bytes] | None = await self.ask(guest.pick_up, self.key, name)
        if begun is None:
            return None
        stamp, piece = begun
        with draft.open("wb") as file:
            file.write(piece)
            while file.tell() < stamp[0]:
                piece = await self.ask(guest.read, self.key, file.tell())
                if not piece:
                    raise MachineLostError("a file ended too early")
                file.write(piece)
        return stamp


def _is_from_there(error: Exception) -> TypeGuard[OSError]:
    """Whether an error came out of a guest's function: it carries a system's number, and is not of a connection.

    What the engine says itself carries none: ``CommClosedError``, or that it could not reach a machine in time.
    """
    has_number = isinstance(error, OSError) and error.errno is not None
    return has_number and not isinstance(error, ConnectionError | TimeoutError)

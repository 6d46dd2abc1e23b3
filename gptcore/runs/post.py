"""The calls from this machine to one guest on another, and the files that travel both ways.

How to read it: ``ask`` is one call; ``send`` takes a run there, ``fetch`` brings back what has changed. What is left
out: when that is done, and what is written down of the answers (``courier``).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptcore.durable import publish
from gptcore.runs import guest
from gptcore.runs.checkpoints import call_last, make_room, newest
from gptcore.runs.files import Stamp
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


class Post:
    """The way to one attempt at a run.

    Args:
        client: A connection to the scheduler.
        address: Of the worker.
        run: Whose folder here is written.
        attempt: Its number.
    """

    def __init__(self, client: Client, address: str, run: Run, attempt: int) -> None:
        self.client, self.address, self.run, self.attempt = client, address, run, attempt
        self.key = guest.key_of(run.id, attempt)
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
        """
        if self.client.status != "running":
            raise MachineLostError("no connection")
        call = self.client.run(function, *arguments, workers=[self.address])
        try:
            answers: dict[str, Any] = await asyncio.wait_for(call, ASK_SECONDS)
        except (OSError, KeyError, TimeoutError) as error:
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
        await self._send_piece("status.json", 0, json.dumps(status | {"attempt": self.attempt - 1}).encode())
        for path in [self.run.folder / "text.txt", *newest(self.run), self.run.folder / "config.json"]:
            name = path.relative_to(self.run.folder).as_posix()
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    self._seen[name] = await self._send_piece(name, file.tell() - len(piece), piece)

    async def _send_piece(self, name: str, offset: int, piece: bytes) -> Stamp:
        stamp: Stamp = await self.ask(guest.receive, self.key, name, offset, piece)
        return stamp

    async def fetch(self, stamps: dict[str, Stamp]) -> None:
        """Bring the files that have changed."""
        began = time.monotonic()
        for name in stamps:
            if not self.has(name, stamps):
                await self._fetch_file(name)
        seconds = time.monotonic() - began
        self._due = began + max(FETCH_SECONDS, seconds / FETCH_SHARE)

    async def _fetch_file(self, name: str) -> None:
        stamp: Stamp | None = await self.ask(guest.pick_up, self.key, name)
        if stamp is None:  # the next answer names its successor
            return
        path = self.run.folder / name
        is_checkpoint = name != BEST
        if is_checkpoint:
            make_room(self.run, path)
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            await self._read(draft, stamp[0])
            publish(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        if is_checkpoint:
            call_last(self.run, path)
        self._seen[name] = stamp

    async def _read(self, draft: Path, size: int) -> None:
        with draft.open("wb") as file:
            while file.tell() < size:
                piece: bytes = await self.ask(guest.read, self.key, file.tell())
                if not piece:
                    raise MachineLostError("a file ended too early")
                file.write(piece)

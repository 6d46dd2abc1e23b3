"""Carries one run to another machine, and brings back what becomes of it.

Nobody but the courier writes into the folder of a run that is trained elsewhere, and only while it holds the run's
lock. It asks its guest (``guest``) and writes down the answers: lines before checkpoints, checkpoints before the status
that speaks of them. An attempt that was given up is not asked any more, so whatever its process still does, it reaches
nobody; the run goes on elsewhere from the last checkpoint that came back.

How to read it: ``carry`` is a run from its beginning to its end; ``_bring`` is one answer written down. What is left
out: how files travel (``post``), which machine takes a run, and the connection to them all (``cluster``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from gptcore.runs import guest
from gptcore.runs.checkpoints import remove_drafts
from gptcore.runs.child import SOMEBODY_ELSES, fate
from gptcore.runs.files import append, cut_after
from gptcore.runs.guest import PIECE_BYTES, News
from gptcore.runs.post import BEST, MachineLostError, MachineRefusedError, Post, Worker
from gptcore.runs.queue import Ticket
from gptcore.runs.store import LINES

if TYPE_CHECKING:
    from distributed import Client

LOGGER = logging.getLogger(__name__)
RETRY_SECONDS = 0.5  # after this machine's disk refused something
OWN = ("attempt", "process", "updated")  # what the status says of this machine's view


class Courier:
    """One attempt at a run on another machine; to the dispatcher it is the process that trains.

    Args:
        client: A connection to the scheduler.
        worker: Where it is to be trained.
        ticket: The run.
        is_machine_alone: Told of a lost machine; tells whether it is that alone, or the connection to all of them.

    Attributes:
        code: As of a process: None while the run is under way, 0 when its end is written down.
        fate: How it ended, where that is not written down.
    """

    def __init__(
        self,
        client: Client,
        worker: Worker,
        ticket: Ticket,
        is_machine_alone: Callable[[Courier], Awaitable[bool]],
    ) -> None:
        self.address, self.machine, self.ticket = worker.address, worker.name, ticket
        self.run, self.attempt = ticket.run, ticket.attempt + 1
        self.code: int | None = None
        self.fate = "ended with an error of the program"
        self.task: asyncio.Task[None] | None = None
        self._post, self._is_machine_alone = Post(client, worker, ticket.run, self.attempt), is_machine_alone
        self._signal: str | None = None
        self._is_cut = False  # whether the lines that this attempt writes again are gone
        self._offsets = dict.fromkeys(LINES, 0)
        self._told: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """The name of this attempt."""
        return self._post.key

    def terminate(self) -> None:
        """Ask the process to save the run and to end."""
        self._signal = self._signal or "terminate"

    def kill(self) -> None:
        """End the process."""
        self._signal = "kill"

    async def carry(self) -> None:
        """Carry the run to its end, and leave the ``code``."""
        code = 1
        try:
            with self.run.lock.acquire(blocking=False):
                code = await self._carry()
        except Timeout:
            code = SOMEBODY_ELSES
        except FileNotFoundError:  # the run was deleted
            code = 0
        except OSError as error:  # this machine's disk refused the first word already
            self.fate = f"can't be begun: {error}"
        finally:
            self.code = code
            self.run.ring()

    async def _carry(self) -> int:
        process = {"machine": self.machine}
        self.run.update_status(
            state="running", reason=None, can_go_on=False, attempt=self.attempt, process=process, unsaved_since=None
        )
        remove_drafts(self.run.folder)
        try:
            await self._post.send()
            task = self._post.hand_over()
            code = await self._follow()
            await self._post.ask(guest.dismiss, self._post.key)
            del task  # nobody asks for its result: from here on the engine forgets it
        except FileNotFoundError:
            await self._send_away()
            raise
        except MachineRefusedError as error:
            verb = "can't go on" if self._is_cut else "can't be begun"
            self.fate = f"{verb} on {self.machine}: {error}"
            LOGGER.warning("run %s, attempt %d, %s", self.run.id, self.attempt, self.fate)
            await self._send_away()
            return 1
        except MachineLostError as error:
            LOGGER.warning("run %s, attempt %d, is lost on %s: %s", self.run.id, self.attempt, self.machine, error)
            self.fate = f"on {self.machine} is out of reach"
            if await self._is_machine_alone(self) and self._is_cut:
                return 1
            return self._interrupted()
        except asyncio.CancelledError:  # by the cluster, when the connection is lost
            return self._interrupted()
        return code

    async def _send_away(self) -> None:
        """Let the guest go whose run is over here, or can't be there; where it does not hear, it leaves by itself."""
        with suppress(MachineLostError, MachineRefusedError):
            await self._post.ask(guest.dismiss, self._post.key)

    def _interrupted(self) -> int:
        """The machines can't be reached, or this one could not begin: that is no fault of the run."""
        reason = "the connection to the other machines was lost; the run goes on from its last checkpoint by itself"
        with suppress(OSError):
            self.run.update_status(state="interrupted", reason=reason)
        return 0

    def _wish(self) -> str | None:
        return self._signal or ("cancel" if self.run.was_asked_to_stop else None)

    async def _follow(self) -> int:
        """Write down what the guest tells until it is over; the exit code of its process where that died."""
        while True:
            news: News | None = await self._post.ask(guest.news, self._post.key, self._offsets, self._wish())
            if news is None:
                raise MachineLostError("the worker was started anew")
            if not self.run.exists:
                raise FileNotFoundError(f"the folder of run {self.run.id} is gone")
            try:
                is_all = await self._bring(news)
            except FileNotFoundError:
                raise
            except OSError as error:
                self._not_saved(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if news.over and is_all:
                return self._last_word(news)

    def _last_word(self, news: News) -> int:
        if news.status.get("attempt") == self.attempt and news.status["state"] != "running":
            return 0
        code = news.code or 1
        self.fate = fate(code)
        LOGGER.warning("run %s, attempt %d, on %s: the process %s", self.run.id, self.attempt, self.machine, self.fate)
        return code

    async def _bring(self, news: News) -> bool:
        """Write an answer down.

        Returns:
            Whether all that there was is here.

        Raises:
            OSError: The disk refused; what is not here is there, and can be asked for again.
        """
        if news.status.get("attempt") != self.attempt:  # it has not begun
            return True
        if not self._is_cut and "first_step" in news.status:
            for name in LINES:
                cut_after(self.run.folder / name, news.status["first_step"])
            self._is_cut = True
        if self._is_cut:
            for name, lines in news.lines.items():
                if lines:
                    append(self.run.folder / name, lines)
                    self._offsets[name] += len(lines)
        if any(len(lines) > PIECE_BYTES // 2 for lines in news.lines.values()):
            return False  # no checkpoint may be ahead of its lines
        if news.over or self._post.is_due:
            await self._post.fetch(news.stamps)
        if news.over or news.status["state"] == "running":
            self._mirror(news)
        return True

    def _mirror(self, news: News) -> None:
        """Take over the guest's status; never one that speaks of best weights that are not here yet."""
        told = {name: value for name, value in news.status.items() if name not in OWN}
        if not self._post.has(BEST, news.stamps):
            told.pop("best", None)
        if told != self._told:
            self.run.update_status(**told)
            self._told = told

    def _not_saved(self, error: OSError) -> None:
        """Say, if there is room for it, that the run is ahead of what is written."""
        if self._told:
            LOGGER.warning("%s: not saved: %s", self.run.id, error)
        self._told = {}
        with suppress(OSError):
            self.run.update_status(unsaved_since=self.run.status.get("step", -1))

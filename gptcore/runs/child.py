"""A worker process, as seen by whoever started it: the dispatcher here, or a guest's host on another machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from gptcore.paths import REPOSITORY
from gptcore.runs.queue import Ticket

SOMEBODY_ELSES = 3  # the exit code of a process whose run another one trains


class Child:
    """A process that waits until it is handed a run, trains it, and waits again.

    Args:
        root: The folder in which it leaves what it has to say, ``workers.log``.

    Attributes:
        ticket: The run that the dispatcher gave it.
    """

    def __init__(self, root: Path) -> None:
        self.ticket: Ticket | None = None
        with (root / "workers.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gptcore.runs.worker"],
                cwd=REPOSITORY,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is the server's affair
            )

    def take(self, ticket: Ticket) -> None:
        """Hand it a run of the queue.

        Raises:
            OSError: The process is gone.
        """
        self.send(ticket.run.folder)
        self.ticket = ticket

    def send(self, folder: Path, **about: Any) -> None:
        """Have it train the run that lies in a folder.

        Args:
            folder: The run's folder.
            about: What else the order is to say (``worker.main``).

        Raises:
            OSError: The process is gone.
        """
        orders = cast("IO[bytes]", self.process.stdin)
        orders.write(json.dumps({"folder": str(folder), **about}).encode() + b"\n")
        orders.flush()

    def hang_up(self) -> None:
        """No more orders: a process that waits ends by itself, and nothing of one that died is kept open."""
        with suppress(OSError):  # it died before it read the last one
            cast("IO[bytes]", self.process.stdin).close()


def fate(code: int) -> str:
    """How a process ended, as a person would say it.

    >>> fate(-9)
    'was killed (signal 9)'
    """
    return f"ended with code {code}" if code >= 0 else f"was killed (signal {-code})"

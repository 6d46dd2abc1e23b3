"""The thread that starts queued runs as cores come free, here or elsewhere, and buries the processes that died.

How to read it: ``start`` is the one place where a run is handed to a process; ``Dispatcher.tick`` is one look at all
runs. The dispatcher remembers nothing that the folders don't say, apart from the processes it has to reap, so it can be
killed and started again at any moment: whoever trains goes on, and the next dispatcher finds it by the run's lock.

Only one dispatcher works on a folder (a file lock sees to it); a second one waits until the first is gone. Where
``GPTCORE_SCHEDULER`` names other machines, all runs are trained there (``cluster``), and none here.
"""

from __future__ import annotations

import atexit
import logging
import math
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from gptcore.machine import memory_limit
from gptcore.runs.child import SOMEBODY_ELSES, Child, fate
from gptcore.runs.cluster import Cluster
from gptcore.runs.courier import Courier
from gptcore.runs.files import replace_json
from gptcore.runs.machines import settings
from gptcore.runs.processes import is_elsewhere, process_of
from gptcore.runs.queue import PROCESS_BYTES, QUEUE_FILE, SERVER_BYTES, WAITING, Ticket, fits, look, slots, turns, waits
from gptcore.runs.store import ENDED, Run, RunStore

LOGGER = logging.getLogger(__name__)
LOOK_SECONDS = 0.1  # at the bell and at the processes: a few system calls
RESCAN_SECONDS = 1.0  # at all unfinished runs, whether the bell rang or not
MOST_DEATHS = 3
GRACE_SECONDS = 20.0  # for the step that is under way when a run is cancelled; longer steps get five times their length
KILL_SECONDS = 5.0  # from asking a process to end to ending it
FAREWELL_SECONDS = 10.0  # for all processes to save their runs when the program ends
MOST_WARM = 4  # processes that wait; each holds 400 MB, a third of it shared
CRASH_SECONDS = 30.0  # before another process is tried after one could not even wait


def start(ticket: Ticket, children: list[Child], root: Path) -> None:
    """Give a run to a process of this machine that waits, or to a new one."""
    for child in children:
        if child.ticket is None and child.process.poll() is None:
            try:
                child.take(ticket)
            except OSError:  # it died this instant; the next look finds out
                continue
            return
    child = Child(root)
    children.append(child)
    child.take(ticket)


class Dispatcher(threading.Thread):
    """Looks after the runs of one folder.

    Args:
        root: The folder of runs; made if missing.
        warm: Whether processes are kept ready, with PyTorch loaded, where memory allows.

    Raises:
        ValueError: What the environment says of other machines can't be used, or must not be.
    """

    def __init__(self, root: Path, *, warm: bool = True) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self.store = RunStore(root)
        self.children: list[Child] = []
        elsewhere = settings()
        self.cluster = None if elsewhere is None else Cluster(elsewhere, root)
        room = (memory_limit() - SERVER_BYTES) // PROCESS_BYTES
        self.most_warm = max(0, min(slots(), MOST_WARM, room)) if warm and self.cluster is None else 0
        self._stopping = threading.Event()
        self._ended: dict[str, Ticket] = {}  # read once: an ended run changes only when it is reopened
        self._bell = 0
        self._looked = self._warmed = -math.inf
        self._complaint = ""  # said once, not every second
        self._asked: dict[str, float] = {}  # when a run under way was first seen to be cancelled
        self._left: list[Ticket] = []  # runs of a former dispatcher that were in this one's charge to the last

    def run(self) -> None:
        """Wait to be the only dispatcher, then look after the folder until told to stop."""
        try:
            self.store.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.store.root / "dispatcher.lock")
            while not self._stopping.is_set():
                try:
                    with lock.acquire(blocking=False):
                        self._work()
                except Timeout:
                    self._stopping.wait(RESCAN_SECONDS)
        except OSError as error:  # the rest of the program works without training
            LOGGER.warning("no run can be trained: %s", error)

    def stop(self) -> None:
        """End the thread; processes go on, and the next dispatcher finds them by their locks."""
        self._stopping.set()

    def close(self) -> None:
        """End the thread and the processes; runs that are under way are saved and go on at the next start."""
        self.stop()
        if self.is_alive():
            self.join(FAREWELL_SECONDS)
        for child in self.children:
            child.process.terminate()
        if self.cluster is not None:
            self.cluster.close(FAREWELL_SECONDS)
        for ticket in self._left:
            with suppress(psutil.Error):
                process_of(ticket.run).terminate()
        deadline = time.monotonic() + FAREWELL_SECONDS
        for child in self.children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            child.hang_up()

    def _work(self) -> None:
        atexit.register(self.close)
        if self.cluster is not None:
            self.cluster.begin()
        while not self._stopping.is_set():
            try:
                if self._something_happened():
                    self.tick()
                self._keep_warm()
            except (OSError, ValueError) as error:  # a full disk, say: the queue waits until it can be read and written
                if str(error) != self._complaint:
                    LOGGER.exception("the dispatcher could not look after %s", self.store.root)
                self._complaint = str(error)
            self._stopping.wait(LOOK_SECONDS)
        self._left = self._adopted()  # now: whoever is in charge next starts runs that are none of our business
        atexit.unregister(self.close)

    def _something_happened(self) -> bool:
        """Whether the bell rang, a process ended, or the last look was long ago."""
        try:
            bell = self.store.bell.stat().st_mtime_ns
        except FileNotFoundError:
            bell = 0
        if bell != self._bell:
            self._bell = bell
            self._ended.clear()  # a run may have been reopened
            return True
        died = any(child.process.poll() is not None for child in self.children)
        return (
            died
            or (self.cluster is not None and self.cluster.has_news)
            or time.monotonic() - self._looked >= RESCAN_SECONDS
        )

    def tick(self) -> None:
        """Reap what ended, name what was lost, hurry what was cancelled, start what may start."""
        self._looked = time.monotonic()
        self._reap()
        tickets = self._tickets()
        running = [ticket for ticket in tickets if ticket.state == "running"]
        self._hurry([ticket for ticket in running if ticket.run.was_asked_to_stop])
        limit = memory_limit()
        chosen: list[Ticket] = []
        free = None if self.cluster is None else self.cluster.free
        for ticket in turns(tickets):
            if len(chosen) == free or (free is None and not fits(ticket, running, limit)):
                break  # nobody overtakes
            chosen.append(ticket)
            running.append(ticket._replace(state="running"))
            tickets[tickets.index(ticket)] = running[-1]
        waiting = waits(tickets, None if self.cluster is None else self.cluster.slots, limit)
        expected = [{"run": each.ticket.run.id, "seconds": each.seconds, "memory": each.memory} for each in waiting]
        path = self.store.root / QUEUE_FILE
        if expected or chosen or path.exists():
            replace_json(path, expected)  # where there is no room for this, no run is started either
        for ticket in chosen:
            if self.cluster is None:
                start(ticket, self.children, self.store.root)
            else:
                self.cluster.start(ticket)

    def _tickets(self) -> list[Ticket]:
        tickets = []
        for run in self.store.whole():
            try:
                ticket = self._ended.get(run.id) or self._settle(look(run))
            except (OSError, ValueError):  # deleted under our eyes, not ours, or of another version
                continue
            if ticket.state in ENDED:
                self._ended[run.id] = ticket
            tickets.append(ticket)
        return tickets

    def _reap(self) -> None:
        """Bury processes that have ended, and free those that are done with their run."""
        for ticket, how in () if self.cluster is None else self.cluster.ended():
            _bury(ticket, how)
        for child in list(self.children):
            code = child.process.poll()
            if code is not None:
                self.children.remove(child)
                child.hang_up()
                if child.ticket is None and code:
                    self._warmed = time.monotonic() + CRASH_SECONDS  # it can't even wait: don't try again at once
                elif child.ticket is not None and code not in (0, SOMEBODY_ELSES):
                    _bury(child.ticket, fate(code))
            elif child.ticket is not None and not child.ticket.run.exists:
                child.process.terminate()  # nobody can tell any more whether it trains or waits
            elif child.ticket is not None:
                with suppress(OSError, ValueError):  # what can't be read now may be read at the next look
                    now = look(child.ticket.run)
                    if now.attempt > child.ticket.attempt and now.state != "running":
                        child.ticket = None

    def _settle(self, ticket: Ticket) -> Ticket:
        """The ticket as it stands: handed over, lost, or cancelled before it began."""
        run = ticket.run
        mine = any(child.ticket is not None and child.ticket.run == run for child in self.children)
        if mine or self._carrier_of(run) is not None:
            return ticket._replace(state="running")
        if ticket.state == "running" and not run.is_alive:
            # On another machine it was not the run's process that ended, but this server.
            _bury(ticket._replace(attempt=ticket.attempt - 1), "is gone", counts=not is_elsewhere(run))
        elif ticket.state in WAITING and run.was_asked_to_stop:
            with run.lock.acquire(timeout=1):
                run.update_status(state="cancelled", reason=None)
        else:
            return ticket
        return look(run)

    def _hurry(self, cancelled: list[Ticket]) -> None:
        """End the processes of cancelled runs that do not end by themselves: first ask, then kill."""
        now = time.monotonic()
        self._asked = {ticket.run.id: self._asked.get(ticket.run.id, now) for ticket in cancelled}
        for ticket in cancelled:
            since = now - self._asked[ticket.run.id]
            grace = max(GRACE_SECONDS, 5 * (ticket.step_seconds or 0.0))
            if since < grace:
                continue
            with suppress(psutil.Error):
                process = self._carrier_of(ticket.run) or process_of(ticket.run)
                process.terminate() if since < grace + KILL_SECONDS else process.kill()

    def _carrier_of(self, run: Run) -> Courier | None:
        """Who has a run trained on another machine."""
        return None if self.cluster is None else self.cluster.carrier_of(run)

    def _adopted(self) -> list[Ticket]:
        """Runs under way that a former dispatcher started."""
        mine = [child.ticket.run for child in self.children if child.ticket is not None]
        running = [ticket for ticket in self._tickets() if ticket.state == "running" and ticket.run not in mine]
        return [ticket for ticket in running if self._carrier_of(ticket.run) is None]

    def _keep_warm(self) -> None:
        """Have processes wait for runs, one more a second until there are enough."""
        now = time.monotonic()
        if len(self.children) < self.most_warm and now - self._warmed >= RESCAN_SECONDS:
            self._warmed = now
            self.children.append(Child(self.store.root))


def _bury(ticket: Ticket, how: str, *, counts: bool = True) -> None:
    """Write down that the process of a run died; the run goes on by itself, but not for ever.

    Args:
        ticket: As it was when the process got the run.
        how: The process died.
        counts: Whether that may have been the run's fault.
    """
    run = ticket.run
    if not run.exists:
        return
    with run.lock.acquire(timeout=1):
        status = run.status
        taken_up = status.get("attempt", 0) > ticket.attempt
        if status["state"] in ENDED or (taken_up and status["state"] != "running"):
            return  # it ended well after all, or was saved before its process went
        can_go_on = status.get("keeps", "all") == "all"
        deaths = status.get("deaths", 0) + counts
        if run.was_asked_to_stop:
            run.update_status(state="cancelled", reason=None, deaths=deaths, can_go_on=can_go_on)
        elif deaths >= MOST_DEATHS:
            reason = f"its process died {deaths} times, as happens when memory runs out; the last one {how}"
            run.update_status(state="failed", reason=reason, deaths=deaths, can_go_on=can_go_on)
        else:
            reason = f"the process {how}; the run goes on from its last checkpoint by itself"
            run.update_status(state="interrupted", reason=reason, deaths=deaths)

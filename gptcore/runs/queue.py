"""Who trains when: one thread per data folder that starts queued runs as cores come free.

How to read it: ``start`` is the one place where a run becomes a process; ``Dispatcher.tick`` is one look at the folder,
repeated for as long as the server lives. The dispatcher remembers nothing that the run folders don't say, apart from
the children it has to reap, so it can be lost and started again.

Only one dispatcher works on a folder (a file lock sees to it); others wait until it is gone.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from gptcore.machine import cores
from gptcore.paths import REPOSITORY
from gptcore.runs.store import Run, RunStore

LOOK_SECONDS = 0.2
LOGGER = logging.getLogger(__name__)


def threads_of(run: Run) -> int:
    """The cores that a run asks for, at most all of them."""
    return min(run.train_config.threads or cores(), cores())


def start(run: Run) -> subprocess.Popen[bytes]:
    """Start the child process that trains a run. What it prints goes to ``worker.log`` in the run's folder."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads_of(run)), "PYTHONPATH": str(REPOSITORY)}
    with (run.folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "gptcore.runs.worker", str(run.folder)],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


class Dispatcher(threading.Thread):
    """Looks at the runs of one folder a few times a second and starts what may start.

    Args:
        root: The folder of runs; made if missing.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self.store = RunStore(root)
        self.children: dict[str, tuple[Run, subprocess.Popen[bytes]]] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Wait to be the only dispatcher, then look at the folder until told to stop."""
        self.store.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.store.root / "dispatcher.lock")
        while not self._stopping.is_set():
            try:
                with lock.acquire(blocking=False):
                    self._work()
            except Timeout:
                self._stopping.wait(LOOK_SECONDS)

    def stop(self) -> None:
        """End the thread; children go on, and the next dispatcher finds them by their locks."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tick()
            except (OSError, ValueError):  # a folder deleted under our eyes must not end everybody's queue
                LOGGER.exception("the dispatcher could not read %s", self.store.root)
            self._stopping.wait(LOOK_SECONDS)

    def tick(self) -> None:
        """Reap what ended, name what was lost, start what may start, the oldest first."""
        self._reap()
        runs = [(run, run.status["state"]) for run in self.store]
        for run, state in runs:
            gone = state == "running" and run.id not in self.children and not run.is_alive
            if gone and not run.has_ended:  # read again: it may have ended well since the first look
                run.update_status(state="interrupted", reason="the training process is gone")
        busy = sum(threads_of(run) for run, state in runs if state == "running" or run.id in self.children)
        for run, state in runs:
            if state != "queued" or run.id in self.children:
                continue
            if run.was_asked_to_stop:
                run.update_status(state="cancelled")
            elif busy == 0 or busy + threads_of(run) <= cores():
                self.children[run.id] = (run, start(run))
                busy += threads_of(run)
            else:
                break  # nobody overtakes

    def _reap(self) -> None:
        for run_id, (run, child) in list(self.children.items()):
            code = child.poll()
            if code is None:
                continue
            del self.children[run_id]
            if run.folder.is_dir() and not run.has_ended:
                run.update_status(state="failed", reason=f"the training process ended with code {code}")

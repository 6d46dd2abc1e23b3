"""The program as a class would meet it, started for a measurement: a server with a data folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.paths import REPOSITORY
from gptcore.runs.requests import submit
from gptcore.runs.store import Run, RunStore

START_SECONDS = 60
PATIENCE_SECONDS = 300.0  # with what a busy machine does
RUN_SECONDS = 120  # until a run has made its first steps on a busy machine


@dataclass(frozen=True)
class Server:
    """A running program.

    Attributes:
        port: On the loopback address.
        home: Its data folder.
        process: The server itself; its children train.
    """

    port: int
    home: Path
    process: psutil.Popen

    def family(self) -> list[psutil.Process]:
        """The server and all that it has started."""
        return [self.process, *self.process.children(recursive=True)]

    def memory(self) -> int:
        """Bytes that all of them hold together: what several share counts once (PSS), as a container counts it."""
        return sum(map(_held, self.family()))

    def train(self) -> Run:
        """A run of the class preset that does not end by itself while something is measured; it has begun.

        Raises:
            TimeoutError: It has not begun.
        """
        settings = replace(TRAIN_PRESETS["class"], steps=1_000_000, max_minutes=None, threads=1)
        run = submit(RunStore(self.home / "runs"), load_text(OWN_STORY), MODEL_PRESETS["class"], settings)
        for _ in range(RUN_SECONDS):
            if run.metrics()[0]:
                return run
            time.sleep(1.0)
        raise TimeoutError(f"the run has not begun: {run.status}")


def _held(process: psutil.Process) -> int:
    try:
        held = process.memory_full_info()
    except psutil.NoSuchProcess:  # it has ended in the meantime
        return 0
    return int(getattr(held, "pss", held.uss))  # only Linux shares what is shared out


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(START_SECONDS * 10):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=START_SECONDS):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError("the server did not start")


def until(condition: Callable[[], object], pause: float = 0.002) -> float:
    """Seconds until something is so.

    Args:
        condition: What is asked.
        pause: Seconds between two looks.

    Raises:
        TimeoutError: It never came.
    """
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise TimeoutError("waited in vain")
        time.sleep(pause)
    return time.perf_counter() - began


@contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A fresh server; it and all that it trains are ended in the end.

    Args:
        settings: Of its environment, beside the data folder.
    """
    with tempfile.TemporaryDirectory() as home:
        port = _free_port()
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
        command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
        process = psutil.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | settings | {"GPTCORE_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server = Server(port, Path(home), process)
        try:
            _wait(port)
            yield server
        finally:
            family = server.family()
            for member in family:
                member.terminate()
            for member in psutil.wait_procs(family, timeout=15)[1]:
                member.kill()

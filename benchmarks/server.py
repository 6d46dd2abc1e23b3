"""The program as a class would meet it, started for a measurement: a server with a data folder of its own.

How to read it: ``running`` starts it. ``empty`` starts the least that Streamlit can show with a chart, to hold it to.
"""

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
PROGRAM = REPOSITORY / "app.py"
EMPTY = """import plotly.graph_objects as go
import streamlit as st

st.title("One chart")
st.plotly_chart(go.Figure(go.Scatter(y=[3, 1, 2])))
"""


@dataclass(frozen=True)
class Server:
    """A running program.

    Attributes:
        port: On the loopback address.
        home: Its data folder.
        process: The server itself; its children train.
        began: When the process was started, in seconds since 1970.
        answers: Seconds from then until its port answered.
    """

    port: int
    home: Path
    process: psutil.Popen
    began: float
    answers: float

    def address(self, page: str = "") -> str:
        """A page's address."""
        return f"http://127.0.0.1:{self.port}/{page}"

    def held(self) -> int:
        """Bytes that the server itself holds (RSS), without what it started."""
        return int(self.process.memory_info().rss)

    def family(self) -> list[psutil.Process]:
        """The server and all that it has started."""
        return [self.process, *self.process.children(recursive=True)]

    def memory(self) -> int:
        """Bytes that all of them hold together: what several share counts once (PSS), as a container counts it."""
        return sum(map(_held, self.family()))

    def core_seconds(self) -> float:
        """Seconds of a core that the server itself has used; finer than hundredths where the system tells."""
        if sys.platform == "linux":
            return time.clock_gettime(~self.process.pid << 3 | 2)  # another process's clock: clock_getcpuclockid(3)
        return sum(self.process.cpu_times()[:2])

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
    for _ in range(START_SECONDS * 50):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=START_SECONDS):
                return
        except urllib.error.URLError:
            time.sleep(0.02)
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
def running(app: Path = PROGRAM, **settings: str) -> Iterator[Server]:
    """A fresh server; it and all that it trains are ended in the end.

    Args:
        app: What it serves.
        settings: Of its environment, beside the data folder.
    """
    with tempfile.TemporaryDirectory() as home:
        port = _free_port()
        command = [sys.executable, "-m", "streamlit", "run", app.name, "--server.headless", "true"]
        command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
        began, clock = time.time(), time.perf_counter()
        process = psutil.Popen(
            command,
            cwd=app.parent,
            env=os.environ | settings | {"GPTCORE_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(port)
            yield Server(port, Path(home), process, began, time.perf_counter() - clock)
        finally:
            family = [process, *process.children(recursive=True)]
            for member in family:
                member.terminate()
            for member in psutil.wait_procs(family, timeout=15)[1]:
                member.kill()


@contextmanager
def empty() -> Iterator[Server]:
    """A fresh server of a page with a title and one Plotly chart, as Streamlit comes, but asking no other host."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app.py"
        app.write_text(EMPTY, encoding="utf-8")
        with running(app, STREAMLIT_BROWSER_GATHER_USAGE_STATS="false") as server:
            yield server

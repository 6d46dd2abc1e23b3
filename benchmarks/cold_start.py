"""Cold start: from the start of the server's process to the first page on screen, and to PyTorch; and its memory.

A fresh server of ours and one of a Streamlit page with a title and one Plotly chart, in turns. A browser that has seen
nothing yet asks for home as soon as the port answers. Files are warm: the machine has started the program before.
Medians.

How to read it: ``_start`` is one start with its visit; ``_session`` is what one more open page costs a server.
What is left out: a disk that is cold, and processes for runs, which start when PyTorch is there.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import browser, server
from benchmarks.results import Row
from benchmarks.server import Server
from benchmarks.student import Student
from gptcore.machine import MIB

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROUNDS = 5
ANSWER_SECONDS = 3  # a terminal says within so many that the program is there
KNOWN, MORE = 20, 60  # sessions before anything is counted; those that are
LIVE = ".st-key-home_prompt"  # what home shows in place of the line that says PyTorch is being loaded
PEER = "empty page"


class Start(NamedTuple):
    """One cold start: seconds from the start of the process, and what the process held.

    Attributes:
        answers: Until the port answered.
        seen: Until each thing was on screen; empty where there is no browser.
        held: Bytes as soon as the port answered.
        later: Bytes when all of that was on screen, and PyTorch there.
        session: Bytes for one more session then; 0 where it was not asked.
    """

    answers: float
    seen: dict[str, float]
    held: int
    later: int = 0
    session: float = 0.0


async def _open(running: Server, students: int, stack: AsyncExitStack) -> int:
    """Let so many more students open the first page and stay; what the server holds then."""
    for _ in range(students):
        await stack.enter_async_context(Student(running.port, ""))
    return running.held()


async def _count_sessions(running: Server) -> float:
    async with AsyncExitStack() as stack:
        before = await _open(running, KNOWN, stack)
        return (await _open(running, MORE, stack) - before) / MORE


def _session(running: Server) -> float:
    """Bytes that one more session takes. In a thread of its own: the browser's event loop holds this one."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, _count_sessions(running)).result()


def _start(
    chromium: Browser | None, begun: Callable[[], AbstractContextManager[Server]], more: dict[str, str], last: bool
) -> Start:
    """One start, seen in a fresh window where there is a browser.

    Args:
        chromium: The browser.
        begun: Starts the server.
        more: What is to be seen beside title and first chart.
        last: Whether sessions are counted afterwards.
    """
    with browser.fresh(chromium, **more) if chromium else nullcontext() as window, begun() as running:
        held = running.held()
        if window is None:
            return Start(running.answers, {}, held)
        visit = window.open(running.address())
        seen = {name: visit.began + seconds - running.began for name, seconds in visit.seen.items()}
        return Start(running.answers, seen, held, running.held(), _session(running) if last else 0.0)


def _rows(ours: list[Start], theirs: list[Start]) -> list[Row]:
    def row(what: str, unit: str, find: Callable[[Start], float], most: float | None = None) -> Row:
        mine, other = (statistics.median(map(find, starts)) for starts in (ours, theirs))
        return Row(what, mine, unit, other, PEER, most=most)

    rows = [
        row("start to the port's answer", "s", lambda start: start.answers, ANSWER_SECONDS),
        row("the server's memory when its port answers", "MiB", lambda start: start.held / MIB),
    ]
    if reason := browser.missing():
        return [*rows, Row("start to home on screen", None, "s", limit=reason)]
    there = statistics.median(start.seen["live"] for start in ours)
    return [
        *rows,
        row("start to home's title on screen", "s", lambda start: start.seen["title"]),
        row("start to home's first chart on screen", "s", lambda start: start.seen["chart"]),
        Row("start to PyTorch, its part of home on screen", there, "s"),
        row("the server's memory then", "MiB", lambda start: start.later / MIB),
        Row("one more session on home", ours[-1].session / MIB, "MiB", theirs[-1].session / MIB, PEER),
    ]


def measure() -> list[Row]:
    """Start both in turns."""
    with nullcontext() if browser.missing() else browser.chromium() as chromium:
        ours, theirs = [], []
        for number in range(ROUNDS):
            last = number == ROUNDS - 1
            ours.append(_start(chromium, server.running, {"live": LIVE}, last))
            theirs.append(_start(chromium, server.empty, {}, last))
    return _rows(ours, theirs)

"""First paint: how long a browser takes until a lesson's title and its first chart are on screen.

One server of ours and one of a Streamlit page with a title and one Plotly chart, both warm, visited in turns by one
Chromium. A first visit is a window with nothing in its caches; then it loads the page again, twice. Seconds are those
of the clock, from the moment in which the address is asked for; medians.

How to read it: ``_round`` visits every page once; ``_rows`` holds them to the empty page, visited in the same rounds.
What is left out: the room's network (the bytes say what it would have to carry), and a graphics card.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import browser, server
from benchmarks.browser import Visit
from benchmarks.results import Row
from gptcore.machine import MIB

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LESSONS = {"home": "", "training": "training", "sampling": "sampling"}  # and the rest of their addresses
ROUNDS, RELOADS = 5, 2
SLOWER, RELOAD_SECONDS = 1.2, 0.8  # at most so many times the empty page's time; a page that was seen before
PEER = "empty page"
ON_SCREEN = {"title": "its title", "chart": "its first chart"}


def _look(chromium: Browser, address: str) -> list[Visit]:
    """A first visit, then the reloads."""
    with browser.fresh(chromium) as window:
        return [window.open(address), *(window.reload() for _ in range(RELOADS))]


def _median(visits: Sequence[Visit], name: str) -> float:
    return statistics.median(visit.seen[name] for visit in visits)


def _rows(lesson: str, ours: Sequence[Sequence[Visit]], theirs: Sequence[Sequence[Visit]]) -> list[Row]:
    """A lesson's rows.

    Args:
        lesson: Its name.
        ours: The visits of each round, the first visit before the reloads.
        theirs: The same of the empty page.
    """
    first, peers_first = [each[0] for each in ours], [each[0] for each in theirs]
    again, peers_again = ([visit for each in both for visit in each[1:]] for both in (ours, theirs))
    rows = [
        Row(
            f"{lesson}, first visit: until {what} is on screen",
            _median(first, name),
            "s",
            _median(peers_first, name),
            PEER,
            ratio_goal=1 / SLOWER,
            limit=f"at most {SLOWER} times its time",
        )
        for name, what in ON_SCREEN.items()
    ]
    rows += [
        Row(
            f"{lesson}, loaded again: until {what} is on screen",
            _median(again, name),
            "s",
            _median(peers_again, name),
            PEER,
            most=RELOAD_SECONDS,
        )
        for name, what in ON_SCREEN.items()
    ]
    for when, met, peers in (("first visit", first, peers_first), ("loaded again", again, peers_again)):
        sizes = [statistics.median(visit.bytes for visit in visits) / MIB for visits in (met, peers)]
        rows.append(Row(f"{lesson}, {when}: over the wire", sizes[0], "MiB", sizes[1], PEER))
    return rows


def measure() -> list[Row]:
    """Visit all pages in turns."""
    if reason := browser.missing():
        return [Row("first paint", None, "s", limit=reason)]
    with ExitStack() as stack:
        ours, theirs = stack.enter_context(server.running()), stack.enter_context(server.empty())
        addresses = {PEER: theirs.address(), **{name: ours.address(rest) for name, rest in LESSONS.items()}}
        chromium = stack.enter_context(browser.chromium())
        for address in addresses.values():
            _look(chromium, address)  # warm: PyTorch, models, a lesson's caches
        rounds = [{name: _look(chromium, address) for name, address in addresses.items()} for _ in range(ROUNDS)]
    seen = {name: [each[name] for each in rounds] for name in addresses}
    return [row for lesson in LESSONS for row in _rows(lesson, seen[lesson], seen[PEER])]

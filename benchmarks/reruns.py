"""What it costs the server to draw a lesson anew, as each moved control does; beside a plain page of such elements.

How to read it: one student a lesson on a real server moves nothing and asks again; seconds are those of the server's
processor, because a class shares it. The plain page (``plain_page``) has as many elements and blocks of each kind, each
as small as it can be, on a server of its own: what Streamlit itself takes. The two take turns. Lessons that show whole
runs do so beside a real run of two thousand updates. What is left out: a fragment drawn alone, as most controls ask
for, which costs less; and what a model has to compute anew, since nothing was moved.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from benchmarks import lesson, server
from benchmarks.results import Row
from benchmarks.server import Server
from benchmarks.student import Student, visit
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.runs.store import RunStore
from gptcore.runs.worker import execute

UPDATES = 2_000
OF_A_RUN = ("training", "overfitting", "compare")
WARM, LOOKS = 5, 25
GOAL_MS = 15
SETTLE_SECONDS = 10.0  # until the server has its processes for runs ready
REST_SECONDS = 0.02  # a server puts things in order after its last message
PLAIN = Path(__file__).with_name("plain_page.py")
AS_OURS = {  # what .streamlit/config.toml sets, which is not read there
    "STREAMLIT_RUNNER_POST_SCRIPT_GC": "false",
    "STREAMLIT_SERVER_FILE_WATCHER_TYPE": "none",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
}


class Cost(NamedTuple):
    """Milliseconds of a server's processor for one drawing of a lesson, of its plain page, and the lesson's parts."""

    lesson: float
    plain: float
    parts: int


def _train(home: Path) -> str:
    """A real run of so many updates in the server's data folder; its id."""
    settings = replace(TRAIN_PRESETS["class"], steps=UPDATES, max_minutes=None)
    run = RunStore(home / "runs").create(load_text(OWN_STORY), MODEL_PRESETS["class"], settings)
    if execute(run) != "done":
        raise RuntimeError(f"the run to look at ended as {run.status}")
    return run.id


async def _look(running: Server, student: Student) -> float:
    """Milliseconds of the server's processor for one drawing."""
    before = running.core_seconds()
    await student.look_again()
    await asyncio.sleep(REST_SECONDS)
    return (running.core_seconds() - before) * 1e3


async def _alone(running: Server, link: Mapping[str, int]) -> float:
    async with Student(running.port, "", link=urlencode(link)) as student:
        return statistics.median([await _look(running, student) for _ in range(WARM + LOOKS)][WARM:])


async def _cost(ours: Server, plain: Server, page: str, run: str) -> Cost:
    """One lesson and its plain page, in turns; medians.

    Raises:
        RuntimeError: One of them shows an error.
    """
    async with AsyncExitStack() as both:
        student = await both.enter_async_context(Student(ours.port, page, run))
        await student.look_again()
        link = urlencode(student.parts)
        other = await both.enter_async_context(Student(plain.port, "", link=link))
        costs = [(await _look(ours, student), await _look(plain, other)) for _ in range(WARM + LOOKS)]
        if faults := student.faults + other.faults:
            raise RuntimeError(f"{page or 'home'} shows {faults}")
        mine, least = (statistics.median(each) for each in zip(*costs[WARM:], strict=True))
        return Cost(mine, least, student.parts.total())


def measure() -> list[Row]:
    """Every lesson, and all of them together."""
    with server.running() as ours, server.running(PLAIN, **AS_OURS) as plain:
        run = _train(ours.home)
        asyncio.run(visit(ours.port, *lesson.lessons()))
        time.sleep(SETTLE_SECONDS)
        empty = asyncio.run(_alone(plain, {}))
        costs = {
            page: asyncio.run(_cost(ours, plain, page, run if page in OF_A_RUN else "")) for page in lesson.lessons()
        }
    rows = [_row(page or "home", cost, beside=page in OF_A_RUN) for page, cost in costs.items()]
    middle = Cost(*(statistics.median(each) for each in zip(*costs.values(), strict=True)))
    return [
        Row("a page with a title and nothing else", None, "ms", empty, "Streamlit"),
        *rows,
        _row("the lesson in the middle", middle),
    ]


def _row(what: str, cost: Cost, *, beside: bool = False) -> Row:
    name = f"{what}, beside {UPDATES:,} updates" if beside else what
    limit = f"Streamlit's share of {cost.parts:,.0f} elements and blocks: {cost.plain:.1f} ms"
    return Row(name, cost.lesson, "ms", cost.plain, "plain page", most=GOAL_MS, limit=limit)

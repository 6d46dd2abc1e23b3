"""The class board's data, read once for all who look, and what a class and its teacher may do.

How to read it: ``look`` is the board as it was within the last seconds; ``sit_down`` takes a seat for whoever came by
the link to the class. Nobody is asked for a name. What is left out: what is drawn (the page).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pandas as pd
import streamlit as st
from filelock import Timeout
from streamlit.delta_generator import DeltaGenerator

from gptcore.classroom import Member, Row, board
from gptcore.figures.classroom import Cell, classroom_figure, least_width
from gptcore.machine import MIB
from gptcore.runs.machines import ClusterNow, cluster_now
from gptcore.runs.store import RunStore
from pages._ui import frame, owner, resources, teaching, thread

LOOK_SECONDS = 3.0
STALE_SECONDS = 30.0  # since the dispatcher last spoke of other machines: it is gone, or trains here
SHARED_SECONDS = 2.0  # a board is at most this old: sixty browsers that look cost little more than one


class Board(NamedTuple):
    """What everybody's screen shows.

    Attributes:
        rows: A person each.
        more: People who have no room on the board.
        figure: Their curves.
        seconds: What it cost this server.
    """

    rows: list[Row]
    more: int
    figure: Any
    seconds: float


@st.cache_resource(ttl=SHARED_SECONDS, max_entries=4, show_spinner=False)
def _board(root: Path, key: str, guests: bool) -> Board:
    begun = time.perf_counter()
    rows, more = board(RunStore(root), teaching.register().members(), guests=guests)
    figure = classroom_figure([_cell(row, key) for row in rows])
    return Board(rows, more, figure, time.perf_counter() - begun)


def look() -> Board:
    """The board as this visit may see it: a teacher sees those outside the class, too."""
    return _board(thread.store().root, teaching.register().key, teaching.is_teacher())


def _cell(row: Row, key: str) -> Cell:
    address = f"training?{urlencode({'run': row.run.id, teaching.CLASS: key})}"  # everybody's, so without any levers
    return Cell(row.label, _note(row), address, resources.metrics(row.run), row.steps)


def _note(row: Row) -> str:
    if row.best is not None:
        return f"{row.best:.2f}"
    return f"place {row.waits.place}" if row.waits else row.state


def watch(run_ids: Iterable[str]) -> list[str]:
    """Where runs are watched, seen from the board: in its class and under this visit's levers, as is what one begins.

    Who knows such an address may watch the run.
    """
    said = urlencode({teaching.CLASS: teaching.register().key, **teaching.written()})
    return [f"training?run={run_id}&{said}" for run_id in run_ids]


def people(number: int) -> str:
    """So many people, in words.

    >>> people(1), people(60)
    ('1 person', '60 people')
    """
    return "1 person" if number == 1 else f"{number:,} people"


def wide_enough(cells: int) -> DeltaGenerator:
    """A place for so many cells, in which a narrow screen scrolls sideways."""
    place = ".st-key-classroom_scroll"
    st.html(
        f"<style>{place} {{ overflow-x: auto; }} {place} > * {{ min-width: {least_width(cells)}px; }}</style>",
    )
    return st.container(key="classroom_scroll")


def table(rows: list[Row]) -> pd.DataFrame:
    """Who trains what."""
    return pd.DataFrame(
        {
            "who": [row.label for row in rows],
            "run": watch(row.run.id for row in rows),
            "text": [row.text for row in rows],
            "layers × width": [row.model for row in rows],
            "state": [row.state for row in rows],
            "steps": [f"{row.done:,} of {row.steps:,}" if row.steps else f"{row.done:,}" for row in rows],
            "best validation loss": pd.Series([row.best for row in rows], dtype="float64"),
            "place in the queue": pd.Series([row.waits and row.waits.place for row in rows], dtype="Int64"),
            "seconds to wait": pd.Series([row.waits and row.waits.seconds for row in rows], dtype="float64"),
        }
    )


def elsewhere() -> ClusterNow | None:
    """The other machines that train, as the dispatcher sees them; None where all is trained on this one."""
    now = cluster_now(thread.store().root)
    return None if now is None or time.time() - now.updated > STALE_SECONDS else now


def machines(now: ClusterNow, rows: list[Row]) -> pd.DataFrame:
    """Which machine trains whose run."""
    labels = {row.run.id: row.label for row in rows}
    return pd.DataFrame(
        {
            "machine": [machine.name for machine in now.machines],
            "runs at a time": [machine.slots for machine in now.machines],
            "cores": [machine.cores for machine in now.machines],
            "memory, GiB": [machine.memory / MIB / 1024 for machine in now.machines],
            "trains": [
                ", ".join(labels.get(run, "a run that is not on this board") for run in machine.runs)
                for machine in now.machines
            ],
        }
    )


def sit_down(nickname: str | None = None) -> Member | None:
    """Take a seat, or come back to it; None for whoever is in no class, where there is no seat, and at a first glance.

    A seat for a visit whose browser has not said yet who it is would stay empty behind it, if that is left at once.
    """
    if not teaching.in_class() or not owner.is_known():
        return None
    try:
        return teaching.register().join(sorted(owner.names()), nickname)
    except (ValueError, OSError, Timeout) as error:
        frame.refuse(error, "Your runs train as ever; they are not on the board.")
        return None


def cancel(row: Row) -> None:
    """Ask a run to stop on the teacher's behalf; looked at again, because a button may be older than the visit."""
    if teaching.is_teacher() and row.run.exists:
        row.run.ask_to_stop()
        _board.clear()


def begin_class() -> None:
    """Begin a class, or another one."""
    if teaching.is_teacher():
        teaching.register().begin()
        _board.clear()

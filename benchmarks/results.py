"""One table for all parts: what, ours, peer, ratio, goal, limit; and the file in which the last figures are kept.

How to read it: a part returns ``Row``s; ``show`` prints them, ``keep`` writes them into RESULTS.md. There each part has
a section of its own with the machine, the date and the load, and a part that is measured again replaces only that.

A ratio says how many times better ours is than the peer, whatever the unit: 2.00 x is half the time, half the memory,
or twice the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks import timing
from gptcore.machine import MIB, cores, memory_limit, versions

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """# Results

Written by `make bench`; each part by itself, when it was last run. A ratio says how many times better ours is than the
peer: half the time, half the memory and twice the tokens are all 2.00 x. Seconds are seconds of one core, and those
of the clock where a server, a browser, a cluster or a class is measured. What a part measures, and how, stands at the
head of its module.
"""
COLUMNS = ("what", "ours", "peer", "ratio", "goal", "limit")
HIGHER_IS_BETTER = ("tokens/s",)
MET, MISSED = "met", "missed"


class Row(NamedTuple):
    """One thing that was measured.

    Attributes:
        what: Its name.
        ours: In ``unit``; None where it can't be measured, and ``limit`` says why.
        unit: "ms", "s", "MiB", "tokens/s", or what is counted.
        peer: The same of the peer, where there is one.
        peer_name: Which.
        ratio_goal: At least so many times better than the peer.
        most: At most so much, in ``unit``.
        limit: What the machine allows, or why the goal is missed.
    """

    what: str
    ours: float | None
    unit: str
    peer: float | None = None
    peer_name: str = ""
    ratio_goal: float | None = None
    most: float | None = None
    limit: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better ours is."""
        if not self.ours or not self.peer:
            return None
        return self.ours / self.peer if self.unit in HIGHER_IS_BETTER else self.peer / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none, or nothing to hold to it."""
        if self.ratio_goal is not None and self.ratio is not None:
            return self.ratio >= self.ratio_goal
        return self.ours <= self.most if self.most is not None and self.ours is not None else None

    def _short(self) -> str:
        """By how much a goal is missed, as a share of the goal; "" where the goal is none at all."""
        if self.ratio_goal is not None and self.ratio is not None:
            return f" by {1 - self.ratio / self.ratio_goal:.0%}"
        return f" by {self.ours / self.most - 1:.0%}" if self.most and self.ours is not None else ""

    def cells(self) -> tuple[str, ...]:
        """Its texts, in the order of ``COLUMNS``."""
        goal = ""
        if self.ratio_goal is not None:
            goal = f">= {self.ratio_goal:.2f} x"
        elif self.most is not None:
            goal = f"<= {self.most:g} {self.unit}"
        if self.met is not None:
            goal += f", {MET}" if self.met else f", {MISSED}{self._short()}"
        return (
            self.what,
            "-" if self.ours is None else f"{figure(self.ours)} {self.unit}",
            "" if self.peer is None else f"{figure(self.peer)} {self.unit} ({self.peer_name})",
            "" if self.ratio is None else f"{self.ratio:.2f} x",
            goal,
            self.limit,
        )


def figure(value: float) -> str:
    """A number with three digits that count.

    >>> figure(0.01234), figure(12.34), figure(1234.5)
    ('0.0123', '12.3', '1,234')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(COLUMNS))]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def measured_on(load_before: float) -> str:
    """When, on what and beside what a part was measured."""
    about = versions()
    return (
        f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC · {about['processor']}, {cores()} cores, "
        f"{memory_limit() / MIB / 1024:.0f} GiB · Python {about['python']}, PyTorch {about['torch']} · one thread · "
        f"load {load_before:.1f} before, {timing.load():.1f} after"
    )


def section(name: str, rows: Sequence[Row], about: str) -> str:
    """A part's section of the file."""
    lines = [f"## {name}", "", about, "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    return "\n".join([*lines, *(f"| {' | '.join(row.cells())} |" for row in rows), ""])


def merged(before: str, name: str, new: str, order: Sequence[str]) -> str:
    """The file with one section replaced or added; sections stand in the order of the parts.

    >>> old = merged("", "steps", section("steps", [], "one day"), ["steps", "generation"])
    >>> "another day" in merged(old, "generation", section("generation", [], "another day"), ["steps", "generation"])
    True
    """
    found = re.split(r"^## ", before, flags=re.MULTILINE)[1:]
    sections = {text.partition("\n")[0]: f"## {text.strip()}\n" for text in found} | {name: new}
    known = [part for part in order if part in sections]
    return "\n".join([HEAD, *(sections[part] for part in [*known, *sorted(sections.keys() - set(known))])])


def keep(name: str, rows: Sequence[Row], about: str, order: Sequence[str]) -> None:
    """Write a part's rows into the file, leaving all other parts as they are."""
    before = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    RESULTS.write_text(merged(before, name, section(name, rows, about), order), encoding="utf-8", newline="\n")

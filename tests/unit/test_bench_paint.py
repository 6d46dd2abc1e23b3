"""First paint in the benchmark's table: medians of first visits and of reloads, each held to the empty page's."""

from __future__ import annotations

import pytest

from benchmarks import browser, cold_start, paint
from benchmarks.browser import Visit
from benchmarks.results import Row
from gptcore.machine import MIB


def visits(*seconds: float) -> list[Visit]:
    """A first visit and its reloads: the title after so many seconds, the chart a second later."""
    return [Visit(0.0, {"title": each, "chart": each + 1}, 2 * MIB) for each in seconds]


def found(rows: list[Row], start: str) -> Row:
    return next(row for row in rows if row.what.startswith(start))


def test_a_first_visit_is_held_to_the_empty_pages_and_a_reload_to_seconds() -> None:
    rows = paint._rows("home", [visits(1.1, 0.5), visits(1.2, 0.6), visits(9.0, 0.7)], [visits(1.0, 0.3)] * 3)
    first, again = found(rows, "home, first visit: until its title"), found(rows, "home, loaded again: until its title")
    assert (first.ours, first.peer, first.met) == (1.2, 1.0, True)
    assert (again.ours, again.peer, again.most, again.met) == (0.6, 0.3, 0.8, True)
    assert found(rows, "home, loaded again: until its first chart").met is False
    assert found(rows, "home, first visit: over the wire").ours == 2.0


def test_more_than_a_fifth_slower_than_the_empty_page_misses_the_goal() -> None:
    rows = paint._rows("home", [visits(1.21, 0.5)], [visits(1.0, 0.5)])
    assert found(rows, "home, first visit: until its title").met is False


def test_without_a_browser_the_row_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    (row,) = paint.measure()
    assert row.ours is None
    assert row.limit.startswith("not measured: no Chromium here")
    assert "not measured" in str(browser.missing())


def test_a_cold_start_without_a_browser_still_has_its_port_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    start = cold_start.Start(2.0, {}, 80 * MIB)
    rows = cold_start._rows([start], [start])
    assert found(rows, "start to the port's answer").met is True
    assert found(rows, "the server's memory when").ours == 80.0
    assert found(rows, "start to home on screen").limit.startswith("not measured")

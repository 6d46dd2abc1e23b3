"""What the benchmark of first paint rests on: a window that notes by itself when something is on screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from benchmarks import browser as bench
from tests.browser.conftest import Server


@pytest.mark.parametrize("lesson", ["", "training", "sampling"])
def test_a_window_sees_a_title_and_a_first_chart_and_the_browser_keeps_the_rest(
    browser: Browser, server: Server, lesson: str
) -> None:
    with bench.fresh(browser) as window:
        first = window.open(f"{server.url}/{lesson}")
        again = window.reload()
    for visit in (first, again):
        assert 0 < visit.seen["title"] <= visit.seen["chart"]
    assert again.bytes < first.bytes / 10

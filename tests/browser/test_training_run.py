"""A run as a student meets it: it is started with a click, grows before one's eyes, ends or is stopped, and speaks."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from pages._ui.frame import LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
Train = Callable[[Page, int], None]
SAMPLING = next(lesson for lesson in LESSONS if lesson.key == "sampling")
MINUTES = 3 * 60_000  # milliseconds of patience with a run on a busy machine
# Evaluations drawn on screen: one symbol for each, on both lines. While a new chart replaces the old, both are there.
POINTS = """() => Math.max(0, ...[...document.querySelectorAll(".st-key-training_curves .js-plotly-plot")]
    .map(chart => chart.querySelectorAll(".scatterlayer path.point").length))"""
GROWN = f"past => document.body.innerText.includes('running · step') && ({POINTS})() > past"


def state(page: Page) -> Locator:
    """The line above the chart: "running · step 12 of 400 · ..."."""
    # Streamlit shows the former one beside it for a moment while the page is drawn anew.
    line = re.compile(r"step [\d,]+ of [\d,]+|queued$")
    return page.get_by_test_id("stCaptionContainer").filter(has_text=line).first


def steps_done(page: Page) -> int:
    found = re.search(r"step ([\d,]+) of", state(page).inner_text())
    return int(found[1].replace(",", "")) if found else 0


def in_words(page: Page) -> str:
    """What a screen reader is told of the chart."""
    return page.locator(".st-key-training_curves").get_by_role("figure").last.get_attribute("aria-label") or ""


def test_a_long_run_grows_on_screen_until_cancel_stops_it(page: Page, train: Train) -> None:
    train(page, 100_000)
    page.wait_for_function(GROWN, arg=2, timeout=MINUTES)
    points, done, said = page.evaluate(POINTS), steps_done(page), in_words(page)
    page.wait_for_function(GROWN, arg=points, timeout=MINUTES)
    assert 0 < done < steps_done(page) < 100_000
    assert in_words(page) != said

    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_contain_text("cancelled · step")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert done < steps_done(page) < 100_000


def test_a_short_run_ends_and_is_then_there_to_be_asked(page: Page, train: Train, from_menu: Arrive) -> None:
    train(page, 20)
    expect(state(page)).to_contain_text("done · step 20 of 20", timeout=MINUTES)
    strip = page.locator(".st-key-thread-strip")
    expect(strip).to_contain_text(re.compile(r"loss \d"))
    expect(strip).not_to_contain_text("(recorded)")
    from_menu(page, SAMPLING)
    expect(page.locator(".st-key-sampling_voice input")).to_have_value("your run, best")

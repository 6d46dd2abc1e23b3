"""A run as a student meets it: it is started with a click, grows before one's eyes, ends, and then speaks."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from pages._ui.frame import LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
TRAINING, SAMPLING = (lesson for lesson in LESSONS if lesson.key in ("training", "sampling"))
STEPS = 400  # some seconds: long enough to be seen growing, at one look every other second
# Points on screen, and steps in the line above them; the line changes a moment before the chart does.
POINTS = """() => document.querySelector(".st-key-training_curves .js-plotly-plot")
    ?.data?.find(line => line.name === "each batch")?.x.length ?? 0"""
GROWN = f"past => document.body.innerText.includes('running') && ({POINTS})() > past"


def state(page: Page) -> Locator:
    """The line under the controls: "running · step 12 of 400 · ..."."""
    return page.get_by_test_id("stCaptionContainer").filter(has_text=re.compile(r"step [\d,]+ of [\d,]+|queued"))


def steps_done(page: Page) -> int:
    found = re.search(r"step ([\d,]+) of", state(page).inner_text())
    return int(found[1].replace(",", "")) if found else 0


def curves(page: Page) -> Locator:
    return page.locator(".st-key-training_curves").get_by_role("figure")


def train(page: Page, arrive: Arrive, steps: int) -> None:
    page.goto(f"/{TRAINING.key}")
    arrive(page, TRAINING)
    page.get_by_label("Steps", exact=True).fill(str(steps))
    page.get_by_label("Steps", exact=True).press("Enter")
    arrive(page, TRAINING)
    page.get_by_role("button", name="Train").click()
    expect(state(page)).to_contain_text(f"of {steps:,}")
    page.wait_for_function(GROWN, arg=0)


def test_a_run_grows_on_screen_ends_and_is_then_there_to_be_asked(
    page: Page, arrive: Arrive, from_menu: Arrive
) -> None:
    train(page, arrive, STEPS)
    points, done, said = page.evaluate(POINTS), steps_done(page), curves(page).get_attribute("aria-label")
    page.wait_for_function(GROWN, arg=points)
    assert steps_done(page) > done
    expect(curves(page)).not_to_have_attribute("aria-label", said or "")

    expect(state(page)).to_contain_text(f"done · step {STEPS} of {STEPS}")
    expect(page.locator(".st-key-thread-strip")).not_to_contain_text("(recorded)")
    from_menu(page, SAMPLING)
    expect(page.locator(".st-key-sampling_voice")).to_contain_text("your run, best")


def test_cancel_stops_a_long_run(page: Page, arrive: Arrive) -> None:
    train(page, arrive, 100_000)
    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert 0 < steps_done(page) < 100_000

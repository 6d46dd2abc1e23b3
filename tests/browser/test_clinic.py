"""The sanity card in a browser: a click trains three runs, and the page follows them to their verdicts by itself."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from gptcore.sanity import PLANS
from pages._ui.frame import LESSONS, Lesson

CLINIC = next(lesson for lesson in LESSONS if lesson.key == "clinic")
TRAINING_SECONDS = 180  # of patience for three short runs on a crowded machine


def test_the_card_runs_on_the_students_text_and_ends_with_four_verdicts(
    page: Page, arrive: Callable[[Page, Lesson], None]
) -> None:
    page.goto(f"/{CLINIC.key}")
    arrive(page, CLINIC)
    page.get_by_test_id("stButtonGroup").get_by_text("Sanity card").click()
    expect(page.get_by_text("Recorded, on the story that comes with the program")).to_be_visible()
    page.get_by_role("button", name="Run the card on your text").click()
    expect(page.get_by_text("On your text, The Glass Clock")).to_be_visible()
    updates = sum(plan.training.steps or 0 for plan in PLANS)
    expect(page.get_by_text(f"of {updates} updates")).to_be_visible()
    expect(page.get_by_text("As it should be.")).to_have_count(4, timeout=TRAINING_SECONDS * 1_000)
    expect(page.get_by_role("button", name="Yours is here")).to_be_disabled()
    expect(page.get_by_role("progressbar")).to_have_count(0)

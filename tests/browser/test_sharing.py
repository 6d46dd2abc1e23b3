"""A link copied in one browser and opened in another; a lesson presented, and walked by a clicker's keys."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from pages._ui.frame import LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
Press = Callable[[Page, Lesson, str], None]
BY_KEY = {lesson.key: lesson for lesson in LESSONS}


def test_a_link_copied_in_one_browser_shows_the_same_in_another(page: Page, browser: Browser, arrive: Arrive) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/floor")
    arrive(page, BY_KEY["floor"])
    box = page.get_by_label("Seed of the lines")
    box.fill("77")
    box.press("Enter")
    arrive(page, BY_KEY["floor"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith("/floor?v=1&floor_seed=77")
    other = browser.new_context().new_page()
    other.goto(link)
    arrive(other, BY_KEY["floor"])
    expect(other.get_by_label("Seed of the lines")).to_have_value("77")
    other.context.close()


def test_the_arrow_keys_walk_the_thread_and_escape_leaves(page: Page, arrive: Arrive, press: Press) -> None:
    page.goto("/bpe?present=1")
    arrive(page, BY_KEY["bpe"])
    expect(page.get_by_test_id("stSidebar")).not_to_be_visible()
    here = "bpe"
    for key, there in (("ArrowRight", "windows"), ("PageUp", "bpe"), ("ArrowLeft", "tokens")):
        press(page, BY_KEY[here], key)
        arrive(page, BY_KEY[there])
        here = there
    press(page, BY_KEY[here], "Escape")
    expect(page.get_by_test_id("stSidebar")).to_be_visible()

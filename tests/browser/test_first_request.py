"""A link that somebody shared is the first thing a fresh server is asked for. This file holds one test for that."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from pages._ui.frame import LESSONS, Lesson

WINDOWS = next(lesson for lesson in LESSONS if lesson.key == "windows")


def test_a_deep_link_to_a_fresh_server_gives_its_page_in_the_whole_frame(
    page: Page, arrive: Callable[[Page, Lesson], None]
) -> None:
    page.goto(f"/{WINDOWS.key}")
    arrive(page, WINDOWS)
    expect(page.get_by_role("heading", level=2)).to_have_count(1)
    expect(page.get_by_text("Page not found")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)
    links = page.get_by_test_id("stSidebarNavLink")
    expect(links).to_have_count(len(LESSONS))
    for link, lesson in zip(links.all(), LESSONS, strict=True):
        expect(link).to_contain_text(f"{lesson.title} · {lesson.chapter}" if lesson.chapter else lesson.title)
    # each stretch is there twice, once for windows without room for a tooltip
    expect(page.locator(".st-key-thread-strip a").filter(visible=True)).to_have_count(6)

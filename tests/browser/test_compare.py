"""A run is repeated before one's eyes, its verdict appears by itself, and the figure is saved without a network."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from pages._ui.frame import LESSONS, Lesson

COMPARE = next(lesson for lesson in LESSONS if lesson.key == "compare")


def test_a_run_is_repeated_live_and_found_identical_and_the_figure_is_saved(
    page: Page, train: Callable[[Page, int], None], from_menu: Callable[[Page, Lesson], None]
) -> None:
    train(page, 20)
    expect(page.get_by_text(" done · step 20 of 20")).to_be_visible()
    from_menu(page, COMPARE)
    page.get_by_role("button", name="Run again and compare").click()
    expect(page.get_by_text("identical to the last bit in all 20 steps")).to_be_visible()
    expect(page.get_by_role("button", name="Run again and compare")).to_be_enabled()  # nothing is polled any more
    page.get_by_test_id("stPlotlyChart").first.hover()
    with page.expect_download() as saved:
        page.locator("[data-title^='Download plot']").first.click()
    assert saved.value.suggested_filename == "runs-compared.svg"
    page.get_by_test_id("stPopover").filter(has_text="Download").click()
    with page.expect_download() as curves:
        page.get_by_role("button", name="The curves (CSV)").click()
    assert curves.value.path().read_text(encoding="utf-8").startswith('"run","step",')

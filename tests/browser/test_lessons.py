"""Every lesson as it looks: opened from the menu, on a wide and on a narrow screen, in light and in dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page

from pages._ui.frame import LESSONS, Lesson

SCREENSHOTS = Path(__file__).parent / "screenshots"
# How far the page, and the part of it that scrolls, reach beyond the window to the right.
OVERHANG = """() => [document.scrollingElement, document.querySelector("[data-testid=stMain]")]
    .map(element => element.scrollWidth - element.clientWidth)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_every_lesson_opens_from_the_menu_and_fits_the_window(
    page: Page,
    arrive: Callable[[Page, Lesson], None],
    from_menu: Callable[[Page, Lesson], None],
    width: int,
    height: int,
    scheme: Literal["light", "dark"],
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.goto("/")
    arrive(page, LESSONS[0])
    SCREENSHOTS.mkdir(exist_ok=True)
    too_wide = {}
    for lesson in LESSONS[1:] + LESSONS[:1]:
        from_menu(page, lesson)
        if page.evaluate(OVERHANG) != [0, 0]:
            too_wide[lesson.key] = page.evaluate(OVERHANG)
        page.screenshot(path=SCREENSHOTS / f"{lesson.key}-{scheme}-{width}.png")
    assert too_wide == {}

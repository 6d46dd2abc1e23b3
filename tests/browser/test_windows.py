"""The windows lesson by hand and keyboard: each column is an exercise that lights up and is written out."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from gptcore.corpora import OWN_STORY, load_text
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text
from pages._ui.frame import LESSONS, Lesson

WINDOWS = next(lesson for lesson in LESSONS if lesson.key == "windows")


def test_each_column_is_an_exercise_to_point_at_or_to_reach_by_arrow_keys(
    page: Page, arrive: Callable[[Page, Lesson], None]
) -> None:
    page.goto(f"/{WINDOWS.key}")
    arrive(page, WINDOWS)
    tokenizer = load_tokenizer()
    ids = tokenizer.encode(split_text(load_text(OWN_STORY).text, 0.9)[0])
    exercise, grid = page.locator(".exercise"), page.locator(".pairs")

    def expect_exercise(position: int) -> None:
        given = f"given {position + 1} token{'s' * (position > 0)}"
        expect(exercise).to_contain_text(f"Position {position}: {given}, guess one.")
        expect(exercise.locator(".prefix")).to_have_text(tokenizer.decode(ids[: position + 1]))
        expect(grid.locator(".given")).to_have_count(position + 1)
        expect(grid.locator(".asked .note")).to_have_text(str(ids[position + 1]))

    expect_exercise(4)
    grid.locator(".target").nth(2).hover()
    expect_exercise(2)
    page.mouse.move(5, 5)
    expect_exercise(4)
    grid.focus()
    for key, position in (("ArrowRight", 5), ("ArrowRight", 6), ("Home", 0), ("ArrowLeft", 0)):
        grid.press(key)
        expect_exercise(position)

"""A server that has just started: who goes on while PyTorch is still being loaded comes to a whole page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pages._ui.frame import LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
BY_KEY = {lesson.key: lesson for lesson in LESSONS}


@pytest.fixture
def server(serve: Callable[[str], AbstractContextManager[Any]], request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fresh server for each test, told what its secrets are."""
    with serve(request.param) as server:
        yield server


@pytest.mark.parametrize("server", [""], indirect=True)
def test_who_leaves_home_early_comes_to_the_whole_lesson(page: Page, arrive: Arrive) -> None:
    page.goto("/?present=1")
    page.locator(".st-key-present_next").get_by_role("link").click()
    arrive(page, BY_KEY["tokens"])
    expect(page.locator(".st-key-thread-strip").first).to_be_visible()


@pytest.mark.parametrize("server", ['[teaching]\nbegin = "training"\n'], indirect=True)
def test_a_visit_that_is_to_start_at_a_lesson_gets_it_whole(page: Page, arrive: Arrive) -> None:
    page.goto("/")
    arrive(page, BY_KEY["training"])
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_visible()

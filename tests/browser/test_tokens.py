"""Tokens as somebody types, points and walks with keys; a token built merge by merge, by keys alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from gptcore.bpe import merge_trace
from gptcore.tokenizer import load_tokenizer
from pages._ui.frame import LESSONS, Lesson
from pages._ui.own_text import MOST_CHARACTERS
from pages._ui.token_examples import BY_NAME, EXAMPLES

Arrive = Callable[[Page, Lesson], None]
FromMenu = Callable[[Page, Lesson], None]
GPT2 = load_tokenizer()
BY_KEY = {lesson.key: lesson for lesson in LESSONS}
HOSTILE = "<img src=x onerror=alert(1)> $a$ :red[x]"


@pytest.fixture
def tokens(page: Page, arrive: Arrive) -> Locator:
    """The part of the lesson that cuts what is typed."""
    page.goto("/tokens")
    arrive(page, BY_KEY["tokens"])
    view = page.locator(".token-view").first
    expect_ids(view, EXAMPLES[0].text)
    return view


def expect_ids(view: Locator, text: str) -> None:
    expect(view.locator(".ids .id")).to_have_text([str(i) for i in GPT2.encode(text)])


def box(view: Locator) -> Locator:
    return view.get_by_role("textbox", name="Your text, cut as you type")


def test_what_is_typed_is_cut_while_it_is_typed_and_never_overwritten(tokens: Locator) -> None:
    box(tokens).fill("")
    expect(tokens.locator(".chip")).to_have_count(0)
    typed = "The owl\nsaw 12345 owls."
    for end, letter in enumerate(typed, 1):
        box(tokens).press("Enter" if letter == "\n" else letter)
        assert box(tokens).input_value() == typed[:end]
    expect_ids(tokens, typed)
    assert box(tokens).input_value() == typed


def test_what_is_typed_is_never_read_as_html(page: Page, tokens: Locator) -> None:
    box(tokens).fill(HOSTILE)
    expect_ids(tokens, HOSTILE)
    assert "".join(tokens.locator(".chip").all_text_contents()) == HOSTILE.replace(" ", "·")
    assert page.locator(".token-view img").count() == 0


def test_an_example_takes_the_box_and_a_click_brings_back_what_was_typed(
    page: Page, tokens: Locator, from_menu: FromMenu
) -> None:
    box(tokens).fill("My own words")
    expect_ids(tokens, "My own words")
    page.get_by_text("Capitals", exact=True).click()
    expect(box(tokens)).to_have_value(BY_NAME["Capitals"].text)
    expect_ids(tokens, BY_NAME["Capitals"].text)
    page.get_by_text("My own text", exact=True).click()
    expect(box(tokens)).to_have_value("My own words")
    box(tokens).press("End")
    box(tokens).press_sequentially(", and more of them")
    page.get_by_text("Numbers", exact=True).click()  # with the last letters still on their way
    expect_ids(tokens, BY_NAME["Numbers"].text)
    page.get_by_text("My own text", exact=True).click()
    expect(box(tokens)).to_have_value("My own words, and more of them")
    from_menu(page, BY_KEY["windows"])
    from_menu(page, BY_KEY["tokens"])
    expect(box(tokens)).to_have_value("My own words, and more of them")
    expect_ids(tokens, "My own words, and more of them")


def test_a_chip_and_its_ids_light_up_together(tokens: Locator) -> None:
    text = "an \U0001f989 owl"
    box(tokens).fill(text)
    expect_ids(tokens, text)
    tokens.locator(".chip").nth(1).hover()
    expect(tokens.locator(".ids .lit")).to_have_text([str(i) for i in GPT2.encode(" \U0001f989")])
    tokens.locator(".id").last.hover()
    expect(tokens.locator(".chips .lit")).to_have_text(["·owl"])


def test_keys_alone_walk_both_rows_and_ask_for_a_token(page: Page, tokens: Locator) -> None:
    box(tokens).fill("The owl saw the owl")
    expect_ids(tokens, "The owl saw the owl")
    box(tokens).press("Tab")
    expect(tokens.get_by_role("button", name="The: token 464").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(tokens.get_by_role("button", name="space owl: token 39610").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(tokens.locator(".id").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    facts = tokens.get_by_role("region", name="About one token")
    expect(facts.get_by_role("heading")).to_have_text("Token 39610: ·owl")
    expect(facts).to_contain_text("2 times among 5 tokens")
    expect(tokens.locator(".chip.same")).to_have_count(2)
    expect(tokens.locator(".id").nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(facts).to_be_hidden()


def test_a_neighbour_in_the_vocabulary_is_told_about_too(tokens: Locator) -> None:
    tokens.get_by_role("button", name="space the: token 262").first.click()
    facts = tokens.get_by_role("region", name="About one token")
    facts.get_by_role("button", name="in 259").click()
    expect(facts.get_by_role("heading")).to_have_text("Token 259: in")
    facts.get_by_role("button", name="Close").click()
    expect(facts).to_be_hidden()


def test_a_long_text_is_turned_page_by_page(tokens: Locator) -> None:
    text = "The owl saw the other owl. " * 700
    box(tokens).fill(text)
    count = len(GPT2.encode(text))
    where = tokens.locator(".where")
    expect(where).to_have_text(f"tokens 1 to 600 of {count:,}")
    tokens.get_by_role("button", name="Next page").click()
    expect(where).to_have_text(f"tokens 601 to 1,200 of {count:,}")
    expect(tokens.locator(".id").first).to_have_text(str(GPT2.encode(text)[600]))


def test_a_text_that_is_too_long_is_said_to_be_and_not_cut(tokens: Locator) -> None:
    box(tokens).fill("x" * (MOST_CHARACTERS + 1))
    expect(tokens.locator(".length")).to_contain_text("20,001 of 20,000 characters: too long")
    assert len(box(tokens).input_value()) == MOST_CHARACTERS + 1
    box(tokens).fill("short again")
    expect_ids(tokens, "short again")
    expect(tokens.locator(".length")).to_have_text("11 of 20,000 characters")


def test_a_token_is_built_by_keys_alone(page: Page, arrive: Arrive) -> None:
    page.goto("/bpe")
    arrive(page, BY_KEY["bpe"])
    steps = merge_trace(b" unbelievably", GPT2.ranks)
    slider = page.get_by_role("slider", name="Merges done")
    expect(page.locator(".level")).to_have_count(len(steps))
    slider.focus()
    slider.press("Home")
    expect(page.locator(".level")).to_have_count(1)
    expect(page.locator(".rank")).to_have_text([f"{rank:,}" for rank in steps[0].ranks if rank is not None])
    slider.press("ArrowRight")
    expect(page.locator(".said")).to_contain_text("Merge 1 of 12: l + y became ly, rank 306.")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Merge 1 of 12"))
    box = page.get_by_label("A word, with the space before it")
    box.fill(" owls")
    expect(page.locator(".part.done")).to_have_text([re.compile(str(i)) for i in GPT2.encode(" owls")])

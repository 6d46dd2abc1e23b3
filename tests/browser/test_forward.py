"""The attention map by hand and keyboard: each cell is worked out from the numbers that the model used."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from gptcore import forward
from gptcore.corpora import OWN_STORY, load_text
from gptcore.forward import Trace
from gptcore.library import load_model
from gptcore.paths import POCKET_MODEL
from pages._ui.frame import LESSONS, Lesson

FORWARD = next(lesson for lesson in LESSONS if lesson.key == "forward")


@pytest.fixture(scope="module")
def trace() -> Trace:
    model, tokenizer = load_model(POCKET_MODEL)
    return forward.trace(model, tokenizer.encode(load_text(OWN_STORY).prompt))


@pytest.fixture
def attention(page: Page, arrive: Callable[[Page, Lesson], None]) -> Locator:
    page.goto(f"/{FORWARD.key}")
    arrive(page, FORWARD)
    attention = page.locator(".attention")
    expect(attention.locator(".title")).to_contain_text("reads token")
    return attention


def written(number: float, digits: int = 3) -> str:
    return f"{number:.{digits}f}".replace("-", "−")


def expect_cell(attention: Locator, trace: Trace, layer: int, head: int, query: int, key: int) -> None:
    """The sentences hold score, scaled score and weight as PyTorch has them."""
    expect(attention.locator(".title")).to_contain_text(f"Token {query + 1},")
    expect(attention.locator(".title")).to_contain_text(f"reads token {key + 1},")
    width = trace.q.size(-1)
    score = float(torch.dot(trace.q[layer, head, query].double(), trace.k[layer, head, key].double()))
    lines = attention.locator("li")
    expect(lines).to_have_count(4)
    expect(lines.nth(0)).to_contain_text(f"({width} products) = {written(score)}")
    expect(lines.nth(1)).to_have_text(f"Scale: {written(score)} / √{width} = {written(score / math.sqrt(width))}")
    if key > query:
        expect(lines.nth(2)).to_contain_text("its score is made −∞")
        expect(lines.nth(3)).to_contain_text("weight 0")
    else:
        weight = float(trace.weights[layer, head, query, key])
        expect(lines.nth(3)).to_contain_text(f"= {weight:.4f}, a weight of {100 * weight:.1f} %")


def test_arrow_keys_go_from_cell_to_cell_and_stop_at_the_edges(attention: Locator, trace: Trace) -> None:
    last = len(trace.ids) - 1
    grid = attention.locator(".grid")
    expect_cell(attention, trace, 0, 0, last, int(trace.weights[0, 0, last].argmax()))
    grid.focus()
    for key, place in (
        ("Home", (last, 0)),
        ("ArrowLeft", (last, 0)),
        ("ArrowRight", (last, 1)),
        ("ArrowUp", (last - 1, 1)),
        ("End", (last - 1, last)),
        ("ArrowDown", (last, last)),
        ("ArrowDown", (last, last)),
    ):
        grid.press(key)
        expect_cell(attention, trace, 0, 0, *place)


def test_a_hand_on_a_cell_works_it_out_and_asks_nobody(
    page: Page, attention: Locator, arrive: Callable[[Page, Lesson], None], trace: Trace
) -> None:
    asked: list[str | int] = []  # addresses, and sizes of messages to the server
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: asked.append(len(frame))))
    page.reload()
    arrive(page, FORWARD)
    expect(attention.locator(".title")).to_contain_text("reads token")
    assert asked
    asked.clear()
    box = attention.locator(".grid").bounding_box()
    assert box is not None
    cell = box["width"] / len(trace.ids)
    for query, key in ((3, 1), (2, 2), (1, 4)):
        page.mouse.move(box["x"] + (key + 0.5) * cell, box["y"] + (query + 0.5) * cell)
        expect_cell(attention, trace, 0, 0, query, key)
        expect(attention.locator(".rows .lit")).to_have_count(1)
        expect(attention.locator(".columns .lit")).to_have_count(1)
    assert asked == []


def test_a_small_map_is_a_button_that_takes_its_head_and_keeps_the_cell(
    page: Page, attention: Locator, trace: Trace
) -> None:
    attention.locator(".grid").focus()
    attention.locator(".grid").press("Home")
    small = attention.get_by_role("button", name="layer 3, head 4")
    small.focus()
    small.press("Enter")
    expect(small).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Layer", exact=True)).to_have_value("3")
    expect(page.get_by_label("Head", exact=True)).to_have_value("4")
    expect_cell(attention, trace, 2, 3, len(trace.ids) - 1, 0)


def test_a_students_prompt_is_shown_letter_by_letter(
    page: Page, attention: Locator, arrive: Callable[[Page, Lesson], None]
) -> None:
    box = page.get_by_label("Prompt", exact=True)
    box.fill("<img src=x onerror=alert(1)>")
    box.press("Enter")
    expect(attention.locator(".rows span").first).to_have_text("<")
    arrive(page, FORWARD)
    assert "".join(attention.locator(".rows span").all_text_contents()) == "<img·src=x·onerror=alert(1)>"
    expect(attention.locator("img")).to_have_count(0)

"""The time machine as a hand and a keyboard move it: each move shows another moment, and nobody is asked."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from gptcore import timeline
from gptcore.runs.store import Run
from gptcore.timeline import look_back
from pages._ui import thread
from pages._ui.frame import LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
HOME = LESSONS[0]
TRAINING = next(lesson for lesson in LESSONS if lesson.key == "training")
RECORDED = look_back(Run(thread.RECORDED_RUN))
BEST = min(range(1, len(RECORDED.looks)), key=lambda place: RECORDED.looks[place].validation)


@pytest.fixture
def machine(page: Page, arrive: Arrive) -> Locator:
    page.goto("/")
    arrive(page, HOME)
    machine = page.locator(".time-machine")
    expect(machine.locator(".now")).to_contain_text(f"step {RECORDED.looks[BEST].step}")
    return machine


def numbers(place: int) -> str:
    here = RECORDED.looks[place]
    return f"training loss {here.train:.2f}, validation loss {here.validation:.2f}"


def test_arrow_keys_move_it_from_its_best_to_both_ends(machine: Locator) -> None:
    scrubber = machine.get_by_role("slider", name="Moment of the run")
    scrubber.focus()
    for key, place in (("ArrowRight", BEST + 1), ("ArrowLeft", BEST), ("Home", 0)):
        scrubber.press(key)
        expect(machine.locator(".now")).to_contain_text(numbers(place))
        expect(scrubber).to_have_attribute("aria-valuetext", re.compile(re.escape(numbers(place))))
    scrubber.press("End")
    expect(machine.locator("p.copied")).to_contain_text("tokens of its text are copied")
    expect(machine.locator(".said .copied").first).to_be_visible()
    machine.get_by_role("button", name="To the best validation loss").click()
    expect(machine.locator(".now")).to_contain_text(numbers(BEST))


def test_a_hand_on_the_curves_moves_it_and_no_request_leaves_the_page(page: Page, machine: Locator) -> None:
    asked: list[str] = []
    # Home draws its bars once PyTorch is there; until then the script that draws them may be on its way.
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    box = machine.locator(".curves").bounding_box()
    assert box is not None
    page.on("request", lambda request: asked.append(request.url))
    seen = set()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 60)
    page.mouse.down()
    for part in (0.3, 0.5, 0.7, 0.9):
        page.mouse.move(box["x"] + box["width"] * part, box["y"] + 60)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        seen.add(machine.locator(".now").inner_text())
    page.mouse.up()
    assert len(seen) == 4
    assert asked == []


def test_a_run_with_fewer_moments_takes_the_place_of_one_that_stands_at_its_last(page: Page, arrive: Arrive) -> None:
    longer, shorter = (timeline.load(name) for name in ("harry-potter", "the-verdict-124m"))
    assert len(longer.moments) > len(shorter.moments)
    page.goto("/training?v=1&time_machine_choice=harry-potter")
    arrive(page, TRAINING)
    machine = page.locator(".time-machine")
    machine.get_by_role("slider", name="Moment of the run").press("End")
    expect(machine.locator(".now")).to_contain_text(f"step {longer.moments[-1].step:,}")
    page.get_by_role("combobox", name="Look back at").click()
    page.get_by_role("option").filter(has_text="The Verdict").click()
    best = min(shorter.looks, key=lambda look: look.validation)
    expect(machine.locator(".now")).to_contain_text(f"step {best.step}")
    expect(machine.locator("svg .batches")).to_be_visible()  # any fault of the component fails every test


def test_play_goes_to_the_end_and_stops_there(machine: Locator) -> None:
    machine.get_by_role("button", name="Play").click()
    expect(machine.get_by_role("button", name="Pause")).to_be_visible()
    expect(machine.locator(".now")).to_contain_text(f"step {RECORDED.moments[-1].step}")
    expect(machine.get_by_role("button", name="Play")).to_be_visible()

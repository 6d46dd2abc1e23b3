"""The sampling playground as a hand and a keyboard move it: what stands on screen is what gptcore computes."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect

from gptcore.config import SamplingConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.draws import draw_many, likeliest_ids, spread
from gptcore.figures.bars import percent
from gptcore.figures.theme import marked
from gptcore.library import load_model
from gptcore.paths import POCKET_MODEL
from gptcore.sampling import Logits, choose, generate, next_logits
from gptcore.tokenizer import show_token
from pages._ui.frame import LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
SAMPLING = next(lesson for lesson in LESSONS if lesson.key == "sampling")
GPT2 = next(lesson for lesson in LESSONS if lesson.key == "pretrained")
MODEL, TOKENIZER = load_model(POCKET_MODEL)
PROMPT = load_text(OWN_STORY).prompt
IDS = TOKENIZER.encode(PROMPT)
HOSTILE = "<img src=x onerror=alert(1)> **b** $x^2$ <script>"
# How long each drawing takes, and when each frame is: both in milliseconds.
WATCH = """
  window.drawn = []; window.frames_at = [];
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (callback) => ask((time) => {
    const start = performance.now();
    callback(time);
    window.drawn.push(performance.now() - start);
  });
  (function tick(time) { window.frames_at.push(time); ask(tick); })(performance.now());
"""


@dataclass
class Wire:
    """What the server sent to the page."""

    sizes: list[int] = field(default_factory=list)

    def note(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: self.sizes.append(len(data)))

    def since(self) -> int:
        size = sum(self.sizes)
        self.sizes.clear()
        return size


@pytest.fixture
def wire(page: Page) -> Wire:
    wire = Wire()
    page.on("websocket", wire.note)
    return wire


@pytest.fixture
def playground(page: Page, wire: Wire, arrive: Arrive) -> Locator:
    """The playground on the pocket model's scores."""
    page.add_init_script(WATCH)
    page.goto("/sampling")
    arrive(page, SAMPLING)
    playground = page.locator(".playground")
    expect(playground.locator(".row").first).to_be_visible()
    return playground


def settle(page: Page, arrive: Arrive, lesson: Lesson = SAMPLING) -> None:
    """Wait until what the hand let go of was reported, and the page is drawn again."""
    page.wait_for_timeout(400)
    arrive(page, lesson)


def noticed(page: Page) -> Locator:
    return page.get_by_test_id("stMarkdown").filter(has_text="What to notice.")


def press(slider: Locator, key: str, times: int) -> None:
    slider.focus()
    for _ in range(times):
        slider.press(key)


def assert_shows(playground: Locator, logits: Logits, config: SamplingConfig) -> None:
    """Every bar's token and chance, how wide the choice is, and that all sums to 1."""
    wide, choice = spread(logits, config), choose(logits, config)
    kept, chances = choice.kept.numpy(), choice.probability.numpy()
    ids = likeliest_ids(logits, 12)
    names = [marked(show_token(TOKENIZER.token_bytes(int(i)))) for i in ids]
    shares = [percent(float(chances[i])) if kept[i] else "cut" for i in ids]
    rest = float(chances.sum() - chances[ids].sum())
    shares.append(percent(max(rest, 0.0)) if wide.kept > len(ids) else "cut")
    expect(playground.locator(".rows .name")).to_have_text([*names, "50,245 others"])
    expect(playground.locator(".rows .share")).to_have_text(shares)
    said = playground.locator(".sum")
    expect(said).to_contain_text(f"{wide.kept:,} of 50,257 tokens may be drawn")
    expect(said).to_contain_text(f"they hold {percent(wide.mass)} of the probability")
    expect(said).to_contain_text(f"Entropy {wide.entropy:.3f} nats: as wide as among {wide.effective:,.1f} equally")
    expect(said).to_contain_text("The chances sum to 1.000000.")


def test_each_control_moved_by_the_keyboard_shows_what_gptcore_computes(playground: Locator) -> None:
    logits = next_logits(MODEL, IDS)
    assert_shows(playground, logits, SamplingConfig())
    temperature = playground.get_by_role("slider", name="Temperature")
    press(temperature, "ArrowRight", 10)
    assert_shows(playground, logits, SamplingConfig(temperature=1.5))
    expect(temperature).to_have_attribute("aria-valuetext", "1.50")
    press(playground.get_by_role("slider", name="Top-p"), "ArrowLeft", 30)
    hot = SamplingConfig(temperature=1.5, top_p=0.7)
    assert_shows(playground, logits, hot)
    expect(playground.locator(".sum")).to_contain_text(
        f"in the other order: {spread(logits, hot).other_order:,} tokens"
    )
    switch = playground.get_by_role("checkbox", name="top-p before the temperature")
    switch.press("Space")
    assert_shows(playground, logits, SamplingConfig(temperature=1.5, top_p=0.7, top_p_first=True))
    expect(playground.locator(".order")).to_contain_text("logit → top-k → softmax → top-p → ÷ T → draw")
    switch.press("Space")
    press(playground.get_by_role("slider", name="Top-k"), "ArrowRight", 7)
    assert_shows(playground, logits, SamplingConfig(temperature=1.5, top_p=0.7, top_k=7))
    press(temperature, "Home", 1)
    assert_shows(playground, logits, SamplingConfig(temperature=0, top_p=0.7, top_k=7))


@pytest.mark.parametrize("draws", ["1", "10,000"])
def test_dragging_redraws_every_frame_and_asks_nobody(
    page: Page, playground: Locator, wire: Wire, arrive: Arrive, draws: str
) -> None:
    """Printed are the figures of benchmarks/README.md; asserted is what holds on a crowded machine, too."""
    playground.get_by_role("radio", name=draws, exact=True).click()
    settle(page, arrive)
    box = playground.get_by_role("slider", name="Temperature").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.2 * box["width"], middle)
    page.mouse.down()
    page.evaluate("() => { window.drawn.length = 0; window.frames_at.length = 0; }")
    wire.since()
    seen = set()
    for step in range(120):
        page.mouse.move(box["x"] + box["width"] * (0.2 + 0.006 * step), middle)
        seen.add(playground.locator(".rows .share").first.inner_text())
    drawn, frames = page.evaluate("() => [window.drawn, window.frames_at]")
    assert wire.since() == 0
    page.mouse.up()
    draw = statistics.median(drawn)
    frame = statistics.median(np.diff(frames).tolist())
    print(f"{draws} draws: median drawing {draw:.2f} ms, median frame {frame:.1f} ms, of {len(drawn)}")  # noqa: T201
    assert len(seen) > 30
    assert draw < 16
    assert frame < 50


def test_the_scores_are_sent_once_for_a_prompt(page: Page, playground: Locator, wire: Wire, arrive: Arrive) -> None:
    settle(page, arrive)
    assert max(wire.sizes) < 272_000
    wire.since()
    press(playground.get_by_role("slider", name="Temperature"), "ArrowRight", 1)
    settle(page, arrive)
    again = wire.since()
    print(f"{again:,} bytes for another run of the page")  # noqa: T201
    assert 0 < again < 10_000
    expect(noticed(page)).to_contain_text("tokens may be drawn")


def test_a_thousand_draws_are_those_of_the_seed_in_python(page: Page, playground: Locator) -> None:
    playground.get_by_role("radio", name="1,000", exact=True).press("Enter")
    for seed in (123, 7):
        playground.get_by_text("More").click() if seed == 123 else None
        box = playground.get_by_role("spinbutton", name="Seed")
        box.fill(str(seed))
        box.press("Enter")
        logits = next_logits(MODEL, IDS)
        chances = choose(logits, SamplingConfig()).probability.numpy()
        counts = np.bincount(draw_many(chances, 1_000, seed), minlength=len(chances))
        shown = counts[likeliest_ids(logits, 12)].tolist()
        starts = [re.compile(rf"^{count:,} / ") for count in [*shown, 1_000 - sum(shown)]]
        expect(playground.locator(".rows .count")).to_have_text(starts)


# Milliseconds from a click on the first bar to the drawing of what follows it.
TAKE = """
  (root) => new Promise((done) => {
    const taken = () => root.querySelectorAll(".path button").length;
    const [before, start] = [taken(), performance.now()];
    const look = () => {
      if (taken() > before) setTimeout(() => done(performance.now() - start)); // the bars are drawn in this frame
      else requestAnimationFrame(look);
    };
    root.querySelector("button.row").click();
    look();
  })
"""


def test_a_taken_token_brings_its_successors_bars(page: Page, playground: Locator, arrive: Arrive) -> None:
    waits = []
    for _ in range(17):  # the first of them beside a server that still gets its processes ready
        waits.append(playground.evaluate(TAKE))
        settle(page, arrive)
    print(f"median {statistics.median(waits):.0f} ms from a token to its successor's bars; {waits}")  # noqa: T201
    expect(playground.locator(".path button")).to_have_count(17)


def test_a_bar_takes_its_token_and_a_chip_gives_it_back(page: Page, playground: Locator, arrive: Arrive) -> None:
    first = playground.locator("button.row").first
    first.focus()
    for _ in range(2):  # the focus stays: a keyboard goes on
        first.press("Enter")
        settle(page, arrive)
    ids = list(IDS)
    for _ in range(2):
        ids.append(int(next_logits(MODEL, ids).argmax()))
    chips = playground.locator(".path button")
    expect(chips).to_have_text([marked(show_token(TOKENIZER.token_bytes(i))) for i in ids[-2:]])
    assert_shows(playground, next_logits(MODEL, ids), SamplingConfig())
    chips.nth(1).press("Enter")
    settle(page, arrive)
    expect(chips).to_have_count(1)
    assert_shows(playground, next_logits(MODEL, ids[:-1]), SamplingConfig())


def test_taking_what_is_drawn_writes_what_python_writes(page: Page, playground: Locator, arrive: Arrive) -> None:
    for _ in range(4):
        playground.get_by_role("button", name="Take what is drawn").click()
        settle(page, arrive)
    expected = [drawn.token_id for drawn in generate(MODEL, IDS, SamplingConfig(), 4)]
    texts = [marked(show_token(TOKENIZER.token_bytes(i))) for i in expected]
    expect(playground.locator(".path button")).to_have_text(texts)


def test_the_rules_stay_among_plain_controls_and_after_another_lesson(
    page: Page, playground: Locator, arrive: Arrive, from_menu: Callable[[Page, Lesson], None]
) -> None:
    logits = next_logits(MODEL, IDS)
    press(playground.get_by_role("slider", name="Temperature"), "ArrowLeft", 8)
    press(playground.get_by_role("slider", name="Top-k"), "ArrowRight", 5)
    settle(page, arrive)
    config = SamplingConfig(temperature=0.6, top_k=5)
    page.get_by_text("Plain controls").click()
    settle(page, arrive)
    expect(page.locator(".playground")).to_have_count(0)
    expect(noticed(page)).to_contain_text(f"before the cuts they hold {mass(logits, config)}")
    page.get_by_text("Plain controls").click()
    settle(page, arrive)
    assert_shows(page.locator(".playground"), logits, config)
    from_menu(page, GPT2)
    from_menu(page, SAMPLING)
    assert_shows(page.locator(".playground"), logits, config)


def mass(logits: Any, config: SamplingConfig) -> str:
    return f"{spread(logits, config).mass:.1%}"


def test_a_prompt_is_shown_literally(page: Page, playground: Locator, arrive: Arrive) -> None:
    prompt = page.get_by_role("textbox", name="Prompt")
    prompt.fill(HOSTILE)
    prompt.press("Control+Enter")
    settle(page, arrive)
    playground.locator("button.row").first.click()
    settle(page, arrive)
    expect(playground.locator(".path .given")).to_have_text(HOSTILE)
    expect(playground.locator("img, script")).to_have_count(0)


def test_a_seed_that_was_typed_holds_for_a_click_that_comes_at_once(
    page: Page, playground: Locator, arrive: Arrive
) -> None:
    playground.get_by_text("More").click()
    for seed in (7, 8):
        playground.get_by_role("spinbutton", name="Seed").fill(str(seed))
        page.get_by_role("button", name="Go on").click(delay=100)  # between press and release, as of a hand
        expect(page.get_by_text(f"seed {seed}; 50 tokens.")).to_be_visible()
        arrive(page, SAMPLING)
        text = TOKENIZER.decode([drawn.token_id for drawn in generate(MODEL, IDS, SamplingConfig(seed=seed), 50)])
        expect(page.get_by_test_id("stCode").first).to_have_text(PROMPT + text)


def test_stop_ends_a_text_and_keeps_what_is_written(page: Page, playground: Locator, arrive: Arrive) -> None:
    most = page.get_by_label("Tokens to add")
    most.fill("400")
    most.press("Enter")
    settle(page, arrive)
    page.get_by_role("button", name="Go on").click()
    text = page.get_by_test_id("stCode").first
    expect(text).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    settle(page, arrive)
    said = page.get_by_text(re.compile(r"Drawn by pocket model.*; \d+ tokens\."))
    expect(said).to_be_visible()
    written = int(re.findall(r"; (\d+) tokens", said.inner_text())[0])
    assert 0 < written < 400

"""A run goes on whatever happens to the page: refreshed, opened twice, cut off, watched by somebody else.

Rows of FAULTS.md, "Runs", that need a screen. What the processes do is tested in tests/faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect
from streamlit.proto.BackMsg_pb2 import BackMsg

from pages._ui.frame import LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
Train = Callable[[Page, int], None]
TRAINING, SAMPLING = (lesson for lesson in LESSONS if lesson.key in ("training", "sampling"))
FOREVER = 100_000  # steps
MINUTES = 3 * 60_000  # milliseconds of patience with a run on a busy machine
STOPPED = 10_000  # milliseconds; two seconds on a machine at rest


def state(page: Page) -> Locator:
    """The line above the chart."""
    line = re.compile(r"step [\d,]+ of [\d,]+|queued|stopping")
    return page.get_by_test_id("stCaptionContainer").filter(has_text=line).first


def cancel(page: Page) -> None:
    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_contain_text("cancelled · step", timeout=MINUTES)


def expect_drawn(page: Page) -> None:
    """A run under way is on screen, and all that draws it is here."""
    expect(state(page)).to_contain_text("running · step", timeout=MINUTES)
    expect(page.locator(".st-key-training_curves .js-plotly-plot").first).to_be_visible()


@pytest.fixture
def running(page: Page, train: Train) -> Iterator[Page]:
    """A page that watches its own long run; the run is cancelled in the end."""
    train(page, FOREVER)
    expect_drawn(page)
    yield page
    if "cancelled" not in state(page).inner_text():  # not by the button, which goes a moment later
        cancel(page)


def test_a_refresh_finds_the_run_again_and_its_owner_may_still_cancel_it(running: Page, arrive: Arrive) -> None:
    running.reload()
    arrive(running, TRAINING)
    expect(state(running)).to_contain_text("running · step", timeout=MINUTES)
    cancel(running)


def test_a_second_tab_is_the_same_owner_and_both_say_that_the_run_stops(running: Page, arrive: Arrive) -> None:
    second = running.context.new_page()
    second.goto(running.url)
    arrive(second, TRAINING)
    expect(second.get_by_role("button", name="Cancel")).to_be_visible(timeout=MINUTES)
    second.get_by_role("button", name="Cancel").click()
    for tab in (running, second):
        expect(state(tab)).to_contain_text(re.compile("stopping|cancelled"), timeout=STOPPED)
    for tab in (running, second):
        expect(state(tab)).to_contain_text("cancelled · step", timeout=MINUTES)


def test_a_run_begun_before_the_browser_has_said_who_it_is_stays_the_browsers(
    page: Page, arrive: Arrive, train: Train
) -> None:
    page.add_init_script(
        "const read = Storage.prototype.getItem;"
        "Storage.prototype.getItem = function (name) {"
        "  if (name === 'glassbox-owner' && !location.search.includes('run=')) throw Error('later');"
        "  return read.call(this, name);"
        "};"
    )
    train(page, FOREVER)
    expect_drawn(page)
    page.reload()
    arrive(page, TRAINING)
    cancel(page)


def test_a_refresh_of_any_lesson_knows_all_of_ones_own_runs(
    page: Page, arrive: Arrive, from_menu: Arrive, train: Train
) -> None:
    for _ in range(2):
        train(page, 2)
        expect(state(page)).to_contain_text("done · step 2 of 2", timeout=MINUTES)
    from_menu(page, SAMPLING)
    page.reload()
    arrive(page, SAMPLING)
    page.locator(".st-key-sampling_voice input").click()
    expect(page.get_by_role("option", name="your run 1, best")).to_be_visible()


def test_a_run_is_its_owners_though_what_the_browser_said_first_was_lost_on_the_way(
    running: Page, arrive: Arrive
) -> None:
    lost: list[str] = []

    def pass_on(line: WebSocketRoute) -> None:
        server = line.connect_to_server()

        def send(message: str | bytes) -> None:
            said = BackMsg.FromString(message if isinstance(message, bytes) else message.encode()).rerun_script
            if (
                not lost
                and said.fragment_id
                and any(b"owner" in str(each.id).encode() for each in said.widget_states.widgets)
            ):
                lost.append(said.fragment_id)
            else:
                server.send(message)

        line.on_message(send)

    running.route_web_socket(re.compile("/_stcore/stream"), pass_on)
    running.reload()
    arrive(running, TRAINING)
    cancel(running)
    assert lost


def test_another_browser_may_watch_by_the_address_and_do_nothing_else(
    running: Page, browser: Browser, arrive: Arrive
) -> None:
    other = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
    other.goto(running.url)
    arrive(other, TRAINING)
    expect(state(other)).to_contain_text("somebody else's run: you may watch it", timeout=MINUTES)
    expect(other.get_by_role("button", name="Cancel")).to_have_count(0)
    mine, theirs = (tab.evaluate("localStorage.getItem('glassbox-owner')") for tab in (running, other))
    assert re.fullmatch("[0-9a-f]{32}", mine)
    assert mine != theirs
    assert mine not in running.url
    other.context.close()


def test_a_connection_that_breaks_is_made_again_and_the_run_went_on(page: Page, train: Train) -> None:
    lines: list[tuple[WebSocketRoute, WebSocketRoute]] = []
    page.route_web_socket(re.compile("/_stcore/stream"), lambda line: lines.append((line, line.connect_to_server())))
    train(page, FOREVER)
    expect(state(page)).to_contain_text("running · step", timeout=MINUTES)
    before = state(page).inner_text()
    for browser_side, server_side in lines:
        server_side.close()
        browser_side.close()
    expect(state(page)).not_to_have_text(before, timeout=MINUTES)
    expect(state(page)).to_contain_text("running · step", timeout=MINUTES)
    assert len(lines) > 1
    cancel(page)


@pytest.mark.parametrize("hostile", ["0" * 16, "../../etc", "%3Cscript%3Ealert(1)%3C/script%3E"])
def test_an_address_that_leads_nowhere_says_so(page: Page, arrive: Arrive, hostile: str) -> None:
    page.goto(f"/{TRAINING.key}?run={hostile}")
    arrive(page, TRAINING)
    expect(page.get_by_test_id("stAlert")).to_contain_text("is not here (any more)")
    expect(state(page)).to_contain_text("recorded")

"""A class in two browsers: a teacher's and a student's, on one server whose secrets hold the teacher's code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from pages._ui.frame import CLASSROOM, LESSONS, Lesson

Arrive = Callable[[Page, Lesson], None]
Press = Callable[[Page, Lesson, str], None]
Window = Callable[[], Page]
BY_KEY = {lesson.key: lesson for lesson in (*LESSONS, CLASSROOM)}
CODE = "an owl at noon"
FOREVER = 100_000  # steps
MINUTES = 3 * 60_000  # milliseconds of patience with a run on a busy machine
# The validation losses that the board draws of the first student.
CURVE = """() => document.querySelector(".st-key-classroom_curves .js-plotly-plot")?._fullData
    ?.find(line => line.name === "validation")?.y.length ?? 0"""


@pytest.fixture(scope="module")
def server(serve: Callable[[str], AbstractContextManager[Any]]) -> Iterator[Any]:
    """One server for the whole class."""
    with serve(f'[teaching]\ncode = "{CODE}"\n') as server:
        yield server


def state(page: Page) -> Locator:
    """The line above a run's chart."""
    line = re.compile(r"step [\d,]+ of [\d,]+|queued|stopping")
    return page.get_by_test_id("stCaptionContainer").filter(has_text=line).first


def box(page: Page, label: str, value: str) -> None:
    """Types into a field and leaves it."""
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    field.press("Enter")


def teach(page: Page, arrive: Arrive) -> None:
    """Becomes the teacher by the code."""
    page.goto("/")
    arrive(page, BY_KEY["home"])
    page.get_by_role("button", name="I teach").click()
    box(page, "Teacher's code", CODE)
    expect(page.get_by_text("You are the teacher of this visit")).to_be_visible()
    page.keyboard.press("Escape")


def class_link(page: Page, from_menu: Arrive) -> str:
    """The link to the class as the board shows it, without the server; a class begins where none goes on."""
    from_menu(page, CLASSROOM)
    page.get_by_role("button", name="Link to the class").click()
    begin = page.get_by_role("button", name=re.compile("Begin (a|another) class"))
    if "another" not in begin.inner_text():
        begin.click()
    link = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode")
    expect(link).to_contain_text("class=")
    parts = urlsplit(link.inner_text())
    page.keyboard.press("Escape")
    return f"{parts.path}?{parts.query}"


def train(page: Page, arrive: Arrive, from_menu: Arrive, steps: int) -> None:
    """Starts a run of so many steps in this visit."""
    from_menu(page, BY_KEY["training"])
    box(page, "Steps", str(steps))
    arrive(page, BY_KEY["training"])
    page.get_by_role("button", name="Train", exact=True).click()
    expect(state(page)).to_contain_text("running · step", timeout=MINUTES)


def copied(page: Page) -> str:
    """The link that "Copy link" puts on the clipboard, without the server."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    parts = urlsplit(page.evaluate("navigator.clipboard.readText()"))
    return f"{parts.path}?{parts.query}"


def test_a_teacher_sees_a_students_run_live_and_may_stop_it(window: Window, arrive: Arrive, from_menu: Arrive) -> None:
    teacher, student = window(), window()
    teach(teacher, arrive)
    link = class_link(teacher, from_menu)

    student.goto(link)
    arrive(student, BY_KEY["home"])
    from_menu(student, CLASSROOM)
    expect(student.get_by_text("You are Student 1.")).to_be_visible()
    box(student, "A nickname for the board, if you like", "Ada")
    expect(student.get_by_text("You are Ada (1).")).to_be_visible()
    student.reload()  # a laptop that was closed comes back to its seat
    arrive(student, CLASSROOM)
    expect(student.get_by_text("You are Ada (1).")).to_be_visible()
    train(student, arrive, from_menu, FOREVER)

    expect(teacher.get_by_text("1 person: 1 running.")).to_be_visible(timeout=MINUTES)
    label = teacher.locator(".st-key-classroom_curves .annotation").filter(has_text="Ada (1)")
    expect(label.first).to_be_visible()
    teacher.wait_for_function(f"({CURVE})() > 1", timeout=MINUTES)
    drawn = teacher.evaluate(CURVE)
    teacher.wait_for_function(f"past => ({CURVE})() > past", arg=drawn, timeout=MINUTES)

    address = label.locator("a").first.get_attribute("xlink:href")  # the chart is drawn anew under a pointer
    watched = teacher.context.new_page()
    watched.goto(f"/{address}")
    arrive(watched, BY_KEY["training"])
    expect(state(watched)).to_contain_text("running · step", timeout=MINUTES)
    expect(state(watched)).to_contain_text("somebody else's run: you may watch it")
    expect(watched.get_by_role("button", name="Cancel")).to_have_count(0)

    teacher.get_by_role("button", name="Cancel a run").click()
    teacher.get_by_role("button", name="Ask it to stop").click()
    for page in (student, watched):
        expect(state(page)).to_contain_text("cancelled · step", timeout=MINUTES)
    expect(teacher.get_by_text("1 person: 1 cancelled.")).to_be_visible(timeout=MINUTES)


def test_a_students_screen_shows_the_numbers_of_the_link_that_the_teacher_copied(
    window: Window, arrive: Arrive
) -> None:
    teacher, student = window(), window()
    teacher.goto("/windows")
    arrive(teacher, BY_KEY["windows"])
    box(teacher, "Stride", "40")
    arrive(teacher, BY_KEY["windows"])
    teacher.locator(".st-key-windows_batch").get_by_role("slider").press("ArrowRight")
    arrive(teacher, BY_KEY["windows"])
    link = copied(teacher)
    assert re.search(r"windows_batch=\d+", link)
    assert "windows_stride=40" in link
    student.goto(link)
    arrive(student, BY_KEY["windows"])
    main = "[data-testid=stMain]"
    student.wait_for_function(
        "said => document.querySelector('[data-testid=stMain]').innerText === said", arg=teacher.inner_text(main)
    )
    charts = "() => [...document.querySelectorAll('.js-plotly-plot')].map(each => JSON.stringify(each.data))"
    assert student.evaluate(charts) == teacher.evaluate(charts)


def test_a_presenters_keys_walk_both_ways_and_leave_a_field_its_own(page: Page, arrive: Arrive, press: Press) -> None:
    page.goto("/?present=1")
    arrive(page, BY_KEY["home"])
    press(page, BY_KEY["home"], "ArrowLeft")  # nothing is before home, and the next key is heard all the same
    arrive(page, BY_KEY["home"])
    here = "home"
    for key, there in (("ArrowRight", "tokens"), ("PageDown", "bpe"), ("PageUp", "tokens"), ("ArrowRight", "bpe")):
        press(page, BY_KEY[here], key)
        arrive(page, BY_KEY[there])
        here = there
    field = page.get_by_label("A word, with the space before it", exact=True)
    field.fill("owlish")
    for key in ("ArrowLeft", "ArrowRight", "PageDown", "r", "Escape"):
        field.press(key)
    field.press("Enter")  # else the click below would only take the focus from the field
    arrive(page, BY_KEY["bpe"])
    expect(field).to_have_value("owlishr")
    page.get_by_role("link", name="Back to start").click()
    arrive(page, BY_KEY["home"])
    press(page, BY_KEY["home"], "Escape")
    expect(page.get_by_test_id("stSidebar")).to_be_visible()


def test_a_presenters_bar_is_one_row_on_a_telephone(page: Page, arrive: Arrive) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/loss?present=1")
    arrive(page, BY_KEY["loss"])
    expect(page.get_by_role("link", name="Back to start")).to_be_visible()
    bar = page.locator(".st-key-present_bar").bounding_box()
    assert bar is not None
    assert bar["height"] < 60


def test_a_presenters_run_stays_in_sight_and_a_class_that_follows_goes_along(
    window: Window, arrive: Arrive, from_menu: Arrive, press: Press
) -> None:
    teacher, student = window(), window()
    teach(teacher, arrive)
    link = class_link(teacher, from_menu)
    from_menu(teacher, BY_KEY["loss"])
    teacher.locator(".st-key-share_present").get_by_role("button").click()
    teacher.get_by_text("Follow my run").click()
    student.goto(f"{link}&follow=1")
    arrive(student, BY_KEY["home"])
    expect(student.get_by_text("This screen goes to each run that the teacher shows.")).to_be_visible()

    laptop = teacher.context.new_page()
    laptop.goto("/")
    arrive(laptop, BY_KEY["home"])
    train(laptop, arrive, from_menu, FOREVER)
    for page in (teacher, student):
        expect(page.get_by_role("heading", name=BY_KEY["training"].question)).to_be_visible(timeout=MINUTES)
        expect(state(page)).to_contain_text("running · step", timeout=MINUTES)
    expect(state(student)).to_contain_text("somebody else's run")

    press(teacher, BY_KEY["training"], "ArrowLeft")
    expect(teacher.get_by_role("heading", name=BY_KEY["loss"].question)).to_be_visible()
    line = teacher.get_by_text(re.compile(r"Your run: running · step [\d,]+ of 100,000"))
    expect(line).to_be_visible()
    before = line.inner_text()
    expect(line).not_to_have_text(before)
    press(teacher, BY_KEY["loss"], "r")
    expect(teacher.get_by_role("heading", name=BY_KEY["training"].question)).to_be_visible()
    expect(state(teacher)).to_contain_text("running · step")

    student.get_by_role("button", name="Stay here").click()
    expect(student.get_by_text("This screen goes to each run")).to_have_count(0)
    laptop.get_by_role("button", name="Cancel").click()
    expect(state(student)).to_contain_text("cancelled · step", timeout=MINUTES)


def test_a_locked_slider_goes_back_in_a_part_that_runs_alone(page: Page, arrive: Arrive) -> None:
    page.goto("/sampling?v=1&sampling_plain=yes&sampling_temperature=0.7&lock=sampling_temperature")
    arrive(page, BY_KEY["sampling"])
    slider = page.locator(".st-key-sampling_temperature").get_by_role("slider")
    for _ in range(4):
        slider.press("ArrowRight")
    expect(slider).to_have_value("0.7")
    assert re.search(r"sampling_temperature=0\.7(&|$)", copied(page))


def test_a_links_levers_hold_on_the_next_lesson_too_when_it_is_loaded_anew(
    page: Page, arrive: Arrive, from_menu: Arrive
) -> None:
    page.goto("/windows?v=1&lock=sampling_seed&hide=training_text&most_steps=50")
    arrive(page, BY_KEY["windows"])
    from_menu(page, BY_KEY["training"])
    page.reload()
    arrive(page, BY_KEY["training"])
    expect(page.locator(".st-key-training_text")).to_be_hidden()
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text("in this class at most 50 are allowed")).to_be_visible()
    link = copied(page)
    assert all(lever in link for lever in ("lock=sampling_seed", "hide=training_text", "most_steps=50"))


def test_a_challenge_is_sealed_for_a_student_and_opened_by_the_teacher_before_both(
    window: Window, arrive: Arrive, from_menu: Arrive
) -> None:
    teacher, student = window(), window()
    teach(teacher, arrive)
    student.goto(class_link(teacher, from_menu))
    arrive(student, BY_KEY["home"])
    from_menu(student, CLASSROOM)
    box(student, "A nickname for the board, if you like", "Grace")
    expect(student.get_by_text(re.compile(r"You are Grace \(\d+\)\."))).to_be_visible()

    teacher.get_by_role("button", name="Challenge", exact=True).click()
    teacher.get_by_role("button", name="Begin a challenge").click()
    for page in (teacher, student):
        expect(page.get_by_role("heading", name="Challenge: who foretells the sealed part best?")).to_be_visible()
    from_menu(student, BY_KEY["training"])
    expect(student.get_by_text("sealed for the class's challenge")).to_be_visible()
    box(student, "Steps", "40")
    arrive(student, BY_KEY["training"])
    student.get_by_role("button", name="Train", exact=True).click()
    expect(state(student)).to_contain_text("done · step 40 of 40", timeout=MINUTES)
    from_menu(student, CLASSROOM)

    teacher.get_by_role("button", name="Challenge", exact=True).click()
    expect(teacher.get_by_text("Runs that count: 1; people who made them: 1.")).to_be_visible(timeout=MINUTES)
    expect(teacher.get_by_role("button", name="Open the seal")).to_be_disabled()
    teacher.get_by_text("Open it for good").click()
    teacher.get_by_role("button", name="Open the seal").click()
    said = []
    for page in (teacher, student):
        expect(page.get_by_role("heading", name="The seal is open")).to_be_visible(timeout=MINUTES)
        expect(page.locator(".st-key-classroom_challenge_losses .js-plotly-plot").first).to_be_visible(timeout=MINUTES)
        alone = page.get_by_text(re.compile(r"Grace \(\d+\) alone has a run that counts: [\d.]+ by validation, [\d.]+"))
        expect(alone).to_be_visible()
        said.append(alone.inner_text())
    assert said[0] == said[1]


HOSTILE = "<script>window.hit=1</script><img src=x onerror=window.hit=1>"
LINKS = {  # the lesson, what its link says, and what the page says to it
    "windows": (
        {"windows_batch": "1e400", "windows_stride": "-1", "windows_view": HOSTILE, HOSTILE: "1", "run": HOSTILE},
        ["windows_batch is left aside", "windows_stride is left", "windows_view is left aside", "no control called"],
    ),
    "sampling": (
        {"sampling_temperature": "nan", "sampling_top_k": "1e9", "text": "../x", "model": f"class,{HOSTILE}:1"},
        ["sampling_temperature is left aside", "sampling_top_k is left aside", "there is no text called", "is unknown"],
    ),
    "training": (
        {"training_lr_class": "inf", "run": "../../etc", "class": HOSTILE, "follow": "2", "most_minutes": "-3"},
        ["training_lr_class is left aside", "run is left aside", "class is none of this", "follow is left aside",
         "most_minutes is left aside"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", LINKS)
def test_a_hostile_link_is_refused_in_sentences(page: Page, arrive: Arrive, key: str) -> None:
    said, sentences = LINKS[key]
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"/{key}?{urlencode({'v': '1'} | said)}")
    arrive(page, BY_KEY[key])
    for sentence in sentences:
        expect(page.get_by_test_id("stAlert").first).to_contain_text(sentence)
    assert page.evaluate("window.hit === undefined && document.querySelector('img[src=x]') === null")

"""The frame around every lesson: menu, thread strip, the code that is shown, the way on."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.parameters import count_parameters
from gptcore.runs.store import Run
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text, window_counts
from pages._ui import frame, resources, thread

REPOSITORY = Path(__file__).resolve().parents[2]
Open = Callable[..., AppTest]
Opened = tuple[frame.Lesson, AppTest]


@pytest.fixture(scope="module", params=frame.LESSONS, ids=attrgetter("key"))
def opened(request: pytest.FixtureRequest, lesson: Open) -> Opened:
    """Each lesson in turn, opened once for all tests that only look, its box of sources open."""
    page = lesson(request.param.key)
    page.session_state[frame.CODE] = True
    return request.param, page.run()


def strip_of(page: AppTest) -> list[str]:
    return [link.label for link in page.get_by_key("thread-strip").get("page_link")]


def windows_of(text: str, preset: str) -> int:
    """Windows of both parts as they are trained on: a last short batch of the training part is left out."""
    config, T = TRAIN_PRESETS[preset], MODEL_PRESETS[preset].context_length
    train, validation = (len(load_tokenizer().encode(part)) for part in split_text(text, config.train_fraction))
    return (
        window_counts(train, T, config.stride or T, config.batch_size, drop_last=True).windows
        + window_counts(validation, T, config.stride or T, config.batch_size, drop_last=False).windows
    )


def last_loss(run: Run) -> float:
    return next(row["val_loss"] for row in reversed(run.metrics()[0]) if row["val_loss"] is not None)


def test_every_lesson_opens_with_its_question_and_no_exception(opened: Opened) -> None:
    about, page = opened
    assert not page.exception
    assert not page.error
    assert [header.value for header in page.header] == [about.question]


def test_the_strip_shows_what_gptcore_counts(opened: Opened) -> None:
    text = load_text(OWN_STORY).text
    assert [label.strip("*") for label in strip_of(opened[1])] == [
        f"{len(text):,} characters",
        f"{len(load_tokenizer().encode(text)):,} tokens",
        f"{windows_of(text, 'book-124m'):,} windows",
        f"{count_parameters(MODEL_PRESETS['book-124m']):,} parameters",
        f"loss {last_loss(Run(thread.RECORDED_RUN)):.2f} (recorded)",
        "text",
    ]


def test_the_strip_lights_the_stretch_of_this_lesson_alone(opened: Opened) -> None:
    about, page = opened
    stretches = [
        ["home"],
        ["tokens", "bpe"],
        ["windows"],
        ["parameters", "forward"],
        ["loss", "training", "overfitting", "memory", "clinic", "compare", "floor"],
        ["sampling", "pretrained"],
    ]
    assert [label.startswith("**") for label in strip_of(page)] == [about.key in stretch for stretch in stretches]


def test_the_strip_follows_the_run_that_was_trained_here(lesson: Open, finished_run: Run) -> None:
    shape = resources.run_model_config(finished_run)
    strip = strip_of(lesson("training", **{thread.RUN: finished_run.id, thread.PRESET: shape}))
    assert strip[2] == f"{windows_of(finished_run.text.text, 'class'):,} windows"
    assert strip[3] == f"{count_parameters(shape):,} parameters"
    assert strip[4] == f"**loss {last_loss(finished_run):.2f}**"


def test_each_lesson_but_home_ends_with_the_link_to_the_next(opened: Opened) -> None:
    about, page = opened
    following = frame.LESSONS[(frame.LESSONS.index(about) + 1) % len(frame.LESSONS)]
    onward = [link.label for link in page.get("page_link") if link.label.startswith("Next: ")]
    assert onward == ([] if about.key == "home" else [f"Next: {following.question}"])


def test_the_code_shown_is_the_source_of_what_gptcore_runs(opened: Opened) -> None:
    behind = next(box for box in opened[1].expander if box.label == "The code behind this page")
    names = [caption.value.strip("`") for caption in behind.caption]
    assert names
    assert all(name.startswith("gptcore.") for name in names)
    assert [code.value.strip() for code in behind.code] == [
        textwrap.dedent(inspect.getsource(resolve_name(name))).strip() for name in names
    ]


def test_sources_are_not_drawn_before_their_box_is_opened(lesson: Open) -> None:
    page = lesson("home")
    assert "The code behind this page" in [box.label for box in page.expander]
    assert list(page.code) == []


def test_the_menu_holds_every_lesson_once_in_order(opened: Opened) -> None:
    addresses = [info["url_pathname"] for info in opened[1]._registered_pages.values()]
    assert addresses == ["", frame.PLAN, *(lesson.key for lesson in frame.LESSONS[1:]), frame.CLASSROOM.key]


def test_every_page_file_but_plan_and_class_board_is_a_lesson_and_every_lesson_has_its_file() -> None:
    files = {f"pages/{path.name}" for path in (REPOSITORY / "pages").glob("*.py")}
    known = (frame.PLAN, frame.CLASSROOM.key, *(lesson.key for lesson in frame.LESSONS))
    assert files == {frame.page_file(key) for key in known}


@pytest.mark.parametrize("key", [lesson.key for lesson in frame.LESSONS[1:]])
def test_a_page_that_is_run_without_the_frame_goes_back_through_it(
    key: str, first_request: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter, entered = frame.enter, []
    monkeypatch.setattr(frame, "enter", lambda: entered.append(key) or enter())
    page = AppTest.from_file(REPOSITORY / "app.py", default_timeout=60).switch_page(frame.page_file(key)).run()
    assert not page.exception
    assert entered == [key]
    assert [header.value for header in page.header] == [next(x.question for x in frame.LESSONS if x.key == key)]
    assert len(strip_of(page)) == 6


def test_the_mark_of_the_frame_is_used_up_at_every_run(opened: Opened) -> None:
    assert "entered" not in opened[1].session_state

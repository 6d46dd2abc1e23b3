"""Lesson plans: one for each lesson under the same headings, with this class's numbers, on a page to print."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.parameters import count_parameters
from gptcore.runs.store import Run
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import window_counts
from pages._ui import frame, plans, quiz, thread, thread_numbers

Open = Callable[..., AppTest]
KEYS = [lesson.key for lesson in frame.LESSONS]
MOST_CHARACTERS = 1_800  # of a plan, so that it stands on one page with numbers and questions


def prose(page: AppTest) -> str:
    return "\n".join(text.value for text in page.markdown)


def of(lesson: Open, key: str, **session: object) -> AppTest:
    page = lesson("tokens", **session).switch_page(frame.page_file(frame.PLAN)).run()
    return page.selectbox("plan_lesson").select(key).run()


def test_every_lesson_has_its_plan_and_every_plan_its_lesson() -> None:
    assert sorted(path.stem for path in plans.FOLDER.glob("*.md")) == sorted(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_a_plan_has_the_five_headings_in_order_its_minutes_and_no_dead_link(key: str) -> None:
    text = plans.prose(key)
    assert tuple(plans.parts(text)) == plans.HEADINGS
    assert 5 <= plans.minutes(key) <= 45
    assert not re.match(r"\d+\.", plans.parts(plans.prose(key))["Minutes"])  # Markdown would make a list of it
    assert len(text) <= MOST_CHARACTERS
    assert all(link.strip("/") in KEYS for link in re.findall(r"\]\(([^)]*)\)", text))
    assert set(re.findall(r"{(\w+)}", text)) <= set(thread_numbers.Numbers._fields)
    assert plans.parts(text)["Steps"].startswith("1. ")
    assert plans.parts(text)["Questions"].count("?") >= 3
    assert plans.parts(text)["What goes wrong"].count("\n- ") == 2


def test_the_minutes_of_a_plan_are_the_sum_of_its_parts() -> None:
    numbers = {"two": 2, "three": 3, "five": 5, "ten": 10, "fifteen": 15, "twenty": 20}
    for key in KEYS:
        named = re.findall(rf"\b(?:{'|'.join(numbers)})\b", plans.parts(plans.prose(key))["Minutes"].lower())
        assert sum(numbers[name] for name in named) == plans.minutes(key), key


def test_the_page_shows_this_classs_numbers(lesson: Open) -> None:
    page = of(lesson, "overfitting")
    assert not page.exception
    text, rows = load_text(OWN_STORY).text, Run(thread.RECORDED_RUN).metrics()[0]
    best = min((row for row in rows if row["val_loss"] is not None), key=lambda row: row["val_loss"])
    shown = " ".join(map(str, page.table[0].value.iloc[0]))
    assert f"{len(text):,} characters" in shown
    assert f"{len(load_tokenizer().encode(text)):,}" in shown
    assert f"{count_parameters(MODEL_PRESETS['book-124m']):,}" in shown
    assert f"{best['val_loss']:.2f} nats, step {best['step']}" in shown
    assert f"best at step {best['step']} with {best['val_loss']:.2f}" in prose(page)


def test_the_plan_on_windows_has_the_training_parts_windows_beside_its_tokens(lesson: Open, finished_run: Run) -> None:
    said = prose(of(lesson, "windows", **{thread.RUN: finished_run.id, thread.PRESET: finished_run.model_config}))
    data = prepare(finished_run.text, finished_run.model_config, finished_run.train_config)
    counts = window_counts(len(data.train_ids), 32, 32, 8, drop_last=True)
    assert (
        f"{len(data.train_ids):,} training tokens, {counts.windows} windows of 32, {counts.batches} whole batches of 8."
    ) in said


def test_the_numbers_are_those_of_a_run_that_was_trained_here(lesson: Open, finished_run: Run) -> None:
    page = of(lesson, "overfitting", **{thread.RUN: finished_run.id})
    assert f"step {finished_run.status['best']['step']}" in " ".join(map(str, page.table[0].value.iloc[0]))
    assert "your run" in prose(page)


@pytest.mark.parametrize("key", KEYS)
def test_every_plan_is_drawn_whole_with_its_lessons_questions(lesson: Open, key: str) -> None:
    page = of(lesson, key)
    assert not page.exception
    assert not page.error
    said = prose(page)
    assert all(f"**{heading}**" in said for heading in plans.HEADINGS)
    assert not re.search(r"{\w+}", said)
    for question in quiz.BANK[key]() if key in quiz.BANK else []:
        assert question.text in said
        assert question.why not in said


def test_the_answers_stand_on_the_teachers_copy_alone(lesson: Open) -> None:
    page = of(lesson, "parameters").toggle("plan_answers").set_value(True).run()
    assert all(question.why in prose(page) for question in quiz.BANK["parameters"]())


def test_an_address_opens_a_plan_and_an_unknown_one_the_first(lesson: Open) -> None:
    for asked, expected in (("loss", "loss"), ("nothing", "home")):
        page = lesson("home")
        page.query_params["plan"] = asked
        page = page.switch_page(frame.page_file(frame.PLAN)).run()
        about = next(each for each in frame.LESSONS if each.key == expected)
        assert [header.value for header in page.header] == [f"{about.title}: {about.question}"]


def test_home_leads_to_the_plans(lesson: Open) -> None:
    assert "plan" in [link.page for link in lesson("home").get("page_link")]


def test_a_title_is_shown_letter_by_letter(lesson: Open) -> None:
    page = lesson("tokens")
    own = dataclasses.replace(load_text(OWN_STORY), key="own", title="<b>$x$</b> :red[a]")
    page.session_state[thread.TEXT] = own
    page = page.switch_page(frame.page_file(frame.PLAN)).run()
    assert frame.plain(own.title) in prose(page)
    assert own.title not in prose(page)

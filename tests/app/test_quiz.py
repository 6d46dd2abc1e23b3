"""Predict first: each lesson's questions, their answers from the model's own numbers, and this visit's tally."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import read_bytes
from gptcore.language import the_entropies
from gptcore.paths import runs_home
from gptcore.runs.store import Run, RunStore
from gptcore.runs.worker import execute
from gptcore.slips import SLIPS
from pages._ui import frame, predict, quiz, thread

Open = Callable[..., AppTest]
PAGES = Path(frame.__file__).resolve().parents[1]
LESSONS = [lesson.key for lesson in frame.LESSONS if lesson.section]
LEAST, MOST = 3, 5  # a lesson's figures ask one or two beside these


def opened(lesson: Open, key: str, **session: object) -> AppTest:
    return lesson(key, **{f"quiz_{key}": True}, **session)


def box(page: AppTest):  # noqa: ANN201  # AppTest names no type for a part of a page
    return next(each for each in page.expander if each.label == "Predict first")


@pytest.fixture(scope="module")
def asked() -> dict[str, list[predict.Question]]:
    """What each lesson asks, of the thread as it is before anything was chosen."""
    return {key: bank() for key, bank in quiz.BANK.items()}


def test_every_lesson_has_questions_and_draws_them() -> None:
    assert list(quiz.BANK) == LESSONS
    for key in LESSONS:
        assert f'quiz.section("{key}")' in (PAGES / f"{key}.py").read_text(encoding="utf-8")


def test_each_lesson_asks_three_to_five_questions(asked: dict[str, list[predict.Question]]) -> None:
    assert {key: len(questions) for key, questions in asked.items() if not LEAST <= len(questions) <= MOST} == {}


def test_every_slip_is_asked_about_exactly_once_and_quoted(asked: dict[str, list[predict.Question]]) -> None:
    with_slip = [question for questions in asked.values() for question in questions if question.slip]
    assert sorted(question.slip for question in with_slip) == sorted(SLIPS)
    assert all(SLIPS[question.slip] in question.text for question in with_slip)


def test_every_answer_can_be_given_and_no_key_twice(asked: dict[str, list[predict.Question]]) -> None:
    questions = [question for each in asked.values() for question in each]
    assert len({question.key for question in questions}) == len(questions)
    for question in questions:
        assert bool(question.options) == isinstance(question.answer, str)
        assert not question.options or question.answer in question.options
        assert len(set(question.options)) == len(question.options)
        assert "nan" not in question.why


def test_the_slips_are_answered_by_the_numbers_that_hold(asked: dict[str, list[predict.Question]]) -> None:
    said = {question.slip: question for each in asked.values() for question in each if question.slip}
    rows = Run(thread.RECORDED_RUN).metrics()[0]
    best = min((row for row in rows if row["val_loss"] is not None), key=lambda row: row["val_loss"])
    assert said["projection"].answer == f"{768 * 768 / 1e6:.2f} M"
    assert said["tokens seen"].answer == 10 * 9 * 512
    assert said["whole loader"].answer == 5
    assert said["perplexity"].answer == f"{math.exp(math.log(48_725)):,.0f}"
    assert said["softmax"].answer == 0
    assert said["million"].answer == "1.6 million"
    assert said["clipping"].answer == (
        "every gradient" if all(row["grad_norm"] > 1 for row in rows) else "some gradients"
    )
    assert said["parting"].answer == best["epoch"] + 1
    assert said["temperature"].answer == "it is the same"
    assert said["zero"].answer == f"{the_entropies().floor:.2f}"
    assert said["iterations"].answer == "at its lowest"


def test_a_run_of_ones_own_is_what_the_learning_lessons_ask_about(lesson: Open, finished_run: Run) -> None:
    page = opened(lesson, "training", **{thread.RUN: finished_run.id})
    assert not page.exception
    said = " ".join(text.value for text in box(page).markdown)
    assert "Your run has" in said
    assert "have shortened in your run?" in said


def test_a_run_without_validation_windows_leaves_the_question_of_the_gap_to_the_small_recorded_run(
    lesson: Open,
) -> None:
    short = read_bytes(b"One two three four five six seven eight nine ten. " * 10, "short.txt")
    settings = replace(TRAIN_PRESETS["class"], steps=2, eval_every=1, batch_size=1, sample_tokens=1)
    run = RunStore(runs_home()).create(short, MODEL_PRESETS["class"], settings)
    assert execute(run) == "done"
    assert run.weights("last")
    page = opened(lesson, "memory", **{thread.RUN: run.id})
    assert not page.exception
    assert "The small recorded run ends" in " ".join(text.value for text in box(page).markdown)


def test_nothing_is_asked_before_the_part_is_opened(lesson: Open) -> None:
    page = lesson("parameters")
    assert not box(page).markdown


def answer(page: AppTest, key: str, question: predict.Question, right: bool) -> AppTest:
    """Answer one question of an opened lesson, rightly or not."""
    widgets = box(page)
    (name,) = {
        match.group(0)
        for widget in [*widgets.get("button_group"), *widgets.number_input]
        if (match := re.match(rf"{question.key}_\d+", widget.key or ""))
    }
    if isinstance(question.answer, str):
        other = next(option for option in question.options if option != question.answer)
        return page.pills(f"{name}_predict_choice").set_value(question.answer if right else other).run()
    page.number_input(f"{name}_predict_guess").set_value(question.answer + (0 if right else 1))
    return page.button(f"{name}_predict_check").click().run()


@pytest.mark.parametrize("key", LESSONS)
def test_right_and_wrong_answers_are_told_apart_and_counted(lesson: Open, key: str) -> None:
    page = opened(lesson, key)
    assert not page.exception
    questions = quiz.BANK[key]()
    for number, question in enumerate(questions):
        page = answer(page, key, question, right=number % 2 == 0)
        assert not page.exception
    told = box(page)
    rights = len([number for number in range(len(questions)) if number % 2 == 0])
    assert len(told.success) == rights
    assert len(told.info) == len(questions) - rights
    assert all(message.value.startswith("Yes") for message in told.success)
    assert f"{rights} of {len(questions)} first guesses" in " ".join(text.value for text in told.caption)


def test_only_the_first_guess_counts(lesson: Open) -> None:
    page = opened(lesson, "parameters")
    question = quiz.BANK["parameters"]()[0]
    for right in (False, True):
        page = answer(page, "parameters", question, right=right)
    assert len(box(page).success) == 1
    assert "0 of 1 first guesses" in " ".join(text.value for text in box(page).caption)


def test_a_question_whose_numbers_have_changed_is_a_new_one(lesson: Open) -> None:
    shape = MODEL_PRESETS["class"]
    page = opened(lesson, "windows")
    before = [text.value for text in box(page).markdown]
    page.session_state[thread.PRESET] = shape
    after = [text.value for text in box(page.run()).markdown]
    assert any(f"one window of {shape.context_length} tokens" in said for said in after)
    assert before != after

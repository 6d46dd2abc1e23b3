"""The tour: ten stops along the thread with live numbers, one bar while it is on, and none before and after."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import SamplingConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.library import load_model
from gptcore.paths import POCKET_MODEL
from gptcore.runs.store import Run
from gptcore.sampling import next_logits, next_token_table
from gptcore.tokenizer import load_tokenizer
from pages._ui import frame, startup, thread, tour

Open = Callable[..., AppTest]
KEYS = [lesson.key for lesson in frame.LESSONS]


@pytest.fixture(autouse=True)
def _torch_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests import PyTorch themselves, so no page has to wait for it."""
    monkeypatch.setattr(startup, "torch_is_here", lambda: True)


def bar(page: AppTest) -> str:
    return " ".join(text.value for text in page.get_by_key("tour").markdown)


def is_on(page: AppTest) -> bool:
    return any((button.key or "").startswith("tour_") for button in page.button)


def question(page: AppTest) -> str:
    return page.header[0].value


def question_of(key: str) -> str:
    return next(lesson.question for lesson in frame.LESSONS if lesson.key == key)


def test_the_stops_follow_the_thread_from_text_to_gpt2() -> None:
    stops = [stop.lesson for stop in tour.STOPS]
    assert (stops[0], stops[-1], len(stops)) == ("home", "pretrained", 10)
    assert stops == sorted(stops, key=KEYS.index)


def test_without_a_tour_no_lesson_shows_its_bar(lesson: Open) -> None:
    assert not is_on(lesson("tokens"))


def test_the_tour_begins_at_home_and_walks_to_its_end_and_is_over(lesson: Open) -> None:
    page = lesson("home").button("home_tour").click().run()
    for number, stop in enumerate(tour.STOPS, 1):
        assert not page.exception
        assert question(page) == question_of(stop.lesson)
        said = bar(page)
        assert said.startswith(f"**{number} of {len(tour.STOPS)}.**")
        assert stop.do in said
        assert not re.search(r"{\w+}", said)
        if number < len(tour.STOPS):
            page = page.button("tour_next").click().run()
            page = page.switch_page(frame.page_file(tour.STOPS[number].lesson)).run()  # a browser is there already
    page = page.button("tour_leave").click().run()
    assert not is_on(page)
    assert question(page) == question_of("pretrained")


def test_back_goes_to_the_stop_before(lesson: Open) -> None:
    page = lesson("windows", **{tour.AT: 2})
    page = page.button("tour_back").click().run()
    assert question(page) == question_of("tokens")
    assert bar(page).startswith("**2 of ")


def test_at_another_lesson_the_bar_waits_and_leads_back(lesson: Open) -> None:
    page = lesson("bpe", **{tour.AT: 2})
    assert "waits at stop 3" in bar(page)
    page = page.button("tour_on").click().run()
    assert question(page) == question_of("windows")


def test_the_sentences_hold_the_threads_numbers(lesson: Open, finished_run: Run) -> None:
    tokens = len(load_tokenizer().encode(load_text(OWN_STORY).text))
    assert f"becomes {tokens:,} tokens" in bar(lesson("tokens", **{tour.AT: 1}))
    best = finished_run.status["best"]
    said = bar(lesson("overfitting", **{tour.AT: 7, thread.RUN: finished_run.id}))
    assert f"At step {best['step']} the validation loss was best, {best['val_loss']:.2f}" in said


def test_the_guess_is_the_bundled_models_own(lesson: Open) -> None:
    model, tokenizer = load_model(POCKET_MODEL)
    prompt = load_text(OWN_STORY).prompt
    table = next_token_table(next_logits(model, tokenizer.encode(prompt)), tokenizer, SamplingConfig())
    assert f"with {table['probability'].max():.1%}" in bar(lesson("forward", **{tour.AT: 4}))

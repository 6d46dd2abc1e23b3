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


def test_the_stops_follow_the_thread_from_text_to_gpt2() -> None:
    stops = [stop.lesson for stop in tour.STOPS]
    assert (stops[0], stops[-1], len(stops)) == ("tokens", "pretrained", 10)
    assert stops == sorted(stops, key=KEYS.index)


def test_without_a_tour_no_lesson_shows_its_bar(lesson: Open) -> None:
    assert not is_on(lesson("tokens"))


def ways(page: AppTest) -> dict[str, tuple[str, str]]:
    """The links of the bar: the lesson and the stop that each leads to."""
    links = page.get_by_key("tour").get("page_link")
    return {link.label.strip("*"): (link.page, link.proto.query_string) for link in links}


def test_home_leads_to_the_first_stop(lesson: Open) -> None:
    (link,) = (link for link in lesson("home").get("page_link") if link.label == "Ten-minute tour")
    assert (link.page, link.proto.query_string) == (tour.STOPS[0].lesson, "tour=1")


@pytest.mark.parametrize("at", range(len(tour.STOPS)))
def test_each_stop_says_its_sentence_and_leads_back_and_on(lesson: Open, at: int) -> None:
    stop = tour.STOPS[at]
    page = lesson(stop.lesson, **{tour.AT: at})
    assert not page.exception
    said = bar(page)
    assert said.startswith(f"**{at + 1} of {len(tour.STOPS)}.**")
    assert stop.do in said
    assert not re.search(r"{\w+}", said)
    around = {"Back": at - 1, "Next": at + 1}
    assert ways(page) == {
        label: (tour.STOPS[to].lesson, f"tour={to + 1}") for label, to in around.items() if 0 <= to < len(tour.STOPS)
    }


def test_an_address_names_the_stop_and_a_senseless_one_begins_no_tour(lesson: Open) -> None:
    for asked, expected in (("2", True), ("0", False), ("11", False), ("²", False), ("<b>", False)):
        page = lesson("tokens")
        page.query_params["tour"] = asked
        page = page.switch_page(frame.page_file("windows")).run()
        assert not page.exception
        assert is_on(page) == expected


def test_whoever_leaves_sees_no_bar_any_more(lesson: Open) -> None:
    page = lesson("windows", **{tour.AT: 1}).button("tour_leave").click().run()
    assert not is_on(page)
    assert not is_on(page.switch_page(frame.page_file("tokens")).run())


def test_at_another_lesson_the_bar_waits_and_leads_back(lesson: Open) -> None:
    page = lesson("bpe", **{tour.AT: 1})
    assert ways(page) == {"The tour waits at stop 2 of 10": ("windows", "tour=2")}


def test_the_sentences_hold_the_threads_numbers(lesson: Open, finished_run: Run) -> None:
    tokens = len(load_tokenizer().encode(load_text(OWN_STORY).text))
    assert f"becomes {tokens:,} tokens" in bar(lesson("tokens", **{tour.AT: 0}))
    best = finished_run.status["best"]
    said = bar(lesson("overfitting", **{tour.AT: 6, thread.RUN: finished_run.id}))
    assert f"At step {best['step']} the validation loss was best, {best['val_loss']:.2f}" in said


def test_the_guess_is_the_bundled_models_own(lesson: Open) -> None:
    model, tokenizer = load_model(POCKET_MODEL)
    prompt = load_text(OWN_STORY).prompt
    table = next_token_table(next_logits(model, tokenizer.encode(prompt)), tokenizer, SamplingConfig())
    assert f"with {table['probability'].max():.1%}" in bar(lesson("forward", **{tour.AT: 3}))

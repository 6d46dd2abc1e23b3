"""The lesson on tokens: its numbers are the tokenizer's, and each control changes what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.corpora import Text, load_text
from gptcore.tokenizer import load_tokenizer
from pages._ui.token_counts import beginning
from pages._ui.token_examples import BY_NAME, EXAMPLES

encode = load_tokenizer().encode


@pytest.fixture
def page(lesson: Callable[..., AppTest]) -> AppTest:
    return lesson("tokens")


def chips(page: AppTest, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.get("bidi_component")[place].proto.json)
    return found


def drawn_ids(page: AppTest) -> list[int]:
    return [int(token_id) for piece in chips(page)["pieces"] for token_id in piece["note"].split()]


def metrics(page: AppTest) -> list[str]:
    return [metric.value for metric in page.metric[:4]]


def said(page: AppTest) -> str:
    return " ".join(element.value for element in page.markdown)


def test_the_page_shows_an_example_before_any_click(page: AppTest) -> None:
    assert not page.exception
    text = EXAMPLES[0].text
    ids = encode(text)
    distinct = f"{len(set(ids)):,} · {len(set(ids)) / load_tokenizer().vocab_size:.2%}"
    assert metrics(page) == [str(len(ids)), str(len(text)), f"{len(text) / len(ids):.2f}", distinct]
    assert drawn_ids(page) == ids
    assert "".join(piece["text"] for piece in chips(page)["pieces"]) == text


def test_the_first_example_is_a_real_mixture() -> None:
    spans = load_tokenizer().spans(EXAMPLES[0].text)
    texts = [span.text for span in spans]
    assert "The" in texts
    assert " the" in texts
    assert any(text.strip().isdigit() for text in texts)
    assert any(len(span.ids) > 1 and not span.text.isascii() for span in spans)


@pytest.mark.parametrize("name", BY_NAME)
def test_an_example_is_taken_and_says_what_to_notice(page: AppTest, name: str) -> None:
    page.get("pills")[0].set_value(name).run()
    assert not page.exception
    assert page.text_area[0].value == BY_NAME[name].text
    assert drawn_ids(page) == encode(BY_NAME[name].text)
    assert BY_NAME[name].to_notice() in said(page)
    assert "{" not in BY_NAME[name].to_notice()


def test_an_example_that_is_changed_is_no_longer_chosen(page: AppTest) -> None:
    page.text_area[0].set_value("Something else").run()
    assert page.get("pills")[0].value is None
    assert EXAMPLES[0].to_notice() not in said(page)
    assert f"became {len(encode('Something else'))} tokens" in said(page)


def test_the_marks_can_be_switched_off(page: AppTest) -> None:
    assert chips(page)["marks"] is True
    page.toggle(key="tokens_marks").set_value(False).run()
    assert chips(page)["marks"] is False


def test_the_end_of_text_is_plain_text_until_the_switch_says_otherwise(page: AppTest) -> None:
    text = BY_NAME["End of text"].text
    page.text_area[0].set_value(text).run()
    assert drawn_ids(page) == encode(text)
    page.toggle(key="tokens_special").set_value(True).run()
    assert drawn_ids(page) == load_tokenizer().encode(text, special=True)
    assert 50_256 in drawn_ids(page)


def test_a_trailing_space_is_warned_of(page: AppTest) -> None:
    assert not page.warning
    page.text_area[0].set_value("Every effort moves you ").run()
    assert "ends with a space" in page.warning[0].value


def test_an_empty_text_has_no_tokens_and_no_ratio(page: AppTest) -> None:
    page.text_area[0].set_value("").run()
    assert not page.exception
    assert "This text has no tokens" in page.info[0].value
    assert metrics(page)[:3] == ["0", "0", "–"]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", ":red[x] $a$ `b`", "[x](javascript:1)", "\x00\u202eabc", " "]
)
def test_what_a_student_types_stays_out_of_markdown(page: AppTest, text: str) -> None:
    page.text_area[0].set_value(text).run()
    assert not page.exception
    assert "".join(piece["text"] for piece in chips(page)["pieces"]) == text
    prose = said(page) + " ".join(
        element.value for kind in ("caption", "warning", "info") for element in page.get(kind)
    )
    assert text == " " or text not in prose


def test_the_threads_text_is_counted_and_begun(page: AppTest) -> None:
    text = load_text("the-glass-clock").text
    ids = encode(text)
    assert [metric.value for metric in page.metric[4:6]] == [f"{len(ids):,}", f"{len(text):,}"]
    first = [int(i) for piece in chips(page, 1)["pieces"] for i in piece["note"].split()]
    assert first == ids[: len(first)]
    assert text.startswith("".join(piece["text"] for piece in chips(page, 1)["pieces"]))


def test_another_text_of_the_thread_is_shown(lesson: Callable[..., AppTest]) -> None:
    page = lesson("tokens", thread_text=Text("own-1", "mine", "Own words.", "Own"))
    assert not page.exception
    assert page.metric[4].value == str(len(encode("Own words.")))


def test_a_beginning_never_cuts_a_character() -> None:
    text = "\U0001f989" * 40
    for most in range(1, 8):
        spans = beginning(text, most)
        assert sum(len(span.ids) for span in spans) <= most
        assert all(set(span.text) <= {"\U0001f989"} for span in spans)


def test_the_question_is_scored_by_the_tokenizer(page: AppTest) -> None:
    answer = len(encode("Unbelievably, 1,000,000 owls!"))
    page.number_input(key="tokens_predict_guess").set_value(answer + 1)
    page.button(key="tokens_predict_check").click().run()
    assert f"You said {answer + 1}; it is {answer}." in [info.value for info in page.info]
    page.number_input(key="tokens_predict_guess").set_value(answer)
    page.button(key="tokens_predict_check").click().run()
    assert f"Yes: {answer}." in [success.value for success in page.success]


def test_a_students_text_is_still_there_after_another_page(page: AppTest) -> None:
    page.text_area[0].set_value("Mine").run()
    page.switch_page("pages/windows.py").run().switch_page("pages/tokens.py").run()
    assert not page.exception
    assert page.text_area[0].value == "Mine"
    assert page.get("pills")[0].value is None

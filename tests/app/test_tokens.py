"""The lesson on tokens: its numbers are the tokenizer's, and each control changes what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from gptcore.corpora import Text, load_text
from gptcore.tokenizer import END_OF_TEXT_ID, load_tokenizer
from pages._ui import own_text, token_facts, token_view
from pages._ui.token_examples import BY_NAME, EXAMPLES
from pages._ui.token_facts import Where

GPT2 = load_tokenizer()
encode = GPT2.encode
OWN, THREAD = "tokens_view", "tokens_thread"  # keys of the two components


@pytest.fixture
def page(lesson: Callable[..., AppTest]) -> AppTest:
    return lesson("tokens")


def view(page: AppTest, key: str = OWN) -> dict[str, Any]:
    """What the browser gets for one of the two texts."""
    records = [json.loads(component.proto.json) for component in page.get("bidi_component")]
    both: list[dict[str, Any]] = [record for record in records if "facts" in record]
    return both[key == THREAD]


def report(page: AppTest, /, key: str = OWN, **values: object) -> AppTest:
    """What the browser reports when somebody clicks in a component."""
    page.session_state[key] = values
    return page.run()


def typed(page: AppTest, text: str) -> AppTest:
    page.session_state["tokens_own"] = text
    return page.run()


def drawn_ids(page: AppTest, key: str = OWN) -> list[int]:
    return [token_id for _, ids, _ in view(page, key)["pieces"] for token_id in ids]


def drawn_text(page: AppTest, key: str = OWN) -> str:
    return "".join(text for text, _, _ in view(page, key)["pieces"])


def metrics(page: AppTest) -> list[str]:
    return [metric.value for metric in page.metric[:4]]


def said(page: AppTest) -> str:
    return " ".join(element.value for element in page.markdown)


def test_the_page_shows_an_example_before_any_click(page: AppTest) -> None:
    assert not page.exception
    text = EXAMPLES[0].text
    ids = encode(text)
    distinct = f"{len(set(ids)):,} · {len(set(ids)) / GPT2.vocab_size:.2%}"
    assert metrics(page) == [str(len(ids)), str(len(text)), f"{len(text) / len(ids):.2f}", distinct]
    assert drawn_ids(page) == ids
    assert drawn_text(page) == view(page)["text"] == text


def test_the_first_example_is_a_real_mixture() -> None:
    spans = GPT2.spans(EXAMPLES[0].text)
    texts = [span.text for span in spans]
    assert "The" in texts
    assert " the" in texts
    assert any(text.strip().isdigit() for text in texts)
    assert any(len(span.ids) > 1 and not span.text.isascii() for span in spans)


# ---------------------------------------------------------------------------------------------------- typing and taking


@pytest.mark.parametrize("name", BY_NAME)
def test_an_example_is_put_into_the_box_and_says_what_to_notice(page: AppTest, name: str) -> None:
    before = view(page)["taken"]
    page.get("pills")[0].set_value(name).run()
    assert not page.exception
    assert view(page)["text"] == BY_NAME[name].text
    assert (view(page)["taken"] > before) is (name != EXAMPLES[0].name)
    assert drawn_ids(page) == encode(BY_NAME[name].text)
    assert BY_NAME[name].to_notice() in said(page)
    assert "{" not in BY_NAME[name].to_notice()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A student's session without a page."""
    state: dict[str, Any] = {}
    monkeypatch.setattr("streamlit.session_state", state)
    return state


def arrives(session: dict[str, Any], text: object, taken: int) -> None:
    session[OWN] = {"typed": {"text": text, "taken": taken, "count": 1}}
    own_text.hear()


def test_what_is_typed_is_shown_and_no_longer_called_an_example(session: dict[str, Any]) -> None:
    assert own_text.current() == EXAMPLES[0].text
    arrives(session, "Something else", taken=0)
    assert own_text.current() == "Something else"
    assert session[own_text.EXAMPLE] == own_text.MINE
    arrives(session, EXAMPLES[3].text, taken=0)
    assert session[own_text.EXAMPLE] == EXAMPLES[3].name
    assert own_text.box() == (EXAMPLES[3].text, 0, 1, own_text.MOST_CHARACTERS)


def test_an_example_that_was_taken_meanwhile_stays_and_what_was_typed_is_a_click_away(session: dict[str, Any]) -> None:
    own_text.current()
    session[own_text.EXAMPLE] = "Chinese"
    own_text._take_example()
    arrives(session, "typed before the click", taken=0)
    assert own_text.current() == BY_NAME["Chinese"].text
    session[own_text.EXAMPLE] = own_text.MINE
    own_text._take_example()
    assert own_text.current() == "typed before the click"
    assert own_text.box().taken == 2


def test_a_lone_surrogate_is_shown_as_what_it_was_replaced_by(session: dict[str, Any]) -> None:
    own_text.current()
    arrives(session, "a\ud800b", taken=0)
    assert own_text.current() == "a\ufffdb"


def test_a_text_over_the_limit_is_not_cut_but_left_out(session: dict[str, Any]) -> None:
    own_text.current()
    arrives(session, "x" * own_text.MOST_CHARACTERS, taken=0)
    arrives(session, "y" * (own_text.MOST_CHARACTERS + 1), taken=0)
    assert own_text.current() == "x" * own_text.MOST_CHARACTERS


@pytest.mark.parametrize("report", [None, "text", {"text": 7, "taken": 0}, {"taken": 0}, {}])
def test_a_browser_may_report_anything(session: dict[str, Any], report: object) -> None:
    own_text.current()
    session[OWN] = {"typed": report}
    own_text.hear()
    assert own_text.current() == EXAMPLES[0].text


def test_a_students_text_is_still_there_after_another_page(page: AppTest) -> None:
    typed(page, "Mine")
    page.switch_page("pages/windows.py").run().switch_page("pages/tokens.py").run()
    assert not page.exception
    assert view(page)["text"] == drawn_text(page) == "Mine"


# -------------------------------------------------------------------------------------------------- what is shown of it


def test_marks_and_bytes_are_switched(page: AppTest) -> None:
    assert (view(page)["marks"], view(page)["view"]) == (True, "text")
    page.toggle(key="tokens_marks").set_value(False).run()
    page.segmented_control("tokens_as").set_value("bytes").run()
    assert (view(page)["marks"], view(page)["view"]) == (False, "bytes")


def test_each_token_has_its_bytes(page: AppTest) -> None:
    for text, ids, spelt in view(page)["pieces"]:
        assert [bytes.fromhex(each) for each in spelt] == [GPT2.token_bytes(i) for i in ids]
        assert bytes.fromhex("".join(spelt)).decode() == text


def test_the_end_of_text_is_plain_text_until_the_switch_says_otherwise(page: AppTest) -> None:
    text = BY_NAME["End of text"].text
    typed(page, text)
    assert drawn_ids(page) == encode(text)
    page.toggle(key="tokens_special").set_value(True).run()
    assert drawn_ids(page) == encode(text, special=True)
    assert view(page)["special"] == END_OF_TEXT_ID
    assert END_OF_TEXT_ID in drawn_ids(page)


def test_a_trailing_space_is_warned_of(page: AppTest) -> None:
    assert not page.warning
    typed(page, "Every effort moves you ")
    assert "ends with a space" in page.warning[0].value


def test_an_empty_text_has_no_tokens_and_no_ratio(page: AppTest) -> None:
    typed(page, "")
    assert not page.exception
    assert "This text has no tokens" in page.info[0].value
    assert metrics(page)[:3] == ["0", "0", "–"]
    assert view(page)["pieces"] == []


def test_a_sign_that_stands_for_no_character_is_counted(page: AppTest) -> None:
    typed(page, "a\ufffdb\ufffd")
    assert "2 times" in page.info[0].value


def test_tokens_that_begin_within_a_character_are_counted(page: AppTest) -> None:
    typed(page, "an \U0001f989 owl")
    within = sum(GPT2.token_bytes(i)[0] & 0xC0 == 0x80 for i in encode("an \U0001f989 owl"))
    assert within
    assert f"{within} tokens begin within a character" in said(page)


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", ":red[x] $a$ `b`", "[x](javascript:1)", "\x00\u202eabc", " "]
)
def test_what_a_student_types_stays_out_of_markdown(page: AppTest, text: str) -> None:
    typed(page, text)
    assert not page.exception
    assert drawn_text(page) == text
    prose = said(page) + " ".join(
        element.value for kind in ("caption", "warning", "info") for element in page.get(kind)
    )
    assert text == " " or text not in prose


# ---------------------------------------------------------------------------------------------------------------- pages


def test_a_long_text_is_drawn_page_by_page(page: AppTest) -> None:
    text = "The owl saw the other owl. " * 400
    ids = encode(text)
    typed(page, text)
    assert (view(page)["count"], view(page)["pages"]) == (len(ids), -(-len(ids) // token_view.TOKENS_A_PAGE))
    assert drawn_ids(page) == ids[: token_view.TOKENS_A_PAGE]
    report(page, page=1)
    assert drawn_ids(page) == ids[token_view.TOKENS_A_PAGE : 2 * token_view.TOKENS_A_PAGE]
    assert view(page)["first"] == token_view.TOKENS_A_PAGE
    report(page, page=10**9)
    assert view(page)["page"] == view(page)["pages"] - 1
    assert drawn_ids(page)[-1] == ids[-1]


@pytest.mark.parametrize("wrong", [-1, "1", None, 2.5, {}])
def test_a_page_or_a_token_that_does_not_exist_is_not_asked_for(page: AppTest, wrong: object) -> None:
    report(page, page=wrong, asked=-5 if wrong is None else wrong)
    assert not page.exception
    assert (view(page)["page"], view(page)["asked"]) == (0, None)


@given(st.text(max_size=40) | st.text("\U0001f989é語 a\n\u200d", max_size=40), st.integers(1, 5))
def test_pages_join_to_the_text_and_never_begin_within_a_character(text: str, size: int) -> None:
    ids = encode(text)
    pages = [token_view.page_spans(ids, page, size) for page in range(len(ids) // size + 1)]
    assert "".join(span.text for _, spans in pages for span in spans) == text
    assert [i for _, spans in pages for span in spans for i in span.ids] == ids
    for start, spans in pages:
        assert [i for span in spans for i in span.ids] == ids[start : start + sum(len(span.ids) for span in spans)]


# ------------------------------------------------------------------------------------------------------ about one token


def rows(token_id: int, *beside: Where) -> dict[str, tuple[str, list[tuple[str, int]]]]:
    return {name: (said, tokens) for name, said, tokens in token_facts.about(token_id, beside)["rows"]}


def test_a_token_that_is_asked_for_is_told_about(page: AppTest) -> None:
    assert view(page)["facts"] is None
    report(page, asked=262)
    assert view(page)["asked"] == 262
    story = encode(load_text("the-glass-clock").text)
    beside = [Where("this text", lambda: encode(EXAMPLES[0].text)), Where("the text of all lessons", lambda: story)]
    assert view(page)["facts"] == json.loads(json.dumps(token_facts.about(262, beside)))


def test_a_tokens_bytes_merge_and_neighbours_are_the_vocabularys() -> None:
    told = rows(262)
    assert token_facts.about(262, [])["token"] == " the"
    assert told["Bytes"][0].startswith("20 74 68 65 (4 bytes")
    assert told["Made of"] == ("two tokens, by merge 7 of 50,000: ", [(" t", 256), ("he", 258)])
    near = told["Before and after it in the vocabulary"][1]
    assert [i for _, i in near] == [259, 260, 261, 263, 264, 265]
    assert all(text == GPT2.token_bytes(i).decode() for text, i in near)


def test_a_byte_and_the_special_token_were_never_merged() -> None:
    assert rows(0)["Made of"] == ("itself: one of the 256 bytes from which everything starts", [])
    assert "the special token" in rows(END_OF_TEXT_ID)["Made of"][0]
    assert rows(END_OF_TEXT_ID)["Bytes"][0] == "none: it stands for no characters"
    assert [i for _, i in rows(END_OF_TEXT_ID)["Before and after it in the vocabulary"][1]] == [50253, 50254, 50255]


def test_where_a_token_stands_is_counted_and_quoted() -> None:
    ids = encode("The owl\nsaw the other owl \U0001f989")
    text = Where("this text", lambda: ids)
    assert rows(encode(" owl")[0], text)["In this text"][0] == (
        f"2 times among {len(ids)} tokens, {2 / len(ids):.2%}: "
        "…The owl saw the other owl… · …owl saw the other owl \U0001f989…"
    )
    assert rows(encode(" cat")[0], text)["In this text"][0] == "nowhere"
    assert rows(encode("The")[0], text)["In this text"][0].startswith("once among ")


@pytest.mark.parametrize("token_id", [0, 220, 255, 256, 447, 50_255, 50_256, encode("\U0001f989")[-1]])
def test_every_kind_of_token_can_be_told_about(token_id: int) -> None:
    told = json.dumps(token_facts.about(token_id, [Where("it", lambda: [token_id, token_id])]))
    assert "\\ud" not in json.loads(told)["token"]
    assert "2 times among 2 tokens, 100.00%" in told


# ---------------------------------------------------------------------------------------------------- the thread's text


def test_the_threads_text_is_counted_and_begun(page: AppTest) -> None:
    text = load_text("the-glass-clock").text
    ids = encode(text)
    assert [metric.value for metric in page.metric[4:6]] == [f"{len(ids):,}", f"{len(text):,}"]
    assert drawn_ids(page, THREAD) == ids[: token_view.TOKENS_A_PAGE]
    assert view(page, THREAD)["editable"] is False


@pytest.mark.parametrize("text", ["Own words.", " " * 1_000_000 + "x", "\U0001f989" * 5_000, "\n", "<b>$x$</b>"])
def test_another_text_of_the_thread_is_shown(lesson: Callable[..., AppTest], text: str) -> None:
    page = lesson("tokens", thread_text=Text("own-1", "mine", text, "Own"))
    assert not page.exception
    assert page.metric[4].value == f"{len(encode(text)):,}"
    assert text.startswith(drawn_text(page, THREAD))


def test_the_question_is_scored_by_the_tokenizer(page: AppTest) -> None:
    answer = len(encode("Unbelievably, 1,000,000 owls!"))
    page.number_input(key="tokens_predict_guess").set_value(answer + 1)
    page.button(key="tokens_predict_check").click().run()
    assert f"You said {answer + 1}; it is {answer}." in [info.value for info in page.info]
    page.number_input(key="tokens_predict_guess").set_value(answer)
    page.button(key="tokens_predict_check").click().run()
    assert f"Yes: {answer}." in [success.value for success in page.success]


# ----------------------------------------------------------------------------------------------------------- own files


def bring(page: AppTest, raw: bytes, name: str = "mine.txt") -> AppTest:
    page.selectbox(key="tokens_text").set_value("own text").run()
    return page.get("file_uploader")[0].set_value((name, raw, "text/plain")).run()


def test_a_file_in_latin_1_is_refused_and_then_read_as_such_by_a_click(
    page: AppTest, refusals: Callable[[AppTest], list[str]]
) -> None:
    text = "Déjà vu, said the owl. " * 20
    bring(page, text.encode("latin-1"))
    assert refusals(page)[0].startswith("'mine.txt' is not UTF-8 text: byte 1 is 0xe9")
    assert "Still working with The Glass Clock" in refusals(page)[0]
    page.button(key="tokens_read_as").click().run()
    assert not page.exception
    assert not page.error
    assert page.session_state["thread_text"].text == text
    assert "While reading, its bytes were taken for Latin-1." in [caption.value for caption in page.caption]
    assert drawn_text(page, THREAD) == text


def test_a_picture_gets_no_offer_and_the_former_text_stays(page: AppTest) -> None:
    bring(page, b"\x89PNG\r\n\x1a\n\0\0")
    assert page.error
    assert not [button for button in page.button if button.key == "tokens_read_as"]
    assert drawn_text(page, THREAD).startswith("The Glass Clock")


@pytest.mark.parametrize(
    ("raw", "figures"),
    [
        (b" " * 2_000_001 + b"x", "has 2,000,001 tokens; the limit is 2,000,000."),
        (b"a" * 5_000_001, "has 5,000,001 bytes; the limit is 5,000,000."),
    ],
    ids=["tokens", "bytes"],
)
def test_a_file_over_a_limit_is_refused_with_both_figures_and_the_former_text_stays(
    page: AppTest, raw: bytes, figures: str, refusals: Callable[[AppTest], list[str]]
) -> None:
    bring(page, raw)
    assert not page.exception
    assert f"'mine.txt' {figures} Still working with The Glass Clock (our own story)." in refusals(page)[0]
    assert drawn_text(page, THREAD).startswith("The Glass Clock")


def test_what_is_changed_while_reading_is_said(page: AppTest) -> None:
    bring(page, b"\xef\xbb\xbfOne\r\nTwo")
    said = [caption.value for caption in page.caption]
    assert "While reading, a byte-order mark was removed." in said
    assert "While reading, Windows line ends became plain ones." in said
    assert drawn_text(page, THREAD) == "One\nTwo"


@pytest.mark.parametrize("raw", [b"", b" \n", b"\xef\xbb\xbf"])
def test_a_file_without_tokens_leaves_the_former_text(page: AppTest, raw: bytes) -> None:
    bring(page, raw)
    assert not page.exception
    assert page.error
    assert drawn_text(page, THREAD).startswith("The Glass Clock")


@pytest.mark.parametrize("name", ["<script>x</script>.txt", "$a$ :red[x].txt", "[x](javascript:1).txt"])
def test_a_hostile_file_name_is_shown_literally(page: AppTest, name: str) -> None:
    bring(page, b"\xff\xfe\x00", name)
    assert page.error
    assert name not in page.error[0].value
    bring(page, b"Own words.", name)
    assert not page.exception
    assert not any(name in element.value for element in [*page.markdown, *page.caption, *page.error])

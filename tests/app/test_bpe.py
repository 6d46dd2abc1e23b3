"""The lesson on BPE: its tower of merges, its learnt vocabulary and its four ways are what gptcore says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.bpe import BYTES, cut_pieces, encode_by_merging, learn_merges, learnt_ranks, merge_trace
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.paths import runs_home
from gptcore.runs.store import RunStore
from gptcore.tokenizer import load_tokenizer
from gptcore.vocabularies import cut_words
from gptcore.windows import open_parts, split_text
from pages._ui import merge_steps, own_bpe, thread

Drawn = Callable[..., list[dict[str, Any]]]
GPT2 = load_tokenizer()
TRAIN, VALIDATION = split_text(load_text(OWN_STORY).text, 0.9)
MERGES = learn_merges(TRAIN, own_bpe.MOST_MERGES)
SLIDER = f"bpe_size_{BYTES + len(MERGES)}"


@pytest.fixture
def page(lesson: Callable[..., AppTest]) -> AppTest:
    return lesson("bpe")


def tower(page: AppTest) -> dict[str, Any]:
    records = [json.loads(component.proto.json) for component in page.get("bidi_component")]
    found: dict[str, Any] = next(record for record in records if "levels" in record)
    return found


def build(page: AppTest, word: str) -> AppTest:
    return page.text_input(key="bpe_typed").set_value(word).run()


def said(page: AppTest) -> str:
    return " ".join(element.value for element in page.markdown)


# ----------------------------------------------------------------------------------------------------- building a token


def test_a_word_is_built_before_any_click(page: AppTest) -> None:
    assert not page.exception
    steps = merge_trace(b" unbelievably", GPT2.ranks)
    assert [level["chosen"] for level in tower(page)["levels"]] == [step.chosen for step in steps]
    assert [level["ranks"] for level in tower(page)["levels"]] == [list(step.ranks) for step in steps]
    assert f"13 bytes became 1 token in {len(steps) - 1} merges." in said(page)


@pytest.mark.parametrize(
    "word", [" accomodation", " \U0001f989", "I'll see \U0001f989 12", "a", "        return", "<b>$x$</b>", "\x00é語"]
)
def test_the_last_level_holds_the_tokenizers_ids(page: AppTest, word: str) -> None:
    build(page, word)
    assert not page.exception
    piece = max(cut_pieces(word), key=len)
    last = tower(page)["levels"][-1]
    assert [token_id for _, _, token_id, _ in last["parts"]] == GPT2.encode(piece)
    assert tower(page)["bytes"] == len(piece.encode())
    for level in tower(page)["levels"]:
        assert sum(size for _, size, _, _ in level["parts"]) == len(piece.encode())


def test_every_step_says_pair_result_and_rank() -> None:
    first, second, third, last = merge_steps.record(merge_steps.trace(" the"))["said"]
    assert first == "Next: of 3 pairs of neighbours 3 would make a token; the lowest rank, 256, goes first."
    assert second.startswith("Merge 1 of 3: · + t became ·t, rank 256. Next: of 2 pairs of neighbours 2 would make a ")
    assert third.startswith("Merge 2 of 3: h + e became he, rank 258. Next: of 1 pair of neighbours 1 would make a ")
    assert last.startswith("Merge 3 of 3: ·t + he became ·the, rank 262. No two neighbours make a token any more: ")
    assert last.endswith("1 token from 4 bytes.")


def test_half_a_character_is_shown_by_its_bytes() -> None:
    levels = merge_steps.record(merge_steps.trace("\U0001f989"))["levels"]
    assert levels[0]["parts"][0] == ("f0", 1, GPT2.ranks[b"\xf0"], False)


def test_another_piece_of_a_text_can_be_built(page: AppTest) -> None:
    build(page, "I'll see owls")
    pieces = cut_pieces("I'll see owls")
    page.segmented_control(f"bpe_piece_{len(pieces)}").set_value(1).run()
    assert "".join(text for text, *_ in tower(page)["levels"][0]["parts"]) == pieces[1] == "'ll"


def test_a_word_is_taken_and_left(page: AppTest) -> None:
    page.get("pills")[0].set_value(" 123456").run()
    assert page.text_input(key="bpe_typed").value == " 123456"
    build(page, "else")
    assert page.get("pills")[0].value is None


def test_nothing_is_built_from_nothing(page: AppTest) -> None:
    build(page, "")
    assert not page.exception
    assert "nothing to build" in page.info[0].value


# ------------------------------------------------------------------------------------------------------ learning merges


@pytest.mark.parametrize("size", [BYTES, 300, 512, BYTES + len(MERGES)])
def test_the_learnt_vocabulary_is_gptcores_at_every_size(page: AppTest, drawn: Drawn, size: int) -> None:
    page.slider(key=SLIDER).set_value(size).run()
    assert not page.exception
    tokens = len(encode_by_merging(TRAIN, learnt_ranks(MERGES, size)))
    whole, here, each, each_here = drawn(page, "bpe_curve")
    assert (here["x"], here["y"]) == ([size], [tokens])
    assert whole["x"] == list(range(BYTES, BYTES + len(MERGES) + 1))
    assert whole["y"] == [len(TRAIN.encode()), *(merge.tokens for merge in MERGES)]
    assert each["y"] == pytest.approx([len(TRAIN) / count for count in whole["y"]])
    assert each_here["y"] == pytest.approx([len(TRAIN) / tokens])
    assert f"({BYTES} bytes and {size - BYTES:,} merges) the text takes {tokens:,} tokens" in said(page)


def test_the_list_of_merges_grows_with_the_slider(page: AppTest) -> None:
    for size in (BYTES, 260, 400):
        page.slider(key=SLIDER).set_value(size).run()
        table = page.dataframe[0].value
        assert table["merge"].tolist() == list(range(size - BYTES, 0, -1))
        assert table["found"].tolist() == [merge.count for merge in reversed(MERGES[: size - BYTES])]
    assert table["token"].tolist()[-1] == MERGES[0].token.decode().replace(" ", "·")


def test_the_beginning_is_cut_by_the_vocabulary_of_that_size() -> None:
    spans = own_bpe.beginning(TRAIN, MERGES, 512)
    text = "".join(span.text for span in spans)
    assert TRAIN.startswith(text)
    assert [i for span in spans for i in span.ids] == encode_by_merging(text, learnt_ranks(MERGES, 512))


def test_the_rule_for_ties_is_on_screen(page: AppTest) -> None:
    assert "equally frequent, the one that comes first in the order of bytes is taken" in said(page)


def test_a_text_without_a_pair_that_comes_twice_teaches_nothing(lesson: Callable[..., AppTest]) -> None:
    page = lesson("bpe", thread_text=Text("own-1", "mine", "owl", "owl"))
    assert not page.exception
    assert "nothing to learn" in page.info[0].value


def test_of_a_long_text_only_a_part_is_used_and_it_is_said(lesson: Callable[..., AppTest]) -> None:
    text = "The owl saw the other \U0001f989. " * (own_bpe.MOST_BYTES // 20)
    used = text.encode()[: own_bpe.MOST_BYTES].decode(errors="ignore")
    page = lesson("bpe", thread_text=Text("own-1", "mine", text, "The"))
    assert not page.exception
    assert f"the first {len(used):,} characters are used" in " ".join(c.value for c in page.caption)
    assert page.dataframe[1].value.loc["characters", "tokens"] == int(0.9 * len(used))


def test_a_vocabulary_is_learnt_from_what_the_run_may_read(lesson: Callable[..., AppTest], data_home: Path) -> None:
    config = replace(TRAIN_PRESETS["class"], sealed_fraction=0.1, train_share=0.5)
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], config)
    page = lesson("bpe", **{thread.RUN: run.id})
    assert not page.exception
    learnt_from, _ = open_parts(run.text.text, config)
    assert page.dataframe[1].value.loc["characters", "tokens"] == len(learnt_from)
    merges = learn_merges(learnt_from, own_bpe.MOST_MERGES)
    assert page.dataframe[0].value["found"].tolist()[::-1] == [
        merge.count for merge in merges[: own_bpe.FIRST_SIZE - BYTES]
    ]


# ------------------------------------------------------------------------------------------------------------ four ways


def test_four_ways_are_counted_on_the_text(page: AppTest) -> None:
    table = page.dataframe[1].value
    words, known = cut_words(VALIDATION), set(cut_words(TRAIN))
    unknown = [word for word in words if word not in known]
    assert table["vocabulary"].tolist() == [len(set(TRAIN)), len(known), own_bpe.FIRST_SIZE, 50_257]
    assert table["tokens"].tolist() == [
        len(TRAIN),
        len(cut_words(TRAIN)),
        MERGES[own_bpe.FIRST_SIZE - BYTES - 1].tokens,
        len(GPT2.encode(TRAIN)),
    ]
    assert table["unknown"].tolist() == [len([c for c in VALIDATION if c not in TRAIN]), len(unknown), 0, 0]
    assert table.loc["words", "share"] == pytest.approx(len(unknown) / len(words))
    assert f"{len(unknown):,} words of the unseen part ({len(unknown) / len(words):.1%})" in said(page)


@pytest.mark.parametrize("sentence", ["The owl took a selfie, ok?", "<script>x</script> $a$", "語 owl", ""])
def test_a_sentence_is_cut_in_four_ways_and_what_is_unknown_in_it_named(page: AppTest, sentence: str) -> None:
    page.text_input(key="bpe_sentence").set_value(sentence).run()
    assert not page.exception
    table = page.dataframe[1].value
    assert table["of_sentence"].tolist()[:2] == [len(sentence), len(cut_words(sentence))]
    assert table["of_sentence"].tolist()[3] == len(GPT2.encode(sentence))
    missing = [word for word in dict.fromkeys(cut_words(sentence)) if word not in set(cut_words(TRAIN))]
    assert table["missing"].tolist()[1:] == [" ".join(missing), "", ""]
    assert not sentence or sentence not in said(page)


def test_the_question_is_answered_by_the_trace(page: AppTest) -> None:
    answer = len(merge_trace(b" Donaudampfschiff", GPT2.ranks)) - 1
    page.number_input(key="bpe_predict_guess").set_value(answer)
    page.button(key="bpe_predict_check").click().run()
    assert f"Yes: {answer}." in [success.value for success in page.success]

"""Four ways to cut a text: each says truly how many pieces there are and which of them it can't write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcore.bpe import BYTES, encode_by_merging, learn_merges, learnt_ranks
from gptcore.tokenizer import load_tokenizer
from gptcore.vocabularies import Way, cut_words, ways

TRAIN = "The owl saw the other owl, and the other owl saw nothing. " * 3
MERGES = learn_merges(TRAIN, 40)
SIZE = 270


def by_name() -> dict[str, Way]:
    return {way.name.split()[0]: way for way in ways(TRAIN, MERGES, SIZE)}


def test_words_by_the_books_rule_are_the_books_words(shared_data: Path) -> None:
    words = cut_words((shared_data / "texts" / "the-verdict.txt").read_text(encoding="utf-8"))
    assert words[:8] == ["I", "HAD", "always", "thought", "Jack", "Gisburn", "rather", "a"]
    assert (len(words), len(set(words))) == (4_690, 1_130)


def test_each_way_has_the_vocabulary_that_its_text_gives_it() -> None:
    sizes = {name: way.size for name, way in by_name().items()}
    assert sizes == {
        "characters": len(set(TRAIN)),
        "words": len({"The", "owl", "saw", "the", "other", ",", "and", "nothing", "."}),
        "this": SIZE,
        "GPT-2's": 50_257,
    }


def test_each_way_counts_the_tokens_of_a_text() -> None:
    text = "The owl, said nobody."
    ranks = learnt_ranks(MERGES, SIZE)
    counts = {name: len(way.cut(text)) for name, way in by_name().items()}
    assert counts == {
        "characters": len(text),
        "words": 6,
        "this": len(encode_by_merging(text, ranks)),
        "GPT-2's": len(load_tokenizer().encode(text)),
    }


def test_characters_and_words_name_what_they_do_not_know_and_bpe_knows_all() -> None:
    text = "The owl said: the owl said Zoë"
    unknown = {name: way.unknown(text) for name, way in by_name().items()}
    assert unknown == {
        "characters": [":", "Z", "ë"],
        "words": ["said", ":", "said", "Zoë"],
        "this": [],
        "GPT-2's": [],
    }


@given(st.text(max_size=40))
def test_both_bpes_make_as_many_pieces_as_their_tokens_and_characters_lose_nothing(text: str) -> None:
    found = by_name()
    assert "".join(found["characters"].cut(text)) == text
    assert len(found["GPT-2's"].cut(text)) == len(load_tokenizer().encode(text))
    assert len(found["this"].cut(text)) == len(encode_by_merging(text, learnt_ranks(MERGES, SIZE)))


@pytest.mark.parametrize("size", [250, BYTES - 1])
def test_a_vocabulary_smaller_than_its_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size={size} is below {BYTES}"):
        ways(TRAIN, MERGES, size)


@given(st.text("ab ,.-\n", max_size=40))
def test_words_lose_white_space_and_nothing_else(text: str) -> None:
    assert "".join(cut_words(text)) == "".join(text.split())

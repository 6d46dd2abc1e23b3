"""Byte-pair encoding written to be read: equal to the library for every text, and learnt as it is defined."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gptcore.bpe import (
    BYTES,
    LearntMerge,
    cut_pieces,
    encode_by_merging,
    encode_learnt,
    learn_merges,
    learnt_ranks,
    merge_trace,
    parents,
)
from gptcore.corpora import OWN_STORY, load_text
from gptcore.tokenizer import load_tokenizer, replace_surrogates

GPT2 = load_tokenizer()
STORY = load_text(OWN_STORY).text

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
FEW_LETTERS = st.text("ab \u00e9", max_size=60)  # pairs that occur again and again


# ------------------------------------------------------------------------------------------------------ building tokens


@given(ANY_TEXT | FEW_LETTERS)
@example("a\ud83d\ude00b")
@example("Donaudampfschifffahrtsgesellschaft")
@example("\U0001f468\u200d\U0001f469\u200d\U0001f467")
@example("I'll   see\n\n 12345 owls")
def test_merging_step_by_step_gives_the_librarys_tokens_for_every_text(text: str) -> None:
    assert encode_by_merging(text, GPT2.ranks) == GPT2.encode(text)


def test_merging_step_by_step_gives_the_librarys_tokens_for_a_whole_story() -> None:
    assert encode_by_merging(STORY, GPT2.ranks) == GPT2.encode(STORY)


@given(st.binary(min_size=1, max_size=40) | st.sampled_from(sorted(set(cut_pieces(STORY)))).map(str.encode))
def test_each_step_merges_the_pair_of_lowest_rank_and_changes_nothing_else(piece: bytes) -> None:
    steps = merge_trace(piece, GPT2.ranks)
    assert steps[0].parts == tuple(bytes([byte]) for byte in piece)
    for before, after in pairwise(steps):
        assert before.chosen is not None
        possible = [rank for rank in before.ranks if rank is not None]
        assert before.ranks[before.chosen] == min(possible)
        assert before.ranks.index(min(possible)) == before.chosen  # the leftmost of equals
        joined = before.parts[before.chosen] + before.parts[before.chosen + 1]
        assert after.parts == (*before.parts[: before.chosen], joined, *before.parts[before.chosen + 2 :])
    assert steps[-1].chosen is None
    assert set(steps[-1].ranks) <= {None}
    assert [GPT2.ranks[part] for part in steps[-1].parts] == GPT2._encoding._encode_single_piece(piece)


def test_the_steps_of_a_word_can_be_followed_by_hand() -> None:
    steps = merge_trace(b" the", GPT2.ranks)
    assert [step.parts for step in steps] == [(b" ", b"t", b"h", b"e"), (b" t", b"h", b"e"), (b" t", b"he"), (b" the",)]
    assert steps[0].ranks == (256, 400, 258)
    assert [step.chosen for step in steps] == [0, 1, 0, None]


@given(ANY_TEXT)
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(cut_pieces(text)) == replace_surrogates(text)


def test_every_token_but_the_bytes_was_joined_from_two_that_were_learnt_earlier() -> None:
    for token, rank in GPT2.ranks.items():
        pair = parents(token, GPT2.ranks)
        if len(token) == 1:
            assert pair is None
            continue
        assert pair is not None, token
        assert b"".join(pair) == token
        assert max(GPT2.ranks[part] for part in pair) < rank


# ------------------------------------------------------------------------------------------------------ learning merges


def learnt_slowly(text: str, most: int) -> list[LearntMerge]:
    """Byte-pair encoding as it is defined: all pairs of the whole text are counted anew for every merge."""
    words = [[bytes([byte]) for byte in piece.encode()] for piece in cut_pieces(text)]
    merges: list[LearntMerge] = []
    while len(merges) < most:
        counts = Counter(pair for word in words for pair in pairwise(word))
        frequent = [(-count, pair) for pair, count in counts.items() if count >= 2]
        if not frequent:
            break
        negative, (left, right) = min(frequent)
        for word in words:
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == (left, right):
                    word[place : place + 2] = [left + right]
                place += 1
        merges.append(LearntMerge(left, right, -negative, sum(map(len, words))))
    return merges


@given(ANY_TEXT | FEW_LETTERS, st.integers(0, 30))
@example("aaaa aaa aa a", 30)
def test_counts_that_are_kept_up_to_date_give_the_merges_of_counting_anew(text: str, most: int) -> None:
    assert learn_merges(text, most) == learnt_slowly(text, most)


def test_counts_kept_up_to_date_hold_on_a_story() -> None:
    assert learn_merges(STORY[:4_000], 60) == learnt_slowly(STORY[:4_000], 60)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("ba ba ab ab", b" a"),  # "ba", "ab" and " a" stand there twice: the space comes first
        ("zbzazbza", b"bz"),  # "zb", "bz" and "za" twice: by its left part
        ("xyxaxyxa", b"xa"),  # "xy", "yx" and "xa" twice: by its left part, then by its right
    ],
)
def test_of_equally_frequent_pairs_the_first_in_the_order_of_bytes_is_taken(text: str, first: bytes) -> None:
    counts = Counter(pair for piece in cut_pieces(text) for pair in pairwise(piece))
    assert list(counts.values()).count(max(counts.values())) > 1
    assert learn_merges(text, 1)[0].token == first


def test_a_pair_that_occurs_once_is_not_learnt() -> None:
    assert learn_merges("owl", 10) == []
    assert learn_merges("", 10) == []
    assert all(merge.count >= 2 for merge in learn_merges(STORY, 5_000))


@given(FEW_LETTERS | ANY_TEXT)
def test_what_was_learnt_encodes_its_own_text_to_the_tokens_that_were_counted(text: str) -> None:
    merges = learn_merges(text, 30)
    ranks = learnt_ranks(merges, BYTES + len(merges))
    assert len(ranks) == BYTES + len(merges)  # no token is learnt twice
    for size in range(BYTES, BYTES + len(merges) + 1):
        tokens = merges[size - BYTES - 1].tokens if size > BYTES else len(replace_surrogates(text).encode())
        assert len(encode_by_merging(text, learnt_ranks(merges, size))) == tokens


@given(FEW_LETTERS | ANY_TEXT, FEW_LETTERS | ANY_TEXT)
def test_merges_in_the_order_of_learning_are_merges_by_rank(text: str, other: str) -> None:
    merges = learn_merges(text, 30)
    ranks = learnt_ranks(merges, BYTES + len(merges))
    for each in (text, other):
        assert [ranks[token] for token in encode_learnt(each, merges)] == encode_by_merging(each, ranks)


@pytest.mark.parametrize("text", ["ACGT" * 20_000, "a" * 100_000, "\U0001f989" * 10_000], ids=["acgt", "a", "owls"])
def test_a_text_without_spaces_is_learnt_and_cut_in_no_time(text: str) -> None:
    merges = learn_merges(text, 1_000)
    tokens = encode_learnt(text, merges)
    assert b"".join(tokens).decode() == text
    assert len(tokens) == merges[-1].tokens < 100


@given(ANY_TEXT)
def test_a_learnt_vocabulary_knows_every_text(text: str) -> None:
    ranks = learnt_ranks(learn_merges(STORY, 200), 456)
    token = {rank: raw for raw, rank in ranks.items()}
    assert b"".join(token[i] for i in encode_by_merging(text, ranks)).decode() == replace_surrogates(text)


def test_tokens_grow_fewer_with_each_merge() -> None:
    merges = learn_merges(STORY, 300)
    assert all(after.tokens == before.tokens - after.count for before, after in pairwise(merges))

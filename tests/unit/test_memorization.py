"""Verbatim runs: all that are there, none that is not, each as long as it can be, with its earliest place."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gptcore import memorization
from gptcore.memorization import CopiedSpan, CopyIndex, copied_tokens
from gptcore.tokenizer import load_tokenizer

# Two or three different tokens make many runs; the ends of the id range are there for the arithmetic.
IDS = st.lists(st.sampled_from([0, 1, 50_256]), max_size=30)


def longest_match(train: list[int], ids: list[int], start: int) -> tuple[int, int]:
    """The longest run of ``ids`` from ``start`` that stands in ``train``, and its first place."""
    best = (0, -1)
    for place in range(len(train)):
        length = 0
        while (
            start + length < len(ids) and place + length < len(train) and ids[start + length] == train[place + length]
        ):
            length += 1
        best = max(best, (length, -place))
    return best[0], -best[1]


def by_hand(train: list[int], ids: list[int], min_tokens: int) -> list[CopiedSpan]:
    """From every start the longest match, without those that end where an earlier one did."""
    spans: list[CopiedSpan] = []
    reached = 0
    for start in range(len(ids)):
        length, place = longest_match(train, ids, start)
        if length >= min_tokens and start + length > reached:
            spans.append(CopiedSpan(start, length, place))
            reached = start + length
    return spans


@given(IDS, IDS, st.integers(1, 6))
@example([], [1], 1)
@example([1], [], 1)
@example([1, 1, 1], [1, 1, 1, 1, 1], 2)
def test_the_index_finds_what_searching_by_hand_finds(train: list[int], ids: list[int], min_tokens: int) -> None:
    assert CopyIndex(train).spans(ids, min_tokens) == by_hand(train, ids, min_tokens)


@given(IDS, IDS, st.integers(1, 6))
def test_every_span_is_verbatim_and_cannot_be_stretched(train: list[int], ids: list[int], min_tokens: int) -> None:
    spans = CopyIndex(train).spans(ids, min_tokens)
    for span in spans:
        assert span.length >= min_tokens
        copied = ids[span.start : span.start + span.length]
        assert train[span.place : span.place + span.length] == copied
        runs = {tuple(train[i : i + span.length + 1]) for i in range(len(train))}
        assert tuple(ids[span.start : span.start + span.length + 1]) not in runs or span.start + span.length == len(ids)
        assert span.start == 0 or tuple(ids[span.start - 1 : span.start + span.length]) not in runs
    ends = [span.start + span.length for span in spans]
    assert ends == sorted(set(ends))  # none lies inside another
    assert [span.start for span in spans] == sorted({span.start for span in spans})


def test_a_text_that_is_its_own_training_text_is_one_span() -> None:
    ids = load_tokenizer().encode("Every effort moves you forward, and every step moves you closer.")
    assert CopyIndex(ids).spans(ids, 5) == [CopiedSpan(0, len(ids), 0)]


def test_a_run_one_token_too_short_does_not_count() -> None:
    index = CopyIndex([1, 2, 3, 4, 5])
    assert index.spans([9, 2, 3, 4, 9], min_tokens=4) == []
    assert index.spans([9, 2, 3, 4, 9], min_tokens=3) == [CopiedSpan(1, 3, 1)]


def test_two_runs_may_overlap() -> None:
    spans = CopyIndex([1, 2, 3, 9, 3, 4, 5]).spans([1, 2, 3, 4, 5], 2)
    assert spans == [CopiedSpan(0, 3, 0), CopiedSpan(2, 3, 4)]
    assert copied_tokens(spans) == 5


def test_of_several_places_the_earliest_is_named() -> None:
    assert CopyIndex([7, 1, 2, 7, 1, 2, 7, 1, 2]).spans([1, 2], 2) == [CopiedSpan(0, 2, 1)]


def test_the_longest_of_several_places_is_followed() -> None:
    assert CopyIndex([1, 2, 9, 1, 2, 3]).spans([1, 2, 3], 2) == [CopiedSpan(0, 3, 3)]


def test_runs_that_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorization, "HASH_BASE", np.uint64(0))  # only the last token counts
    assert CopyIndex([1, 2, 3]).spans([5, 3, 2, 3], 2) == [CopiedSpan(2, 2, 1)]


def test_one_index_answers_for_every_shortest_length() -> None:
    index = CopyIndex([1, 2, 3, 4])
    for _ in range(2):
        assert [index.spans([1, 2, 3, 9], n) for n in (4, 3, 1)] == [[], [CopiedSpan(0, 3, 0)], [CopiedSpan(0, 3, 0)]]


@pytest.mark.parametrize("min_tokens", [0, -3])
def test_a_shortest_run_below_one_is_refused_with_the_value(min_tokens: int) -> None:
    with pytest.raises(ValueError, match=f"min_tokens={min_tokens} must be at least 1"):
        CopyIndex([1, 2]).spans([1], min_tokens)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=6))
def test_a_token_in_two_spans_counts_once(pairs: list[tuple[int, int]]) -> None:
    covered = [any(start <= token < start + length for start, length in pairs) for token in range(40)]
    assert copied_tokens([CopiedSpan(start, length, 0) for start, length in pairs]) == sum(covered)


def test_a_page_of_one_token_is_one_span_and_no_heap_of_memory() -> None:
    """A text of blanks: every run of it hits everywhere, four million times here."""
    index = CopyIndex([220] * 8_192)
    tracemalloc.start()
    try:
        spans = index.spans([220] * 1_024, 8)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spans == [CopiedSpan(0, 1_024, 0)]
    assert peak < 64 * 2**20


def test_one_token_repeated_is_one_span_from_the_first_place() -> None:
    assert CopyIndex([220] * 300).spans([220] * 100, 8) == [CopiedSpan(0, 100, 0)]

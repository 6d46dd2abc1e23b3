"""Windows, and the formulas that count them without cutting anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptcore.tokenizer import load_tokenizer
from gptcore.windows import WindowCounts, make_windows, split_text, window_counts

SMALL = st.integers(1, 12)


def counted_by_hand(n_tokens: int, T: int, stride: int, batch_size: int, drop_last: bool) -> WindowCounts:
    """Cut every window, batch them, and see which tokens were predicted."""
    starts = [start for start in range(0, n_tokens, stride) if start + T < n_tokens]
    batches = [starts[i : i + batch_size] for i in range(0, len(starts), batch_size)]
    if drop_last:
        batches = [batch for batch in batches if len(batch) == batch_size]
    kept = [start for batch in batches for start in batch]
    predicted = {start + t + 1 for start in kept for t in range(T)}
    return WindowCounts(
        windows=len(starts),
        batches=len(batches),
        dropped_windows=len(starts) - len(kept),
        targets_used=len(predicted),
        never_targets=len(set(range(n_tokens)) - predicted),
        predictions=len(kept) * T,
        overlap=len(set(range(T)) & set(range(stride, stride + T))),
    )


@given(st.integers(0, 90), SMALL, st.integers(1, 20), SMALL, st.booleans())
def test_the_formula_counts_what_cutting_would_give(n: int, T: int, stride: int, batch_size: int, drop: bool) -> None:
    assert window_counts(n, T, stride, batch_size, drop) == counted_by_hand(n, T, stride, batch_size, drop)


@given(st.integers(0, 90), SMALL, st.integers(1, 20))
def test_windows_are_cut_where_the_formula_counts_them(n: int, T: int, stride: int) -> None:
    inputs, targets = make_windows(torch.arange(n), T, stride)
    windows = window_counts(n, T, stride, batch_size=1, drop_last=False).windows
    assert inputs.shape == targets.shape == (windows, T)
    assert inputs.tolist() == [list(range(s * stride, s * stride + T)) for s in range(windows)]
    assert torch.equal(targets, inputs + 1)


def test_the_verdicts_counts_are_those_of_the_book(shared_data: Path) -> None:
    text = (shared_data / "texts" / "the-verdict.txt").read_text(encoding="utf-8")
    encode = load_tokenizer().encode
    assert len(text) == 20_479
    assert len(encode(text)) == 5_145
    train, validation = split_text(text, 0.9)
    assert (len(train), len(validation)) == (18_431, 2_048)
    train_tokens, validation_tokens = len(encode(train)), len(encode(validation))
    assert (train_tokens, validation_tokens) == (4_612, 534)
    counts = window_counts(train_tokens, 256, 256, 2, drop_last=True)
    assert (counts.windows, counts.batches, counts.predictions, counts.targets_used) == (18, 9, 4_608, 4_608)
    assert (counts.never_targets, counts.dropped_windows, counts.overlap) == (4, 0, 0)
    judged = window_counts(validation_tokens, 256, 256, 2, drop_last=False)
    assert (judged.windows, judged.batches, judged.predictions) == (2, 1, 512)


def test_the_texts_beside_the_repository_have_their_published_token_counts(shared_data: Path) -> None:
    for key, tokens in (("the-verdict", 5_145), ("julius-caesar", 37_708), ("tiny-shakespeare", 338_025)):
        text = (shared_data / "texts" / f"{key}.txt").read_text(encoding="utf-8")
        assert len(load_tokenizer().encode(text)) == tokens


def test_the_first_token_is_never_a_target_even_when_windows_overlap() -> None:
    counts = window_counts(100, 10, 1, 1, drop_last=False)
    assert (counts.windows, counts.targets_used, counts.never_targets) == (90, 99, 1)


def test_a_stride_of_one_more_than_the_context_skips_one_token_a_window() -> None:
    apart, joined = (window_counts(41, 4, stride, 1, drop_last=False) for stride in (5, 4))
    assert (joined.windows, joined.never_targets) == (10, 1)
    assert (apart.windows, apart.never_targets) == (8, 1 + 7 + 1)
    assert apart.overlap == joined.overlap == 0


def test_the_shift_needs_no_overlap() -> None:
    inputs, targets = make_windows(torch.arange(9), 4, 4)
    assert inputs.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert targets.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_drop_last_leaves_out_the_windows_of_a_short_batch() -> None:
    kept, dropped = (window_counts(4 * 7 + 1, 4, 4, 3, drop_last=drop) for drop in (False, True))
    assert (kept.windows, kept.batches, kept.dropped_windows, kept.never_targets) == (7, 3, 0, 1)
    assert (dropped.windows, dropped.batches, dropped.dropped_windows, dropped.never_targets) == (7, 2, 1, 5)


def test_a_text_of_one_window_needs_one_token_more_than_the_context() -> None:
    assert window_counts(256, 256, 256, 1, drop_last=False).windows == 0
    assert window_counts(257, 256, 256, 1, drop_last=False).windows == 1


def test_windows_are_views_and_copy_nothing() -> None:
    ids = torch.arange(1_000)
    inputs, targets = make_windows(ids, 100, 1)
    assert inputs.untyped_storage().data_ptr() == targets.untyped_storage().data_ptr() == ids.data_ptr()


def test_a_billion_tokens_are_counted_at_once() -> None:
    counts = window_counts(10**9, 1024, 512, 8, drop_last=True)
    assert counts.windows == (10**9 - 1025) // 512 + 1
    assert counts.targets_used + counts.never_targets == 10**9


@pytest.mark.parametrize(
    ("n", "T", "stride", "batch"), [(-1, 4, 4, 1), (9, 0, 4, 1), (9, 4, 0, 1), (9, 4, 4, 0), (9, -4, 4, 1)]
)
def test_impossible_numbers_are_refused_with_all_of_them(n: int, T: int, stride: int, batch: int) -> None:
    with pytest.raises(ValueError, match=f"n_tokens={n}, context_length={T}, stride={stride}, batch_size={batch}:"):
        window_counts(n, T, stride, batch, drop_last=True)


@given(st.text(max_size=50), st.floats(0, 1))
def test_a_split_loses_nothing_and_cuts_by_characters(text: str, fraction: float) -> None:
    train, validation = split_text(text, fraction)
    assert train + validation == text
    assert len(train) == int(len(text) * fraction)

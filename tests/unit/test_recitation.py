"""The measure of copying: by hand, over a run, by temperature."""

from __future__ import annotations

import pytest

from gptcore.memorization import CopiedSpan, CopyIndex
from gptcore.recitation import Copying, Recall, by_temperature, copying, over_the_run, written_tokens
from gptcore.tokenizer import load_tokenizer

TEXT = "The clock struck nine, and nobody in the whole harbour looked up from what they were doing."
OTHER = "Every effort moves you forward."


def index(text: str) -> CopyIndex:
    return CopyIndex(load_tokenizer().encode(text))


def test_copied_tokens_are_counted_once_and_shared_among_those_written() -> None:
    found = copying(CopyIndex([1, 2, 3, 9, 3, 4, 5]), [1, 2, 3, 4, 5, 7, 7, 7], 2)
    assert found.spans == (CopiedSpan(0, 3, 0), CopiedSpan(2, 3, 4))
    assert (found.written, found.copied, found.longest, found.share) == (8, 5, 3, 5 / 8)


def test_a_shorter_passage_than_asked_for_is_no_copy() -> None:
    assert copying(CopyIndex([1, 2, 3]), [1, 2, 3, 9], 4) == Copying((), 4, 0)
    assert copying(CopyIndex([1, 2, 3]), [1, 2, 3, 9], 3).share == 0.75


def test_an_empty_text_and_an_empty_reference_have_nothing_in_common() -> None:
    for reference, ids in (([1, 2], []), ([], [1, 2]), ([], [])):
        found = copying(CopyIndex(reference), ids, 1)
        assert (found.share, found.longest, found.written) == (0.0, 0, len(ids))


def test_the_prompt_is_not_counted_as_written() -> None:
    assert written_tokens(TEXT, "The clock") == load_tokenizer().encode(TEXT)[2:]
    assert written_tokens(TEXT, TEXT) == []
    assert written_tokens(TEXT) == load_tokenizer().encode(TEXT)


@pytest.mark.parametrize("cut", range(len(TEXT)))
def test_nothing_that_was_written_is_lost_wherever_the_prompt_ends(cut: int) -> None:
    written = load_tokenizer().decode(written_tokens(TEXT, TEXT[:cut]))
    assert written.endswith(TEXT[cut:])
    assert TEXT.endswith(written)


def test_over_a_run_each_sample_is_held_to_both_texts() -> None:
    copied, own = " struck nine, and nobody in the", " pizza pizza pizza"
    samples = [
        {"step": -1, "prompt": "The clock", "text": f"The clock{own}"},
        {"step": 9, "prompt": "The clock", "text": f"The clock{copied}{own}"},
        {"step": 19, "prompt": "The clock", "text": "The clock effort moves you forward."},
    ]
    table = over_the_run(samples, index(TEXT), index(OTHER), 3)
    lengths = [len(load_tokenizer().encode(text)) for text in (own, copied + own)]
    run_of = len(load_tokenizer().encode(copied))
    assert table["step"].tolist() == [-1, 9, 19]
    assert table["tokens"].tolist()[:2] == lengths
    assert table["training"].tolist() == [0.0, run_of / lengths[1], 0.0]
    assert table["validation"].tolist() == [0.0, 0.0, 1.0]
    assert table["longest"].tolist() == [0, run_of, 0]


def test_a_run_that_said_nothing_has_an_empty_table() -> None:
    table = over_the_run([], index(TEXT), index(OTHER), 3)
    assert table.empty
    assert list(table) == ["step", "tokens", "training", "validation", "longest"]


def test_by_temperature_each_text_is_held_to_the_training_text() -> None:
    table = by_temperature({0.0: TEXT, 2.0: f"The clock {OTHER}"}, "The clock", index(TEXT), 4)
    written = len(load_tokenizer().encode(TEXT)) - 2
    assert table.iloc[0].tolist() == [0.0, written, 1.0, written]
    assert table.iloc[1].tolist()[2:] == [0.0, 0]


def test_a_recall_knows_its_share() -> None:
    assert Recall(prefix=10, places=8, recited=2, right=3.5).share == pytest.approx(0.25)

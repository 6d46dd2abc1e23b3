"""The extraction test: by hand, and always what the model would really write."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gptcore import extraction as module
from gptcore.batches import prepare
from gptcore.config import GPTConfig, SamplingConfig
from gptcore.extraction import beginnings, extraction, right_before_slip
from gptcore.library import load_model, new_model
from gptcore.model import GPTModel
from gptcore.paths import RECORDED
from gptcore.recitation import Recall
from gptcore.runs.store import Run
from gptcore.sampling import generate

SMALL = RECORDED / "the-glass-clock-class"
TINY = GPTConfig(vocab_size=5, context_length=6, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.0)


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def really_written(model: GPTModel, ids: Tensor, begin: int, prefix: int, length: int) -> int:
    """How many tokens ``sampling.generate`` gets right when it goes on from the prefix, at temperature 0."""
    asked = begin + prefix
    given = ids[begin:asked].tolist()
    drawn = generate(model, given, SamplingConfig(temperature=0.0), length)
    truth = ids[asked : asked + length].tolist()
    right = 0
    for token, true in zip(drawn, truth, strict=True):
        if token.token_id != true:
            break
        right += 1
    return right


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_counted_is_what_a_model_really_writes(data: st.DataObject) -> None:
    """Half of each text is the model's own, so that it is often right; the context is outgrown in most cases."""
    model = new_model(TINY, data.draw(st.integers(0, 3)))
    start = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=8))
    own = [token.token_id for token in generate(model, start, SamplingConfig(temperature=0.0), 12)]
    ids = torch.tensor([*start, *own, *data.draw(st.lists(st.integers(0, 4), min_size=4, max_size=12))])
    prefix, length = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    begin = torch.arange(max(0, len(ids) - prefix - length + 1))
    expected = [really_written(model, ids, int(place), prefix, length) for place in begin]
    assert right_before_slip(model, ids, begin, prefix, length).tolist() == expected


@pytest.mark.parametrize("prefix", [5, 10, 25, 32, 50])
def test_a_trained_model_recites_what_it_would_really_write(prefix: int) -> None:
    model, _ = load_model(SMALL, "last")
    run = Run(SMALL)
    ids = prepare(run.text, run.model_config, run.train_config).train_ids
    begin = torch.cat([beginnings(len(ids), 90, 5, stride=32), beginnings(len(ids), 90, 3)])
    right = right_before_slip(model, ids, begin, prefix, 40).tolist()
    assert right == [really_written(model, ids, int(place), prefix, 40) for place in begin]
    if prefix < 25:
        assert max(right) >= 32 - prefix  # it knows whole windows by heart: there is something to be right about


class Parrot(torch.nn.Module):
    """Answers each token with the next number: so what it knows by heart is the counting."""

    def __init__(self, context_length: int, vocab_size: int) -> None:
        super().__init__()
        self.config = GPTConfig(
            vocab_size=vocab_size, context_length=context_length, emb_dim=2, n_heads=1, n_layers=1, drop_rate=0.0
        )
        self.read = 0

    def hidden(self, ids: Tensor) -> Tensor:
        assert ids.size(1) <= self.config.context_length
        self.read += ids.numel()
        return torch.nn.functional.one_hot((ids + 1) % self.config.vocab_size, self.config.vocab_size).float()

    def head(self, hidden: Tensor) -> Tensor:
        return hidden


def test_tokens_are_counted_to_the_first_slip_by_hand() -> None:
    ids = torch.tensor([0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16])
    parrot = Parrot(context_length=4, vocab_size=20)
    # From 0 it goes on 1 2 3 and misses the 9; from 4, the 9, all six are right; from 1 it gets 2 and 3.
    assert right_before_slip(parrot, ids, torch.tensor([0, 4, 1]), prefix=1, length=6).tolist() == [3, 6, 2]  # type: ignore[arg-type]
    assert extraction(parrot, ids, torch.tensor([0, 4]), [1, 2], length=6) == [  # type: ignore[arg-type]
        Recall(prefix=1, places=2, recited=1, right=4.5),
        Recall(prefix=2, places=2, recited=1, right=4.0),
    ]


def test_places_are_spread_evenly_and_leave_room_for_the_passage() -> None:
    assert beginnings(100, 20, most=5).tolist() == [0, 20, 40, 60, 80]
    assert beginnings(100, 20, most=500).tolist() == list(range(81))
    assert beginnings(100, 100).tolist() == [0]
    assert beginnings(99, 100).tolist() == []
    assert beginnings(0, 1).tolist() == []


def test_places_of_a_stride_are_beginnings_of_windows() -> None:
    assert beginnings(100, 20, most=9, stride=32).tolist() == [0, 32, 64]
    assert beginnings(84, 20, most=9, stride=32).tolist() == [0, 32, 64]
    assert beginnings(83, 20, most=9, stride=32).tolist() == [0, 32]
    assert beginnings(10, 20, most=9, stride=32).tolist() == []


def test_a_large_vocabulary_is_asked_in_batches_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    model = new_model(TINY, 1)
    ids = torch.arange(60) * 7 % 5
    begin = beginnings(60, 10, most=20)
    whole = extraction(model, ids, begin, [2, 4], length=6)
    monkeypatch.setattr(module, "MOST_SCORES", 6 * 5 * 3)
    assert extraction(model, ids, begin, [2, 4], length=6) == whole


def test_a_test_that_is_stopped_reports_places_from_all_over_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    monkeypatch.setattr(module, "MOST_SCORES", 6 * 5 * 5)
    monkeypatch.setattr(
        module,
        "right_before_slip",
        lambda model, ids, begin, prefix, length: asked.append(begin.tolist()) or torch.zeros_like(begin),
    )
    calls = count()
    found = extraction(new_model(TINY, 1), torch.zeros(60).long(), torch.arange(20), [2, 4], 6, lambda: next(calls) > 1)
    assert [(recall.prefix, recall.places) for recall in found] == [(2, 10), (4, 5)]
    assert asked == [[0, 4, 8, 12, 16], [0, 4, 8, 12, 16], [1, 5, 9, 13, 17]]


def test_no_place_gives_no_result() -> None:
    assert extraction(new_model(TINY, 1), torch.zeros(3).long(), torch.zeros(0).long()) == []


def test_nothing_more_is_read_after_a_slip() -> None:
    parrot = Parrot(context_length=2, vocab_size=20)
    right_before_slip(parrot, torch.zeros(90).long(), torch.tensor([0]), prefix=2, length=50)  # type: ignore[arg-type]
    assert parrot.read == 2

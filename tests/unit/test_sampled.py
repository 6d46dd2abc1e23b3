"""The softmax over a part of the vocabulary: right on average, exact where it can be, and never what is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gptcore.batches import TrainingData
from gptcore.config import GPTConfig, TrainConfig
from gptcore.loss import mean_loss
from gptcore.model import GPTModel
from gptcore.records import StepRecord
from gptcore.sampled import PartialVocabulary, Rows, sampled_loss
from gptcore.tokenizer import load_tokenizer
from gptcore.training import TrainingState, evaluate, new_state, train

V, KEPT = 1_000, 100
SHAPE = GPTConfig(vocab_size=V, context_length=8, emb_dim=16, n_heads=2, n_layers=1, drop_rate=0, tie_weights=True)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def part() -> PartialVocabulary:
    """Of 1,000 tokens the odd ones are frequent, the first of them most."""
    frequent = torch.arange(1, V, 2)
    return PartialVocabulary.of(torch.cat([frequent, frequent[:50], torch.tensor([1])]), V, KEPT)


def estimate(hidden: Tensor, weight: Tensor, rows: Rows) -> Tensor:
    return F.cross_entropy(hidden @ weight[rows.tokens].T + rows.offsets, rows.targets, reduction="none")


def test_the_most_frequent_tokens_come_first_and_of_equals_the_lower_id() -> None:
    ranked = part().ranked
    assert ranked[:3].tolist() == [1, 3, 5]
    assert ranked[49:51].tolist() == [99, 101]
    assert ranked[500:502].tolist() == [0, 2]
    assert ranked.sort().values.tolist() == list(range(V))


def test_an_update_sees_its_targets_the_frequent_and_as_many_of_the_others() -> None:
    targets = torch.tensor([1, 998, 998, 3, 0])
    rows = part().choose(targets, seeded(0))
    assert rows.tokens[rows.targets].tolist() == targets.tolist()
    assert len(rows.tokens.unique()) == len(rows.tokens)
    assert rows.tokens[:KEPT].tolist() == part().ranked[:KEPT].tolist()
    assert 2 * KEPT <= len(rows.tokens) <= 2 * KEPT + 2
    exact = rows.tokens[rows.offsets == 0].tolist()
    assert set(exact) == {*part().ranked[:KEPT].tolist(), 998, 0}
    drawn = len(rows.tokens) - len(exact)
    assert rows.offsets.exp().sum() == pytest.approx(V, rel=1e-5)  # whom the drawn ones stand for, counted
    assert rows.offsets[-1].exp() == pytest.approx((V - KEPT - 2) / drawn, rel=1e-5)


def test_the_sum_below_the_fraction_is_right_on_average() -> None:
    hidden, weight = torch.randn(4, 16, generator=seeded(1)), 0.5 * torch.randn(V, 16, generator=seeded(2))
    targets = torch.tensor([1, 500, 998, 7])
    logits = hidden @ weight.T
    own = logits[torch.arange(4), targets]
    true = logits.logsumexp(1).exp()
    sums = [(estimate(hidden, weight, part().choose(targets, seeded(s))) + own).exp() for s in range(400)]
    mean, error = torch.stack(sums).mean(0), torch.stack(sums).std(0) / 20
    assert ((mean - true).abs() < 4 * error).all()
    assert (error / true < 0.03).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_and_its_gradient_are_those_of_the_rows_chosen(precision: Any) -> None:
    torch.manual_seed(0)
    model = GPTModel(SHAPE)
    ids = torch.randint(V, (4, 9), generator=seeded(3))
    settings = TrainConfig(seed=5, precision=precision)
    loss = sampled_loss(model, ids[:, :-1], ids[:, 1:], part(), settings, step=7)
    loss.backward()  # type: ignore[no-untyped-call]
    rows = part().choose(ids[:, 1:].flatten(), seeded(5 * 1_000_003 + 7))
    found = model.token_embedding.weight.grad
    assert found is not None
    model.zero_grad()
    expected = estimate(model.hidden(ids[:, :-1]).flatten(0, 1), model.head.weight, rows).mean()
    expected.backward()  # type: ignore[no-untyped-call]
    grad = model.token_embedding.weight.grad
    assert grad is not None
    close = 1e-5 if precision == "float32" else 1e-2
    assert loss.item() == pytest.approx(expected.item(), rel=close)
    assert float((found - grad).norm() / grad.norm()) < close
    untouched = torch.ones(V, dtype=torch.bool)
    untouched[torch.cat([rows.tokens, ids.flatten()])] = False
    assert untouched.any()
    assert not found[untouched].any()


def test_a_vocabulary_that_would_be_taken_whole_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sampled_vocab=500 keeps and draws 1,000 of 1,000 tokens"):
        PartialVocabulary.of(torch.arange(5), V, 500)


@pytest.mark.parametrize("also", [{"reference": True}, {"compact_vocab": True}, {"variant": "one-batch"}])
def test_it_goes_with_no_setting_that_needs_the_whole_vocabulary(also: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sampled_vocab goes with"):
        TrainConfig(sampled_vocab=10, **also)


def state() -> TrainingState:
    tokenizer = load_tokenizer()
    ids = torch.tensor(tokenizer.encode("The quick brown fox jumps over the lazy dog. " * 20))
    data = TrainingData(tokenizer, ids[:160], ids[160:], "The quick")
    settings = TrainConfig(batch_size=4, steps=6, lr=1e-2, sampled_vocab=50, eval_every=3, sample_tokens=2)
    return new_state(replace(SHAPE, tie_weights=False), settings, data)


def test_losses_that_are_reported_take_the_whole_vocabulary() -> None:
    asked = state()
    _, validation = evaluate(asked)
    inputs, targets = asked.windows(asked.data.validation_ids)
    with torch.no_grad():  # 5 windows in batches of 4
        losses = [mean_loss(asked.model(x), y) for x, y in zip(inputs.split(4), targets.split(4), strict=True)]
    assert len(losses) == 2
    assert validation == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_a_run_learns_and_comes_out_the_same_whether_or_not_it_is_watched() -> None:
    records = [record for record in train(state()) if isinstance(record, StepRecord)]
    again = state()
    losses = []
    for record in train(again):
        evaluate(again)
        if isinstance(record, StepRecord):
            losses.append(record.batch_loss)
    assert losses == [record.batch_loss for record in records]
    assert losses[-1] < losses[0] - 1

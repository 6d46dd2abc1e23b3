"""Dropout made visible: training mode scatters, evaluation mode repeats, and nobody else notices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gptcore.config import GPTConfig
from gptcore.dropout import dropout_losses, with_dropout
from gptcore.library import new_model
from gptcore.loss import mean_loss, window_logits
from gptcore.model import GPTModel

CONFIG = GPTConfig(vocab_size=61, context_length=12, emb_dim=24, n_heads=3, n_layers=3, drop_rate=0.2)


def some_model(config: GPTConfig = CONFIG) -> GPTModel:
    return new_model(config, 0)


def some_ids(tokens: int) -> list[int]:
    return torch.randint(CONFIG.vocab_size, (tokens,), generator=torch.Generator().manual_seed(1)).tolist()


def test_evaluation_mode_gives_one_loss_and_training_mode_ten() -> None:
    model, ids = some_model(), some_ids(9)
    table = dropout_losses(model, ids, 0.3, seed=1)
    assert table["evaluation"].tolist() == list(range(1, 11))
    assert set(table["eval"]) == {mean_loss(*window_logits(model, ids)).item()}
    assert table["train"].nunique() == 10


def test_training_mode_at_the_models_own_rate_is_the_models_own_training_mode() -> None:
    model, ids = some_model(), some_ids(9)
    torch.manual_seed(7)
    own = [mean_loss(*window_logits(model.train(), ids)).item() for _ in range(3)]
    assert dropout_losses(model, ids, CONFIG.drop_rate, seed=7, times=3)["train"].tolist() == own


def test_without_dropout_both_modes_agree() -> None:
    table = dropout_losses(some_model(), some_ids(9), 0.0, seed=1, times=3)
    assert table["train"].tolist() == pytest.approx(table["eval"].tolist(), abs=1e-6)


def test_dropout_is_seen_without_touching_the_model_or_the_random_numbers() -> None:
    model = some_model()
    random = torch.get_rng_state()
    dropout_losses(model, some_ids(5), 0.5, seed=1, times=2)
    assert torch.equal(torch.get_rng_state(), random)
    assert not model.training
    assert model.config.drop_rate == CONFIG.drop_rate
    assert model.blocks[0].attention.drop_rate == CONFIG.drop_rate
    assert model.dropout.p == CONFIG.drop_rate


@pytest.mark.parametrize("tied", [True, False])
def test_the_model_with_another_dropout_shares_every_weight(tied: bool) -> None:
    model = some_model(replace(CONFIG, tie_weights=tied))
    twin = with_dropout(model, 0.5)
    assert [weight.data_ptr() for weight in twin.parameters()] == [weight.data_ptr() for weight in model.parameters()]
    assert (twin.head.weight is twin.token_embedding.weight) is tied


def test_rounds_end_when_the_time_is_over_but_one_is_always_made() -> None:
    assert len(dropout_losses(some_model(), some_ids(5), 0.1, seed=1, seconds=0.0)) == 1

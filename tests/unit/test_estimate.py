"""The arithmetic of an update, counted by formula, held to what PyTorch counts while it computes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.estimate import rule_of_thumb, step_operations
from gptcore.loss import mean_loss
from gptcore.model import GPTModel
from gptcore.parameters import count_parameters


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
def test_the_operations_of_an_update_are_those_that_pytorch_counts(tied: bool, heads: int) -> None:
    """Forward and backward; with dropout, because PyTorch does not count its fused attention on a processor."""
    shape = GPTConfig(
        vocab_size=60, context_length=12, emb_dim=16, n_heads=heads, n_layers=3, drop_rate=0.1, tie_weights=tied
    )
    model = GPTModel(shape).train()
    ids = torch.randint(60, (2, 13))
    with FlopCounterMode(display=False) as counter:
        mean_loss(model(ids[:, :-1]), ids[:, 1:]).backward()
    assert step_operations(shape, 2) == counter.get_total_flops()


def test_the_rule_of_thumb_is_near_the_count_where_the_dictionary_is_small_and_far_off_where_it_is_all() -> None:
    for name, share in (("gpt2-xl", 1.1), ("harry-potter", 0.5)):
        shape = MODEL_PRESETS[name]
        rule = rule_of_thumb(count_parameters(shape), shape.context_length)
        assert step_operations(shape, 1) / rule == pytest.approx(share, abs=0.05)

"""A GPT-2 of the smallest kind: its vocabulary and form, in a size that is written in a moment."""

from __future__ import annotations

import torch

from gptcore.config import GPTConfig
from gptcore.model import GPTModel

TINY = GPTConfig(context_length=16, emb_dim=64, n_heads=1, n_layers=2, drop_rate=0.0, qkv_bias=True, tie_weights=True)


def tiny(seed: int = 0, config: GPTConfig = TINY) -> GPTModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTModel(config).eval()

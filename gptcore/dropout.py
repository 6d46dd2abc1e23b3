"""Dropout made visible: one window judged again and again by the same weights, with values dropped and without.

How to read it: ``with_dropout`` gives a model another share to drop, ``dropout_losses`` runs it in both modes.

What is left out: where dropout stands in the model (``model``), and what it does to a whole run (``training``).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from gptcore.loss import mean_loss, window_logits
from gptcore.model import CausalSelfAttention, GPTModel


def with_dropout(model: GPTModel, drop_rate: float) -> GPTModel:
    """The same weights, shared and not copied, in a model that drops another share of its values in training."""
    twin = copy.deepcopy(
        model, {id(weight): weight for weight in model.parameters()}
    )  # finds the weights copied already
    twin.config = replace(model.config, drop_rate=drop_rate)
    for module in twin.modules():
        if isinstance(module, nn.Dropout):
            module.p = drop_rate
        elif isinstance(module, CausalSelfAttention):
            module.drop_rate = drop_rate
    return twin.eval()


def dropout_losses(
    model: GPTModel, ids: Sequence[int], drop_rate: float, seed: int, *, times: int = 10, seconds: float = math.inf
) -> pd.DataFrame:
    """One window judged again and again by the same weights, in training mode and in evaluation mode.

    The random numbers are those of ``seed``, and PyTorch's global ones stay as they were.

    Args:
        model: Any GPT; it is only read.
        ids: The window, T + 1 token ids, at least 2.
        drop_rate: The share of values that training mode drops.
        seed: Of the random numbers.
        times: How often in each mode.
        seconds: Of this thread's core: after so many no other round begins; one is always made.

    Returns:
        A row a round: evaluation (from 1), train and eval (the mean loss in that mode, nats a token).
    """
    twin, began = with_dropout(model, drop_rate), time.thread_time()
    rows: list[tuple[int, float, float]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        while len(rows) < times and (not rows or time.thread_time() - began < seconds):
            dropped, whole = (float(mean_loss(*window_logits(twin.train(mode), ids))) for mode in (True, False))
            rows.append((len(rows) + 1, dropped, whole))
    return pd.DataFrame(rows, columns=["evaluation", "train", "eval"])

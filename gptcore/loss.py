"""How wrong a guess was, and what that number means.

The loss of one guess is -ln(probability given to the token that came), in nats. The loss of a text is the mean.
Perplexity is e to that mean: the model is as unsure as if it chose among so many equally likely tokens. Both can be
compared only between models with the same tokenizer on the same text; ``bits_per_byte`` also between tokenizers. Where
all cut a text alike, it is the loss times one number and ranks them alike: a small vocabulary's head start stays.

How to read it: ``loss_table`` goes step by step, ``mean_loss`` in one call; a test holds them equal.

What is left out: what mere counting achieves (``baselines``), and the fused form that trains quicker (``fast``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mean_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of all guesses, in nats a token.

    Args:
        logits: (..., V), float.
        targets: (...), int64.

    Returns:
        A scalar: the mean of -ln p(target).

    >>> round(mean_loss(torch.zeros(2, 4, 50257), torch.zeros(2, 4, dtype=torch.long)).item(), 3)
    10.825
    """
    return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten())  # (B, T, V) -> (B T, V)


def loss_table(logits: Tensor, targets: Tensor) -> pd.DataFrame:
    """One window, guess by guess: logit, probability, and the price paid.

    Args:
        logits: (T, V), float.
        targets: (T,), int64.

    Returns:
        T rows: position, target (id), target_logit, probability, loss (nats), running_mean (nats), rank (1 = the
        model's first choice).
    """
    logits = logits.double()
    rows = torch.arange(len(targets))
    log_probabilities = torch.log_softmax(logits, dim=-1)  # ln of the softmax in one step: p may be too small to hold
    losses = -log_probabilities[rows, targets]  # (T)
    chosen = torch.exp(-losses)  # (T)
    target_logits = logits[rows, targets]
    ranks = (logits > target_logits[:, None]).sum(dim=-1) + 1
    return pd.DataFrame(
        {
            "position": rows.numpy(),
            "target": targets.numpy(),
            "target_logit": target_logits.numpy(),
            "probability": chosen.numpy(),
            "loss": losses.numpy(),
            "running_mean": (losses.cumsum(0) / (rows + 1)).numpy(),
            "rank": ranks.numpy(),
        }
    )


@torch.no_grad()
def batch_logits(model: nn.Module, windows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """What a model says along windows: of each it reads all tokens but the last and guesses all but the first.

    Args:
        model: Token ids (B, T) to logits (B, T, V), in evaluation mode.
        windows: B windows of T + 1 token ids each, at least 2.

    Returns:
        Logits (B, T, V) and targets (B, T).

    Raises:
        ValueError: Fewer than two tokens, or more than the model's context holds.
    """
    if len(windows[0]) < 2:
        raise ValueError(f"a guess needs a token before it: at least 2 tokens, has {len(windows[0])}")
    ids = torch.tensor(windows)  # (B, T + 1)
    return model(ids[:, :-1]), ids[:, 1:]


def window_logits(model: nn.Module, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """What a model says along one window: ``batch_logits`` of a batch of one, laid flat.

    Returns:
        Logits (T, V) and targets (T,).
    """
    logits, targets = batch_logits(model, [ids])  # (1, T, V), (1, T)
    return logits.flatten(0, 1), targets.flatten()


def favourites(logits: Tensor, count: int) -> pd.DataFrame:
    """The tokens that a model thought likeliest at each position of a window.

    Args:
        logits: (T, V), float.
        count: How many a position; at most V are given.

    Returns:
        Rows of position, rank (1 = first choice), token_id and probability, T times ``count``.

    >>> favourites(torch.tensor([[0.0, 3.0, 1.0]]), 2)["token_id"].tolist()
    [1, 2]
    """
    top = torch.softmax(logits.double(), dim=-1).topk(min(count, logits.size(-1)))  # (T, count)
    positions, shown = top.indices.shape
    return pd.DataFrame(
        {
            "position": torch.arange(positions).repeat_interleave(shown).numpy(),
            "rank": torch.arange(1, shown + 1).repeat(positions).numpy(),
            "token_id": top.indices.flatten().numpy(),
            "probability": top.values.flatten().numpy(),
        }
    )


def surprise(probability: float) -> float:
    """The loss of one guess that gave this probability to the token that came: -ln p, in nats.

    >>> round(surprise(0.5), 3)  # halving a probability always costs ln 2 more
    0.693
    """
    return -math.log(probability) if probability > 0 else math.inf


def perplexity(loss: float) -> float:
    """Among how many equally likely tokens a model with this mean loss seems to choose.

    >>> round(perplexity(math.log(50257)))
    50257
    """
    return math.inf if loss > 709 else math.exp(loss)  # e^709 is about the largest a float holds


def bits_per_byte(nats: float, size: int) -> float:
    """How many bits a model needs to write down each byte of a text: a measure that no tokenizer changes.

    Args:
        nats: The losses of all the text's tokens, summed.
        size: The text's bytes in UTF-8.

    >>> bits_per_byte(8 * math.log(2), 1)  # a byte that is one of 256, guessed blindly
    8.0
    """
    return nats / math.log(2) / size

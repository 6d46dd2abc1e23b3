"""From scores to a token: temperature, top-k, top-p, and a draw.

How to read it: ``cut_top_k`` and ``cut_top_p`` decide which tokens may be drawn, ``choose`` puts the steps in order,
``next_token_table`` shows every step for every token of the vocabulary, ``generate`` draws token after token.

The order is: top-k on the logits, divide by T, softmax over the whole vocabulary, top-p, renormalise, one draw.
Temperature only stretches or shrinks the differences between logits; it knows nothing of truth or creativity.

What is left out: penalties for repetition and all other hidden hands. Nothing acts here that a student can't see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from gptcore.config import MAX_NEW_TOKENS, SamplingConfig
from gptcore.model import GPTModel, KVCache
from gptcore.tokenizer import Tokenizer, show_token

Logits: TypeAlias = Tensor  # (V,), float: one score for every token


@dataclass(frozen=True, slots=True)
class Choice:
    """Every stage of one choice, each (V,).

    Attributes:
        scaled: Logits divided by the temperature; at temperature 0 the logits as they are.
        kept: Whether a token may be drawn.
        probability: The chance of being drawn; 0 for what is cut; sums to 1.
    """

    scaled: Tensor
    kept: Tensor
    probability: Tensor


def cut_top_k(logits: Tensor, k: int) -> Tensor:
    """Mark exactly the k largest logits; of equals the lowest ids stay.

    Args:
        logits: (V,), float.
        k: At least 1; more than V keeps all.

    Returns:
        (V,), bool.

    >>> cut_top_k(torch.tensor([1.0, 3.0, 3.0, 3.0]), 2).tolist()
    [False, True, True, False]
    """
    if k >= logits.numel():
        return torch.ones_like(logits, dtype=torch.bool)
    smallest_kept = torch.topk(logits, k).values[-1]
    kept = logits > smallest_kept
    ties = (logits == smallest_kept).nonzero().flatten()
    kept[ties[: k - int(kept.sum())]] = True
    return kept


def cut_top_p(probability: Tensor, p: float) -> Tensor:
    """Mark the nucleus: the fewest likeliest tokens that together reach p; of equals the lowest ids come first.

    Args:
        probability: (V,), sums to 1.
        p: In (0, 1]; 1 keeps all.

    Returns:
        (V,), bool; at least one token is kept.

    Source: Holtzman et al. 2020.
    """
    if p >= 1.0:
        return torch.ones_like(probability, dtype=torch.bool)
    likeliest, order = torch.sort(probability, descending=True, stable=True)
    before = likeliest.cumsum(0) - likeliest  # what was reached without this token
    kept = torch.zeros_like(probability, dtype=torch.bool)
    kept[order[before < p]] = True
    kept[order[0]] = True
    return kept


def _softmax(logits: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """Softmax of logits / T over what is kept; the largest is taken off first, so that a tiny T can't overflow."""
    centred = (logits - logits[kept].max()) / temperature
    return torch.softmax(centred.masked_fill(~kept, -torch.inf), dim=0)


def choose(logits: Tensor, config: SamplingConfig) -> Choice:
    """Turn logits into the probabilities of a draw, keeping every stage.

    Args:
        logits: (V,), float; not changed. -inf marks what can never be drawn.
        config: Temperature, top-k, top-p and their order.

    Raises:
        ValueError: No logit to choose from: all are -inf, or one is NaN or +inf.
    """
    logits = logits.double()
    usable = torch.isfinite(logits)
    if bool((torch.isnan(logits) | (logits == torch.inf)).any()) or not bool(usable.any()):
        raise ValueError("the model's scores hold NaN or infinity, so no token can be chosen; its training diverged")
    if config.temperature == 0:
        best = torch.zeros_like(usable)
        best[(logits == logits.max()).nonzero()[0]] = True  # the first of equals
        return Choice(logits, best, best.double())
    kept = usable if config.top_k is None else cut_top_k(logits, config.top_k) & usable
    if config.top_p is not None:
        by = _softmax(logits, kept, 1.0 if config.top_p_first else config.temperature)
        kept = kept & cut_top_p(by, config.top_p)
    largest = torch.finfo(torch.float64).max
    scaled = (logits / config.temperature).clamp(min=-largest, max=largest)  # T = 1e-320 stays drawable on screen
    return Choice(scaled, kept, _softmax(logits, kept, config.temperature))


@lru_cache(maxsize=8)
def _vocabulary(tokenizer: Tokenizer) -> pd.Series[str]:
    """Every token's text in the order of the ids; kept, because 50,257 of them take 80 ms to write."""
    return pd.Series([show_token(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)])


def next_token_table(logits: Tensor, tokenizer: Tokenizer, config: SamplingConfig) -> pd.DataFrame:
    """Every token of the vocabulary with every stage of its number: chart, table and caption read this one frame.

    Args:
        logits: (V,), float: the model's scores at the last position.
        tokenizer: Gives the tokens their text.
        config: The rules of the draw.

    Returns:
        V rows in the order of token_id: token_id, token, logit, scaled_logit, kept, probability (0 where cut).

    Raises:
        ValueError: The logits can't be chosen from (see ``choose``).
    """
    choice = choose(logits, config)
    return pd.DataFrame(
        {
            "token_id": range(logits.numel()),
            "token": _vocabulary(tokenizer),
            "logit": logits.double().numpy(),
            "scaled_logit": choice.scaled.numpy(),
            "kept": choice.kept.numpy(),
            "probability": choice.probability.numpy(),
        }
    )


def effective_choices(probability: NDArray[np.float64]) -> float:
    """Among how many equally likely tokens one would be as unsure: e to the entropy.

    Args:
        probability: (V,), sums to 1; 0 for what is cut.

    >>> effective_choices(np.array([0.25, 0.25, 0.25, 0.25, 0.0]))
    4.0
    """
    possible = probability[probability > 0]
    return math.exp(-float((possible * np.log(possible)).sum()))


@dataclass(frozen=True, slots=True)
class Drawn:
    """One new token: its id and the probability with which it was drawn."""

    token_id: int
    probability: float


def draw(probability: Tensor, generator: torch.Generator) -> int:
    """One draw from (V,) probabilities with a generator of its own."""
    return int(torch.multinomial(probability, 1, generator=generator).item())


def next_logits(model: GPTModel, ids: list[int]) -> Logits:
    """The scores (V,) for what follows the last ``context_length`` of these tokens, in evaluation mode."""
    return next(_logits_as_it_grows(model, ids))


@torch.inference_mode()
def _scores(model: GPTModel, new_ids: list[int], cache: KVCache | None) -> Tensor:
    """Run the model on new tokens; the head reads only the last position."""
    training = model.training
    model.eval()
    try:
        hidden = model.hidden(torch.tensor([new_ids]), cache)  # (1, new, C)
        return model.head(hidden[0, -1]).float()  # (V)
    finally:
        model.train(training)


def _logits_as_it_grows(model: GPTModel, ids: list[int]) -> Iterator[Logits]:
    """Yield the scores after ``ids``, again and again; the caller appends to ``ids`` in between.

    While the text fits the context, each new token is computed alone on top of the cache. Beyond that every
    position shifts, so that nothing of the past can be kept and the last ``context_length`` tokens are read anew.
    """
    context = model.config.context_length
    cache = KVCache(model.config, dtype=model.token_embedding.weight.dtype)
    while len(ids) <= context:
        yield _scores(model, ids[cache.length :], cache)
    while True:
        yield _scores(model, ids[-context:], None)


def generate(model: GPTModel, ids: list[int], config: SamplingConfig, max_new_tokens: int) -> Iterator[Drawn]:
    """Go on with a text, token by token, for as long as someone asks for more.

    The model runs once per token. The generator is this call's own: PyTorch's global random numbers are not touched,
    so sampling in the middle of a training run changes nothing in it.

    Args:
        model: Any GPT; it is run in evaluation mode and left as it was.
        ids: The prompt, at least one token; of a long prompt the last ``context_length`` are read.
        config: The rules of the draw.
        max_new_tokens: When to stop, 0 to 4,096.

    Yields:
        Each new token with the probability with which it was drawn.

    Raises:
        ValueError: An empty prompt, or ``max_new_tokens`` out of range.
    """
    if not ids:
        raise ValueError("the prompt holds no token; a model can only go on from something")
    if not 0 <= max_new_tokens <= MAX_NEW_TOKENS:
        raise ValueError(f"max_new_tokens={max_new_tokens:,} is outside 0 to {MAX_NEW_TOKENS:,}")
    return _generate(model, list(ids), config, max_new_tokens)


def _generate(model: GPTModel, ids: list[int], config: SamplingConfig, max_new_tokens: int) -> Iterator[Drawn]:
    generator = torch.Generator().manual_seed(config.seed)
    logits = _logits_as_it_grows(model, ids)
    for _ in range(max_new_tokens):
        probability = choose(next(logits), config).probability
        token_id = draw(probability, generator)
        ids.append(token_id)
        yield Drawn(token_id, float(probability[token_id]))

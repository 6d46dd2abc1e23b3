"""From scores to a token: temperature, top-k, top-p, and a draw.

How to read it: ``cut_top_k`` and ``cut_top_p`` decide which tokens may be drawn, ``choose`` puts the steps in order,
``fall`` draws, ``next_token_table`` shows every token of the vocabulary, ``generate`` draws token after token.

The order is: top-k on the logits, divide by T, softmax over the whole vocabulary, top-p, renormalise, one draw.
Temperature only stretches or shrinks the differences between logits; it knows nothing of truth or creativity.
The same rules run in the browser (assets/components/sampling_maths.mjs); a test holds the two equal.

What is left out: penalties for repetition and all other hidden hands. Nothing acts here that a student can't see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import pandas as pd
import torch
from torch import Tensor

from gptcore.config import MAX_NEW_TOKENS, SamplingConfig
from gptcore.likeliest import few_likeliest
from gptcore.model import GPTModel, KVCache
from gptcore.tokenizer import Names, show_token

Logits: TypeAlias = Tensor  # (V,), float: one score for every token


@dataclass(frozen=True, slots=True)
class Choice:
    """Every stage of one choice, each (..., V).

    Attributes:
        scaled: Logits divided by the temperature; at temperature 0 the logits as they are.
        softmax: What top-p looks at: the probabilities of what top-k left, before top-p cuts.
        kept: Whether a token may be drawn.
        probability: The chance of being drawn; 0 for what is cut; sums to 1.
    """

    scaled: Tensor
    softmax: Tensor
    kept: Tensor
    probability: Tensor


def cut_top_k(logits: Tensor, k: int) -> Tensor:
    """Mark exactly the k largest logits; of equals the lowest ids stay.

    Args:
        logits: (..., V), float.
        k: At least 1; more than V keeps all.

    Returns:
        (..., V), bool.

    >>> cut_top_k(torch.tensor([1.0, 3.0, 3.0, 3.0]), 2).tolist()
    [False, True, True, False]
    """
    if k >= logits.size(-1):
        return torch.ones_like(logits, dtype=torch.bool)
    smallest_kept = torch.topk(logits, k).values[..., -1:]
    kept = logits > smallest_kept
    ties = logits == smallest_kept
    room = k - kept.sum(-1, keepdim=True)
    return kept | (ties & (ties.cumsum(-1) <= room))


def cut_top_p(probability: Tensor, p: float) -> Tensor:
    """Mark the nucleus: the fewest likeliest tokens that together reach p; of equals the lowest ids come first.

    Args:
        probability: (..., V), sums to 1.
        p: In (0, 1]; 1 keeps all.

    Returns:
        (..., V), bool; at least one token is kept.

    Source: Holtzman et al. 2020.
    """
    if p >= 1.0:
        return torch.ones_like(probability, dtype=torch.bool)
    if (few := few_likeliest(probability, p)) is not None:
        kept = torch.zeros_like(probability, dtype=torch.bool)
        kept[few] = cut_top_p(probability[few], p)
        return kept
    likeliest, order = torch.sort(probability, descending=True, stable=True)
    wanted = likeliest.cumsum(-1) - likeliest < p  # what was reached without this token
    wanted[..., 0] = True
    return torch.zeros_like(wanted).scatter(-1, order, wanted)


def _softmax(logits: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """Softmax of logits / T over what is kept; the largest is taken off first, so that a tiny T can't overflow."""
    possible = logits.masked_fill(~kept, -torch.inf)
    centred = (possible - possible.amax(-1, keepdim=True)) / temperature
    return torch.softmax(centred, dim=-1)


def choose(logits: Tensor, config: SamplingConfig) -> Choice:
    """Turn logits into the probabilities of a draw, keeping every stage.

    Args:
        logits: (..., V), float; not changed. -inf marks what can never be drawn.
        config: Temperature, top-k, top-p and their order.

    Raises:
        ValueError: No logit to choose from: all are -inf, or one is NaN or +inf.
    """
    logits = logits.double()
    if not bool(torch.isfinite(logits.amax(-1)).all()):  # NaN is larger than all else; -inf is the largest of none
        raise ValueError("the model's scores hold NaN or infinity, so no token can be chosen; its training diverged")
    usable = logits > -torch.inf
    if config.temperature == 0:
        first = logits.argmax(-1, keepdim=True)  # of equals
        best = torch.zeros_like(usable).scatter(-1, first, value=True)
        return Choice(logits, best.double(), best, best.double())
    largest = torch.finfo(torch.float64).max
    scaled = (logits / config.temperature).clamp(min=-largest, max=largest)  # T = 1e-320 stays drawable on screen
    kept = usable if config.top_k is None else cut_top_k(logits, config.top_k) & usable
    if config.top_p is None:
        probability = _softmax(logits, kept, config.temperature)
        return Choice(scaled, probability, kept, probability)
    softmax = _softmax(logits, kept, 1.0 if config.top_p_first else config.temperature)
    kept = kept & cut_top_p(softmax, config.top_p)
    return Choice(scaled, softmax, kept, _softmax(logits, kept, config.temperature))


@lru_cache(maxsize=8)
def token_names(tokenizer: Names) -> pd.Series[str]:
    """Every token's text in the order of the ids; kept, because 50,257 of them take 80 ms to write."""
    return pd.Series([show_token(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)])


def next_token_table(logits: Tensor, tokenizer: Names, config: SamplingConfig) -> pd.DataFrame:
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
            "token": token_names(tokenizer),
            "logit": logits.double().numpy(),
            "scaled_logit": choice.scaled.numpy(),
            "kept": choice.kept.numpy(),
            "probability": choice.probability.numpy(),
        }
    )


def fall(probability: Tensor, numbers: Tensor) -> Tensor:
    """Where random numbers fall: the tokens lie end to end, the likeliest first, each as long as it is probable.

    So a number that stays while the temperature rises moves down the list and never jumps about in it.

    Args:
        probability: (V,), sums to 1; of equals the lowest ids come first.
        numbers: (N,), each in [0, 1).

    Returns:
        Token ids (N,).

    >>> fall(torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.0, 0.49, 0.5, 0.79, 0.81])).tolist()
    [1, 1, 2, 2, 0]
    """
    few = few_likeliest(probability, float(numbers.max())) if len(numbers) else None
    possible = probability.nonzero().flatten() if few is None else few
    lengths, order = torch.sort(probability[possible], descending=True, stable=True)
    places = torch.searchsorted(lengths.cumsum(0), numbers.to(lengths), right=True)
    return possible[order[places.clamp(max=len(order) - 1)]]


def draw(probability: Tensor, generator: torch.Generator) -> int:
    """One draw from (V,) probabilities with a generator of its own."""
    return int(fall(probability, torch.rand(1, dtype=torch.float64, generator=generator)))


@dataclass(frozen=True, slots=True)
class Drawn:
    """One new token.

    Attributes:
        token_id: Which.
        probability: With which it was drawn, by the rules.
        log_probability: What the model itself gives it, at temperature 1 and without a cut; nats, at most 0.
    """

    token_id: int
    probability: float
    log_probability: float


def taken(logits: Logits, choice: Choice, token_id: int) -> Drawn:
    """A token, whoever took it, with what the rules and the model give it.

    Args:
        logits: (V,), float.
        choice: What the rules made of these logits.
        token_id: In 0..V-1.
    """
    total = torch.logsumexp(logits.double(), dim=-1)
    return Drawn(token_id, float(choice.probability[token_id]), float(logits[token_id].double() - total))


def next_logits(model: GPTModel, ids: list[int]) -> Logits:
    """The scores (V,) for what follows the last ``context_length`` of these tokens, in evaluation mode."""
    return next(_logits_as_they_grow(model, [ids]))[0]


@torch.inference_mode()
def _scores(model: GPTModel, new_ids: list[list[int]], cache: KVCache | None) -> Tensor:
    """Run the model on new tokens (B, new); the head reads only the last position."""
    training = model.training
    model.eval()
    try:
        hidden = model.hidden(torch.tensor(new_ids, device=model.token_embedding.weight.device), cache)  # (B, new, C)
        return model.head(hidden[:, -1]).float().cpu()  # (B, V)
    finally:
        model.train(training)


def _logits_as_they_grow(model: GPTModel, texts: list[list[int]]) -> Iterator[Tensor]:
    """Yield the scores (B, V) after each text, again and again; the caller appends to all of them in between.

    While the texts, which are equally long, fit the context, each new token is computed alone on top of the cache.
    Beyond that every position shifts, so that nothing of the past can be kept and the last ``context_length`` tokens
    are read anew.
    """
    context = model.config.context_length
    weight = model.token_embedding.weight
    cache = KVCache(model.config, len(texts), weight.dtype, weight.device)
    while len(texts[0]) <= context:
        yield _scores(model, [ids[cache.length :] for ids in texts], cache)
    while True:
        yield _scores(model, [ids[-context:] for ids in texts], None)


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
    return (drawn for (drawn,) in generate_together(model, ids, [config], max_new_tokens))


def generate_together(
    model: GPTModel, ids: list[int], configs: Sequence[SamplingConfig], max_new_tokens: int
) -> Iterator[tuple[Drawn, ...]]:
    """Go on with one text in several ways at once; the model runs once for all of them.

    Args and errors are those of ``generate``, but for ``configs``: the rules of each way, with its own seed.

    Yields:
        One new token for each way.
    """
    if not ids:
        raise ValueError("the prompt holds no token; a model can only go on from something")
    if not 0 <= max_new_tokens <= MAX_NEW_TOKENS:
        raise ValueError(f"max_new_tokens={max_new_tokens:,} is outside 0 to {MAX_NEW_TOKENS:,}")
    return _generate(model, [list(ids) for _ in configs], configs, max_new_tokens)


def _generate(
    model: GPTModel, texts: list[list[int]], configs: Sequence[SamplingConfig], max_new_tokens: int
) -> Iterator[tuple[Drawn, ...]]:
    generators = [torch.Generator().manual_seed(config.seed) for config in configs]
    logits = _logits_as_they_grow(model, texts)
    for _ in range(max_new_tokens):
        drawn = []
        for ids, scores, config, generator in zip(texts, next(logits), configs, generators, strict=True):
            choice = choose(scores, config)
            drawn.append(taken(scores, choice, draw(choice.probability, generator)))
            ids.append(drawn[-1].token_id)
        yield tuple(drawn)

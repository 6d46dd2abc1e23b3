"""The forward pass in slow motion: all that lies between a prompt and the scores of the next token, kept to be seen.

How to read it: ``block_stages`` is one block, line by line, in plain functions; ``trace`` goes from the ids through all
blocks to the scores; ``logit_lens`` asks half way what the model would say if it stopped there. The letters of the
shapes are those of ``model``.

What is left out: dropout (``dropout``), and the batches, the cache and the fused call that make the same pass quick
(``model``). A test holds every stage here equal to that one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gptcore.config import GPTConfig
from gptcore.model import Block, GPTModel, LayerNorm, attention_step_by_step

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Stages:
    """What one block does to T tokens, in the order in which it happens.

    Attributes:
        entered: The stream as the block finds it, (T, C).
        norm1: Each token's numbers at mean 0 and variance 1, scaled and shifted, (T, C).
        q: Queries, (H, T, D).
        k: Keys, (H, T, D).
        v: Values, (H, T, D).
        weights: Attention weights, (H, T, T): a row for each token that reads, summing to 1.
        joined: The mixed values, the heads side by side, (T, C).
        attention: What attention adds to the stream, (T, C).
        between: The stream after attention, (T, C).
        norm2: As ``norm1``, (T, C).
        wide: The feed-forward's inner numbers, after GELU, (T, 4C).
        feed_forward: What the feed-forward adds to the stream, (T, C).
        left: The stream as the block leaves it, (T, C).
    """

    entered: Tensor
    norm1: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    weights: Tensor
    joined: Tensor
    attention: Tensor
    between: Tensor
    norm2: Tensor
    wide: Tensor
    feed_forward: Tensor
    left: Tensor


@dataclass(frozen=True, slots=True)
class Trace:
    """One pass of one prompt: what every block found, how its heads attended, and what came out.

    Attributes:
        ids: The prompt, T token ids.
        token: The tokens' embeddings, (T, C).
        position: The positions' embeddings, (T, C).
        stream: As it enters the first block, and as it leaves each block, (L + 1, T, C).
        q: Queries of every block, (L, H, T, D).
        k: Keys of every block, (L, H, T, D).
        weights: Attention weights of every block, (L, H, T, T).
        normed: The stream after the final norm, (T, C).
        logits: The scores of what follows the last token, (V,).
    """

    ids: tuple[int, ...]
    token: Tensor
    position: Tensor
    stream: Tensor
    q: Tensor
    k: Tensor
    weights: Tensor
    normed: Tensor
    logits: Tensor


def trace_bytes(config: GPTConfig, tokens: int) -> int:
    """What a ``Trace`` of so many tokens holds, in bytes, the ids not counted.

    >>> round(trace_bytes(GPTConfig(), 64) / 2**20, 1)  # MiB, GPT-2's small shape
    9.9
    """
    L, C, H = config.n_layers, config.emb_dim, config.n_heads
    per_token = (L + 1) * C + 2 * L * C + L * H * tokens + 3 * C
    return FLOAT_BYTES * (tokens * per_token + config.vocab_size)


def layer_norm(x: Tensor, norm: LayerNorm) -> Tensor:
    """Each token by itself: take off its mean, divide by its spread, then scale and shift by what was learnt."""
    mean = x.mean(dim=-1, keepdim=True)  # (T, 1)
    variance = x.var(dim=-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias  # (T, C)


def gelu(x: Tensor) -> Tensor:
    """The soft switch in GPT-2's form: large numbers pass, negative ones are held back, near 0 it is smooth.

    Source: Hendrycks and Gimpel 2016, the approximation by tanh.
    """
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@torch.no_grad()
def block_stages(block: Block, x: Tensor) -> Stages:
    """One block in evaluation mode, every stage kept.

    Args:
        block: Of any model.
        x: The stream of one text as it comes in, (T, C).
    """
    norm1 = layer_norm(x, block.norm1)  # (T, C)
    q, k, v = block.attention.split_heads(norm1[None])  # 3 x (1, H, T, D)
    mixed, weights = attention_step_by_step(q, k, v)  # (1, H, T, D), (1, H, T, T)
    joined = mixed[0].transpose(0, 1).flatten(1)  # (H, T, D) -> (T, C)
    attention = block.attention.out_proj(joined)  # (T, C)
    between = x + attention
    norm2 = layer_norm(between, block.norm2)
    wide = gelu(block.feed_forward.up(norm2))  # (T, 4C)
    feed_forward = block.feed_forward.down(wide)  # (T, C)
    left = between + feed_forward
    return Stages(x, norm1, q[0], k[0], v[0], weights[0], joined, attention, between, norm2, wide, feed_forward, left)


def stages_of(model: GPTModel, seen: Trace, layer: int) -> Stages:
    """Every stage of one block of a pass, worked out anew from the stream that entered it.

    Args:
        model: The model of the trace.
        seen: Its pass.
        layer: 0 for the first block.
    """
    return block_stages(cast("Block", model.blocks[layer]), seen.stream[layer])


@torch.no_grad()
def trace(model: GPTModel, ids: Sequence[int]) -> Trace:
    """From ids to scores, step by step, in evaluation mode.

    Args:
        model: Any GPT; it is only read.
        ids: One prompt, at least 1 and at most ``context_length`` token ids.

    Raises:
        ValueError: No token, or more than the context holds.
    """
    if not ids:
        raise ValueError("the prompt holds no token; there is nothing to pass through the model")
    if len(ids) > model.config.context_length:
        raise ValueError(f"{len(ids)} tokens exceed context_length={model.config.context_length}")
    token = model.token_embedding.weight[list(ids)]  # (T, C): one row of the dictionary for each token
    position = model.position_embedding.weight[: len(ids)]  # (T, C): the same rows for every prompt
    stream, heads = [token + position], []
    for block in model.blocks:
        stages = block_stages(cast("Block", block), stream[-1])
        stream.append(stages.left)
        heads.append((stages.q, stages.k, stages.weights))
    normed = layer_norm(stream[-1], model.final_norm)  # (T, C)
    q, k, weights = (torch.stack(each) for each in zip(*heads, strict=True))
    return Trace(
        ids=tuple(ids),
        token=token,
        position=position.clone(),
        stream=torch.stack(stream),
        q=q,
        k=k,
        weights=weights,
        normed=normed,
        logits=model.head(normed[-1]),  # (V)
    )


@torch.no_grad()
def logit_lens(model: GPTModel, seen: Trace, at: int) -> Tensor:
    """What the model would say after the token at ``at`` if its head read the stream before and after each block.

    Nobody trained it to be read so: what comes out half way is a guess at a guess. The last row is the model's own.

    Args:
        model: The model of the trace.
        seen: Its pass.
        at: Which token, 0 for the first.

    Returns:
        Logits (L + 1, V): the embeddings, then each block.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    return model.head(layer_norm(seen.stream[:, at], model.final_norm))  # (L + 1, C) -> (L + 1, V)


def lens_table(logits: Tensor) -> pd.DataFrame:
    """The first choice at each depth, and what it thinks there of the choice that wins in the end.

    Args:
        logits: Of ``logit_lens``, (L + 1, V).

    Returns:
        L + 1 rows: layer (0: the embeddings), token_id and probability of its first choice; final_probability and
        final_rank (1 = first) of the token that the last row chooses.

    >>> lens_table(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))[["token_id", "final_rank"]].values.tolist()
    [[0, 2], [1, 1]]
    """
    shares = torch.softmax(logits.double(), dim=-1)  # (L + 1, V)
    best = shares.max(dim=-1)
    final = logits[:, int(best.indices[-1]), None]  # (L + 1, 1)
    return pd.DataFrame(
        {
            "layer": range(len(logits)),
            "token_id": best.indices.numpy(),
            "probability": best.values.numpy(),
            "final_probability": shares[:, int(best.indices[-1])].numpy(),
            "final_rank": ((logits > final).sum(dim=-1) + 1).numpy(),
        }
    )


def settled(table: pd.DataFrame) -> int:
    """From which depth on the first choice stays what it is in the end: 0 for the embeddings, then the blocks from 1.

    Args:
        table: Of ``lens_table``.

    >>> settled(pd.DataFrame({"token_id": [7, 3, 7, 7]}))
    2
    """
    others = np.flatnonzero(table["token_id"] != table["token_id"].iloc[-1])
    return int(others[-1]) + 1 if len(others) else 0

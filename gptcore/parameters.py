"""The ledger: every number that a model learns, by part, with the formula that counts it.

How to read it: ``parameter_table`` counts from the configuration alone, so that GPT-2 XL is counted in milliseconds
and no memory is spent; ``check_ledger`` holds the formula to a real model. ``training_memory`` says what a run needs:
it was within 11 % of every run that was measured (``benchmarks/memory.py``), and a test holds it within 15 %.

People meet 124 M, 163 M, 162 M, 117 M and 85 M for "the same" model. Each is this table with one switch moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import prod, sqrt
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from gptcore.config import MODEL_PRESETS, GPTConfig, Optimiser, TrainConfig

if TYPE_CHECKING:  # counting needs no PyTorch
    from torch import nn

FLOAT32_BYTES = 4
GAPS = 0.2  # of the activations, as measured with glibc's allocator: many pieces of many sizes, freed in turns


class Leaf(NamedTuple):
    """One learned tensor: its name in the model, its shape, and the shape in letters."""

    part: str
    shape: tuple[int, ...]
    letters: str
    shared: bool = False  # a tied head is the token embedding again and counts nothing


def _block_leaves(config: GPTConfig, prefix: str) -> Iterator[Leaf]:
    C = config.emb_dim
    yield Leaf(f"{prefix}.attention.qkv.weight", (3 * C, C), "3C x C")
    if config.qkv_bias:
        yield Leaf(f"{prefix}.attention.qkv.bias", (3 * C,), "3C")
    yield Leaf(f"{prefix}.attention.out_proj.weight", (C, C), "C x C")
    yield Leaf(f"{prefix}.attention.out_proj.bias", (C,), "C")
    yield Leaf(f"{prefix}.feed_forward.up.weight", (4 * C, C), "4C x C")
    yield Leaf(f"{prefix}.feed_forward.up.bias", (4 * C,), "4C")
    yield Leaf(f"{prefix}.feed_forward.down.weight", (C, 4 * C), "C x 4C")
    yield Leaf(f"{prefix}.feed_forward.down.bias", (C,), "C")
    for norm in ("norm1", "norm2"):
        yield Leaf(f"{prefix}.{norm}.weight", (C,), "C")
        yield Leaf(f"{prefix}.{norm}.bias", (C,), "C")


def leaves(config: GPTConfig) -> Iterator[Leaf]:
    """Every learned tensor of a model, in the model's own order, under the model's own names."""
    V, T, C = config.vocab_size, config.context_length, config.emb_dim
    yield Leaf("token_embedding.weight", (V, C), "V x C")
    yield Leaf("position_embedding.weight", (T, C), "T x C")
    for layer in range(config.n_layers):
        yield from _block_leaves(config, f"blocks.{layer}")
    yield Leaf("final_norm.weight", (C,), "C")
    yield Leaf("final_norm.bias", (C,), "C")
    yield Leaf("head.weight", (V, C), "V x C", shared=config.tie_weights)


def parameter_table(config: GPTConfig) -> pd.DataFrame:
    """The ledger of a configuration; nothing is allocated.

    Args:
        config: Any shape of model.

    Returns:
        One row per learned tensor: part (its name in the model), shape, formula (with today's numbers), count.
        The counts sum to the total: a tied head counts 0.

    >>> int(parameter_table(GPTConfig(qkv_bias=True, tie_weights=True))["count"].sum())
    124439808
    """
    rows = []
    for leaf in leaves(config):
        numbers = " x ".join(f"{n:,}" for n in leaf.shape)
        formula = "the token embedding again: 0" if leaf.shared else f"{leaf.letters} = {numbers}"
        rows.append((leaf.part, leaf.shape, formula, 0 if leaf.shared else prod(leaf.shape)))
    return pd.DataFrame(rows, columns=["part", "shape", "formula", "count"])


@lru_cache(256)  # pages ask for the same few shapes again and again
def count_parameters(config: GPTConfig) -> int:
    """How many numbers a model of this shape learns.

    >>> count_parameters(GPTConfig(context_length=64, emb_dim=16, n_heads=4, n_layers=4))
    1622208
    """
    return sum(prod(leaf.shape) for leaf in leaves(config) if not leaf.shared)


def part_groups(config: GPTConfig) -> dict[str, int]:
    """The ledger in five lines: what the dictionary, the positions and the transformer itself cost.

    >>> groups = part_groups(GPTConfig(context_length=64, emb_dim=16, n_heads=4, n_layers=4))
    >>> groups["token embedding"] + groups["output head"]
    1608224
    """
    groups = dict.fromkeys(("token embedding", "position embedding", "blocks", "final norm", "output head"), 0)
    names = {"token_embedding": "token embedding", "position_embedding": "position embedding", "head": "output head"}
    names |= {"blocks": "blocks", "final_norm": "final norm"}
    for leaf in leaves(config):
        if not leaf.shared:
            groups[names[leaf.part.split(".", 1)[0]]] += prod(leaf.shape)
    return groups


def well_known_counts() -> pd.DataFrame:
    """The sizes that people give for "GPT-2 small", each as this ledger with a switch moved.

    Returns:
        Rows of said, count (missing for a label that counts nothing), what (the model that is meant) and config (its
        shape; None where what is meant is not a whole model).

    >>> int(well_known_counts().set_index("said")["count"]["162 M"])
    162419712
    """
    gpt2, book, trained = MODEL_PRESETS["gpt2-small"], GPTConfig(), MODEL_PRESETS["book-124m"]
    loaded, tied = replace(book, qkv_bias=True), replace(book, tie_weights=True)
    blocks = [leaf for leaf in leaves(book) if leaf.part.startswith("blocks.")]
    matrices = sum(prod(leaf.shape) for leaf in blocks if len(leaf.shape) == 2)
    output = next(leaf for leaf in blocks if leaf.part.endswith("out_proj.weight"))
    models = [
        ("124 M", gpt2, "GPT-2 small as published: the head is the token embedding, with qkv bias"),
        ("124.4 M", tied, "the book's GPT-2 small without its head, as if it were tied: no qkv bias"),
        ("163 M", book, "the book's GPT-2 small: a head of its own, no qkv bias"),
        ("163.04 M", loaded, "the book's model with GPT-2's weights: qkv bias, the head is a copy"),
        ("162 M", trained, f"the model the book trains: a context of {trained.context_length}"),
    ]
    parts: list[tuple[str, int | None, str]] = [
        ("85 M", matrices, f"the matrices of the {book.n_layers} blocks alone: no embeddings, biases or norms"),
        ("117 M", None, "OpenAI's first label for GPT-2 small: published, counts nothing in particular"),
        ("59 M", prod(output.shape), f"a slip: one attention output projection, {output.letters}, is 0.59 M"),
    ]
    whole = [(said, count_parameters(config), what, config) for said, config, what in models]
    rows = [*whole, *((said, count, what, None) for said, count, what in parts)]
    return pd.DataFrame(rows, columns=["said", "count", "what", "config"]).astype({"count": "Int64"})


def check_ledger(model: nn.Module, config: GPTConfig) -> None:
    """Hold the formula to a real model.

    Raises:
        AssertionError: The ledger names, shapes or counts something else than the model has.
    """
    by_formula = {leaf.part: leaf.shape for leaf in leaves(config) if not leaf.shared}
    by_module = {name: tuple(p.shape) for name, p in model.named_parameters()}
    if by_formula != by_module:
        wrong = sorted(set(by_formula.items()) ^ set(by_module.items()))
        raise AssertionError(f"ledger and model disagree on {wrong[:6]}")


def chunk_rows(vocab_size: int, emb_dim: int) -> int:
    """How many positions' logits the fused loss (``fast``) holds at a time: as measured at C 16, 128 and 768.

    Between them by the root. Small chunks stay in the cache; but each reads the whole weight and adds to all of its
    gradient, dear at high C.

    >>> [chunk_rows(50_257, emb_dim) for emb_dim in (16, 128, 768)]
    [52, 147, 250]
    """
    numbers = min(12.0, 2.5 * sqrt(emb_dim / 16)) * 2**20  # in bfloat16 5 to 24 MiB, in float32 twice that
    return max(1, int(numbers / vocab_size))


def kept_per_token(config: GPTConfig) -> int:
    """Numbers that the forward pass keeps for each token until the backward pass has used them.

    A block keeps the stream, both norms' outputs, q, k and v, the mixed values and both sides of GELU: 16 C. Where
    there is dropout it also keeps two masks of C, and attention, which then can't be fused, its H rows of T weights
    before, in and after their mask. Outside the blocks: the final norm's input, and one mask.

    >>> kept_per_token(GPTConfig(context_length=64, emb_dim=16, n_heads=4, n_layers=4))
    4256
    """
    C, HT = config.emb_dim, config.n_heads * config.context_length
    if config.drop_rate:
        return config.n_layers * (18 * C + 3 * HT) + 2 * C
    return config.n_layers * 16 * C + C


def memory_factors(config: GPTConfig, training: TrainConfig) -> dict[str, dict[str, float]]:
    """What one training step holds in memory at most, by purpose: the factors, by name, whose product are its bytes.

    Weights, gradients, the optimiser's memory and what is kept for the backward pass (``kept_per_token``) are exact in
    float32; so are the logits with their two gradients, or the one chunk of them where the loss is fused. The gaps
    between these pieces, which the system can't use again, are an estimate. Gradients grow while activations go, so
    that the true peak of a large model with small batches lies a little below the sum.

    Args:
        config: The model as it is trained.
        training: Its batch size, optimiser and kind of loss count.
    """
    each = {"parameters": count_parameters(config), "bytes": FLOAT32_BYTES}
    tokens = training.batch_size * config.context_length
    kept = kept_per_token(config)
    whole, chunk = {"whole logits": 3, "tokens": tokens}, min(tokens, chunk_rows(config.vocab_size, config.emb_dim))
    rows = whole if training.reference else {"tokens at a time": chunk}
    return {
        "weights": {**each},
        "gradients": {**each},
        "optimiser": {"numbers each": 2 if training.optimiser == "adamw" else 1, **each},
        "activations": {"tokens": tokens, "numbers kept": kept, "bytes": FLOAT32_BYTES},
        "logits": {**rows, "vocabulary": config.vocab_size, "bytes": FLOAT32_BYTES},
        "gaps": {"of the activations'": GAPS, "bytes": tokens * kept * FLOAT32_BYTES},
    }


def training_memory(config: GPTConfig, training: TrainConfig) -> dict[str, int]:
    """What one training step holds in memory at most, in bytes, by purpose: the products of ``memory_factors``.

    >>> shape = GPTConfig(context_length=64, emb_dim=16, n_heads=4, n_layers=4)
    >>> [sum(training_memory(shape, TrainConfig(batch_size=16, reference=yes)).values()) >> 20 for yes in (False, True)]
    [54, 633]
    """
    return {purpose: int(prod(factors.values())) for purpose, factors in memory_factors(config, training).items()}


def training_disk(config: GPTConfig, optimiser: Optimiser) -> dict[str, int]:
    """What a run keeps on the disk, in bytes, by purpose: the best weights, and two states to go on from.

    >>> sum(training_disk(GPTConfig(context_length=256), "adamw").values()) // 2**20
    4337
    """
    weights = count_parameters(config) * FLOAT32_BYTES
    state = weights * (3 if optimiser == "adamw" else 2)  # AdamW keeps two numbers a weight, SGD with momentum one
    return {"best weights": weights, "checkpoints": 2 * state}

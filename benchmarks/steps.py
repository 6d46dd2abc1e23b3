"""How long one training step takes, here and in transformers, in one process, side by side.

Printed per shape: ours, the peer, their ratio, and the limit: the same arithmetic at the speed at which this machine
multiplies large matrices. Absolute figures belong to one machine; ratios travel better. Medians of alternating rounds.

What differs from the peer stands in the table: "bf16" multiplies in bfloat16, the peer always in float32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from gptcore.config import GPTConfig, Precision
from gptcore.fast import fused_adamw, fused_loss
from gptcore.library import new_model
from gptcore.parameters import count_parameters

ROUNDS = 5


class Shape(NamedTuple):
    """A model and a batch to measure with."""

    name: str
    config: GPTConfig
    batch: int


def _shape(name: str, batch: int, V: int, T: int, C: int, H: int, L: int) -> Shape:
    config = GPTConfig(
        vocab_size=V, context_length=T, emb_dim=C, n_heads=H, n_layers=L, drop_rate=0.0, qkv_bias=True, tie_weights=True
    )
    return Shape(name, config, batch)


SHAPES = (
    _shape("C: width 16, V 50,257", 16, 50_257, 64, 16, 4, 4),
    _shape("D: width 128, V 50,257", 8, 50_257, 128, 128, 4, 4),
    _shape("E: width 128, V 2,048", 8, 2_048, 128, 128, 4, 4),
)


def median_seconds(*actions: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Median time of each action; they take turns, so that a busy moment falls on all of them."""
    times: list[list[float]] = [[] for _ in actions]
    for action in actions:
        action()  # warm
    for _ in range(rounds):
        for action, seen in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            seen.append(time.perf_counter() - started)
    return [statistics.median(seen) for seen in times]


def multiplications_a_second(dtype: torch.dtype, size: int = 1024) -> float:
    """The rate at which this machine multiplies large matrices, in floating-point operations a second."""
    a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    (seconds,) = median_seconds(lambda: a @ b, rounds=15)
    return 2 * size**3 / seconds


def our_step(shape: Shape, precision: Precision) -> Callable[[], None]:
    """One update of ours on random tokens."""
    model = new_model(shape.config, 0).train()
    optimiser = fused_adamw(model.parameters(), lr=1e-4, weight_decay=0.1)
    ids = torch.randint(0, shape.config.vocab_size, (shape.batch, shape.config.context_length + 1))

    def step() -> None:
        optimiser.zero_grad()
        torch.autograd.backward(fused_loss(model, ids[:, :-1], ids[:, 1:], precision))
        optimiser.step()

    return step


def peer_step(shape: Shape) -> Callable[[], None]:
    """The same update in transformers, as its documentation writes it."""
    config = shape.config
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.emb_dim,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    ).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1)
    ids = torch.randint(0, config.vocab_size, (shape.batch, config.context_length))

    def step() -> None:
        optimiser.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimiser.step()

    return step


def main() -> None:
    """Print the table."""
    peaks = {"float32": multiplications_a_second(torch.float32), "bfloat16": multiplications_a_second(torch.bfloat16)}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; large products: ", end="")
    print(", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()))
    print(f"{'training step':36} {'ours ms':>9} {'transformers ms':>16} {'ratio':>7} {'limit ms':>9}")
    for shape in SHAPES:
        tokens = shape.batch * shape.config.context_length
        arithmetic = 6 * count_parameters(shape.config) * tokens
        fp32, bf16, peer = median_seconds(our_step(shape, "float32"), our_step(shape, "bfloat16"), peer_step(shape))
        for label, ours, peak in (("", fp32, peaks["float32"]), (", bf16", bf16, peaks["bfloat16"])):
            limit = arithmetic / peak
            name = shape.name + label
            print(f"{name:36} {ours * 1e3:9.1f} {peer * 1e3:16.1f} {peer / ours:6.2f}x {limit * 1e3:9.1f}")

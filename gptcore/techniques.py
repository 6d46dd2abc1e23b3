"""What each technique that makes this program quick gains, on small shapes.

How to read it: a ``Technique`` makes a pair of actions that do the same, the plain way and the quick way; ``measure``
times them in turns. ``recorded`` is what the benchmark measured.

Times are core-seconds: what else the machine does is not in them. Each quick way gives the plain way's result within
``tolerance``; where that is None it is another model on purpose, and ``changes`` says which.

What is left out: how the quick ways work. That stands where they are: ``fast``, ``model``, ``sampling``, ``likeliest``.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcore import fast
from gptcore.config import GPTConfig, Precision, SamplingConfig
from gptcore.library import new_model
from gptcore.loss import mean_loss
from gptcore.machine import versions
from gptcore.one_step import alone
from gptcore.paths import RECORDED
from gptcore.sampling import fall, generate, next_logits

TABLE = RECORDED / "techniques.json"
NARROW = GPTConfig(context_length=64, emb_dim=16, n_heads=4, n_layers=2, drop_rate=0.0)
WIDE = GPTConfig(context_length=128, emb_dim=128, n_heads=4, n_layers=2, drop_rate=0.0)
SPEAKER = replace(WIDE, vocab_size=1_400, n_layers=4)
BATCH, COMPACT, NEW_TOKENS = 4, 1_400, 16
ROUNDS = 5

Action = Callable[[], Tensor]


class Technique(NamedTuple):
    """One way to be quick.

    Attributes:
        name: On screen.
        changes: What it changes in the numbers.
        pair: Makes the plain and the quick action anew; both return what they computed.
        tolerance: How far the results may differ, relative to the plain one; None where they must.
    """

    name: str
    changes: str
    pair: Callable[[], tuple[Action, Action]]
    tolerance: float | None


@dataclass(frozen=True, slots=True)
class Gain:
    """What a technique was measured to gain, in core-milliseconds."""

    name: str
    changes: str
    plain: float
    quick: float

    @property
    def times(self) -> float:
        """How many times quicker; below 1 it is slower."""
        return self.plain / self.quick


def random_batch(config: GPTConfig, windows: int = BATCH) -> tuple[Tensor, Tensor]:
    """Inputs and targets of random tokens, always the same, both (windows, T)."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (windows, config.context_length + 1), generator=generator)
    return ids[:, :-1], ids[:, 1:]


def _learning(config: GPTConfig, precision: Precision = "float32") -> Action:
    """Loss and gradients of one batch, the quick way."""
    model, (inputs, targets) = new_model(config, 0).train(), random_batch(config)

    def act() -> Tensor:
        model.zero_grad()
        loss = fast.fused_loss(model, inputs, targets, precision)
        torch.autograd.backward(loss)
        return loss.detach()

    return act


def _plain_learning(config: GPTConfig) -> Action:
    """Loss and gradients of one batch as the book writes them."""
    model, (inputs, targets) = new_model(config, 0).train(), random_batch(config)

    def act() -> Tensor:
        model.zero_grad()
        loss = mean_loss(model(inputs), targets)
        torch.autograd.backward(loss)
        return loss.detach()

    return act


def _stepping(fused: bool) -> Action:
    """One step of the optimiser on a gradient that stays."""
    model = new_model(NARROW, 0)
    make = fast.fused_adamw if fused else torch.optim.AdamW
    optimiser = make(model.parameters(), lr=1e-3, weight_decay=0.1)
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 1e-2)

    def act() -> Tensor:
        optimiser.step()
        return model.head.weight.detach()[:100].clone()

    return act


def _judging() -> tuple[Action, Action]:
    """The loss of a batch that nobody learns from: with the gradients that a step makes, and without."""
    model, (inputs, targets) = new_model(NARROW, 0), random_batch(NARROW)
    without_gradients = torch.no_grad()(lambda: fast.fused_loss(model, inputs, targets))
    return lambda: fast.fused_loss(model, inputs, targets).detach(), without_gradients


def _attention(drop_rate: float) -> Action:
    torch.manual_seed(0)
    q, k, v = (torch.randn(8, 4, 128, 32, requires_grad=True) for _ in range(3))

    def act() -> Tensor:
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=drop_rate, is_causal=True)
        torch.autograd.backward(mixed.sum())
        return mixed.detach()

    return act


def _writing() -> tuple[Action, Action]:
    """A few tokens after a long prompt: all read anew for each, or each alone on top of what is kept."""
    model, prompt = new_model(SPEAKER, 0), random_batch(SPEAKER, 1)[0][0, :100].tolist()

    @torch.inference_mode()
    def anew() -> Tensor:
        ids = list(prompt)
        for _ in range(NEW_TOKENS):
            ids.append(int(next_logits(model, ids).argmax()))
        return torch.tensor(ids[len(prompt) :])

    def on_top() -> Tensor:
        drawn = generate(model, prompt, SamplingConfig(temperature=0.0), NEW_TOKENS)
        return torch.tensor([token.token_id for token in drawn])

    return anew, on_top


def _scoring() -> tuple[Action, Action]:
    """The scores of what comes next: the head at every position, or at the last alone."""
    model, (inputs, _) = new_model(WIDE, 0), random_batch(WIDE, 1)
    everywhere = torch.inference_mode()(lambda: model(inputs)[0, -1])
    return everywhere, lambda: next_logits(model, inputs[0].tolist())


def _drawing() -> tuple[Action, Action]:
    """Where a random number falls among 50,257 tokens: all in order first, or the likeliest alone."""
    generator = torch.Generator().manual_seed(0)
    probability = torch.softmax(4 * torch.randn(NARROW.vocab_size, generator=generator).double(), 0)
    number = torch.tensor([0.5], dtype=torch.float64)

    def all_in_order() -> Tensor:
        lengths, order = torch.sort(probability, descending=True, stable=True)
        return order[torch.searchsorted(lengths.cumsum(0), number, right=True)]

    return all_in_order, lambda: fall(probability, number)


TECHNIQUES = (
    Technique(
        "Only the text's own tokens",
        f"another model: {COMPACT:,} tokens in place of {NARROW.vocab_size:,}",
        lambda: (_learning(NARROW), _learning(replace(NARROW, vocab_size=COMPACT))),
        None,
    ),
    Technique(
        "Head and loss in one, piece by piece",
        "the loss by less than a millionth of itself",
        lambda: (_plain_learning(NARROW), _learning(NARROW)),
        1e-6,
    ),
    Technique(
        "AdamW in one pass over memory",
        "rounding in the last digit",
        lambda: (_stepping(fused=False), _stepping(fused=True)),
        1e-5,
    ),
    Technique(
        "No dropout inside attention",
        "what the model learns: PyTorch's quick kernel knows no dropout",
        lambda: (_attention(0.1), _attention(0.0)),
        None,
    ),
    Technique(
        "Products in bfloat16",
        "the loss by at most two thousandths of itself",
        lambda: (_learning(WIDE), _learning(WIDE, "bfloat16")),
        2e-3,
    ),
    Technique("Evaluation without gradients", "nothing: the same loss", _judging, 0.0),
    Technique("Keep keys and values", "nothing: the same tokens", _writing, 0.0),
    Technique("Head at the last position alone", "rounding in the last digits", _scoring, 1e-4),
    Technique("Draw among the likeliest", "nothing: the same token", _drawing, 0.0),
)


def measure(technique: Technique, rounds: int = ROUNDS) -> Gain:
    """Time both ways in turns on one core; medians. Other students' computing waits meanwhile."""
    with alone():
        actions = technique.pair()
        for action in actions:
            action()
        times = [[_seconds(action) for action in actions] for _ in range(rounds)]
    plain, quick = (1e3 * statistics.median(seen) for seen in zip(*times, strict=True))
    return Gain(technique.name, technique.changes, plain, quick)


def _seconds(action: Callable[[], object]) -> float:
    """Core-seconds of one call in this thread."""
    began = time.thread_time()
    action()
    return time.thread_time() - began


class Recorded(NamedTuple):
    """What the benchmark measured: when, on what machine, and each gain."""

    date: str
    versions: dict[str, str]
    gains: tuple[Gain, ...]


def save(gains: list[Gain], path: Path = TABLE) -> None:
    """Keep what was measured here and now."""
    date = f"{datetime.now(UTC):%d %B %Y}"
    content = {"date": date, "versions": versions(), "gains": [asdict(gain) for gain in gains]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")


@cache
def recorded(path: Path = TABLE) -> Recorded:
    """What ``save`` kept; read once."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Recorded(content["date"], content["versions"], tuple(Gain(**gain) for gain in content["gains"]))

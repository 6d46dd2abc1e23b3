"""What a gradient says, and what an optimiser makes of it: by part of the model, and for a single number.

How to read it: ``gradient_norms`` says where in a model the gradient is long. ``pull`` is the formula of AdamW and of
SGD with momentum, spelled out; ``one_parameter`` follows one number through it. PyTorch's optimisers do the moving: a
test holds the formula to what they did.

What is left out: how the gradient comes about (PyTorch's autograd), and other optimisers.
Source: Loshchilov and Hutter 2019, algorithm 2 (AdamW); Sutskever et al. 2013 (momentum).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

PARTS = {
    "token_embedding": "token embedding",
    "position_embedding": "position embedding",
    "attention": "attention",
    "feed_forward": "feed-forward",
    "norm1": "norms",
    "norm2": "norms",
    "final_norm": "final norm",
    "head": "output head",
}


def part_of(name: str) -> str:
    """The part of a model that a tensor belongs to.

    >>> part_of("blocks.0.norm2.weight"), part_of("head.weight")
    ('block 1: norms', 'output head')
    """
    if name.startswith("blocks."):
        _, block, part, *_ = name.split(".")
        return f"block {int(block) + 1}: {PARTS[part]}"
    return PARTS[name.partition(".")[0]]


def gradient_norms(model: nn.Module) -> pd.DataFrame:
    """How long the gradient is in each part of a model, in its own order; a tied head counts as the token embedding.

    Args:
        model: A GPT after ``backward``.

    Returns:
        Rows of part and norm: the squares of the norms add up to the square of the whole gradient's.
    """
    squares: dict[str, float] = {}
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            part = part_of(name)
            squares[part] = squares.get(part, 0.0) + float(weight.grad.double().square().sum())
    return pd.DataFrame({"part": list(squares), "norm": [math.sqrt(square) for square in squares.values()]})


@dataclass(frozen=True, slots=True)
class Pull:
    """What an optimiser takes off weights, for each unit of learning rate: after = before - lr x (decay + move).

    Attributes:
        decay: Its pull towards zero, in the shape of the weights.
        move: Its pull along the gradients.
        remembered: Of AdamW m, v, both freed of their slow start (m_hat, v_hat), and the number of updates; of SGD its
            velocity, in which the decay is counted already.
    """

    decay: Tensor
    move: Tensor
    remembered: dict[str, Tensor]


def pull(settings: Mapping[str, Any], memory: Mapping[str, Tensor], before: Tensor) -> Pull:
    """The formula of an optimiser, after an update.

    Args:
        settings: One of the optimiser's ``param_groups``.
        memory: Its ``state`` of these weights, or of one of them.
        before: The weights before the update.
    """
    if "momentum_buffer" in memory:
        velocity = memory["momentum_buffer"]
        return Pull(torch.zeros_like(before), velocity, {"velocity": velocity})
    beta1, beta2 = settings["betas"]
    m, v, updates = memory["exp_avg"], memory["exp_avg_sq"], memory["step"]
    m_hat = m / (1 - beta1 ** float(updates))
    v_hat = v / (1 - beta2 ** float(updates))
    remembered = {"m": m, "v": v, "m_hat": m_hat, "v_hat": v_hat, "updates": updates}
    return Pull(settings["weight_decay"] * before, m_hat / (v_hat.sqrt() + settings["eps"]), remembered)


@dataclass(frozen=True, slots=True)
class ParameterStep:
    """One number of a model through one update.

    Attributes:
        name: The tensor it lies in.
        place: Where in it.
        before: Its value before the update.
        gradient: How steeply the loss rises with it; after clipping, as the optimiser saw it.
        lr: The learning rate.
        plain: What plain gradient descent would make of it: before - lr x gradient.
        remembered: What the optimiser knows of it, as in ``Pull``.
        decay: What weight decay took off.
        move: What the optimiser took off besides.
        after: Its value in the model now, which has single precision.
    """

    name: str
    place: tuple[int, ...]
    before: float
    gradient: float
    lr: float
    plain: float
    remembered: dict[str, float]
    decay: float
    move: float
    after: float

    @property
    def by_formula(self) -> float:
        """What the formula gives in double precision."""
        return self.before - self.decay - self.move


def one_parameter(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    before: Mapping[str, Tensor],
    name: str,
    index: int | None = None,
) -> ParameterStep:
    """Follow one number through the update that has just been made.

    Args:
        model: With the gradients of that update.
        optimiser: With the memory of that update.
        before: The model's weights before it, by name.
        name: A tensor of the model.
        index: Which of its numbers, counted row by row from 0; None takes the one with the largest gradient.

    Raises:
        ValueError: No such tensor, no such number, or no gradient.
    """
    weight = dict(model.named_parameters()).get(name)
    if weight is None or weight.grad is None:
        raise ValueError(f"{name!r} is no tensor of this model with a gradient")
    gradients = weight.grad.flatten()
    at = int(gradients.abs().argmax()) if index is None else index
    if not 0 <= at < len(gradients):
        raise ValueError(f"{name} has no number {at:,}: they are counted from 0 to {len(gradients) - 1:,}")
    settings = optimiser.param_groups[0]
    memory = optimiser.state[weight].items()
    at_the_place = {key: (value.flatten()[at] if value.dim() else value).double() for key, value in memory}
    p, g, lr = before[name].flatten()[at].double(), float(gradients[at]), float(settings["lr"])
    taken = pull(settings, at_the_place, p)
    return ParameterStep(
        name=name,
        place=tuple(int(n) for n in torch.unravel_index(torch.tensor(at), weight.shape)),
        before=float(p),
        gradient=g,
        lr=lr,
        plain=float(p) - lr * g,
        remembered={key: float(value) for key, value in taken.remembered.items()},
        decay=lr * float(taken.decay),
        move=lr * float(taken.move),
        after=float(weight.detach().flatten()[at]),
    )

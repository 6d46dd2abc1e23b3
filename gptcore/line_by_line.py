"""One update, line by line: ``training.update`` spelled out, with a stop after each line for whoever wants to look.

How to read it: ``update_lines`` is what runs; the functions below it are its words. A test holds it to ``training``:
the same losses, gradients and weights, to the last bit. ``one_step.begin`` refuses the runs whose updates are others.

What is left out: what there is to see at the stops (``one_step``), and evaluations and samples (``training``).
Source: Raschka, section 5.2.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from gptcore.fast import fused_cross_entropy
from gptcore.loss import mean_loss
from gptcore.training import TrainingState, batch_loss


def update_lines(state: TrainingState, inputs: Tensor, targets: Tensor) -> Iterator[Any]:
    """One update, then a second look at the same batch.

    Args:
        state: Changed in place: the weights and the optimiser's memory, not the step.
        inputs: (B, T), int64.
        targets: (B, T), int64.

    Yields:
        What the line before has made, where it has made something.
    """
    model, optimiser, longest = state.model.train(), state.optimiser, state.config.grad_clip or math.inf
    optimiser.zero_grad()
    yield
    hidden = forward(state, inputs)
    yield hidden
    loss = head_loss(state, hidden, targets)
    yield loss
    loss.backward()  # type: ignore[no-untyped-call]
    yield
    length = clip_grad_norm_(model.parameters(), longest)
    yield length
    optimiser.step()
    yield
    loss_now = loss_without_dropout(state, inputs, targets)
    yield loss_now


@cache
def source_lines() -> tuple[str, ...]:
    """The source of each line of ``update_lines`` after which it stops.

    >>> source_lines()[0], len(source_lines())
    ('optimiser.zero_grad()', 7)
    """
    source = textwrap.dedent(inspect.getsource(update_lines))
    function = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    return tuple(
        ast.get_source_segment(source, line) or ""
        for line, stop in pairwise(function.body)
        if isinstance(stop, ast.Expr) and isinstance(stop.value, ast.Yield)
    )


def forward(state: TrainingState, inputs: Tensor) -> Tensor:
    """All of the model but its head: token ids (B, T) to hidden states (B, T, C)."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=state.config.precision == "bfloat16"):
        return state.model.hidden(inputs)


def head_loss(state: TrainingState, hidden: Tensor, targets: Tensor) -> Tensor:
    """The head's V scores at every position, and of them the mean of -ln p(target) in nats a token.

    A reference run makes all scores at once, (B, T, V); any other makes and uses them piece by piece (``fast``).
    """
    if state.config.reference:
        return mean_loss(state.model.head(hidden), targets)
    rows = hidden.float().flatten(0, 1)  # (B, T, C) -> (B T, C)
    dtype = torch.bfloat16 if state.config.precision == "bfloat16" else torch.float32
    return fused_cross_entropy(rows, state.model.head.weight, targets.flatten(), dtype)


@torch.no_grad()
def loss_without_dropout(state: TrainingState, inputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of a batch in evaluation mode, so that two looks at it differ by the weights alone."""
    state.model.eval()
    return batch_loss(state, inputs, targets)

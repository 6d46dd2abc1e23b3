"""What other learning rates would have made of one update: the loss of its batch, along two directions.

How to read it: ``loss_along_gradient``; it starts from the weights before the update and puts the present ones back.

What is left out: other batches, whose valleys lie elsewhere, and later steps. Both are why a run takes a smaller rate
than the best one for a single batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from gptcore.gradients import pull
from gptcore.line_by_line import loss_without_dropout
from gptcore.model import GPTModel
from gptcore.one_step import Before, Session, alone, copied_weights
from gptcore.training import TrainingState

FAR_ABOVE = 2.0  # nats above the loss before the update: from there on it only explodes


def loss_along_gradient(session: Session, multiples: Sequence[float]) -> pd.DataFrame:
    """The loss of the last batch, had its update been made with other learning rates; dropout is off.

    Along the gradient that is plain gradient descent: before - rate x gradient. Along the optimiser's own direction it
    is the very update that was made, with another rate. A line ends where the loss has climbed far.

    Args:
        session: After an update; its weights are moved, and put back to the last bit.
        multiples: Of the learning rate, ascending.

    Returns:
        A row for each multiple: rate, gradient and optimiser (the losses along the two directions, nats a token).

    Raises:
        ValueError: There was no update yet.
    """
    state, model, before = session.state, session.state.model, session.look_back()
    settings, memory = state.optimiser.param_groups[0], state.optimiser.state
    along_gradient, along_own = {}, {}
    for name, weight in model.named_parameters():
        taken = pull(settings, memory[weight], before.weights[name])
        along_own[name] = taken.decay + taken.move
        along_gradient[name] = torch.zeros_like(weight) if weight.grad is None else weight.grad
    rates = [multiple * settings["lr"] for multiple in multiples]
    after = copied_weights(model)
    with alone():
        try:
            gradient = _losses_along(state, before, along_gradient, rates)
            own = _losses_along(state, before, along_own, rates)
        finally:
            _place(model, after)
    return pd.DataFrame({"rate": rates, "gradient": gradient, "optimiser": own})


@torch.no_grad()
def _place(model: GPTModel, weights: Mapping[str, Tensor]) -> None:
    for name, weight in model.named_parameters():
        weight.copy_(weights[name])


def _losses_along(
    state: TrainingState, before: Before, direction: Mapping[str, Tensor], rates: Sequence[float]
) -> list[float]:
    """The loss at before - rate x direction for each rate; NaN from where it has climbed too far."""
    losses = [math.nan] * len(rates)
    for number, rate in enumerate(rates):
        _place(state.model, {name: p.sub(direction[name], alpha=rate) for name, p in before.weights.items()})
        loss = loss_without_dropout(state, before.inputs, before.targets).item()
        losses[number] = loss if math.isfinite(loss) else math.nan
        if not loss < before.loss + FAR_ABOVE:
            break
    return losses

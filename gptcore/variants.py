"""Runs that differ on purpose: mistakes, to know them by their curves, and checks, to trust a training loop.

How to read it: ``Unchanged`` names the few places where a run may differ; each class after it changes one of them, in
the words in which the mistake is made in real code. ``TrainingState`` asks the variant of its settings; everything
else in ``training`` is the same for all, so whatever a curve shows, the changed line has done.

What is left out: mistakes that stop a program, because those show themselves; and what a mistake does to a curve
(``gallery`` records it, ``diagnosis`` reads it). A run goes on from its checkpoint as ever. With dropout left on,
evaluations draw random numbers, so such a run, stopped inside an evaluation, goes on with other ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptcore.batches import TrainingData
from gptcore.config import Variant
from gptcore.model import Block, CausalSelfAttention, GPTModel, KVCache


class Unchanged:
    """A run as it should be."""

    plain_loss = False  # whether the loss has to go through the head itself: the fused one makes its own scores

    def data(self, data: TrainingData) -> TrainingData:
        """What is trained on, and what judges."""
        return data

    def change_model(self, model: GPTModel) -> None:
        """The model, changed in place; its weights stay the same objects."""

    def change_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        """The optimiser, changed in place."""

    def windows(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """All windows of one part of the text, (windows, T) each."""
        return inputs, targets

    def batch_number(self, step: int) -> int:
        """Which batch this update sees."""
        return step

    def targets(self, targets: Tensor, seed: int, step: int) -> Tensor:
        """What one batch is to predict, (B, T)."""
        del seed, step
        return targets


# ------------------------------------------------------------------------------------------------------------- mistakes


class UnmaskedSelfAttention(CausalSelfAttention):
    """Attention without its causal mask: each token gathers from all tokens, those that it is to predict included."""

    def __init__(self, masked: CausalSelfAttention) -> None:
        nn.Module.__init__(self)
        self.n_heads, self.drop_rate = masked.n_heads, masked.drop_rate
        self.qkv, self.out_proj = masked.qkv, masked.out_proj

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.split_heads(x)  # 3 x (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # (B, H, past + T, D)
        dropout = self.drop_rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)  # is_causal=True is missing
        return self.out_proj(mixed.transpose(1, 2).reshape(B, T, C))  # (B, T, C)


class NoMask(Unchanged):
    """The causal mask was forgotten, so the answer stands in the input."""

    def change_model(self, model: GPTModel) -> None:
        for block in model.blocks:
            if isinstance(block, Block):
                block.attention = UnmaskedSelfAttention(block.attention)


class NotShifted(Unchanged):
    """The targets were not moved by one token: the model is to say what it has just read."""

    def windows(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        del targets
        return inputs, inputs


class NoZeroGrad(Unchanged):
    """``optimiser.zero_grad()`` was forgotten: each update follows the sum of all gradients so far."""

    def change_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad = _forgotten  # type: ignore[method-assign]
        optimiser.register_step_post_hook(_keep_gradients)
        for weight, memory in optimiser.state.items():  # of a run that goes on
            weight.grad = memory["gradient"]


def _forgotten(set_to_none: bool = True) -> None:
    del set_to_none


def _keep_gradients(optimiser: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
    """Make the piled-up gradients part of the optimiser's memory, which checkpoints save."""
    for group in optimiser.param_groups:
        for weight in group["params"]:
            optimiser.state[weight]["gradient"] = weight.grad


class SoftmaxHead(nn.Linear):
    """A head that gives probabilities where the loss expects scores."""

    def __init__(self, head: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.weight, self.bias = (
            head.in_features,
            head.out_features,
            head.weight,
            head.bias,
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x), dim=-1)  # (B, T, C) -> (B, T, V)


class SoftmaxTwice(Unchanged):
    """The model ends in a softmax, and the loss takes another one of its result."""

    plain_loss = True

    def change_model(self, model: GPTModel) -> None:
        model.head = SoftmaxHead(model.head)


class DropoutLeftOn(Unchanged):
    """``model.eval()`` was forgotten: evaluations and samples are made with dropout on."""

    def change_model(self, model: GPTModel) -> None:
        if model.config.drop_rate == 0:
            raise ValueError("variant=dropout-left-on changes nothing at drop_rate=0: choose a dropout above 0")
        model.eval = model.train  # type: ignore[method-assign]


# --------------------------------------------------------------------------------------------------------------- checks


class OneBatch(Unchanged):
    """Every update sees the first batch: a model that can learn at all learns it by heart."""

    def batch_number(self, step: int) -> int:
        del step
        return 0


class TrainAsValidation(Unchanged):
    """The training text judges as well: both losses are the same number, or the two are measured differently."""

    def data(self, data: TrainingData) -> TrainingData:
        return replace(data, validation_ids=data.train_ids)


class ShuffledTargets(Unchanged):
    """Each batch has its own targets in a new order: nothing is left to learn but how often each token occurs."""

    def targets(self, targets: Tensor, seed: int, step: int) -> Tensor:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
        mixed = torch.randperm(targets.numel(), generator=generator)
        return targets.flatten()[mixed].view_as(targets)


VARIANTS: dict[Variant, Unchanged] = {
    "none": Unchanged(),
    "no-mask": NoMask(),
    "not-shifted": NotShifted(),
    "no-zero-grad": NoZeroGrad(),
    "softmax-twice": SoftmaxTwice(),
    "dropout-left-on": DropoutLeftOn(),
    "one-batch": OneBatch(),
    "train-as-validation": TrainAsValidation(),
    "shuffled-targets": ShuffledTargets(),
}

"""What makes training quick: a fused head and loss, and a fused optimiser.

How to read it: not on a first reading. With GPT-2's 50,257 tokens the plain ``cross_entropy(head(x))`` writes
several whole (N, V) arrays of hundreds of megabytes; on a small model that is nearly all of a step's time. Here
``_loss_and_gradients`` walks through the N positions in chunks that stay in the processor's cache, and makes
the gradients at once, while each chunk is still there. In the legend of ``model``, N = B x T: positions.

Each piece equals its plain form. For a batch of 60 tokens or more: in float32 the loss within 1e-6 of itself and
each number of a gradient within 4e-8; in bfloat16 the loss within 2e-3 of itself and a gradient within 4e-3 of its
length, for it is rounded two or three times by up to 2e-3. The tests hold these figures.

What is left out: the plain forms, which are in ``loss`` and ``model``, and GPU kernels: see Liger Kernel (Hsu et
al. 2024), whose idea this is, and Cut Cross-Entropy (Wijmans et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from gptcore.config import Precision
from gptcore.loss import mean_loss
from gptcore.model import GPTModel
from gptcore.parameters import chunk_rows

SLAB = 2**22  # numbers of the weight gradient made at a time in bfloat16: 8 MiB, about a cache
COMPUTE_TYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ALIGNMENT = 64  # rows of 50,257 numbers start at odd addresses; with 50,304 the bfloat16 products are 10-20 % faster


def _in_dtype(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """The head's weight to multiply with: itself, or a copy in ``dtype`` with zero rows up to the alignment."""
    if weight.dtype == dtype:
        return weight
    copy = weight.new_empty(len(weight) + -len(weight) % ALIGNMENT, weight.size(1), dtype=dtype)
    copy[: len(weight)] = weight
    copy[len(weight) :] = 0
    return copy


def _losses(chunk: Tensor, x: Tensor, weight: Tensor, targets: Tensor, offsets: Tensor | None) -> Tensor:
    """-log p(target) of each row, in nats, (n,); turns ``chunk`` in place from softmax into softmax minus one-hot."""
    p = chunk.gather(1, targets[:, None])
    chunk.scatter_(1, targets[:, None], 0)
    rest = chunk.sum(dim=1, keepdim=True)  # 1 - p with all its digits, where bfloat16 rounds p = 0.999 to 1
    chunk.scatter_(1, targets[:, None], -rest)
    losses = torch.where(p < 0.5, -p.float().log(), -torch.log1p(-rest.float())).squeeze(1)
    lost = p.squeeze(1) < torch.finfo(p.dtype).tiny  # above 87 nats, as an untrained model with large weights has
    if lost.any():
        bias = None if offsets is None else offsets.to(x.dtype)
        losses[lost] = F.cross_entropy(F.linear(x[lost], weight, bias).float(), targets[lost], reduction="none")
    return losses


def _add_weight_gradient(total: Tensor, d_logits: Tensor, x: Tensor) -> None:
    """Add one chunk's d_logits^T x to ``total`` (V, C), which is float32 so that the sum over chunks stays exact."""
    if total.dtype == x.dtype:
        total.addmm_(d_logits.t(), x)
        return
    # A bfloat16 product cannot be added into float32 in one call: slab by slab, it is added while in the cache.
    rows = max(1, SLAB // x.size(1))
    for slab, d_slab in zip(torch.split(total, rows), torch.split(d_logits, rows, dim=1), strict=True):
        slab.add_(d_slab.t() @ x)


def _loss_and_gradients(
    hidden: Tensor, weight: Tensor, targets: Tensor, offsets: Tensor | None, dtype: torch.dtype, gradients: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Mean loss in nats and, if asked, its gradients by ``hidden`` (N, C) and ``weight`` (V, C)."""
    (N, C), V = hidden.shape, len(weight)
    x, w = hidden.to(dtype), _in_dtype(weight, dtype)
    x_mean = (hidden / N).to(dtype)  # the mean's 1/N on the small array, not on (V, C)
    d_hidden = torch.empty_like(hidden) if gradients else None
    d_weight = torch.zeros_like(weight) if gradients else None
    losses = torch.empty(N)
    rows = min(N, chunk_rows(V, C))
    buffer = torch.empty(rows, len(w), dtype=dtype)  # one for all chunks: fresh memory costs as much as the sums

    for start in range(0, N, rows):
        here = slice(start, start + rows)
        chunk = torch.mm(x[here], w.t(), out=buffer[: N - start])  # (n, V): logits
        if offsets is not None:
            chunk[:, :V] += offsets.to(dtype)
        chunk[:, V:] = -torch.inf  # the rows that only align get probability 0
        torch.softmax(chunk, dim=1, out=chunk)  # the same memory, now probabilities
        losses[here] = _losses(chunk[:, :V], x[here], w[:V], targets[here], offsets)
        if d_hidden is not None and d_weight is not None:
            d_hidden[here] = (chunk @ w).to(hidden.dtype) / N
            _add_weight_gradient(d_weight, chunk[:, :V], x_mean[here])
    return losses.mean(), d_hidden, d_weight


class _FusedCrossEntropy(torch.autograd.Function):
    """The gradients are made in the forward pass; backward hands them over, scaled."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, offsets: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        loss, *ctx.gradients = _loss_and_gradients(hidden, weight, targets, offsets, dtype, any(ctx.needs_input_grad))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        # Kept here they would be copied on their way to .grad, (V, C) numbers each step: so given away, once.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the fused loss goes backward once; call fused_cross_entropy again for another pass")
        d_hidden, d_weight = gradients
        if grad_output != 1:
            d_hidden, d_weight = d_hidden.mul_(grad_output), d_weight.mul_(grad_output)
        return d_hidden, d_weight, None, None, None


def fused_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    compute_dtype: torch.dtype = torch.float32,
    offsets: Tensor | None = None,
) -> Tensor:
    """The head and the mean cross-entropy in one, in nats a token, without the (N, V) logits; goes backward once.

    Args:
        hidden: The last hidden states, (N, C), float32.
        weight: The head's weight, (V, C), float32; may be the token embedding (tied).
        targets: The tokens that follow, (N,), int64, each in 0..V-1.
        compute_dtype: float32 for the plain result; bfloat16 multiplies in bfloat16 and sums in float32.
        offsets: Constants to add to the logits, (V,); None for none. No gradient is made for them.

    Raises:
        ValueError: The shapes do not belong together, or there is no target.

    >>> hidden, weight, targets = torch.ones(2, 3), torch.zeros(4, 3), torch.tensor([0, 1])
    >>> round(fused_cross_entropy(hidden, weight, targets).item(), 4)  # ln 4: four tokens, all alike
    1.3863
    """
    shapes = [tuple(tensor.shape) for tensor in (hidden, weight, targets)]
    if hidden.dim() != 2 or shapes != [hidden.shape, (len(weight), hidden.size(1)), (len(hidden),)] or not len(targets):
        raise ValueError(f"the fused loss needs (N, C), (V, C) and (N,) with N > 0, not {shapes}")
    if not torch.is_grad_enabled():  # an autograd.Function cannot see this from inside
        hidden, weight = hidden.detach(), weight.detach()
    loss: Tensor = _FusedCrossEntropy.apply(hidden, weight, targets, offsets, compute_dtype)  # type: ignore[no-untyped-call]
    return loss


def stream(model: GPTModel, inputs: Tensor, precision: Precision) -> Tensor:
    """The last hidden states of a batch (B, T), in a row: (B x T, C), float32 whatever they were computed in."""
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        return model.hidden(inputs).float().flatten(0, 1)


def fused_loss(model: GPTModel, inputs: Tensor, targets: Tensor, precision: Precision = "float32") -> Tensor:
    """The mean loss of a batch in nats a token, to train on: ``cross_entropy(model(inputs), targets)``, quicker.

    Both are (B, T). "bfloat16" multiplies matrices in bfloat16; weights, norms, sums and gradients stay float32.
    On a graphics card the plain form is taken: the chunks of the fused one are as large as a processor's cache.
    """
    if inputs.device.type != "cpu":
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            return mean_loss(model(inputs), targets)
    hidden = stream(model, inputs, precision)
    return fused_cross_entropy(hidden, model.head.weight, targets.flatten(), COMPUTE_TYPES[precision])


def fused_adamw(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in one pass over memory instead of a dozen: the same formula, about seven times quicker on a CPU."""
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)

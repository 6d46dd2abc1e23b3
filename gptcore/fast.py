"""What makes training quick: a fused head and loss, a fused optimiser, and the question whether bfloat16 pays.

How to read it: not on a first reading. With GPT-2's 50,257 tokens the plain ``cross_entropy(head(x))`` writes
several whole (N, V) arrays of hundreds of megabytes; on a small model that is nearly all of a step's time. Here
``_loss_and_gradients`` walks through the N positions in chunks that stay in the processor's cache, and makes
the gradients at once, while each chunk is still there. In the legend of ``model``, N = B x T: positions.

Each piece equals its plain form: in float32 the loss within 1e-6 of itself and the gradients within 4e-8 (for a
mean loss, whose gradients are below 0.01); in bfloat16 within 2e-3 of themselves, or 4e-3 where a gradient is
rounded twice. The tests hold these figures.

What is left out: the plain forms, which are in ``loss`` and ``model``, and GPU kernels. The same idea for GPUs is
in Liger Kernel (Hsu et al. 2024) and, taken further, in Cut Cross-Entropy (Wijmans et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from gptcore.config import Precision
from gptcore.model import GPTModel

MIB = 2**20
SLAB = 4 * MIB  # numbers of the weight gradient made at a time in bfloat16: 8 MiB, about a cache
ALIGNMENT = 64  # rows of 50,257 numbers start at odd addresses; with 50,304 the bfloat16 products are 10-20 % faster
TRIALS = 25
BFLOAT16_GAIN = 1.25  # bfloat16 costs digits: it has to win clearly, not by the noise of a clock
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _chunk_rows(vocab_size: int, emb_dim: int, dtype: torch.dtype) -> int:
    """How many positions make a chunk of logits.

    Small chunks stay in the cache; but each chunk reads the whole weight and adds to its whole gradient, which
    costs more in a wide model. The figures were measured (C 16, 128, 768): 5 MiB, 14 MiB and 24 MiB a chunk.

    >>> _chunk_rows(50_257, 16, torch.float32), _chunk_rows(50_257, 768, torch.bfloat16)
    (26, 250)
    """
    chunk_bytes = min(24.0, 5.0 * math.sqrt(emb_dim / 16)) * MIB
    return max(1, int(chunk_bytes / (vocab_size * dtype.itemsize)))


def _in_dtype(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """The head's weight to multiply with: itself, or a copy in ``dtype`` with zero rows up to the alignment."""
    if weight.dtype == dtype:
        return weight
    rows, columns = weight.shape
    copy = torch.empty(-(-rows // ALIGNMENT) * ALIGNMENT, columns, dtype=dtype)
    copy[:rows] = weight
    copy[rows:] = 0
    return copy


def _token_losses(probabilities: Tensor, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """-log p(target) of each row, in nats, (n,). Where p is too small for its dtype, from the logits again."""
    p = probabilities.gather(1, targets[:, None]).squeeze(1)
    losses = -p.float().log()
    lost = p < torch.finfo(p.dtype).tiny  # a loss above 87 nats: an untrained model with large weights has them
    if lost.any():
        logits = F.linear(x[lost], weight).float()
        losses[lost] = F.cross_entropy(logits, targets[lost], reduction="none")
    return losses


def _add_weight_gradient(total: Tensor, d_logits: Tensor, x: Tensor) -> None:
    """Add one chunk's d_logits^T x to ``total`` (V, C), which is float32 so that the sum over chunks stays exact."""
    if total.dtype == x.dtype:
        total.addmm_(d_logits.t(), x)
        return
    # A bfloat16 product cannot be added into float32 in one call: slab by slab, it is added while in the cache.
    rows = max(1, SLAB // x.size(1))
    for start in range(0, total.size(0), rows):
        slab = total[start : start + rows]
        slab += d_logits[:, start : start + slab.size(0)].t() @ x


def _loss_and_gradients(
    hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype, gradients: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Mean loss in nats and, if asked, its gradients by ``hidden`` (N, C) and ``weight`` (V, C)."""
    (N, C), V = hidden.shape, weight.size(0)
    x, w = hidden.to(dtype), _in_dtype(weight, dtype)
    x_mean = x / N if gradients else x  # the mean's 1/N on the small array, not on (V, C)
    d_hidden = torch.empty_like(hidden) if gradients else None
    d_weight = torch.zeros_like(weight) if gradients else None
    losses = torch.empty(N)
    rows = min(N, _chunk_rows(V, C, dtype))
    buffer = torch.empty(rows, w.size(0), dtype=dtype)  # one for all chunks: fresh memory costs as much as the sums

    for start in range(0, N, rows):
        here = slice(start, start + rows)
        chunk = torch.mm(x[here], w.t(), out=buffer[: N - start])  # (n, V): logits
        chunk[:, V:] = -torch.inf  # the rows that only align get probability 0
        torch.softmax(chunk, dim=-1, out=chunk)  # the same memory, now probabilities
        losses[here] = _token_losses(chunk[:, :V], x[here], w[:V], targets[here])
        if d_hidden is not None and d_weight is not None:
            chunk.scatter_add_(1, targets[here, None], chunk.new_full((len(chunk), 1), -1))  # softmax minus one-hot
            d_hidden[here] = (chunk @ w).to(hidden.dtype) / N
            _add_weight_gradient(d_weight, chunk, x_mean[here])
    return losses.mean(), d_hidden, d_weight


class _FusedCrossEntropy(torch.autograd.Function):
    """The gradients are made in the forward pass; backward hands them over, scaled."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        loss, *ctx.gradients = _loss_and_gradients(hidden, weight, targets, dtype, wanted)
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None, None]:
        # Kept here they would be copied on their way to .grad, (V, C) numbers each step: so given away, once.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the fused loss goes backward once; call fused_cross_entropy again for another pass")
        d_hidden, d_weight = gradients
        if grad_output != 1:
            d_hidden, d_weight = d_hidden.mul_(grad_output), d_weight.mul_(grad_output)
        return d_hidden, d_weight, None, None


def fused_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, compute_dtype: torch.dtype = torch.float32
) -> Tensor:
    """Linear head and mean cross-entropy in one, without ever holding the (N, V) logits.

    Args:
        hidden: The last hidden states, (N, C), float32.
        weight: The head's weight, (V, C), float32; may be the token embedding (tied).
        targets: The tokens that follow, (N,), int64, each in 0..V-1.
        compute_dtype: float32 for the plain result; bfloat16 multiplies in bfloat16 and sums in float32.

    Returns:
        The mean loss, a scalar in nats a token. It goes backward once.

    Raises:
        ValueError: The shapes do not belong together, or there is no target.

    Source: Hsu et al. 2024, "Liger Kernel", section 3.2, for CPUs.

    >>> hidden, weight, targets = torch.ones(2, 3), torch.zeros(4, 3), torch.tensor([0, 1])
    >>> round(fused_cross_entropy(hidden, weight, targets).item(), 4)  # ln 4: four tokens, all alike
    1.3863
    """
    if hidden.dim() != 2 or targets.shape != hidden.shape[:1] or weight.shape[1:] != hidden.shape[1:]:
        shapes = f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}, targets {tuple(targets.shape)}"
        raise ValueError(f"the fused loss needs (N, C), (V, C) and (N,), not {shapes}")
    if targets.numel() == 0:
        raise ValueError("the mean loss of 0 targets is not defined; give at least one")
    if not torch.is_grad_enabled():  # an autograd.Function cannot see this from inside
        hidden, weight = hidden.detach(), weight.detach()
    loss: Tensor = _FusedCrossEntropy.apply(hidden, weight, targets, compute_dtype)
    return loss


def fused_loss(model: GPTModel, inputs: Tensor, targets: Tensor, precision: Precision = "float32") -> Tensor:
    """The mean loss of a batch in nats a token, to train on: ``cross_entropy(model(inputs), targets)``, quicker.

    ``inputs`` and ``targets`` are (B, T). With "bfloat16" matrices are multiplied in bfloat16; weights, norms, sums
    and gradients stay float32.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        hidden = model.hidden(inputs)  # (B, T, C)
    return fused_cross_entropy(hidden.float().flatten(0, 1), model.head.weight, targets.flatten(), DTYPES[precision])


@torch.no_grad()
def evaluation_loss(model: GPTModel, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of a batch (B, T) in nats a token: float32, no dropout, no gradients, no whole logits.

    The model is put into evaluation mode and back into the mode it came in.
    """
    was_training = model.training
    try:
        return fused_loss(model.eval(), inputs, targets)
    finally:
        model.train(was_training)


def fused_adamw(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in one pass over memory instead of a dozen: the same formula, about seven times quicker on a CPU."""
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)


def _gemm_seconds(dtype: torch.dtype) -> float:
    a, b = torch.ones(128, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    start = perf_counter()
    torch.mm(a, b)
    return perf_counter() - start


@cache
def bfloat16_pays() -> bool:
    """Whether this processor multiplies matrices clearly faster in bfloat16 than in float32.

    Measured at the first call (about 20 ms) and remembered: a processor's name tells what it can do, not how fast,
    and without hardware for it bfloat16 is slower. Many short trials in turn, the best of each kind counts: some
    then fall between the work of others, who may share the machine.
    """
    trials = [(_gemm_seconds(torch.float32), _gemm_seconds(torch.bfloat16)) for _ in range(TRIALS)]
    float32, bfloat16 = map(min, zip(*trials, strict=True))
    return float32 > BFLOAT16_GAIN * bfloat16

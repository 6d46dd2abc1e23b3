"""What the notebook with gaps needs: a check for each gap, and a model that is trained through what was filled in.

How to read it: a check calls the student's function and compares it with what is known; each ends in a sentence. The
two at the end let the filled-in functions train a model. As in ``standalone``, nothing is called here.

What is left out: the gaps themselves (``exercise``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptcore.batches import prepare
from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.loss import mean_loss
from gptcore.model import Block, CausalSelfAttention, KVCache, attention_step_by_step
from gptcore.sampling import _softmax, cut_top_k
from gptcore.training import TrainingState, new_state, next_batch


def check_mask() -> None:
    """Hold gap 1 to PyTorch's own causal attention."""
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, 2, 5, 4, generator=generator) for _ in range(3))
    mixed, weights = attention_step_by_step(q, k, v)
    later = weights.triu(1).abs().max().item()
    assert later == 0, f"a token looks at one that comes after it, with a weight of up to {later:.3f}"
    assert torch.allclose(weights.sum(-1), torch.ones(1, 2, 5)), "the weights of a token don't sum to 1"
    wanted = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(mixed, wanted, atol=1e-6), "this is not what PyTorch's causal attention gives"
    last, _ = attention_step_by_step(q[:, :, 3:], k, v)
    assert torch.allclose(last, wanted[:, :, 3:], atol=1e-6), "queries of the last two tokens may see all before them"
    print("Gap 1 is filled: no token sees a later one.")


def check_loss() -> None:
    """Hold gap 2 to two sums by hand."""
    blind = mean_loss(torch.zeros(2, 3, 50_257), torch.zeros(2, 3, dtype=torch.long))
    assert blind is not None, "the function returns nothing"
    assert math.isclose(blind.item(), math.log(50_257), rel_tol=1e-5), (
        f"a blind guess among 50,257 tokens costs ln 50,257 = {math.log(50_257):.3f} nats, not {blind.item():.3f}"
    )
    logits = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]).log()
    loss = mean_loss(logits, torch.tensor([[0, 2]])).item()
    wanted = -(math.log(0.5) + math.log(0.8)) / 2
    assert math.isclose(loss, wanted, rel_tol=1e-5), f"-(ln 0.5 + ln 0.8) / 2 is {wanted:.4f}, not {loss:.4f}"
    print("Gap 2 is filled: the loss is the mean of -ln p(target).")


def check_top_k() -> None:
    """Hold gap 3 to what top-k says, ties and all."""
    for logits, k, wanted in (
        ([1.0, 4.0, 3.0, 2.0], 2, [False, True, True, False]),
        ([1.0, 3.0, 3.0, 3.0], 2, [False, True, True, False]),  # of equals the lowest ids stay
        ([2.0, 2.0, 2.0, 5.0], 3, [True, True, False, True]),
        ([1.0, 2.0], 5, [True, True]),
    ):
        kept = cut_top_k(torch.tensor(logits), k)
        assert kept is not None, "the function returns nothing"
        assert kept.tolist() == wanted, f"of {logits} with k = {k} this is kept: {wanted}, not {kept.tolist()}"
    rows = cut_top_k(torch.tensor([[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]]), 1).tolist()
    assert rows == [[False, False, True], [True, False, False]], "each row has a choice of its own"
    print("Gap 3 is filled: exactly k tokens stay.")


def check_temperature() -> None:
    """Hold gap 4 to the formula, and to temperatures at which the formula overflows."""
    logits, every = torch.tensor([2.0, 1.0, -1.0]).double(), torch.ones(3, dtype=torch.bool)
    for temperature in (0.5, 1.0, 2.0):
        found, wanted = _softmax(logits, every, temperature), torch.softmax(logits / temperature, dim=-1)
        assert torch.allclose(found, wanted), f"at T = {temperature} it is {wanted.tolist()}, not {found.tolist()}"
    cut = _softmax(logits, torch.tensor([False, True, True]), 1.0)
    assert cut[0] == 0, "a token that is cut keeps a probability"
    assert math.isclose(cut.sum().item(), 1.0, rel_tol=1e-9), "what is left does not sum to 1"
    tiny = _softmax(logits, every, 1e-320)
    assert tiny.tolist() == [1.0, 0.0, 0.0], f"at T = 1e-320 the likeliest takes all, not {tiny.tolist()}"
    print("Gap 4 is filled: temperature stretches and shrinks the differences between logits.")


class TaughtAttention(CausalSelfAttention):
    """Attention through the function with the gap, with the weights of the fused form."""

    def __init__(self, fused: CausalSelfAttention) -> None:
        nn.Module.__init__(self)
        self.n_heads, self.drop_rate = fused.n_heads, fused.drop_rate
        self.qkv, self.out_proj = fused.qkv, fused.out_proj

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.split_heads(x)  # 3 x (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # (B, H, past + T, D)
        mixed, _ = attention_step_by_step(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).reshape(B, T, C))  # (B, T, C)


def learn(text: Text, shape: GPTConfig, settings: TrainConfig, updates: int) -> tuple[TrainingState, list[float]]:
    """Train a model whose attention and loss are the student's.

    Returns:
        The state at the end, and the loss of each batch in nats a token.
    """
    state = new_state(shape, settings, prepare(text, shape, settings))
    for block in state.model.blocks:
        if isinstance(block, Block):
            block.attention = TaughtAttention(block.attention)
    losses = []
    for step in range(updates):
        state.step = step
        inputs, targets = next_batch(state)
        state.optimiser.zero_grad()
        loss = mean_loss(state.model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimiser.step()
        losses.append(loss.item())
    return state, losses

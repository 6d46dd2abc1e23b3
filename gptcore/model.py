"""The GPT, whole, to be read from top to bottom.

Shapes are written at the end of a line, in this legend:

    B  batch: texts side by side          V  vocabulary: tokens that exist
    T  time: tokens in the window         C  channels: the embedding width
    H  attention heads                    D  width of one head, C / H

How to read it: the five classes in their order. ``attention_step_by_step`` is the readable twin of the one fused
call in ``CausalSelfAttention``; a test holds the two equal. The field names of ``GPTConfig`` are the book's.

What is left out: training (``training``), loss (``loss``), drawing a token (``sampling``), GPT-2's names
(``pretrained``). The architecture is that of Radford et al. 2019 ("GPT-2"), as in Raschka, chapters 3 and 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptcore.config import GPTConfig

INIT_STD = 0.02  # GPT-2's standard deviation for new weights (Radford et al. 2018, section 4.1)


class LayerNorm(nn.Module):
    """Shift and scale each token's C numbers to mean 0 and variance 1, then by two learned vectors."""

    eps = 1e-5  # keeps the division finite when all C numbers are equal

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(emb_dim))
        self.bias = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)  # (B, T, C)


def attention_step_by_step(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Causal attention in the order in which it is taught: score, scale, mask, soften, mix.

    Args:
        q: Queries, (B, H, Tq, D): what each new token looks for.
        k: Keys, (B, H, Tk, D): what each token offers, Tk >= Tq; the queries belong to the last Tq tokens.
        v: Values, (B, H, Tk, D): what each token passes on.

    Returns:
        The mixed values (B, H, Tq, D) and the attention weights (B, H, Tq, Tk), whose rows sum to 1.

    Source: Vaswani et al. 2017, equation 1; Raschka, section 3.5.
    """
    scores = q @ k.transpose(-2, -1)  # (B, H, Tq, Tk)
    scores = scores / math.sqrt(q.size(-1))
    queries, keys = scores.shape[-2:]
    past = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)  # (Tq, Tk)
    scores = scores.masked_fill(~past, -torch.inf)  # no token sees a later one
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights


class KVCache:
    """Keys and values of the tokens already read, so that each new token is computed alone.

    One cache belongs to one growing text; it holds at most ``context_length`` tokens.
    """

    def __init__(
        self,
        config: GPTConfig,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        shape = (config.n_layers, batch, config.n_heads, config.context_length, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)  # (L, B, H, T, D)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.length = 0  # tokens held

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values, both (B, H, new, D); return all of that layer's, old and new."""
        end = self.length + k.size(2)
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class CausalSelfAttention(nn.Module):
    """Each token gathers from itself and the tokens before it, in H heads at once."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.drop_rate = config.drop_rate
        # Queries, keys and values in one matrix: the same numbers as three layers made one after the other.
        self.qkv = nn.Linear(config.emb_dim, 3 * config.emb_dim, bias=config.qkv_bias)
        self.out_proj = nn.Linear(config.emb_dim, config.emb_dim)

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The queries, keys and values of x (B, T, C), each (B, H, T, D)."""
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_heads, C // self.n_heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        B, T, C = x.shape
        q, k, v = self.split_heads(x)  # 3 x (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # (B, H, past + T, D)
        if k.size(2) == T:  # no past: the fused form of attention_step_by_step
            dropout = self.drop_rate if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        elif T == 1:  # one new token may see all of the past: nothing to mask
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed, _ = attention_step_by_step(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).reshape(B, T, C))  # (B, T, C)


class FeedForward(nn.Module):
    """Each token thinks for itself: four times wider, a soft switch, and back."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.emb_dim, 4 * config.emb_dim)
        self.down = nn.Linear(4 * config.emb_dim, config.emb_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))  # (B, T, C) -> (B, T, 4C) -> (B, T, C)


class Block(nn.Module):
    """Listen to the others, then think alone; both only add to the stream that passes by."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention = CausalSelfAttention(config)
        self.feed_forward = FeedForward(config)
        self.norm1 = LayerNorm(config.emb_dim)
        self.norm2 = LayerNorm(config.emb_dim)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x), cache, layer))
        return x + self.dropout(self.feed_forward(self.norm2(x)))  # (B, T, C)


class GPTModel(nn.Module):
    """Token ids in, one score for every token of the vocabulary out.

    Args:
        config: The shape of the model.

    >>> model = GPTModel(GPTConfig(vocab_size=11, context_length=8, emb_dim=4, n_heads=2, n_layers=1))
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 11])
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        # The order of these lines is part of the recipe: it fixes which random numbers become which weights.
        self.token_embedding = nn.Embedding(config.vocab_size, config.emb_dim)
        self.position_embedding = nn.Embedding(config.context_length, config.emb_dim)
        self.dropout = nn.Dropout(config.drop_rate)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.final_norm = LayerNorm(config.emb_dim)
        self.head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)
        if config.tie_weights:
            self.head.weight = self.token_embedding.weight
            self.initialise_like_gpt2()

    def initialise_like_gpt2(self) -> None:
        """Small normal weights, zero biases, and quieter projections into the stream.

        PyTorch's defaults draw embeddings from N(0, 1): tied to the head they give a first loss near 86
        instead of ln V = 10.8. Source: Radford et al. 2019, section 2.3.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                into_the_stream = name.endswith(("out_proj.weight", "down.weight"))
                scale = 1 / math.sqrt(2 * self.config.n_layers) if into_the_stream else 1.0
                nn.init.normal_(parameter, std=INIT_STD * scale)

    def hidden(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """All but the head: token ids to the normalised stream.

        Args:
            ids: Token ids (B, T), int64, each in 0..V-1.
            cache: The past of this text; ``ids`` are then only the new tokens, and the cache grows by them.

        Returns:
            The last hidden state of every position, (B, T, C).

        Raises:
            ValueError: More tokens than the context holds.
        """
        past = cache.length if cache is not None else 0
        if past + ids.size(1) > self.config.context_length:
            raise ValueError(f"{past + ids.size(1)} tokens exceed context_length={self.config.context_length}")
        positions = torch.arange(past, past + ids.size(1), device=ids.device)  # (T)
        x = self.token_embedding(ids) + self.position_embedding(positions)  # (B, T, C)
        x = self.dropout(x)
        for layer, block in enumerate(self.blocks):
            x = block(x, cache, layer)
        if cache is not None:
            cache.length += ids.size(1)
        return self.final_norm(x)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) to logits (B, T, V): position t scores what may stand at t + 1."""
        return self.head(self.hidden(ids))

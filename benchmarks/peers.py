"""The two that we are measured against, as their own users run them: the book's package, and transformers.

How to read it: ``Peer`` is one of them; ``missing`` says why a peer can't be measured here. Both do their arithmetic in
float32 and make whole logits; their optimiser is PyTorch's AdamW as their documentation writes it.

The book's package asks for TensorFlow and JupyterLab, which nothing here needs, and for an older NumPy: so it is no
dependency, and is installed by hand, without what it asks for.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from gptcore.config import GPTConfig

BOOK, TRANSFORMERS = "book", "transformers"
MODULES = {BOOK: "llms_from_scratch", TRANSFORMERS: "transformers"}
INSTALL = {
    BOOK: "pip install --no-deps llms-from-scratch==1.0.19",
    TRANSFORMERS: "pip install -r requirements-dev.txt",
}


def missing(peer: str) -> str:
    """Why this peer can't be measured: "" where it can.

    >>> missing("transformers") in ("", "transformers is not installed: pip install -r requirements-dev.txt")
    True
    """
    if importlib.util.find_spec(MODULES[peer]) is not None:
        return ""
    return f"{MODULES[peer]} is not installed: {INSTALL[peer]}"


def present() -> list[str]:
    """The peers that are here."""
    return [peer for peer in MODULES if not missing(peer)]


def book_model(shape: GPTConfig) -> nn.Module:
    """The book's model of this shape; it knows no tied head."""
    from llms_from_scratch.ch04 import GPTModel

    names = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "drop_rate", "qkv_bias")
    return GPTModel({name: getattr(shape, name) for name in names})


def transformers_model(shape: GPTConfig) -> nn.Module:
    """GPT-2 of this shape in transformers; its queries, keys and values always have a bias."""
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it warns of token ids that a small vocabulary lacks
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocab_size,
        n_positions=shape.context_length,
        n_embd=shape.emb_dim,
        n_layer=shape.n_layers,
        n_head=shape.n_heads,
        resid_pdrop=shape.drop_rate,
        embd_pdrop=shape.drop_rate,
        attn_pdrop=shape.drop_rate,
        tie_word_embeddings=shape.tie_weights,
    )
    return GPT2LMHeadModel(config)


def scores(peer: str, model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """A peer's logits (B, T, V) for token ids (B, T)."""
    return model(ids) if peer == BOOK else model(ids).logits


def step(peer: str, shape: GPTConfig, batch: int) -> Callable[[], None]:
    """One update of a peer on random tokens."""
    model = (book_model(shape) if peer == BOOK else transformers_model(shape)).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1)
    ids = torch.randint(0, shape.vocab_size, (batch, shape.context_length + 1))

    def update() -> None:
        optimiser.zero_grad()
        logits = scores(peer, model, ids[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimiser.step()

    return update

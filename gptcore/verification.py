"""Are these the weights that were published? Figures of others, measured again on the model at hand.

How to read it: ``next_tokens`` and ``verdict_losses`` measure; ``verify`` sets them beside the published figures, one
``Check`` a line. What is left out: whether a text sounds right, which proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.loss import mean_loss
from gptcore.model import GPTModel
from gptcore.published import GPT2_NEXT_TOKENS, THE_VERDICT_LOSSES, PublishedLoss, PublishedToken
from gptcore.sampling import next_logits
from gptcore.tokenizer import load_tokenizer, show_token
from gptcore.windows import make_windows, split_text

PROBABILITY_TOLERANCE = 0.005  # the figures were computed in float32 by another program
LOSS_TOLERANCE = 0.005
WINDOW = 256  # of the book's loaders, which cut the text without overlap
LIKELIEST = 20
LOSSES = {"gpt2-small": THE_VERDICT_LOSSES[0], "gpt2-xl": THE_VERDICT_LOSSES[1]}


class Check(NamedTuple):
    """One published figure and what was measured."""

    what: str
    published: str
    measured: str
    passed: bool


def next_tokens(model: GPTModel, prompt: str) -> list[PublishedToken]:
    """The 20 likeliest next tokens, at temperature 1 and without a cut, in the form of the published ones."""
    tokenizer = load_tokenizer()
    probabilities = torch.softmax(next_logits(model, tokenizer.encode(prompt)).double(), dim=-1)
    values, ids = torch.topk(probabilities, LIKELIEST)
    return [
        PublishedToken(token_id, show_token(tokenizer.token_bytes(token_id)), value)
        for token_id, value in zip(ids.tolist(), values.tolist(), strict=True)
    ]


@torch.inference_mode()
def verdict_losses(model: GPTModel, text: str) -> tuple[float, float]:
    """Mean losses on both parts of The Verdict, over the book's windows, in nats a token."""
    tokenizer = load_tokenizer()
    losses = []
    for part in split_text(text, 0.9):
        inputs, targets = make_windows(torch.tensor(tokenizer.encode(part, special=True)), WINDOW, WINDOW)
        each = [mean_loss(model(x[None]), y[None]) for x, y in zip(inputs, targets, strict=True)]
        losses.append(float(torch.stack(each).mean()))
    return losses[0], losses[1]


def check_next_tokens(model: GPTModel, published: Mapping[str, Sequence[PublishedToken]]) -> list[Check]:
    """Each prompt's 20 likeliest tokens: the likeliest is the same, and no probability is far off."""
    checks = []
    for prompt, figures in published.items():
        found = {each.token_id: each.probability for each in next_tokens(model, prompt)}
        off = max(abs(found.get(figure.token_id, 0.0) - figure.probability) for figure in figures)
        first = next(iter(found))
        passed = first == figures[0].token_id and off <= PROBABILITY_TOLERANCE
        name = show_token(load_tokenizer().token_bytes(first))
        checks.append(
            Check(
                f"after {prompt!r}",
                f"{figures[0].token!r} {figures[0].probability:.4f}",
                f"{name!r} {found[first]:.4f}; of {len(figures)} probabilities the farthest is off by {off:.4f}",
                passed,
            )
        )
    return checks


def check_losses(model: GPTModel, text: str, published: PublishedLoss) -> list[Check]:
    """The losses on The Verdict, training part and validation part."""
    return [
        Check(
            f"loss on The Verdict, {part} part",
            f"{figure:.4f}",
            f"{loss:.4f}, off by {loss - figure:+.4f}",
            abs(loss - figure) <= LOSS_TOLERANCE,
        )
        for part, figure, loss in zip(
            ("training", "validation"),
            (published.train, published.validation),
            verdict_losses(model, text),
            strict=True,
        )
    ]


def published_size(config: GPTConfig) -> str:
    """Which published model has this shape.

    Raises:
        ValueError: None of those that figures are known of.
    """
    for name in LOSSES:
        wanted = MODEL_PRESETS[name]
        if (config.n_layers, config.emb_dim, config.vocab_size) == (wanted.n_layers, wanted.emb_dim, wanted.vocab_size):
            return name
    raise ValueError(
        f"no figures were published for a model of {config.n_layers} blocks, {config.emb_dim} wide: "
        "GPT-2 124M (12 blocks, 768 wide) and GPT-2 XL (48 blocks, 1,600 wide) can be verified"
    )


def verify(model: GPTModel, text: str | None) -> list[Check]:
    """Measure all figures that were published of a model of this shape.

    Args:
        model: GPT-2 124M, or XL.
        text: The Verdict; without it the losses are not measured.

    Raises:
        ValueError: A shape of which no figures are known.
    """
    size = published_size(model.config)
    checks = check_next_tokens(model, GPT2_NEXT_TOKENS) if size == "gpt2-small" else []
    if text is not None:
        checks += check_losses(model, text, LOSSES[size])
    return checks

"""Temperature changes what a model says. Does it change what it knows?

How to read it: ``write`` draws a text at one temperature, from the model's own generator of random numbers;
``validation_loss`` is what the model knows of a text that it never saw. The loss is made of the model's own
probabilities; no rule of sampling touches them, so it is one number for every temperature.

What is left out: how much of a text is copied (``recitation``), and top-k and top-p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor

from gptcore.config import SamplingConfig
from gptcore.loss import mean_loss
from gptcore.model import GPTModel
from gptcore.sampling import generate
from gptcore.tokenizer import Tokenizer
from gptcore.windows import make_windows

TEMPERATURES = (0.0, 0.5, 1.0, 1.5, 2.0)


class Written(NamedTuple):
    """A text with its prompt, and how many tokens were drawn for it."""

    text: str
    drawn: int


def write(
    model: GPTModel,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    rules: SamplingConfig,
    tokens: int,
    stop: Callable[[], bool] = lambda: False,
) -> Written:
    """Go on with a prompt; the same seed gives the same text.

    Args:
        model: Any GPT.
        tokenizer: Its tokenizer.
        prompt_ids: At least one token.
        rules: The rules of the draw.
        tokens: How many to draw at most.
        stop: Asked before each token; once it says so, the text ends there.
    """
    drawing = generate(model, list(prompt_ids), rules, tokens)
    new = [drawn.token_id for drawn in takewhile(lambda _: not stop(), drawing)]
    return Written(tokenizer.decode([*prompt_ids, *new]), len(new))


@torch.inference_mode()
def validation_loss(model: GPTModel, ids: Tensor, most_windows: int) -> float | None:
    """The mean loss on evenly spread windows of a text, one after the other.

    Args:
        model: In evaluation mode.
        ids: The validation part, (n,), int64, in the model's own vocabulary.
        most_windows: How many windows are read at most.

    Returns:
        Nats a token; None where the text holds no window.
    """
    T = model.config.context_length
    inputs, targets = make_windows(ids, T, T)
    if not len(inputs):
        return None
    chosen = torch.linspace(0, len(inputs) - 1, min(most_windows, len(inputs))).round().long()
    losses = [mean_loss(model(inputs[i : i + 1]), targets[i : i + 1]).item() for i in chosen.tolist()]
    return sum(losses) / len(losses)

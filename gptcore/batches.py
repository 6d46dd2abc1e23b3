"""What a run trains on: a text made ready, and the order in which its windows are met.

How to read it: ``prepare`` turns a text into tokens for training and for judging; ``epoch_order`` is how our runs
shuffle; the two ``book_...`` orders repeat what PyTorch's DataLoader does in the book, random draw by random draw.

What is left out: loading from disk while training. A text of 2 million tokens is 16 MB and lies in memory whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text, TextError
from gptcore.tokenizer import CompactTokenizer, Tokenizer, load_tokenizer
from gptcore.windows import open_parts, seal_text, window_counts


def epoch_order(windows: int, seed: int, epoch: int) -> Tensor:
    """The order in which one epoch meets its windows: a function of seed and epoch alone.

    So a run that was interrupted goes on where it stood, whatever was evaluated or drawn in between.

    Returns:
        A permutation of 0..windows-1, (windows,), int64.
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(windows, generator=generator)


def book_shuffled_order(windows: int) -> Tensor:
    """The order of ``DataLoader(shuffle=True)``, with the same two draws from PyTorch's global generator.

    The loader draws a base seed that it would hand to worker processes, then a seed for its shuffle. Whoever makes
    a loader therefore moves all later random numbers: why a reader's digits change with the evaluation interval.

    Returns:
        A permutation of 0..windows-1, (windows,), int64.
    """
    book_plain_order(windows)
    seed = int(torch.empty((), dtype=torch.int64).random_().item())
    return torch.randperm(windows, generator=torch.Generator().manual_seed(seed))


def book_plain_order(windows: int) -> Tensor:
    """The order of ``DataLoader(shuffle=False)``: as they come, yet one number is drawn all the same."""
    torch.empty((), dtype=torch.int64).random_()
    return torch.arange(windows)


def spread_order(windows: int, wanted: int) -> Tensor:
    """Up to ``wanted`` windows, evenly spread over the text: the same at every evaluation of a fast run.

    >>> spread_order(9, 3).tolist()
    [0, 4, 8]
    """
    return torch.linspace(0, windows - 1, min(wanted, windows)).round().long() if windows else torch.arange(0)


PROMPT_TOKENS = 6


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A text, ready for one run.

    Attributes:
        tokenizer: GPT-2's, or the compact one of this text.
        train_ids: Tokens to learn from, (N,), int64.
        validation_ids: Tokens to be judged by, (M,), int64; never trained on.
        prompt: What the model is asked to go on with.
    """

    tokenizer: Tokenizer
    train_ids: Tensor
    validation_ids: Tensor
    prompt: str


def choose_tokenizer(text: Text, config: TrainConfig) -> Tokenizer:
    """GPT-2's tokenizer, or the compact one that knows only what the parts of this text need, a sealed one included.

    Which tokens a sealed part needs is all that a run learns of it: without them the part could not be judged later.
    """
    full = load_tokenizer()
    if not config.compact_vocab:
        return full
    _, sealed = seal_text(text.text, config.sealed_fraction)
    parts = (*open_parts(text.text, config), sealed)
    return CompactTokenizer(full, [token for part in parts for token in full.encode(part)])


def encode_part(tokenizer: Tokenizer, part: str, config: TrainConfig) -> list[int]:
    """The tokens of one part of a text, as a run with these settings reads them."""
    # The book allows the special token in its text; a reference run tokenises as the book does.
    special = {"special": True} if config.reference or config.end_of_text else {}
    return tokenizer.encode(part, **special)


def _own_beginning(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The first few tokens that make whole characters and are read back as themselves."""
    for length in range(PROMPT_TOKENS, min(len(ids), 10 * PROMPT_TOKENS)):
        beginning = tokenizer.decode(ids[:length])
        if "\ufffd" not in beginning and tokenizer.encode(beginning) == ids[:length]:
            return beginning
    raise TextError("no beginning of this text can serve as a prompt; give one, or take the full vocabulary")


def prepare(text: Text, model: GPTConfig, config: TrainConfig) -> TrainingData:
    """Split and tokenise a text, each part alone, and check that there is something to train on.

    Args:
        text: Any text.
        model: Its context length decides what fits.
        config: Split, stride, batch size, vocabulary and prompt.

    Raises:
        TextError: Too short for one window or one batch; the message holds the numbers.
        ValueError: A prompt that a compact vocabulary can't write.
    """
    tokenizer = choose_tokenizer(text, config)
    train_ids, validation_ids = (encode_part(tokenizer, part, config) for part in open_parts(text.text, config))
    T = model.context_length
    counts = window_counts(len(train_ids), T, config.stride or T, config.batch_size, drop_last=True)
    if counts.windows == 0:
        raise TextError(
            f"the training part of {text.title!r} has {len(train_ids):,} tokens; a context of {T} needs at least "
            f"{T} + 1 = {T + 1}: choose a longer text"
            + (f" or a context of at most {len(train_ids) - 1}" if len(train_ids) > 1 else "")
        )
    if counts.batches == 0:
        raise TextError(
            f"the training part of {text.title!r} gives {counts.windows} windows, fewer than one batch of "
            f"{config.batch_size}: choose a batch size of at most {counts.windows}"
        )
    prompt = config.sample_prompt or text.prompt
    try:
        tokenizer.encode(prompt)
    except ValueError:
        if config.sample_prompt:
            raise
        prompt = _own_beginning(tokenizer, train_ids)
    return TrainingData(tokenizer, torch.tensor(train_ids), torch.tensor(validation_ids, dtype=torch.int64), prompt)

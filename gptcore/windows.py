"""From one long list of tokens to the small exercises a model learns from: inputs, and targets one step later.

How to read it: ``split_text`` cuts off the part that is never trained on; ``make_windows`` cuts the rest into windows;
``window_counts`` says what comes out without cutting anything; the orders say in which order windows are met;
``prepare`` does it all for one run.

Context length, stride and shift are three things. The context is how long a window is; the stride is how far apart
two windows start; the shift between input and target is always one token.

What is left out: loading from disk while training. A text of 2 million tokens is 16 MB and lies in memory whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text, TextError
from gptcore.tokenizer import CompactTokenizer, Tokenizer, load_tokenizer


def split_text(text: str, train_fraction: float) -> tuple[str, str]:
    """Cut a text by characters into the part to learn from and the part to be judged by.

    >>> split_text("0123456789", 0.9)
    ('012345678', '9')
    """
    cut = int(len(text) * train_fraction)
    return text[:cut], text[cut:]


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """What a text becomes; every field counts something.

    Attributes:
        windows: Windows that fit the text.
        batches: Batches of one epoch.
        dropped_windows: Windows of a last short batch that ``drop_last`` leaves out.
        targets_used: Tokens that at least one kept window predicts.
        never_targets: Tokens that no kept window predicts, the first token of the text included.
        predictions: Guesses in one epoch, repeated ones counted: kept windows times context length.
        overlap: Tokens that two neighbouring windows share.
    """

    windows: int
    batches: int
    dropped_windows: int
    targets_used: int
    never_targets: int
    predictions: int
    overlap: int


def window_counts(n_tokens: int, context_length: int, stride: int, batch_size: int, drop_last: bool) -> WindowCounts:
    """Count windows, batches and targets by formula, at once for any length.

    Args:
        n_tokens: Tokens in the text.
        context_length: Tokens in a window (T).
        stride: Tokens between two window starts.
        batch_size: Windows in a batch.
        drop_last: Whether a last batch that is not full is left out.

    Raises:
        ValueError: A length, stride or batch size below 1, or a negative number of tokens.

    >>> window_counts(4612, 256, 256, 2, drop_last=True).batches
    9
    """
    if n_tokens < 0 or min(context_length, stride, batch_size) < 1:
        raise ValueError(
            f"n_tokens={n_tokens}, context_length={context_length}, stride={stride}, batch_size={batch_size}: "
            "all but n_tokens must be at least 1"
        )
    # A window starting at s needs tokens s .. s+T: T inputs, and one more for the last target.
    windows = 0 if n_tokens <= context_length else (n_tokens - context_length - 1) // stride + 1
    dropped = windows % batch_size if drop_last else 0
    kept = windows - dropped
    step = min(stride, context_length)  # new targets that each further window brings
    used = (kept - 1) * step + context_length if kept else 0
    return WindowCounts(
        windows=windows,
        batches=-(-kept // batch_size),
        dropped_windows=dropped,
        targets_used=used,
        never_targets=n_tokens - used,
        predictions=kept * context_length,
        overlap=max(context_length - stride, 0),
    )


def make_windows(ids: Tensor, context_length: int, stride: int) -> tuple[Tensor, Tensor]:
    """Cut token ids into inputs and targets; the target is the input one token later.

    Args:
        ids: Token ids (N,), int64.
        context_length: Tokens in a window (T).
        stride: Tokens between two window starts.

    Returns:
        Inputs and targets, both (windows, T), as views: nothing is copied.

    >>> inputs, targets = make_windows(torch.arange(6), context_length=4, stride=1)
    >>> inputs.tolist(), targets.tolist()
    ([[0, 1, 2, 3], [1, 2, 3, 4]], [[1, 2, 3, 4], [2, 3, 4, 5]])
    """
    if ids.numel() <= context_length:
        empty = ids.new_empty((0, context_length))
        return empty, empty
    return ids[:-1].unfold(0, context_length, stride), ids[1:].unfold(0, context_length, stride)


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
    """GPT-2's tokenizer, or the compact one that knows only what the two parts of this text need."""
    full = load_tokenizer()
    if not config.compact_vocab:
        return full
    parts = split_text(text.text, config.train_fraction)
    return CompactTokenizer(full, [token for part in parts for token in full.encode(part)])


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
    # The book allows the special token in its text; a reference run tokenises as the book does.
    special = {"special": True} if config.reference or config.end_of_text else {}
    train_ids, validation_ids = (
        tokenizer.encode(part, **special) for part in split_text(text.text, config.train_fraction)
    )
    T = model.context_length
    counts = window_counts(len(train_ids), T, config.stride or T, config.batch_size, drop_last=True)
    if counts.windows == 0:
        raise TextError(
            f"the training part of {text.title!r} has {len(train_ids):,} tokens; a context of {T} needs at least "
            f"{T} + 1 = {T + 1}: choose a longer text or a context of at most {max(len(train_ids) - 1, 0)}"
        )
    if counts.batches == 0:
        raise TextError(
            f"the training part of {text.title!r} gives {counts.windows} windows, fewer than one batch of "
            f"{config.batch_size}: choose a batch size of at most {counts.windows}"
        )
    prompt = config.sample_prompt or text.prompt
    tokenizer.encode(prompt)
    return TrainingData(tokenizer, torch.tensor(train_ids), torch.tensor(validation_ids, dtype=torch.int64), prompt)

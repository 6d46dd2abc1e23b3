"""From one long list of tokens to the small exercises a model learns from: inputs, and targets one step later.

How to read it: ``split_text`` cuts off the part that is never trained on, ``seal_text`` one that nobody looks at before
the end; ``open_parts`` does both as a run's settings say. ``make_windows`` cuts a part into windows; ``window_counts``
says what comes out without cutting anything.

Context length, stride and shift are three things. The context is how long a window is; the stride is how far apart
two windows start; the shift between input and target is always one token.

What is left out: in which order windows are met (``batches``). Nothing here needs PyTorch to be loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gptcore.config import TrainConfig

if TYPE_CHECKING:
    from torch import Tensor


def split_text(text: str, train_fraction: float, train_share: float = 1.0) -> tuple[str, str]:
    """Cut a text by characters into the part to learn from and the part to be judged by.

    Args:
        text: All of it.
        train_fraction: Where the first part ends.
        train_share: How much of the first part is used; the second stays the same, so that runs can be compared.

    >>> split_text("0123456789", 0.9)
    ('012345678', '9')
    >>> split_text("0123456789", 0.8, train_share=0.5)
    ('0123', '89')
    """
    cut = int(len(text) * train_fraction)
    return text[: int(cut * train_share)], text[cut:]


def seal_text(text: str, sealed_fraction: float) -> tuple[str, str]:
    """Cut off the last part of a text: what training and validation may read, and the part that stays sealed.

    Whoever tunes a model on validation loss has learnt something about the validation part. Only a part that nobody
    has looked at (elsewhere called a test set) tells what the model is worth on new text.

    >>> seal_text("0123456789", 0.2)
    ('01234567', '89')
    """
    cut = len(text) - int(len(text) * sealed_fraction)
    return text[:cut], text[cut:]


def open_parts(text: str, config: TrainConfig) -> tuple[str, str]:
    """The two parts of a text that a run with these settings reads: to learn from, and to be judged by.

    >>> open_parts("0123456789", TrainConfig(train_fraction=0.5, sealed_fraction=0.2))
    ('0123', '4567')
    """
    return split_text(seal_text(text, config.sealed_fraction)[0], config.train_fraction, config.train_share)


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


def over_epochs(n_tokens: int, context_length: int, stride: int, batch_size: int, drop_last: bool) -> WindowCounts:
    """As ``window_counts``, for many epochs: the windows that fill no batch are other ones in each, so all are met.

    Where there is no whole batch at all, none is.

    >>> one, many = (count(100, 10, 10, 2, drop_last=True) for count in (window_counts, over_epochs))
    >>> one.dropped_windows, one.never_targets, many.never_targets
    (1, 20, 10)
    """
    epoch = window_counts(n_tokens, context_length, stride, batch_size, drop_last)
    return window_counts(n_tokens, context_length, stride, batch_size, drop_last=not epoch.batches)


def make_windows(ids: Tensor, context_length: int, stride: int) -> tuple[Tensor, Tensor]:
    """Cut token ids into inputs and targets; the target is the input one token later.

    Args:
        ids: Token ids (N,), int64.
        context_length: Tokens in a window (T).
        stride: Tokens between two window starts.

    Returns:
        Inputs and targets, both (windows, T), as views: nothing is copied.

    >>> import torch
    >>> inputs, targets = make_windows(torch.arange(6), context_length=4, stride=1)
    >>> inputs.tolist(), targets.tolist()
    ([[0, 1, 2, 3], [1, 2, 3, 4]], [[1, 2, 3, 4], [2, 3, 4, 5]])
    """
    if ids.numel() <= context_length:
        empty = ids.new_empty((0, context_length))
        return empty, empty
    return ids[:-1].unfold(0, context_length, stride), ids[1:].unfold(0, context_length, stride)

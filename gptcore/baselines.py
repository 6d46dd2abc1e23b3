"""Lines to measure a learning curve by: a blind guess, and what mere counting achieves.

How to read it: ``uniform_loss`` is where an untrained model starts; ``counting_losses`` counts tokens and pairs;
``reference_lines`` puts both together for a chart.
A model that doesn't come below these lines has learnt nothing that a tally sheet doesn't know. Needs no PyTorch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def uniform_loss(vocab_size: int) -> float:
    """The loss of a blind guess: ln V, in nats.

    >>> round(uniform_loss(50257), 3)
    10.825
    """
    return math.log(vocab_size)


def reference_lines(train_ids: Sequence[int], validation_ids: Sequence[int], vocab_size: int) -> dict[str, float]:
    """Levels to measure a curve by, by the names that charts give them; without validation text the first alone.

    Args:
        train_ids: Tokens that are trained on.
        validation_ids: Tokens that are not.
        vocab_size: V.

    Returns:
        Nats a token: of a blind guess, of counting tokens and of counting pairs of them, in this order.
    """
    return levels(Tally(train_ids) if train_ids else None, validation_ids, vocab_size)


def levels(tally: Tally | None, ids: Sequence[int], vocab_size: int) -> dict[str, float]:
    """As ``reference_lines``, from a training text that was counted before."""
    lines = {"a blind guess, ln V:": uniform_loss(vocab_size)}
    if tally is not None and len(ids) >= 2:
        counted = tally.losses(ids, vocab_size)
        lines |= {"counting tokens:": counted["unigram"], "counting pairs:": counted["bigram"]}
    return lines


def counting_losses(train_ids: Sequence[int], validation_ids: Sequence[int], vocab_size: int) -> dict[str, float]:
    """The validation loss that mere counting reaches: a model has to beat these lines to have learnt anything.

    "unigram" knows how often each token occurs in the training text; "bigram" also knows what followed what. Tokens
    never seen get a share by Witten-Bell smoothing, which has no constant to tune: the chance of something new is
    estimated from how often something new came so far.

    Args:
        train_ids: Tokens counted.
        validation_ids: Tokens predicted, all but the first.
        vocab_size: V.

    Returns:
        "unigram" and "bigram", mean nats a token.

    Raises:
        ValueError: No training token, or fewer than two validation tokens.

    Source: Witten and Bell 1991, method C; Chen and Goodman 1999.
    """
    if not train_ids or len(validation_ids) < 2:
        raise ValueError(
            "counting needs at least 1 training and 2 validation tokens, "
            f"has {len(train_ids)} and {len(validation_ids)}"
        )
    return Tally(train_ids).losses(validation_ids, vocab_size)


class Tally:
    """A text counted once: how often each token occurs, and what followed what (``counting_losses``)."""

    def __init__(self, train_ids: Sequence[int]) -> None:
        self.total = len(train_ids)
        self.counts = Counter(train_ids)
        self.pairs = Counter(pairwise(train_ids))
        self.followers = Counter(first for first, _ in self.pairs)  # how many different tokens followed each
        self.continued = Counter(train_ids[:-1])

    def _unigram(self, token: int, vocab_size: int) -> float:
        return (self.counts[token] + len(self.counts) / vocab_size) / (self.total + len(self.counts))

    def _bigram(self, before: int, token: int, vocab_size: int) -> float:
        alone = self._unigram(token, vocab_size)
        if not self.continued[before]:
            return alone
        new = self.followers[before]
        return (self.pairs[before, token] + new * alone) / (self.continued[before] + new)

    def losses(self, ids: Sequence[int], vocab_size: int) -> dict[str, float]:
        """What all tokens but the first cost: "unigram" and "bigram", mean nats a token."""
        steps = list(pairwise(ids))
        return {
            "unigram": -math.fsum(math.log(self._unigram(token, vocab_size)) for _, token in steps) / len(steps),
            "bigram": -math.fsum(math.log(self._bigram(*pair, vocab_size)) for pair in steps) / len(steps),
        }

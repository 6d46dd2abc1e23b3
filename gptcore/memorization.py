"""Is it writing, or reciting? Find every passage of a generated text that stands token for token in the training text.

How to read it: ``CopyIndex`` sorts the training text's runs of n tokens by a hash, so that all places of a run lie side
by side. ``spans`` looks each run of the generated text up and stretches what it finds to both sides, token by token,
dropping the places that no longer agree.

What is left out: near-copies. Only verbatim runs count, so the share found is a lower bound.
Source: the question is that of Carlini et al. 2022, "Quantifying memorization across neural language models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_COPIED = 5  # tokens; shorter runs are common phrases, not memory
LENGTHS_KEPT = 2  # indexes at once: each takes 16 bytes a token, and a slider asks for one length after the other
HASH_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no token is lost in the arithmetic modulo 2^64


@dataclass(frozen=True, slots=True, order=True)
class CopiedSpan:
    """A maximal verbatim run: it can be stretched neither to the left nor to the right.

    Attributes:
        start: Its first token in the generated text.
        length: Its number of tokens.
        place: Its first token in the training text (the earliest such place).
    """

    start: int
    length: int
    place: int


def _run_hashes(ids: NDArray[np.int64], length: int) -> NDArray[np.uint64]:
    """A hash of every run of ``length`` tokens, (len(ids) - length + 1,)."""
    runs = max(len(ids) - length + 1, 0)
    hashes = np.zeros(runs, dtype=np.uint64)
    for offset in range(length):
        hashes = hashes * HASH_BASE + ids[offset : offset + runs].astype(np.uint64) + np.uint64(1)
    return hashes


class CopyIndex:
    """The training text, ready to be searched for verbatim runs.

    Args:
        train_ids: The training text's tokens.

    >>> CopyIndex([5, 6, 7, 8, 9, 5]).spans([1, 6, 7, 8, 9, 2], min_tokens=3)
    [CopiedSpan(start=1, length=4, place=1)]
    """

    def __init__(self, train_ids: Sequence[int]) -> None:
        self._train = np.asarray(train_ids, dtype=np.int64)
        self._sorted: dict[int, tuple[NDArray[np.uint64], NDArray[np.int64]]] = {}

    def _index(self, length: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Hashes of all runs in order, and the place of each; equal hashes keep the order of their places."""
        kept = self._sorted
        if length not in kept:  # a new dictionary: another thread may be reading the old one
            hashes = _run_hashes(self._train, length)
            order = np.argsort(hashes, kind="stable")
            latest = list(kept.items())[-(LENGTHS_KEPT - 1) :]
            kept = self._sorted = {**dict(latest), length: (hashes[order], order)}
        return kept[length]

    def spans(self, ids: Sequence[int], min_tokens: int) -> list[CopiedSpan]:
        """The maximal runs of at least ``min_tokens`` tokens that occur verbatim in the training text.

        Args:
            ids: A generated text.
            min_tokens: Shortest run that counts; below about 5 common phrases are found, not memory.

        Returns:
            Runs in the order of their start; two may overlap, none lies inside another.

        Raises:
            ValueError: ``min_tokens`` below 1.
        """
        if min_tokens < 1:
            raise ValueError(f"min_tokens={min_tokens} must be at least 1")
        text = np.asarray(ids, dtype=np.int64)
        hashes, places = self._index(min_tokens)
        wanted = _run_hashes(text, min_tokens)
        first, last = (np.searchsorted(hashes, wanted, side=side) for side in ("left", "right"))
        spans: list[CopiedSpan] = []
        at = 0  # a run that goes on beyond the last one found holds the tokens at .. at + min_tokens - 1
        while at < len(wanted):
            alike = places[first[at] : last[at]]
            span = self._stretch(text, at, min_tokens, alike) if len(alike) else None
            if span is None:
                at += 1
            else:
                spans.append(span)
                at = span.start + span.length + 1 - min_tokens
        return spans

    def _stretch(self, text: NDArray[np.int64], at: int, length: int, places: NDArray[np.int64]) -> CopiedSpan | None:
        """The run through ``at`` that begins earliest, and the longest of these; None where only the hash agreed."""
        for offset in range(length):
            places = self._agreeing(text, at, places, offset)
        if not len(places):
            return None
        before, after = 0, length
        while at - before > 0 and len(kept := self._agreeing(text, at, places, -before - 1)):
            places, before = kept, before + 1
        while at + after < len(text) and len(kept := self._agreeing(text, at, places, after)):
            places, after = kept, after + 1
        return CopiedSpan(at - before, before + after, int(places[0]) - before)

    def _agreeing(self, text: NDArray[np.int64], at: int, places: NDArray[np.int64], offset: int) -> NDArray[np.int64]:
        """The places at whose ``offset`` the training text has the same token as the generated text at ``at``."""
        inside = places[(places + offset >= 0) & (places + offset < len(self._train))]
        return inside[self._train[inside + offset] == text[at + offset]]


def copied_tokens(spans: Sequence[CopiedSpan]) -> int:
    """How many tokens lie in at least one copied span.

    >>> copied_tokens([CopiedSpan(0, 4, 9), CopiedSpan(2, 4, 30)])
    6
    """
    return len({token for span in spans for token in range(span.start, span.start + span.length)})

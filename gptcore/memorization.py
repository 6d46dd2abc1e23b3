"""Is it writing, or reciting? Find every passage of a generated text that stands token for token in the training text.

How to read it: ``CopyIndex`` sorts the training text's runs of n tokens by a hash, so that all places of a run lie side
by side. A passage that is copied hits at place p, p + 1, p + 2, ... for its tokens i, i + 1, i + 2, ...: along such a
passage p - i stays the same. So ``spans`` collects all hits, groups them by p - i, and reads the copied runs off.

What is left out: near-copies. Only verbatim runs count, so the share found is a lower bound.
Source: the question is that of Carlini et al. 2022, "Quantifying memorization across neural language models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A run that stands in more places than this (a page of blanks, say) is followed at its first places only.
MOST_PLACES = 4_096
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
        if length not in self._sorted:
            hashes = _run_hashes(self._train, length)
            order = np.argsort(hashes, kind="stable")
            self._sorted[length] = (hashes[order], order)
        return self._sorted[length]

    def _hits(self, ids: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All pairs (i, p) for which ``length`` tokens from i equal those from p in the training text."""
        hashes, places = self._index(length)
        wanted = _run_hashes(ids, length)
        first = np.searchsorted(hashes, wanted, side="left")
        found = np.minimum(np.searchsorted(hashes, wanted, side="right") - first, MOST_PLACES)
        i = np.repeat(np.arange(len(wanted)), found)
        nth = np.arange(len(i)) - np.repeat(np.cumsum(found) - found, found)
        p = places[np.repeat(first, found) + nth]
        same = np.ones(len(i), dtype=bool)  # different runs may share a hash
        for offset in range(length):
            same &= self._train[p + offset] == ids[i + offset]
        return i[same], p[same]

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
        i, p = self._hits(np.asarray(ids, dtype=np.int64), min_tokens)
        order = np.lexsort((i, p - i))
        i, p = i[order], p[order]
        starts = np.flatnonzero(np.diff(p - i, prepend=len(self._train) + 1) | (np.diff(i, prepend=-2) != 1))
        lengths = np.diff(starts, append=len(i)) + min_tokens - 1
        longest_first = sorted(zip(i[starts], -lengths, p[starts], strict=True))
        spans: list[CopiedSpan] = []
        reached = 0
        for start, minus_length, place in longest_first:
            if start - minus_length > reached:
                reached = int(start - minus_length)
                spans.append(CopiedSpan(int(start), -int(minus_length), int(place)))
        return spans


def copied_tokens(spans: Sequence[CopiedSpan]) -> int:
    """How many tokens lie in at least one copied span.

    >>> copied_tokens([CopiedSpan(0, 4, 9), CopiedSpan(2, 4, 30)])
    6
    """
    return len({token for span in spans for token in range(span.start, span.start + span.length)})

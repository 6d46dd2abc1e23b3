"""Byte-pair encoding, to be read: how a token is built merge by merge, and how merges are learnt from a text.

How to read it: ``merge_trace`` builds the tokens of one piece as GPT-2 does, and keeps every step;
``encode_by_merging`` does so for a whole text and is held equal to the library by a test. ``learn_merges`` finds the
merges of a text of its own: count the pairs, join the most frequent, again and again.

What is left out: speed. A step of ``merge_trace`` looks at the whole piece again, which for a piece of n bytes is n²
work; the library (``tokenizer``) keeps a heap and is written in Rust.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from gptcore.tokenizer import GPT2_PATTERN, replace_surrogates

BYTES = 256  # what every vocabulary starts from
LEAST_COUNT = 2  # a pair that occurs once is not worth a token

Ranks = Mapping[bytes, int]
Pair = tuple[bytes, bytes]

_PATTERN = regex.compile(GPT2_PATTERN)


def cut_pieces(text: str) -> list[str]:
    """Cut a text by GPT-2's pattern; merges never cross a cut.

    >>> cut_pieces("I'll see two owls")
    ['I', "'ll", ' see', ' two', ' owls']
    """
    return _PATTERN.findall(replace_surrogates(text))


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of merging.

    Attributes:
        parts: What the piece consists of now.
        ranks: For each pair of neighbours the rank of what they would make, None where that is no token.
        chosen: Which pair is merged next, by its left part; None where no pair can be.
    """

    parts: tuple[bytes, ...]
    ranks: tuple[int | None, ...]
    chosen: int | None


def merge_trace(piece: bytes, ranks: Ranks) -> list[Step]:
    """Build the tokens of one piece: of all pairs that make a token, the one of lowest rank is merged first.

    Args:
        piece: The bytes of one piece of ``cut_pieces``.
        ranks: Token to rank; the lower, the earlier it was learnt. Of equal pairs the leftmost goes first.

    Returns:
        Every step, from single bytes to tokens: the last one has nothing left to merge.

    >>> ranks = {b"h": 0, b"o": 1, b"oo": 2, b"hoo": 3}
    >>> [step.parts for step in merge_trace(b"hoo", ranks)]
    [(b'h', b'o', b'o'), (b'h', b'oo'), (b'hoo',)]
    """
    parts = [piece[place : place + 1] for place in range(len(piece))]
    steps = [_look(parts, ranks)]
    while (place := steps[-1].chosen) is not None:
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
        steps.append(_look(parts, ranks))
    return steps


def _look(parts: Sequence[bytes], ranks: Ranks) -> Step:
    """The ranks of all neighbours, and which pair is next."""
    found = [ranks.get(left + right) for left, right in pairwise(parts)]
    possible = [(rank, place) for place, rank in enumerate(found) if rank is not None]
    return Step(tuple(parts), tuple(found), min(possible)[1] if possible else None)


def encode_by_merging(text: str, ranks: Ranks) -> list[int]:
    """Token ids of a text, piece by piece; equal pieces are built once."""
    pieces = [piece.encode("utf-8") for piece in cut_pieces(text)]
    built = {piece: [ranks[part] for part in merge_trace(piece, ranks)[-1].parts] for piece in set(pieces)}
    return [token for piece in pieces for token in built[piece]]


def parents(token: bytes, ranks: Ranks) -> Pair | None:
    """The two tokens that were joined when a token was learnt; None for a single byte.

    A vocabulary holds no merges, only tokens in the order of learning: with the earlier ones alone, a token's bytes
    merge into exactly the two that made it.
    """
    earlier = {part: rank for part in _substrings(token) if (rank := ranks.get(part, ranks[token])) < ranks[token]}
    parts = merge_trace(token, earlier)[-1].parts
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _substrings(token: bytes) -> set[bytes]:
    return {token[start:end] for start in range(len(token)) for end in range(start + 1, len(token) + 1)}


@dataclass(frozen=True, slots=True)
class LearntMerge:
    """One merge, as it was learnt.

    Attributes:
        left: What stood before.
        right: What stood after it.
        count: How often the pair stood in the text at that moment.
        tokens: How many tokens the text has after the merge.
    """

    left: bytes
    right: bytes
    count: int
    tokens: int

    @property
    def token(self) -> bytes:
        """The new token."""
        return self.left + self.right


def learn_merges(text: str, most: int) -> list[LearntMerge]:
    """Learn merges from a text: the most frequent pair of neighbours becomes a token, again and again.

    Of pairs that are equally frequent, the one that comes first in the order of bytes is taken: first by its left
    part, then by its right. It stops early when no pair occurs twice.

    Args:
        text: The text to learn from.
        most: How many merges at most; the vocabulary is 256 bytes larger.

    >>> [merge.token for merge in learn_merges("hoot hoot owl", 4)]
    [b'ho', b'hoo', b'hoot']
    """
    pieces = Counter(piece.encode("utf-8") for piece in cut_pieces(text))
    words = _Words(pieces)
    merges: list[LearntMerge] = []
    while len(merges) < most and (best := words.most_frequent()):
        pair, count = best
        words.merge(pair)
        merges.append(LearntMerge(*pair, count, words.tokens))
    return merges


class _Words:
    """The distinct pieces of a text as parts, with the counts of all pairs kept up to date.

    Counting all pairs anew for each merge would read the whole text each time; a merge only changes the pieces that
    hold it, so only their pairs are taken out and counted again.
    """

    def __init__(self, pieces: Mapping[bytes, int]) -> None:
        self.parts = [[piece[place : place + 1] for place in range(len(piece))] for piece in pieces]
        self.times = list(pieces.values())
        self.tokens = sum(len(piece) * times for piece, times in pieces.items())
        self.counts: Counter[Pair] = Counter()
        self.holders: defaultdict[Pair, set[int]] = defaultdict(set)
        for word in range(len(self.parts)):
            self._count(word, 1)
        self.queue = self._queued(self.counts)
        heapq.heapify(self.queue)

    def most_frequent(self) -> tuple[Pair, int] | None:
        """The pair to merge next and its count; counts that have changed since they were queued are passed over."""
        while self.queue:
            negative, pair = heapq.heappop(self.queue)
            if self.counts[pair] == -negative >= LEAST_COUNT:
                return pair, -negative
        return None

    def merge(self, pair: Pair) -> None:
        """Join a pair wherever it stands, from left to right."""
        touched: set[Pair] = set()
        for word in list(self.holders[pair]):
            before = self.parts[word]
            touched.update(pairwise(before))
            self._count(word, -1)
            self.parts[word] = _joined(before, pair)
            self._count(word, 1)
            touched.update(pairwise(self.parts[word]))
            self.tokens -= (len(before) - len(self.parts[word])) * self.times[word]
        for entry in self._queued(touched):
            heapq.heappush(self.queue, entry)

    def _count(self, word: int, sign: int) -> None:
        for pair in pairwise(self.parts[word]):
            self.counts[pair] += sign * self.times[word]
            (self.holders[pair].add if sign > 0 else self.holders[pair].discard)(word)

    def _queued(self, pairs: Iterable[Pair]) -> list[tuple[int, Pair]]:
        return [(-self.counts[pair], pair) for pair in pairs if self.counts[pair] >= LEAST_COUNT]


def _joined(parts: Sequence[bytes], pair: Pair) -> list[bytes]:
    """Parts with a pair joined wherever it stands, from left to right.

    >>> _joined([b"a", b"a", b"a"], (b"a", b"a"))
    [b'aa', b'a']
    """
    made: list[bytes] = []
    place = 0
    while place < len(parts):
        together = tuple(parts[place : place + 2]) == pair
        made.append(parts[place] + parts[place + 1] if together else parts[place])
        place += 2 if together else 1
    return made


def learnt_ranks(merges: Sequence[LearntMerge], vocab_size: int) -> dict[bytes, int]:
    """The vocabulary of a given size as ranks: 256 bytes, then the merges in the order in which they were learnt."""
    ranks = {bytes([byte]): byte for byte in range(BYTES)}
    return ranks | {merge.token: BYTES + place for place, merge in enumerate(merges[: max(0, vocab_size - BYTES)])}

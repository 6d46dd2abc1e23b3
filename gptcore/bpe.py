"""Byte-pair encoding, to be read: how a token is built merge by merge, and how merges are learnt from a text.

How to read it: ``merge_trace`` builds the tokens of one piece as GPT-2 does, and keeps every step;
``encode_by_merging`` does so for a whole text and is held equal to the library by a test. ``learn_merges`` finds the
merges of a text of its own: count the pairs, join the most frequent, again and again; ``encode_learnt`` applies them.

What is left out: speed where a piece is built. A step of ``merge_trace`` looks at the whole piece again, which for a
piece of n bytes is n² work; the library (``tokenizer``) keeps a heap and is written in Rust.
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
    row = _Row(cut_pieces(text))
    merges: list[LearntMerge] = []
    while len(merges) < most and (best := row.most_frequent()):
        pair, count = best
        row.merge(pair)
        merges.append(LearntMerge(*pair, count, row.tokens))
    return merges


def encode_learnt(text: str, merges: Sequence[LearntMerge]) -> list[bytes]:
    """The tokens of a text, by merges in the order in which they were learnt.

    What ``merge_trace`` finds by looking for the lowest rank, again and again: a token is always of higher rank than
    the two that make it, so that no merge ever has to wait for a later one.
    """
    pieces = cut_pieces(text)
    row = _Row(pieces)
    for merge in merges:
        row.merge((merge.left, merge.right))
    return [token for piece in pieces for token in row.built(piece)]


class _Row:
    """The distinct pieces of a text in one row of parts, each part knowing its neighbours.

    Counting all pairs anew for each merge would read the whole text each time. Here a merge goes only where its pair
    stands and counts only the neighbours anew, so that all merges together cost as much as the row is long.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self.parts: list[bytes] = []
        self.before: list[int] = []  # place of the part before; -1 at the start of a piece
        self.after: list[int] = []  # place of the part after; -1 at the end of a piece
        self.times: list[int] = []  # how often the piece of this part stands in the text
        self.starts: dict[str, int] = {}
        self.tokens = 0
        self.counts: Counter[Pair] = Counter()
        self.places: defaultdict[Pair, set[int]] = defaultdict(set)  # of the left part
        for piece, times in Counter(pieces).items():
            self._append(piece, times)
        self.queue = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.queue)

    def _append(self, piece: str, times: int) -> None:
        raw = piece.encode("utf-8")
        start, end = len(self.parts), len(self.parts) + len(raw)
        self.starts[piece] = start
        self.parts += [raw[place : place + 1] for place in range(len(raw))]
        self.before += [-1, *range(start, end - 1)]
        self.after += [*range(start + 1, end), -1]
        self.times += [times] * len(raw)
        self.tokens += times * len(raw)
        for place in range(start, end - 1):
            self._count(place, 1)

    def _count(self, place: int, sign: int) -> set[Pair]:
        """Count the pair that starts at a place, or take it out again; the pair, or none where nothing follows."""
        if place < 0 or self.after[place] < 0:
            return set()
        pair = (self.parts[place], self.parts[self.after[place]])
        self.counts[pair] += sign * self.times[place]
        (self.places[pair].add if sign > 0 else self.places[pair].discard)(place)
        return {pair}

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
        for place in sorted(self.places.get(pair, ())):
            if place not in self.places[pair]:  # its left part was joined a moment ago, as in "aaa"
                continue
            gone = self.after[place]
            touched.update(*(self._count(each, -1) for each in (self.before[place], place, gone)))
            self.parts[place] += self.parts[gone]
            self.parts[gone] = b""
            self.after[place] = self.after[gone]
            if self.after[place] >= 0:
                self.before[self.after[place]] = place
            touched.update(*(self._count(each, 1) for each in (self.before[place], place)))
            self.tokens -= self.times[place]
        for changed in touched - {pair}:
            heapq.heappush(self.queue, (-self.counts[changed], changed))

    def built(self, piece: str) -> list[bytes]:
        """The parts of one piece as they are now."""
        start = self.starts[piece]
        size = len(piece.encode("utf-8"))
        return [part for part in self.parts[start : start + size] if part]


def learnt_ranks(merges: Sequence[LearntMerge], vocab_size: int) -> dict[bytes, int]:
    """The vocabulary of a given size as ranks: 256 bytes, then the merges in the order in which they were learnt."""
    ranks = {bytes([byte]): byte for byte in range(BYTES)}
    return ranks | {merge.token: BYTES + place for place, merge in enumerate(merges[: max(0, vocab_size - BYTES)])}

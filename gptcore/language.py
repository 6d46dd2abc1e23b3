"""A language whose best loss is known: each token is drawn by odds that are written down, so its entropy is exact.

How to read it: ``GROUPS`` and ``FOLLOWERS`` are a small grammar; ``make_language`` gives each pair of tokens its odds;
``Language`` writes texts, says what each token cost, and works out ``entropies``. The lowest of these is the floor: no
model, however large, does better on new text, because the rest is the language's own chance.

Who looks one token back can't reach it: after " that" stands a being where a sentence begins and a thing elsewhere, and
which token comes depends on the token before the last as well. Each token is a space and four letters, so a text that
is cut at a whole number of fives is cut between tokens.

What is left out: memory beyond two tokens, and meaning. Real text has both, and a floor that nobody knows.
Source: Shannon 1948, "A mathematical theory of communication", section 7 (the entropy of an information source).
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice
from typing import NamedTuple

import numpy as np

GROUPS = {
    "start": ("Then", "When", "Once", "Soon", "Here"),
    "the": ("that", "this", "your", "some", "each"),
    "how": ("kind", "wise", "poor", "wild", "glad"),
    "being": ("bird", "king", "girl", "wolf", "lady", "monk", "lion", "poet"),
    "did": ("took", "left", "held", "knew", "gave", "kept", "sold", "lost"),
    "what": ("cold", "dark", "blue", "gold", "thin"),
    "thing": ("boat", "lamp", "bell", "ring", "book", "door", "road", "tree"),
    "where": ("with", "from", "near", "into", "over"),
}
FOLLOWERS = {  # which groups may come next; what follows "the" depends on what stood before it
    "start": ("the",),
    "how": ("being",),
    "being": ("did",),
    "did": ("the",),
    "what": ("thing",),
    "thing": ("where", "start"),
    "where": ("the",),
}
AFTER_THE = {"start": ("how", "being"), "did": ("what", "thing"), "where": ("what", "thing")}
GROUP_OF = {f" {letters}": group for group, members in GROUPS.items() for letters in members}
TOKENS = tuple(GROUP_OF)
TOKEN_CHARACTERS = 5  # of each: a space and four letters
SHARPNESS = (0.5, 1.5, 4.0)  # some tokens leave what follows open, some all but settle it
ODDS = 1000  # of a token that is neither likely nor unlikely

FLOOR = "the floor, H:"
Pair = tuple[str, str]
BEGINNING: Pair = (" Then", " that")
SEED, STRENGTH, LENGTH = 7, 2.0, 100_000  # of the bundled text; its last tokens happen to cost just about the floor


class Entropies(NamedTuple):
    """What the next token costs at least, in nats a token, for who knows the language and sees so much of the text.

    Attributes:
        none: Nothing: only how often each token occurs.
        one: The token before.
        floor: The two tokens before; what lies further back tells no more, so nothing beats this.
    """

    none: float
    one: float
    floor: float


@dataclass(frozen=True, slots=True)
class Language:
    """A language in which the two last tokens decide the odds of the next.

    Attributes:
        odds: For each pair of tokens, what may follow, and how often in proportion: whole numbers, so that the same
            text comes out on every machine. The first pair begins every text.
    """

    odds: Mapping[Pair, Mapping[str, int]]

    def chances(self, before: str, last: str) -> dict[str, float]:
        """The true probability of each token that may follow a pair.

        Raises:
            ValueError: The pair never occurs.
        """
        if (before, last) not in self.odds:
            raise ValueError(f"{before + last!r} never occurs in this language")
        row = self.odds[before, last]
        total = sum(row.values())
        return {token: number / total for token, number in row.items()}

    def write(self, seed: int) -> Iterator[str]:
        """An endless text, token by token; the same seed gives the same text."""
        draw = random.Random(seed).random  # of Python's random numbers, this one is promised never to change
        rows = {pair: (list(row), list(accumulate(row.values()))) for pair, row in self.odds.items()}
        before, last = next(iter(self.odds))
        yield from (before, last)
        while True:
            tokens, sums = rows[before, last]
            before, last = last, tokens[bisect(sums, draw() * sums[-1])]
            yield last

    def costs(self, tokens: Sequence[str]) -> list[float]:
        """What each token from the third on costs who knows the language: -ln of its true probability, in nats.

        Raises:
            ValueError: A token that may not stand there.
        """
        costs = []
        for before, last, token in zip(tokens, tokens[1:], tokens[2:], strict=False):
            row = self.odds.get((before, last), {})
            if token not in row:
                raise ValueError(f"in this language {token!r} never follows {before + last!r}")
            costs.append(math.log(sum(row.values()) / row[token]))
        return costs

    def score(self, tokens: Sequence[str]) -> float:
        """The mean of ``costs``: what the true rules themselves pay on this very text, in nats a token.

        On average that is the least that any model can pay; on one text a lucky model may pay less.

        Raises:
            ValueError: A token that may not stand there, or fewer than three tokens.
        """
        if len(tokens) < 3:
            raise ValueError(f"a score needs at least 3 tokens, has {len(tokens)}")
        costs = self.costs(tokens)
        return math.fsum(costs) / len(costs)

    def shares(self) -> dict[Pair, float]:
        """How often each pair stands in a long text: the one distribution that a further token leaves as it is.

        It solves p = p M, with M the chances to get from pair to pair; that the shares sum to 1 takes the place of one
        equation, which follows from the others.
        """
        place = {pair: number for number, pair in enumerate(self.odds)}
        step = np.zeros((len(place), len(place)))
        for (before, last), number in place.items():
            for token, chance in self.chances(before, last).items():
                step[number, place[last, token]] = chance
        equations = (step - np.eye(len(place))).T
        equations[-1] = 1.0
        wanted = np.zeros(len(place))
        wanted[-1] = 1.0
        return dict(zip(place, np.linalg.solve(equations, wanted).tolist(), strict=True))

    def entropies(self) -> Entropies:
        """The least losses, exact but for the computer's last digits."""
        shares = self.shares()
        floor = math.fsum(share * entropy(self.odds[pair].values()) for pair, share in shares.items())
        pairs: dict[str, dict[str, float]] = defaultdict(dict)
        for (before, last), share in shares.items():
            pairs[before][last] = share
        alone = {token: math.fsum(row.values()) for token, row in pairs.items()}
        one = math.fsum(alone[token] * entropy(row.values()) for token, row in pairs.items())
        return Entropies(entropy(alone.values()), one, floor)


def entropy(odds: Iterable[float]) -> float:
    """The mean surprise of a draw by these odds, in nats; they need not sum to 1.

    >>> round(entropy([1, 1]), 4), entropy([5])
    (0.6931, 0.0)
    """
    values = [value for value in odds if value > 0]
    total = math.fsum(values)
    return math.fsum(value / total * math.log(total / value) for value in values)


def followers(before: str, last: str) -> list[str]:
    """The tokens that the grammar allows after a pair."""
    group = GROUP_OF[last]
    groups = AFTER_THE[GROUP_OF[before]] if group == "the" else FOLLOWERS[group]
    return [f" {letters}" for each in groups for letters in GROUPS[each]]


def make_language(seed: int = SEED, strength: float = STRENGTH) -> Language:
    """A language of the grammar above, with seeded odds.

    The odds of a token are exp(strength x sharpness of the last token x (its liking of the last + of the one before)),
    the likings drawn evenly from -1 to 1. So what attention has to learn is a sum over two places.

    Args:
        seed: Of likings and sharpness.
        strength: 0 gives all tokens that are allowed the same odds; the larger, the surer is what follows.
    """
    draw = random.Random(seed).random
    nearby = {(last, token): 2 * draw() - 1 for last in TOKENS for token in TOKENS}
    farther = {(before, token): 2 * draw() - 1 for before in TOKENS for token in TOKENS}
    sharpness = {token: SHARPNESS[int(draw() * len(SHARPNESS))] for token in TOKENS}
    odds: dict[Pair, dict[str, int]] = {}
    waiting = [BEGINNING]
    while waiting:
        before, last = waiting.pop()
        if (before, last) in odds:
            continue
        row = {}
        for token in followers(before, last):
            liking = nearby[last, token] + farther[before, token]
            row[token] = max(1, round(ODDS * math.exp(strength * sharpness[last] * liking)))
        odds[before, last] = row
        waiting += [(last, token) for token in row]
    return Language(odds)


@cache
def the_language() -> Language:
    """The language of the bundled text."""
    return make_language()


@cache
def the_text() -> str:
    """The bundled text."""
    return "".join(islice(the_language().write(SEED), LENGTH))


@cache
def the_entropies() -> Entropies:
    """The least losses on new text of the bundled kind."""
    return the_language().entropies()


def floor_line(text: str) -> dict[str, float]:
    """The floor of a text, in nats a token, by its name on charts; nothing where nobody knows it.

    It is known for the bundled text alone.
    """
    known = len(text) == LENGTH * TOKEN_CHARACTERS and text == the_text()
    return {FLOOR: the_entropies().floor} if known else {}


def tokens_of(text: str) -> list[str]:
    """A text of this language in its tokens.

    >>> tokens_of(" Then that king")
    [' Then', ' that', ' king']
    """
    return [text[start : start + TOKEN_CHARACTERS] for start in range(0, len(text), TOKEN_CHARACTERS)]

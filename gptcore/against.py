"""Models against each other: one passage and one prompt, in measures by which they can be compared.

How to read it: ``judge`` reads a passage window by window and gives the price of each token, ``Judged`` what follows
from the prices; ``affordable_windows`` says beforehand how much may be read. ``next_tokens_together`` and ``kl_table``
set what several models expect after one prompt side by side. ``timed`` measures how quickly a text grows.

All tokenizers here cut a text alike: a compact vocabulary keeps some of GPT-2's tokens and gives them other numbers. So
the same tokens are judged, and yet not the same guess is made: who knows only 1,400 tokens has fewer to be wrong about.
A divergence compares two opinions on one list of tokens; of two lists it has nothing to say.

What is left out: what a model does over many prompts, and tokenizers that cut otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from gptcore.loss import bits_per_byte, perplexity, window_logits
from gptcore.model import GPTModel
from gptcore.sampling import Logits, token_names
from gptcore.tokenizer import CompactTokenizer, Names, load_tokenizer

WINDOW = 256  # tokens, as the book's judge reads The Verdict
# About four seconds of one core: two windows for the book's 162 million parameters, which is all its judge reads.
OPERATIONS = 1.7e11

T = TypeVar("T")


def affordable_windows(parameters: int, operations: float = OPERATIONS) -> int:
    """How many windows of 256 tokens a model may read, at two operations a parameter and token; at least one.

    >>> affordable_windows(162_419_712), affordable_windows(1_557_611_200)
    (2, 1)
    """
    return max(1, int(operations / (2 * parameters * WINDOW)))


def judge(model: GPTModel, ids: Sequence[int], window: int) -> Iterator[NDArray[np.float64]]:
    """Read a passage in windows that touch and don't overlap, and give the price of every token but the first.

    Args:
        model: In evaluation mode.
        ids: The passage in the model's own numbers, at least two tokens.
        window: Tokens that are read at once; at most the model's context.

    Yields:
        For each window the losses of its guesses, nats.

    Raises:
        ValueError: Fewer than two tokens, or a window beyond the context.
    """
    if len(ids) < 2:
        raise ValueError(f"a guess needs a token before it: at least 2 tokens, has {len(ids)}")
    for start in range(0, len(ids) - 1, window):
        logits, targets = window_logits(model, ids[start : start + window + 1])
        yield F.cross_entropy(logits.float(), targets, reduction="none").double().numpy()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a passage cost one model.

    Attributes:
        losses: Of each guess, (guesses,), nats.
        size: Bytes of the tokens that were guessed.
        vocab_size: Tokens among which the model guessed.
        window: Tokens that it read at once.
    """

    losses: NDArray[np.float64]
    size: int
    vocab_size: int
    window: int

    @property
    def loss(self) -> float:
        """The mean, nats a token."""
        return float(self.losses.mean())

    @property
    def perplexity(self) -> float:
        """As if it chose among so many equally likely tokens: e to the mean."""
        return perplexity(self.loss)

    @property
    def bits_per_byte(self) -> float:
        """The losses summed, spread over the bytes."""
        return bits_per_byte(float(self.losses.sum()), self.size)

    @property
    def so_far(self) -> NDArray[np.float64]:
        """The mean of the first guess, of the first two, and so on, (guesses,), nats."""
        means: NDArray[np.float64] = self.losses.cumsum() / np.arange(1, len(self.losses) + 1)
        return means


def judged(model: GPTModel, names: Names, ids: Sequence[int], windows: Iterable[NDArray[np.float64]]) -> Judged:
    """Put the windows of ``judge`` together.

    Args:
        model: Who judged.
        names: Its vocabulary.
        ids: The passage that was read.
        windows: The losses of ``judge``, window by window.
    """
    size = sum(len(names.token_bytes(i)) for i in ids[1:])
    return Judged(np.concatenate(list(windows)), size, model.config.vocab_size, window_of(model))


def window_of(model: GPTModel) -> int:
    """How many tokens a model reads at once: the book's 256, or its context where that is shorter."""
    return min(WINDOW, model.config.context_length)


def upset(losses: Sequence[NDArray[np.float64]]) -> int:
    """The guess at which the model that is best on the whole was beaten most clearly.

    Args:
        losses: Of each model, (guesses,), nats.

    >>> upset([np.array([1.0, 1.0, 3.0]), np.array([9.0, 9.0, 2.0])])
    2
    """
    table = np.stack(losses)  # (models, guesses)
    best = table[table.mean(axis=1).argmin()]
    return int((best - table.min(axis=0)).argmax())


class Expectation(NamedTuple):
    """What a model expects next: its scores (V,), and the tokens they are for."""

    logits: Logits
    names: Names


def gpt2_ids(names: Names) -> Sequence[int]:
    """GPT-2's number of each token of a vocabulary, in its own order."""
    return names.kept if isinstance(names, CompactTokenizer) else range(names.vocab_size)


def kl_divergence(p: Logits, q: Logits) -> float:
    """KL(p ‖ q), the sum of p ln (p / q): nats a token that are lost by expecting q where p holds.

    It is 0 for equals, never negative, and has a direction: KL(q ‖ p) is another number.

    Args:
        p: (V,), scores of what holds.
        q: (V,), scores of what is expected, for the same tokens.

    Raises:
        ValueError: Another number of tokens, or scores among which none is the highest: NaN, infinite, or all -inf.

    >>> fair, certain = torch.log(torch.tensor([0.5, 0.5])), torch.log(torch.tensor([0.9, 0.1]))
    >>> round(kl_divergence(fair, certain), 3), round(kl_divergence(certain, fair), 3)
    (0.511, 0.368)
    """
    if p.shape != q.shape:
        raise ValueError(f"{p.numel():,} tokens can't be compared with {q.numel():,}: they are other choices")
    for scores in (p, q):
        if not scores.amax().isfinite():
            raise ValueError(f"the highest of {scores.numel():,} scores is {float(scores.amax())}: they are no choice")
    log_p, log_q = torch.log_softmax(p.double(), dim=-1), torch.log_softmax(q.double(), dim=-1)
    chance = log_p.exp()
    surplus = (chance * (log_p - log_q))[chance > 0]  # what p rules out adds nothing, and 0 x inf would be no number
    return max(0.0, float(surplus.sum()))  # a sum may end at -1e-17


def kl_table(expected: Mapping[str, Expectation]) -> pd.DataFrame:
    """KL(row ‖ column) of every pair, nats; NaN where two models choose among different tokens."""
    rows = {
        p: {
            q: kl_divergence(one.logits, other.logits)
            if tuple(gpt2_ids(one.names)) == tuple(gpt2_ids(other.names))
            else float("nan")
            for q, other in expected.items()
        }
        for p, one in expected.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(expected))


def next_tokens_together(
    expected: Mapping[str, Expectation], count: int, also: Mapping[int, float] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tokens that any model has among its likeliest, and what each model gives to all of them.

    Args:
        expected: Each model's scores, by its name.
        count: How many of each model.
        also: What somebody else gives to more tokens, by GPT-2's numbers.

    Returns:
        Two frames with the same rows, first those to which anybody gives most: token_id (GPT-2's number) and token;
        and a column of probabilities for each model, at temperature 1 and without a cut. A token that a vocabulary
        lacks is NaN: its model can't say it.
    """
    chances = {name: _by_gpt2_id(one) for name, one in expected.items()}
    tops = [chance.nlargest(count).index for chance in chances.values()]
    ids = sorted({*(also or {}), *(int(i) for top in tops for i in top)})
    given = pd.DataFrame({name: chance.reindex(ids) for name, chance in chances.items()}, index=ids)
    largest = given.assign(also=pd.Series(also or {}, dtype=float).reindex(ids)).max(axis=1)
    given = given.loc[largest.sort_values(ascending=False, kind="stable").index]
    text = token_names(load_tokenizer())
    tokens = pd.DataFrame({"token_id": given.index, "token": text.loc[given.index].to_numpy()})
    return tokens, given.reset_index(drop=True)


def _by_gpt2_id(one: Expectation) -> pd.Series[float]:
    return pd.Series(torch.softmax(one.logits.double(), dim=-1).numpy(), index=list(gpt2_ids(one.names)))


def share_on_favourites(of: Expectation, favourites: Expectation, count: int) -> float:
    """How much probability one model gives to the tokens that another one likes best; 0 to 1.

    Args:
        of: Whose probability.
        favourites: Whose likeliest tokens.
        count: How many of them.
    """
    likeliest = _by_gpt2_id(favourites).nlargest(count).index
    return float(_by_gpt2_id(of).reindex(likeliest).fillna(0.0).sum())


def timed(steps: Iterator[T]) -> Iterator[tuple[T, float]]:
    """Each step with the seconds it took, whatever was waited for in between.

    >>> [(step, seconds < 1) for step, seconds in timed(iter("ab"))]
    [('a', True), ('b', True)]
    """
    while True:
        before = time.perf_counter()
        try:
            step = next(steps)
        except StopIteration:
            return
        yield step, time.perf_counter() - before

"""What can be said of a choice before it is made, and of texts after they were drawn.

How to read it: ``spread`` tells how wide a choice is; ``draw_many`` and ``draw_counts`` set many draws of one token
beside theory, with the sampling error; ``distinct_share`` and ``repeated_share`` measure a drawn text.

What is left out: whether a text is any good. No count of tokens knows that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gptcore.config import SamplingConfig
from gptcore.sampling import Logits, choose, fall, token_names
from gptcore.tokenizer import Names

REPEATED_TOKENS = 4  # in a row: what has occurred before is no chance any more (Welleck et al. 2020 count these)


@dataclass(frozen=True, slots=True)
class Spread:
    """How wide a choice is.

    Attributes:
        kept: Tokens that may be drawn.
        mass: The share of probability, at this temperature and before any cut, that the kept tokens hold.
        entropy: Of the draw, in nats.
        effective: Among how many equally likely tokens one would be as unsure.
        other_order: Tokens that may be drawn when top-p and temperature change places.
    """

    kept: int
    mass: float
    entropy: float
    effective: float
    other_order: int


def spread(logits: Logits, config: SamplingConfig) -> Spread:
    """How wide the choice is that these rules leave.

    Args:
        logits: (V,), float.
        config: The rules of the draw.
    """
    choice = choose(logits, config)
    uncut = choose(logits, replace(config, top_k=None, top_p=None))
    other = choose(logits, replace(config, top_p_first=not config.top_p_first))
    effective = effective_choices(choice.probability.numpy())
    return Spread(
        kept=int(choice.kept.sum()),
        mass=float(uncut.probability[choice.kept].sum()),
        entropy=math.log(effective),
        effective=effective,
        other_order=int(other.kept.sum()),
    )


def effective_choices(probability: NDArray[np.float64]) -> float:
    """Among how many equally likely tokens one would be as unsure: e to the entropy.

    Args:
        probability: (V,), sums to 1; 0 for what is cut.

    >>> effective_choices(np.array([0.25, 0.25, 0.25, 0.25, 0.0]))
    4.0
    """
    possible = probability[probability > 0]
    return math.exp(-float((possible * np.log(possible)).sum()))


def nucleus_size(probability: NDArray[np.float64], share: float) -> int:
    """The fewest tokens that together hold a share of the probability.

    >>> nucleus_size(np.array([0.1, 0.6, 0.3]), 0.9)
    2
    """
    reached = np.sort(probability)[::-1].cumsum()
    return min(int(np.searchsorted(reached, share - 1e-12)) + 1, len(reached))


def stage_table(logits: Logits, names: Names, config: SamplingConfig, drawn: NDArray[np.int64]) -> pd.DataFrame:
    """What every stage of a choice makes of every token, and how often it was drawn.

    Args:
        logits: (V,), float.
        names: Gives the tokens their text.
        config: The rules of the draw.
        drawn: Token ids (N,).

    Returns:
        V rows, the largest logit first: token_id, token, logit, scaled (divided by T), softmax (what top-p looks at),
        kept, chance, drawn, expected, error (both as in ``draw_counts``).
    """
    choice = choose(logits, config)
    chance = choice.probability.numpy()
    rows = pd.DataFrame(
        {
            "token_id": range(len(chance)),
            "token": token_names(names),
            "logit": logits.double().numpy(),
            "scaled": choice.scaled.numpy(),
            "softmax": choice.softmax.numpy(),
            "kept": choice.kept.numpy(),
            "chance": chance,
            "drawn": np.bincount(drawn, minlength=len(chance)),
            "expected": len(drawn) * chance,
            "error": np.sqrt(len(drawn) * chance * (1 - chance)),
        }
    )
    return rows.iloc[likeliest_ids(logits, len(chance))].reset_index(drop=True)


def likeliest_ids(logits: Logits, count: int) -> NDArray[np.int64]:
    """Ids of the largest scores, the largest first; of equals the lowest id.

    >>> likeliest_ids(torch.tensor([1.0, 3.0, 0.0, 3.0]), 2).tolist()
    [1, 3]
    """
    scores = logits.numpy()
    least = np.partition(scores, -min(count, len(scores)))[-min(count, len(scores))]
    candidates = np.flatnonzero(scores >= least)
    return candidates[np.argsort(-scores[candidates], kind="stable")][:count]


def draw_many(probability: NDArray[np.float64], count: int, seed: int, skip: int = 0) -> NDArray[np.int64]:
    """Many draws of the same token, as if it could be drawn again and again.

    Args:
        probability: (V,), sums to 1.
        count: How often.
        seed: Of the random numbers; its first draw is the first token that ``sampling.generate`` draws with it.
        skip: How many of the seed's numbers were used up by the tokens before this one.

    Returns:
        Token ids (count,).
    """
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(skip + count, dtype=torch.float64, generator=generator)
    return fall(torch.tensor(probability), numbers[skip:]).numpy()


def draw_counts(table: pd.DataFrame, drawn: NDArray[np.int64]) -> pd.DataFrame:
    """Counts over theory, the likeliest tokens first.

    Args:
        table: A frame of ``sampling.next_token_table``.
        drawn: Token ids (N,).

    Returns:
        A row for each token that was drawn or is to be expected at least once in a hundred such series: token_id,
        token, probability, drawn, expected (N p), error (the standard deviation of a count, sqrt(N p (1 - p))).
    """
    count, p = len(drawn), table["probability"].to_numpy()
    counts = table.assign(
        drawn=np.bincount(drawn, minlength=len(table)), expected=count * p, error=np.sqrt(count * p * (1 - p))
    )
    shown = counts[(counts["drawn"] > 0) | (counts["expected"] > 0.01)]
    columns = ["token_id", "token", "probability", "drawn", "expected", "error"]
    return shown.sort_values(["probability", "token_id"], ascending=[False, True], ignore_index=True)[columns]


def distinct_share(ids: Sequence[int]) -> float:
    """How many of a text's tokens are different ones, as a share (Li et al. 2016, distinct-1).

    >>> distinct_share([1, 2, 1, 2])
    0.5
    """
    return len(set(ids)) / len(ids) if ids else 1.0


def repeated_share(ids: Sequence[int], length: int = REPEATED_TOKENS) -> float:
    """The share of a text's passages of so many tokens that occurred in it before.

    >>> repeated_share([1, 2, 3, 4, 5, 1, 2, 3, 4])
    0.16666666666666666
    """
    passages = [tuple(ids[start : start + length]) for start in range(len(ids) - length + 1)]
    return (len(passages) - len(set(passages))) / len(passages) if passages else 0.0

"""One run, judged by more or by less text: how much of a curve's ups and downs is the judge's doing?

How to read it: ``PLANS`` are one run, recorded under three judges. Evaluating draws no random number here, so its
weights are the same at every step and only the verdicts differ. ``disagreement`` takes the judge with most text for the
truth and says how far another one lies from it. What is left out: judges that change from look to look, as the book's
shuffled training batches do; their wobble is larger still.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY
from gptcore.recordings import Plan

BATCHES = (1, 5, 8)  # of validation text; with batches as small as the book's our story has 8
PLANS = [
    Plan(
        f"judge-{batches}",
        f"judged by {batches} batch{'es' * (batches > 1)}",
        OWN_STORY,
        MODEL_PRESETS["class"],
        replace(TRAIN_PRESETS["class"], batch_size=2, steps=600, eval_batches=batches, sample_tokens=0),
    )
    for batches in BATCHES
]


class Disagreement(NamedTuple):
    """How one judge differs from another over a run, in nats a token.

    Attributes:
        offset: By how much its losses are higher on average: its text is harder, or easier.
        scatter: The standard deviation of the rest, from one evaluation to the next.
    """

    offset: float
    scatter: float


def disagreement(judged: pd.Series[float], truth: pd.Series[float]) -> Disagreement:
    """How the validation losses that one judge gave differ from those of another at the same evaluations.

    >>> disagreement(pd.Series([3.0, 2.0, 1.0]), pd.Series([2.0, 2.0, 2.0]))
    Disagreement(offset=0.0, scatter=1.0)
    """
    difference = (judged - truth).dropna()
    return Disagreement(float(difference.mean()), float(difference.std()))

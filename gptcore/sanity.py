"""Four questions to ask of any training loop before its curves are believed, each answered by a short run.

How to read it: ``PLANS`` are the runs, ``starts_blind`` and the three functions after it hold a run to what must come
out; each gives a ``Check``: what was measured, its limit, whether it passed. The limits are ours, and stated.

What is left out: what to do where a check fails (``diagnosis`` and ``gallery`` show what mistakes look like).
Source: the checks are folklore of the field; see Karpathy 2019, "A Recipe for Training Neural Networks".
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY
from gptcore.diagnosis import NEAR, SAME
from gptcore.recordings import Plan

LEARNT = 0.1  # nats: a batch known by heart
BEATEN = 0.1  # nats: how far below the counting line chance may bring a model that can learn nothing else

_BASE = replace(TRAIN_PRESETS["class"], steps=100, sample_tokens=0)
PLANS = [
    Plan("check-one-batch", "One batch", OWN_STORY, MODEL_PRESETS["class"], replace(_BASE, variant="one-batch")),
    Plan(
        "check-train-as-validation",
        "The training text judges",
        OWN_STORY,
        MODEL_PRESETS["class"],
        replace(_BASE, variant="train-as-validation"),
    ),
    Plan(
        "check-shuffled-targets",
        "Targets shuffled",
        OWN_STORY,
        MODEL_PRESETS["class"],
        replace(_BASE, variant="shuffled-targets"),
    ),
]
ONE_BATCH, TRAIN_AS_VALIDATION, SHUFFLED = PLANS


class Check(NamedTuple):
    """What came out of a check.

    Attributes:
        passed: Whether it is as it must be.
        value: What was measured, nats a token.
        limit: What it was held to.
    """

    passed: bool
    value: float
    limit: float


def starts_blind(untrained_loss: float, blind: float) -> Check:
    """Before any update the loss is near ln V.

    >>> starts_blind(7.2, blind=7.05).passed
    True
    """
    return Check(abs(untrained_loss - blind) <= NEAR, abs(untrained_loss - blind), NEAR)


def learns_one_batch(rows: pd.DataFrame) -> Check:
    """A batch that is seen at every update is known by heart in the end: what can't do this can't learn."""
    last = float(rows["batch_loss"].iloc[-1])
    return Check(last <= LEARNT, last, LEARNT)


def judges_alike(rows: pd.DataFrame) -> Check:
    """The same text gives the same loss, whichever part it is called: the largest difference of all evaluations."""
    largest = float((rows["train_loss"] - rows["val_loss"]).abs().max())
    return Check(largest <= SAME, largest, SAME)


def learns_no_order(rows: pd.DataFrame, counting_tokens: float) -> Check:
    """Where targets come in any order nothing beats counting tokens; what does has seen the answer some other way."""
    lowest, limit = float(rows["val_loss"].min()), counting_tokens - BEATEN
    return Check(lowest >= limit, lowest, limit)

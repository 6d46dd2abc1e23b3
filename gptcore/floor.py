"""The way down to a known floor: one small model, more and more of one text, the same number of updates each time.

How to read it: ``PLANS`` are the runs that are recorded, one for each of ``SHARES``; ``lowest`` is the best validation
loss of a run, ``judged`` the text that judges all of them. What is left out: the language itself and its entropy
(``language``), and training (``recordings``, ``runs``).
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import LANGUAGE, load_text
from gptcore.language import tokens_of
from gptcore.recordings import Plan, Recording, load
from gptcore.windows import split_text

SHARES = (0.02, 0.1, 0.3, 1.0)
MODEL = MODEL_PRESETS["class"]
TRAINING = replace(
    TRAIN_PRESETS["class"],
    steps=1_200,
    eval_every=30,
    train_fraction=0.96,  # leaves 4,000 tokens to be judged by: 124 windows in 16 batches, so all of them judge
    eval_batches=16,
    sample_tokens=12,
)


def plan(share: float) -> Plan:
    """The run on a share of the training text."""
    training = replace(TRAINING, train_share=share)
    return Plan(f"floor-{share * 100:g}", f"{share:.0%} of the text", LANGUAGE, MODEL, training)


PLANS = [plan(share) for share in SHARES]


def recorded(share: float) -> Recording:
    """The recorded run on a share of the text."""
    return load(plan(share).name)


def lowest(metrics: pd.DataFrame) -> float:
    """The best validation loss of a run's rows, in nats a token."""
    return float(metrics["val_loss"].min())


def judged() -> list[str]:
    """The tokens that judge every share."""
    return tokens_of(split_text(load_text(LANGUAGE).text, TRAINING.train_fraction)[1])

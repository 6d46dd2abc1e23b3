"""The same run with other seeds: how much of a curve is chance?

How to read it: ``PLANS`` are the runs that are recorded. What is left out: training (``recordings`` does it).
"""

from __future__ import annotations

from dataclasses import replace

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY
from gptcore.recordings import Plan

SEEDS = (123, 124, 125, 126, 127)

PLANS = [
    Plan(f"seed-{seed}", f"seed {seed}", OWN_STORY, MODEL_PRESETS["class"], replace(TRAIN_PRESETS["class"], seed=seed))
    for seed in SEEDS
]

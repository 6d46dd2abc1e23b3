"""Figures that others published, to set beside what is measured here; on screen they are always labelled so."""

from __future__ import annotations

from typing import NamedTuple


class PublishedLoss(NamedTuple):
    """Mean loss on The Verdict, in nats a token, over the windows of 256 tokens that the book trains on."""

    model: str
    train: float
    validation: float
    source: str


THE_VERDICT_LOSSES = (
    PublishedLoss("GPT-2 124M, pretrained", 3.7547, 3.5596, "Raschka, exercise 5.5"),
    PublishedLoss("GPT-2 XL, pretrained", 3.3046, 3.1195, "Raschka, exercise 5.6"),
    PublishedLoss("the book's model, trained on the story alone", 0.569, 6.373, "Raschka, section 5.2"),
)

# Seed 123, temperature 1.5, top-k 50, 25 new tokens. Library versions change it, so it is shown and never asserted.
GPT2_SAMPLE = (
    "Every effort moves you as far as the hand can go until the end of your turn unless something interrupts your "
    "control flow. As you may observe I"
)

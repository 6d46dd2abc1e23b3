"""Figures that others published, to set beside what is measured here; on screen they are always labelled so."""

from __future__ import annotations

import json
from typing import NamedTuple

from gptcore.paths import ASSETS


class PublishedLoss(NamedTuple):
    """Mean loss on The Verdict, in nats a token, over the windows of 256 tokens that the book trains on."""

    model: str
    train: float
    validation: float
    source: str


# The entropy of English, lowest and highest estimate: Shannon 1951, "Prediction and entropy of printed English".
BITS_OF_A_LETTER = (0.6, 1.3)

THE_VERDICT_LOSSES = (
    PublishedLoss("GPT-2 124M, pretrained", 3.7547, 3.5596, "Raschka, exercise 5.5"),
    PublishedLoss("GPT-2 XL, pretrained", 3.3046, 3.1195, "Raschka, exercise 5.6"),
    PublishedLoss("the book's model, trained on the story alone", 0.569, 6.373, "Raschka, section 5.2"),
)


class PublishedRun(NamedTuple):
    """A run that others made: step, training loss and validation loss of each evaluation, in nats a token."""

    evaluations: tuple[tuple[int, float, float], ...]
    source: str


# The book's own run of its code on The Verdict, on another device than a reference run here: so other digits.
THE_VERDICT_RUN = PublishedRun(
    (
        (0, 9.817, 9.924),
        (5, 8.066, 8.332),
        (10, 6.619, 7.042),
        (15, 6.046, 6.596),
        (20, 5.524, 6.508),
        (25, 5.369, 6.378),
        (30, 4.830, 6.263),
        (35, 4.586, 6.285),
        (40, 3.879, 6.130),
        (45, 3.530, 6.183),
        (50, 2.960, 6.123),
        (55, 2.832, 6.150),
        (60, 2.104, 6.133),
        (65, 1.691, 6.186),
        (70, 1.391, 6.230),
        (75, 1.059, 6.251),
        (80, 0.800, 6.278),
        (85, 0.569, 6.373),
    ),
    "Raschka, section 5.2",
)


class PublishedDraws(NamedTuple):
    """Words with made-up scores, and how often each of them was drawn.

    Attributes:
        words: As the book lists them.
        logits: Their scores.
        draws: How many draws each series has.
        counts: Temperature: what was printed of its series, word by word.
    """

    words: tuple[str, ...]
    logits: tuple[float, ...]
    draws: int
    counts: dict[float, dict[str, int]]
    source: str


NINE_WORDS = PublishedDraws(
    ("closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"),
    (4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79),
    1_000,
    {
        1.0: {"closer": 73, "forward": 582, "inches": 2, "toward": 343},
        0.1: {"forward": 985, "toward": 15},
        5.0: {"pizza": 32},
    },
    "Raschka, section 5.3",
)


class PublishedTraining(NamedTuple):
    """What a training took, as others published it; None where they said nothing.

    Attributes:
        tokens: Training tokens that were read, repetitions counted.
        seconds: From start to end; hours of many processors are added up.
        dollars: What it cost, or would have cost to rent.
    """

    run: str
    tokens: int
    seconds: float | None
    dollars: float | None
    source: str


THE_VERDICT_TRAIN_TOKENS = 4_612  # GPT-2 tokens of the part that the book trains on, the first 0.9 of its characters
THE_VERDICT_TOKENS = 10 * 9 * 2 * 256  # read by the book's run: epochs, batches, windows, tokens: 46,080

THE_VERDICT_TIMES = (
    PublishedTraining("the book's run, MacBook Air", THE_VERDICT_TOKENS, 5 * 60, None, "Raschka, section 5.2: about"),
    PublishedTraining("the book's run, a lecture", THE_VERDICT_TOKENS, 6.6 * 60, None, "a recorded lecture"),
    PublishedTraining(
        "the book's run, RTX 3090", THE_VERDICT_TOKENS, 11, None, "a published run of the book's code: just under"
    ),
)

LLAMA_2_GPU_HOURS = 184_320  # of an A100; Touvron et al. 2023, table 2
EIGHT_GPUS_AN_HOUR = 30.0  # dollars; Raschka, chapter 5

LARGE_TRAININGS = (
    PublishedTraining(
        "GPT-2 124M, llm.c, eight A100",
        10 * 10**9,
        90 * 60,
        20,
        "Karpathy 2024, llm.c, discussion 481: about",
    ),
    PublishedTraining(
        "Llama 2 7B, GPU hours added up",
        2 * 10**12,
        LLAMA_2_GPU_HOURS * 3_600,
        None,
        "Touvron et al. 2023, table 2",
    ),
)

# Seed 123, temperature 1.5, top-k 50, 25 new tokens. Library versions change it, so it is shown and never asserted.
GPT2_SAMPLE = (
    "Every effort moves you as far as the hand can go until the end of your turn unless something interrupts your "
    "control flow. As you may observe I"
)


class PublishedToken(NamedTuple):
    """One of the likeliest next tokens, with its share among all 50,257, at temperature 1 and without a cut."""

    token_id: int
    token: str
    probability: float


def _next_tokens() -> dict[str, list[PublishedToken]]:
    raw = json.loads((ASSETS / "published" / "gpt2_next_tokens.json").read_text(encoding="utf-8"))
    return {prompt: [PublishedToken(*row) for row in rows] for prompt, rows in raw["prompts"].items()}


# What GPT-2 124M says next after five prompts: its 20 likeliest tokens, the likeliest first. The file names its source.
GPT2_NEXT_TOKENS = _next_tokens()
GPT2_NEXT_TOKENS_SOURCE = "Transformer Explainer"

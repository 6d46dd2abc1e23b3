"""How long a training takes and what it costs: published, recorded, measured and computed, side by side.

How to read it: ``published_trainings`` is what others said; ``book_run_here`` follows from this machine's measured
speed; ``how_long`` sets any of them in one table and asks of each how long one pass over 10 billion tokens would take.

What is left out: what a machine costs that stands in one's own room, and what is paid for failed attempts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import pandas as pd

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.estimate import run_seconds
from gptcore.published import (
    EIGHT_GPUS_AN_HOUR,
    LARGE_TRAININGS,
    LLAMA_2_GPU_HOURS,
    THE_VERDICT_TIMES,
    THE_VERDICT_TOKENS,
)

Kind = Literal["published", "recorded", "measured", "computed"]
BOOK = "book-124m"
HERE = "the book's run, this machine"
ONE_PASS = 10 * 10**9  # tokens: the size of the text that GPT-2's reproductions read once
UNITS = ((365.25 * 86_400, "years"), (86_400, "days"), (3_600, "hours"), (60, "minutes"))


class Training(NamedTuple):
    """One training, and where its figures come from.

    Attributes:
        tokens: Training tokens read, repetitions counted.
        seconds: None where nobody said.
        dollars: None where nobody said.
    """

    run: str
    tokens: int
    seconds: float | None
    dollars: float | None
    kind: Kind
    source: str


def llama_2_dollars() -> float:
    """What Llama 2 7B would have cost to train on rented machines of eight GPUs.

    >>> llama_2_dollars()
    691200.0
    """
    return LLAMA_2_GPU_HOURS / 8 * EIGHT_GPUS_AN_HOUR


def published_trainings() -> list[Training]:
    """The times and costs that others published; Llama 2's cost is worked out from its hours."""
    rows = [Training(*each[:4], "published", each.source) for each in (*THE_VERDICT_TIMES, *LARGE_TRAININGS)]
    hours = f"{LLAMA_2_GPU_HOURS:,} hours / 8 x {EIGHT_GPUS_AN_HOUR:g} dollars (Raschka, chapter 5)"
    rows.append(Training("the same, rented", rows[-1].tokens, None, llama_2_dollars(), "computed", hours))
    return rows


def book_run_here(speed: float) -> Training:
    """The book's run on this machine, worked out from the speed of one core.

    Args:
        speed: Operations a second (``estimate.machine_speed``).
    """
    shape, training = MODEL_PRESETS[BOOK], TRAIN_PRESETS[BOOK]
    steps = THE_VERDICT_TOKENS // (training.batch_size * shape.context_length)
    source = f"from a speed measured just now: {speed / 1e9:,.0f} billion operations a second and core"
    seconds = run_seconds(shape, training, steps, speed)
    return Training(HERE, THE_VERDICT_TOKENS, seconds, None, "computed", source)


def how_long(rows: Iterable[Training]) -> pd.DataFrame:
    """Trainings in one table.

    Returns:
        A row each: run, tokens, seconds, tokens_per_second, one_pass (seconds for 10 billion tokens at that speed),
        dollars, kind, source. What nobody said is missing.

    >>> table = how_long(published_trainings())
    >>> round(table["one_pass"].iloc[0] / 86_400)  # days, at the speed of a MacBook Air
    754
    """
    table = pd.DataFrame(rows, columns=Training._fields).astype({"seconds": float, "dollars": float})
    speed = table["tokens"] / table["seconds"]
    table.insert(3, "tokens_per_second", speed)
    table.insert(4, "one_pass", ONE_PASS / speed)
    return table


def duration(seconds: float) -> str:
    """A time as one says it, in the largest unit of which it has one and a half.

    >>> duration(11), duration(396), duration(7e7)
    ('11 seconds', '6.6 minutes', '2.2 years')
    """
    for size, name in UNITS:
        if seconds >= 1.5 * size:
            count = seconds / size
            return f"{count:,.1f} {name}" if count < 20 else f"{count:,.0f} {name}"
    return f"{seconds:,.0f} seconds" if seconds >= 10 else f"{seconds:,.1f} seconds"

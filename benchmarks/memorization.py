"""How quickly copied passages are found: 1,000 generated tokens in a training text of 2 million.

The tokens are drawn as a language's are, a few of them often and most of them seldom, and half of the generated text is
copied in passages of 5 to 50 tokens. Printed beside the goals, with the memory that the index holds and the most that
it took to build. What a text of nothing but blanks costs, in which every place fits, stands below the line.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from gptcore.config import GPT2_VOCAB_SIZE
from gptcore.memorization import CopyIndex

TRAINING, GENERATED, SHORTEST = 2_000_000, 1_000, 5
BLANK, BLANK_TRAINING = 220, 300_000
GOALS = {"index": 5.0, "spans": 0.5}


def like_a_language(random: np.random.Generator, tokens: int) -> NDArray[np.int64]:
    """Tokens of which the n-th most frequent comes 1/n as often as the first."""
    often = 1 / np.arange(1, GPT2_VOCAB_SIZE + 1)
    return random.choice(GPT2_VOCAB_SIZE, tokens, p=often / often.sum())


def half_copied(random: np.random.Generator, train: NDArray[np.int64]) -> list[int]:
    """A text that copies a passage, then goes its own way for as long, and so on."""
    ids: list[int] = []
    while len(ids) < GENERATED:
        length, place = int(random.integers(SHORTEST, 51)), int(random.integers(0, len(train) - 50))
        ids += [*train[place : place + length].tolist(), *like_a_language(random, length).tolist()]
    return ids[:GENERATED]


def search(train: list[int], ids: list[int]) -> tuple[float, float, int]:
    """Seconds to build the index for one length, seconds to search it, and the passages found."""
    began = time.perf_counter()
    index = CopyIndex(train)
    index.spans(ids[:SHORTEST], SHORTEST)  # the first question builds it
    built = time.perf_counter()
    found = index.spans(ids, SHORTEST)
    return built - began, time.perf_counter() - built, len(found)


def memory(train: list[int], ids: list[int]) -> tuple[float, float]:
    """MiB that the index holds, and the most while it was built."""
    tracemalloc.start()
    index = CopyIndex(train)
    index.spans(ids, SHORTEST)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 2**20, most / 2**20


def main() -> None:
    """Print the table."""
    random = np.random.default_rng(0)
    numbers = like_a_language(random, TRAINING)
    train, ids = numbers.tolist(), half_copied(random, numbers)
    build, find, passages = search(train, ids)
    held, most = memory(train, ids)
    _, blank, _ = search([BLANK] * BLANK_TRAINING, [BLANK] * GENERATED)
    print(f"{'memorisation':60} {'seconds':>8} {'goal':>6}")
    print(f"{f'index of {TRAINING:,} tokens, with the first question':60} {build:8.2f} {GOALS['index']:6.1f}")
    print(f"{f'{passages} passages found in {GENERATED:,} tokens':60} {find:8.3f} {GOALS['spans']:6.1f}")
    print(f"the index holds {held:.0f} MiB, {most:.0f} MiB while it is built")
    print(f"{f'{GENERATED:,} blanks in {BLANK_TRAINING:,} blanks':60} {blank:8.2f}")

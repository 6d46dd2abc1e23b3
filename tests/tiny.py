"""The smallest run there is: a text, a shape and settings that train in a tenth of a second, and ways to watch one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.runs.store import Run

STORY = Text(
    "story",
    "A story",
    "The lamp burned low and the keeper slept. The clock struck one, and then the keeper woke by the lamp. " * 9,
    "The lamp",
)
MODEL = GPTConfig(vocab_size=40, context_length=8, emb_dim=16, n_heads=2, n_layers=1, drop_rate=0.2)
# 23 windows, so 5 batches an epoch and 3 windows left over.
SETTINGS = TrainConfig(
    batch_size=4, lr=1e-2, epochs=2, eval_every=3, eval_batches=2, sample_tokens=4, compact_vocab=True, threads=1
)
FOREVER = replace(SETTINGS, steps=1_000_000, eval_every=1_000_000)
PATIENCE_SECONDS = 120  # for another process or thread on a crowded machine; nothing is measured


T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Do it in a thread of its own: in this one Playwright's event loop may run, beside which there is no other."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns."""
    return apart(lambda: asyncio.run(work))


def losses(run: Run) -> dict[int, float]:
    """Batch losses by step; a step that is missing or written twice fails."""
    rows, _ = run.metrics()
    assert [row["step"] for row in rows] == list(range(len(rows)))
    return {row["step"]: row["batch_loss"] for row in rows}


def stop_at(step: int, action: Callable[[], object]) -> Callable[[Any, Any], None]:
    """A watcher that does something once, after this step."""

    def watch(record: Any, _state: Any) -> None:
        if getattr(record, "step", None) == step:
            action()

    return watch


def until(condition: Callable[[], object], action: Callable[[], object] = lambda: None) -> None:
    """Wait for something that another process or thread does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        action()
        time.sleep(0.02)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The system refuses to write any file beyond this many bytes, as a full disk would: in the middle of a write."""
    resource = pytest.importorskip("resource", reason="this system can't limit the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

"""What the sealed part of a text costs the models of a challenge, once its seal is open.

How to read it: ``score`` reads the sealed part with one run's weights, as ``against.judge`` reads any passage: in
windows of the model's own context that touch, every token but the first guessed once. So all models guess the same
tokens.

What is left out: which runs are scored (``challenge``), what the scores say (``outcome``), who may open a seal (the
page).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from gptcore import against
from gptcore.batches import encode_part
from gptcore.challenge import BLOCK, MOST_GUESSES, Score, Tried
from gptcore.checkpoint import load_weights
from gptcore.machine import check_memory
from gptcore.runs.store import RunStore
from gptcore.windows import seal_text

MOST_SECONDS = 30.0  # for one model
COPIES = 3  # of the weights in memory while they are loaded: the file, its numbers, the model

Windows = Iterator[NDArray[np.float64]]


def score(store: RunStore, tried: Tried, in_turn: Callable[[Windows], Iterable[NDArray[np.float64]]] = iter) -> Score:
    """Score one run on the sealed part of its text; a run that can't be scored says why.

    Args:
        store: Where the run lies.
        tried: The run, as it was when the seal was opened.
        in_turn: Takes the windows one by one, when it is this reader's turn to compute.
    """
    run = store.find(tried.run)
    if run is None:
        return Score(tried.run, problem="was deleted")
    found = {which: path for which in ("best", "last") if (path := run.weights(which)) is not None}
    if not found:
        return Score(tried.run, problem="kept no weights")
    which, path = next(iter(found.items()))
    try:
        check_memory(COPIES * path.stat().st_size, "scoring it")
        model, tokenizer = load_weights(path)
        settings = run.train_config
        if run.status.get("best", {}).get("val_loss") != tried.validation:
            return Score(tried.run, problem="was trained on after the seal was opened")
        sealed = seal_text(run.text.text, settings.sealed_fraction)[1]
        ids = encode_part(tokenizer, sealed, settings)[: MOST_GUESSES + 1]
        losses = _within(in_turn(against.judge(model, ids, model.config.context_length)))
    except (ValueError, OSError, KeyError, MemoryError) as error:
        return Score(tried.run, problem=f"can't be scored: {error}")
    return Score(tried.run, which, float(losses.mean()), blocks_of(losses))


def _within(windows: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """All windows, if they come in time.

    Raises:
        ValueError: They do not.
    """
    end, losses = time.monotonic() + MOST_SECONDS, []
    for window in windows:
        losses.append(window)
        if time.monotonic() > end:
            raise ValueError(f"its model is too large to be asked here within {MOST_SECONDS:.0f} seconds")
    return np.concatenate(losses)


def blocks_of(losses: NDArray[np.float64]) -> tuple[float, ...]:
    """The means of ``BLOCK`` guesses in a row; what is left at the end fills no block.

    >>> blocks_of(np.arange(70.0))
    (15.5, 47.5)
    """
    whole = losses[: len(losses) // BLOCK * BLOCK]
    return tuple(round(float(mean), 5) for mean in whole.reshape(-1, BLOCK).mean(axis=1))

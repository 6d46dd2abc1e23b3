"""Models that were loaded from weights: one copy for all students, bounded by bytes, let go when nobody asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gptcore.config import Precision
from gptcore.machine import memory_limit
from gptcore.shelf import Shelf
from gptcore.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gptcore.model import GPTModel
    from gptcore.pretrained import Placed, Watch

SHARE = 3  # of the memory limit, one part may be held by models that were loaded


class Loaded(NamedTuple):
    """A model with its tokenizer; of GPT-2 weights also how each tensor came to its place."""

    model: GPTModel
    tokenizer: Tokenizer
    placed: list[Placed]


# Not in Streamlit's cache: any visitor may clear that, and it counts models, not bytes.
_shelf: Shelf[Loaded] = Shelf(most_bytes=lambda: memory_limit() // SHARE)


def take(path: Path, weights: str, precision: Precision, changed: float, watch: Watch | None = None) -> Loaded:
    """The model of these weights as it stands on the shelf, loaded now if it does not.

    Args:
        path: Where its weights lie.
        weights: Which of a run's.
        precision: In which numbers.
        changed: When the weights were last written: newer ones are another model.
        watch: Told of each tensor as it finds its place, where this call is the one that loads.

    Raises:
        ValueError: The weights can't be loaded; the message says why.
    """

    def load() -> tuple[Loaded, int]:
        from gptcore.library import bytes_held, load_model

        placed: list[Placed] = []

        def note(each: Placed) -> None:
            placed.append(each)
            if watch is not None:
                watch(each)

        model, tokenizer = load_model(path, weights, precision, note)
        return Loaded(model, tokenizer, placed), bytes_held(model)

    return _shelf.take((path, weights, precision, changed), load)


def placed(model: GPTModel) -> list[Placed]:
    """How each tensor of a model that stands here came to its place; empty where that is not known."""
    return next((each.placed for each in _shelf.things() if each.model is model), [])

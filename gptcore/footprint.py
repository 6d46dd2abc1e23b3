"""What a model holds in memory while it speaks: the sum, held against what this machine can spare, before loading.

How to read it: ``footprint`` counts from the shape alone; ``check_fits`` refuses what can't fit and names what would.
What is left out: what training holds (``parameters.training_memory``), several times as much.
"""

from __future__ import annotations

from typing import NamedTuple

import psutil

from gptcore.config import MODEL_PRESETS, GPTConfig, Precision
from gptcore.machine import MIB, memory_limit
from gptcore.parameters import count_parameters
from gptcore.safetensors_file import WeightsError

BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2}
POSITIONS = 256  # whose scores are held at once: a window of the book's
SIZES = {  # the four that were published, largest first
    "GPT-2 XL": "gpt2-xl",
    "GPT-2 large": "gpt2-large",
    "GPT-2 medium": "gpt2-medium",
    "GPT-2 small": "gpt2-small",
}


class Footprint(NamedTuple):
    """Bytes of a model in use: its weights, and what it computes with."""

    weights: int
    computing: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.weights + self.computing


def footprint(config: GPTConfig, precision: Precision = "float32") -> Footprint:
    """What one model holds while it writes one text of its whole context.

    Besides the weights these are the keys and values of that text, and the scores of one window in float32.

    >>> [footprint(MODEL_PRESETS["gpt2-small"], precision).weights // MIB for precision in BYTES]
    [474, 237]
    """
    each = BYTES[precision]
    cache = 2 * config.n_layers * config.context_length * config.emb_dim * each
    scores = 4 * config.vocab_size * min(POSITIONS, config.context_length)
    return Footprint(count_parameters(config) * each, cache + scores)


def spare_memory() -> int:
    """Bytes of the memory limit that neither this process nor its children hold."""
    held = 0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            held += process.memory_info().rss
        except psutil.NoSuchProcess:  # it has ended in the meantime
            continue
    return max(0, memory_limit() - held)


def what_fits(spare: int) -> list[str]:
    """The published sizes that fit, the largest first, each in the better precision that does.

    >>> what_fits(400 * MIB)
    ['GPT-2 small in bfloat16']
    """
    fitting = []
    for name, preset in SIZES.items():
        precision = next((p for p in BYTES if footprint(MODEL_PRESETS[preset], p).total <= spare), None)
        if precision is not None:
            fitting.append(f"{name} in {precision}")
    return fitting


def check_fits(config: GPTConfig, precision: Precision, what: str, spare: int | None = None) -> None:
    """Refuse, before anything is fetched or read, a model that can't fit.

    Args:
        config: Its shape.
        precision: "float32" or "bfloat16".
        what: Its name.
        spare: Bytes to be had; None asks the machine.

    Raises:
        WeightsError: The sum, what is there, and what would fit.

    >>> check_fits(MODEL_PRESETS["gpt2-xl"], "float32", "GPT-2 XL", spare=2**30)
    Traceback (most recent call last):
    ...
    gptcore.safetensors_file.WeightsError: GPT-2 XL in float32 needs 6,590 MiB (5,941 of weights, 649 to compute with) \
and 1,024 MiB are free here; what would fit: GPT-2 medium in bfloat16, GPT-2 small in float32
    """
    spare = spare_memory() if spare is None else spare
    needs = footprint(config, precision)
    if needs.total <= spare:
        return
    halved = footprint(config, "bfloat16").total
    fitting = [f"this one in bfloat16 ({halved // MIB:,} MiB)"] if halved <= spare else what_fits(spare)
    raise WeightsError(
        f"{what} in {precision} needs {needs.total // MIB:,} MiB ({needs.weights // MIB:,} of weights, "
        f"{needs.computing // MIB:,} to compute with) and {spare // MIB:,} MiB are free here; what would fit: "
        f"{', '.join(fitting) or 'the bundled model'}"
    )

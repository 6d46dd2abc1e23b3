"""What a training step holds in memory at most, measured, beside what ``parameters.training_memory`` says.

Each model is trained for three updates in a process of its own. Measured is how far the process grew from before there
was a model; Linux keeps that peak, and lets it be set back.

How to read it: ``measure`` starts the child, ``_child`` is what runs there.
What is left out: Python and PyTorch themselves, about 400 MiB, which are there before any model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psutil

from gptcore.config import MODEL_PRESETS, GPTConfig, TrainConfig, from_json, to_json
from gptcore.corpora import OWN_STORY, load_text
from gptcore.parameters import training_memory
from gptcore.paths import REPOSITORY

UPDATES = 3  # the optimiser's memory is there from the first on; what can't be used again grows a little longer
CLEAR_REFS = Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # Linux: /proc/PID/clear_refs, "reset the peak resident set size"
MIB = 2**20


class Case(NamedTuple):
    """A model and how it is trained."""

    name: str
    shape: GPTConfig
    training: TrainConfig


_WIDE = GPTConfig(context_length=128, emb_dim=256, n_heads=4, n_layers=6)
CASES = (
    Case("harry-potter", MODEL_PRESETS["harry-potter"], TrainConfig(batch_size=16)),
    Case("harry-potter, reference", MODEL_PRESETS["harry-potter"], TrainConfig(batch_size=16, reference=True)),
    Case("C 256, compact vocabulary", _WIDE, TrainConfig(batch_size=16, compact_vocab=True)),
    Case("C 256, full vocabulary", _WIDE, TrainConfig(batch_size=16)),
    Case("pocket, bfloat16", MODEL_PRESETS["pocket"], TrainConfig(batch_size=8, precision="bfloat16")),
    Case("book-124m", MODEL_PRESETS["book-124m"], TrainConfig(batch_size=2)),
    Case("book-124m, reference", MODEL_PRESETS["book-124m"], TrainConfig(batch_size=2, reference=True)),
)


class Measured(NamedTuple):
    """Bytes at the peak: as they were, and as the formula has them."""

    peak: int
    formula: int


def measure(case: Case) -> Measured:
    """Train a model in a process of its own and see how far that grows."""
    command = [sys.executable, "-m", "benchmarks.memory", json.dumps([to_json(case.shape), to_json(case.training)])]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return Measured(*json.loads(done.stdout))


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _child(shape: GPTConfig, training: TrainConfig) -> Measured:
    import torch

    from gptcore.batches import prepare
    from gptcore.training import new_state, next_batch, update

    torch.set_num_threads(1)
    data = prepare(load_text(OWN_STORY), shape, training)
    sized = GPTConfig(**to_json(shape) | {"vocab_size": data.tokenizer.vocab_size})
    tiny = GPTConfig(vocab_size=sized.vocab_size, context_length=shape.context_length, emb_dim=2, n_heads=1, n_layers=1)
    warm = new_state(tiny, training, data)
    update(warm, *(part[:1, :8] for part in next_batch(warm)))  # what the first update of a process loads stays
    del warm
    CLEAR_REFS.write_text(FORGET_PEAK, encoding="ascii")
    before = psutil.Process().memory_info().rss
    state = new_state(sized, training, data)
    for _ in range(UPDATES):
        update(state, *next_batch(state))
        state.step += 1
    return Measured(_peak() - before, sum(training_memory(sized, training).values()))


def main() -> None:
    """Print the table."""
    print(f"{'a step of':28} {'measured, MiB':>14} {'formula, MiB':>14} {'off by':>8}")
    for case in CASES:
        peak, formula = measure(case)
        print(f"{case.name:28} {peak / MIB:14,.0f} {formula / MIB:14,.0f} {formula / peak - 1:8.1%}")


if __name__ == "__main__":
    if sys.argv[1:]:
        model, settings = json.loads(sys.argv[1])
        print(json.dumps(_child(from_json(GPTConfig, model), from_json(TrainConfig, settings))))
    else:
        main()

"""How long one training step takes, and how much memory it holds, beside the book's package and transformers.

Five shapes, all in one process and in turns. "Like for like" is the peer's own shape and arithmetic: untied, with the
shape's dropout, in float32; "bf16" differs in the precision alone. "As fast as it goes" is what one would choose for
speed, and says what differs: a tied head where the shape's preset or GPT-2 ties it, no dropout (on attention it keeps
PyTorch from its quick kernel), and the precision that is quicker on this machine, which is measured and not guessed.

The limit is the same arithmetic at the speed of one large product of matrices (1,024 x 1,024) in that precision, and a
profile: where one step's time goes.
Memory is the peak of a whole process that makes three steps, Python and PyTorch included.

``python -m benchmarks step-a`` measures one shape; ``steps`` measures all five.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from benchmarks import peers
from benchmarks.results import Row
from benchmarks.timing import DTYPES, medians, one_thread, products_a_second, where_time_goes
from gptcore.config import MODEL_PRESETS, GPTConfig, Precision
from gptcore.estimate import step_operations
from gptcore.fast import fused_adamw, fused_loss
from gptcore.library import new_model
from gptcore.machine import MIB
from gptcore.parameters import count_parameters
from gptcore.paths import REPOSITORY

MODELS_AT_ONCE, BYTES_A_PARAMETER = 4, 16  # weight, gradient, and AdamW's two
PEAK_STEPS = 3


class Shape(NamedTuple):
    """A model and a batch to measure with, and the goals that are set for them.

    Attributes:
        ties: Whether its fastest form shares the head's weight with the embedding.
        rounds: How often each is timed.
        goals: Times quicker than the book: like for like in float32, the same in bfloat16, as fast as it goes.
        peaks: Times less memory than the book: like for like, as fast as it goes.
    """

    letter: str
    about: str
    config: GPTConfig
    batch: int
    ties: bool
    rounds: int
    goals: tuple[float | None, float | None, float | None]
    peaks: tuple[float | None, float | None] = (None, None)

    @property
    def alike(self) -> GPTConfig:
        """As the book's package has it."""
        return replace(self.config, tie_weights=False)

    @property
    def fastest(self) -> GPTConfig:
        """As one would choose it for speed."""
        return replace(self.config, tie_weights=self.ties, drop_rate=0.0)


_D = GPTConfig(context_length=128, emb_dim=128, n_heads=4, n_layers=4, drop_rate=0.0, qkv_bias=True)
SHAPES = {
    shape.letter: shape
    for shape in (
        Shape(
            "A",
            "GPT-2's 124M, the book's run",
            MODEL_PRESETS["book-124m"],
            2,
            ties=True,
            rounds=3,
            goals=(1.35, 2.0, 2.45),
            peaks=(1 / 0.75, 1 / 0.54),
        ),
        Shape("B", "C 768, L 4", MODEL_PRESETS["julius-caesar"], 8, ties=True, rounds=3, goals=(None, None, 2.4)),
        Shape("C", "C 16, L 4", MODEL_PRESETS["harry-potter"], 16, ties=False, rounds=5, goals=(3.5, None, 8.0)),
        Shape("D", "C 128, L 4", _D, 8, ties=True, rounds=5, goals=(1.7, None, 3.9)),
        Shape("E", "C 128, V 2,048", replace(_D, vocab_size=2_048), 8, ties=True, rounds=9, goals=(None, None, 1.75)),
    )
}


def our_steps(config: GPTConfig, batch: int) -> dict[Precision, Callable[[], None]]:
    """One update of ours on random tokens, in each precision; they share one model."""
    model = new_model(config, 0).train()
    optimiser = fused_adamw(model.parameters(), lr=1e-4, weight_decay=0.1)
    ids = torch.randint(0, config.vocab_size, (batch, config.context_length + 1))

    def in_precision(precision: Precision) -> Callable[[], None]:
        def step() -> None:
            optimiser.zero_grad()
            torch.autograd.backward(fused_loss(model, ids[:, :-1], ids[:, 1:], precision))
            optimiser.step()

        return step

    return {precision: in_precision(precision) for precision in DTYPES}


@cache
def rate(precision: Precision) -> float:
    """Operations a second of one core on large products."""
    return products_a_second(DTYPES[precision])


def _limit(config: GPTConfig, batch: int, seconds: float, precision: Precision) -> str:
    least = step_operations(config, batch) / rate(precision)
    tokens = batch * config.context_length / seconds
    return (
        f"{tokens:,.0f} tokens/s; {1e3 * least:,.0f} ms at {rate(precision) / 1e9:.0f} GFLOP/s, so "
        f"{least / seconds:.0%} of what the machine multiplies"
    )


def peak(letter: str, who: str) -> float:
    """MiB at the peak of a process that makes a few steps: of a peer, or of ours ("alike", "fastest")."""
    command = [sys.executable, "-m", "benchmarks.steps", letter, who]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def _child(letter: str, who: str) -> float:
    one_thread()
    shape = SHAPES[letter]
    if who in peers.MODULES:
        step = peers.step(who, shape.alike, shape.batch)
    else:
        step = our_steps(shape.alike if who == "alike" else shape.fastest, shape.batch)["float32"]
    for _ in range(PEAK_STEPS):
        step()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _room(shape: Shape) -> str:
    """Why the machine has no room for this shape's models side by side; "" where it has."""
    needed = MODELS_AT_ONCE * BYTES_A_PARAMETER * count_parameters(shape.alike) * 1.25
    free = psutil.virtual_memory().available
    return "" if needed < free else f"needs {needed / MIB:,.0f} MiB, {free / MIB:,.0f} are free"


def measure(letter: str) -> list[Row]:
    """One shape's rows."""
    one_thread()
    shape = SHAPES[letter]
    name = f"{letter}: {shape.about}"
    if lack := _room(shape):
        return [Row(name, None, "ms", limit=f"not measured: {lack}")]
    alike, fastest = our_steps(shape.alike, shape.batch), our_steps(shape.fastest, shape.batch)
    here = peers.present()
    actions = [*alike.values(), *fastest.values(), *(peers.step(peer, shape.alike, shape.batch) for peer in here)]
    seconds = medians(*actions, rounds=shape.rounds)
    ours = dict(zip(DTYPES, seconds[:2], strict=True))
    quick = dict(zip(DTYPES, seconds[2:4], strict=True))
    theirs = dict(zip(here, seconds[4:], strict=True))
    chosen = min(quick, key=lambda precision: quick[precision])
    changed = [chosen, *(["tied"] if shape.ties else []), *(["no dropout"] if shape.config.drop_rate else [])]
    rows = []
    changed_to = f"as fast as it goes ({', '.join(changed)})"
    for what, config, mine, step, precision, goal in (
        ("like for like, float32", shape.alike, ours, alike, "float32", shape.goals[0]),
        ("bf16, else like for like", shape.alike, ours, alike, "bfloat16", shape.goals[1]),
        (changed_to, shape.fastest, quick, fastest, chosen, shape.goals[2]),
    ):
        limit = _limit(config, shape.batch, mine[precision], precision)
        limit = f"{limit}; {where_time_goes(step[precision])}"
        for peer in peers.MODULES:
            first = peer == peers.BOOK  # goals are set against the book's package
            rows.append(
                Row(
                    f"{name}, {what}",
                    1e3 * mine[precision],
                    "ms",
                    1e3 * theirs[peer] if peer in theirs else None,
                    peer,
                    goal if first else None,
                    limit="; ".join(filter(None, (limit if first else "", peers.missing(peer)))),
                )
            )
    return rows + _memory(name, shape, here)


def _memory(name: str, shape: Shape, here: list[str]) -> list[Row]:
    if not Path("/proc/self/status").exists():
        return [Row(f"{name}, peak memory", None, "MiB", limit="only Linux tells a process's peak")]
    theirs = {peer: peak(shape.letter, peer) for peer in here}
    return [
        Row(
            f"{name}, peak memory, {what}",
            peak(shape.letter, who),
            "MiB",
            theirs.get(peers.BOOK),
            peers.BOOK,
            goal,
            limit=f"{peers.TRANSFORMERS}: {theirs[peers.TRANSFORMERS]:,.0f} MiB" if peers.TRANSFORMERS in here else "",
        )
        for who, what, goal in zip(
            ("alike", "fastest"), ("like for like", "as fast as it goes, float32"), shape.peaks, strict=True
        )
    ]


if __name__ == "__main__":
    print(json.dumps(_child(*sys.argv[1:])))

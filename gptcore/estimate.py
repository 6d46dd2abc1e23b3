"""How long a run will take on this machine, told before it begins: its arithmetic, divided by a measured speed.

How to read it: ``step_operations`` counts, ``machine_speed`` measures once, ``run_seconds`` divides. It is an estimate:
small models spend their time on the way from one operation to the next, so a share for each block is added.

What is left out: graphics cards, and what else the machine is doing. A run under way knows its own pace (``runs``).
"""

from __future__ import annotations

import time
from functools import cache

from gptcore.config import GPTConfig, TrainConfig
from gptcore.machine import cores
from gptcore.parameters import leaves

EFFICIENCY = 0.6  # of the speed of one large product, as a whole step was seen to reach
BLOCK_SECONDS = 0.0008  # to start the operations of a block, forward and backward, whatever their size
SIDE, TRIES = 512, 60  # the matrices that are multiplied to measure, and how often


def step_operations(shape: GPTConfig, batch_size: int) -> int:
    """Multiplications and additions of one update: six for each weight of a matrix and token, and attention's own.

    Forward each weight is multiplied and added once; backward twice, for its own gradient and for its input's. A test
    holds the sum to what PyTorch counts.

    >>> step_operations(GPTConfig(context_length=256), 2)  # the book's run: 0.4 million million
    393985916928
    """
    tokens = batch_size * shape.context_length
    matrices = sum(
        leaf.shape[0] * leaf.shape[1] for leaf in leaves(shape) if ".weight" in leaf.part and len(leaf.shape) == 2
    )
    lookups = (shape.vocab_size + shape.context_length) * shape.emb_dim  # a tied head is multiplied all the same
    attention = 2 * shape.n_layers * shape.context_length * shape.emb_dim  # queries with keys, weights with values
    return 6 * tokens * (matrices - lookups + attention)


def rule_of_thumb(parameters: int, tokens: int) -> int:
    """The operations of a training as they are guessed in one's head: six for each parameter and token, 6 N D.

    It counts looked-up embeddings as if they were multiplied, and leaves out attention: ``step_operations`` doesn't.

    Source: Kaplan et al. 2020, section 2.1.

    >>> rule_of_thumb(124_439_808, 10 * 10**9)  # GPT-2 small, 10 billion tokens
    7466388480000000000
    """
    return 6 * parameters * tokens


@cache
def machine_speed() -> float:
    """Operations a second that one core reaches on a large product of matrices, in float32; measured once."""
    import torch

    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    best = float("inf")
    for _ in range(TRIES):  # the best of some: what else the machine does is not its speed
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best / torch.get_num_threads()


def run_seconds(shape: GPTConfig, training: TrainConfig, steps: int, speed: float) -> float:
    """About how many seconds a run takes.

    Args:
        shape: The model as it is trained.
        training: The settings.
        steps: Updates in all.
        speed: Operations a second of one core (``machine_speed``).
    """
    threads = min(training.threads or cores(), cores())
    arithmetic = step_operations(shape, training.batch_size) / (EFFICIENCY * speed * threads)
    step = arithmetic + BLOCK_SECONDS * (shape.n_layers + 2)
    evaluation = 2 * training.eval_batches * step / 3  # forward alone is a third of a step
    return steps * step + steps / training.eval_every * evaluation

"""How the learning rate changes over a run: up in a line, then constant or down along a cosine; or a range test.

A large model's first gradients are wild, so the rate starts small; towards the end small steps settle what large ones
left unsettled. What is left out: restarts, and schedules that react to the loss.
Source: Raschka, appendix D; Radford et al. 2018, section 4.1.
"""

from __future__ import annotations

import math

from gptcore.config import TrainConfig


def learning_rate(step: int, total_steps: int, config: TrainConfig) -> float:
    """The learning rate of one update: a line up, then constant or a cosine down; in a range test one factor a step.

    >>> [round(learning_rate(s, 6, TrainConfig(lr=1.0, warmup_steps=2, min_lr=0.0)), 2) for s in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.25, 0.0]
    >>> [round(learning_rate(s, 3, TrainConfig(lr=1.0, range_from=0.01)), 2) for s in range(3)]
    [0.01, 0.1, 1.0]
    """
    if config.range_from is not None:
        return config.range_from * (config.lr / config.range_from) ** (step / max(1, total_steps - 1))
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.min_lr is None:
        return config.lr
    progress = (step - config.warmup_steps) / max(1, total_steps - 1 - config.warmup_steps)
    return config.min_lr + (config.lr - config.min_lr) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2

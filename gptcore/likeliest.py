"""A shortcut: of 50,257 probabilities, the few that decide nearly every draw.

How to read it: not on a first reading; ``sampling`` asks for these before it puts a whole vocabulary in order. To sort
all of it takes five times as long as all else between a slider and its bars. Who sorts these few finds the same tokens
at the same places, so nothing changes but the time.
"""

from __future__ import annotations

import torch
from torch import Tensor

FEW = 1_024  # tokens among which nearly every draw falls


def few_likeliest(probability: Tensor, reach: float) -> Tensor | None:
    """The likeliest tokens, where these are few and together certainly exceed ``reach``; else None.

    Args:
        probability: (V,), sums to 1. Several at once, (..., V), get None.
        reach: How much of the whole is asked for, from the likeliest on.

    Returns:
        Token ids, ascending; whatever equals the last of them is among them.
    """
    if probability.dim() != 1 or len(probability) <= FEW:
        return None
    few = probability.nonzero().flatten()
    if len(few) > FEW:
        few = (probability >= torch.topk(probability, FEW).values[-1]).nonzero().flatten()
    enough = len(few) < len(probability) and probability[few].sum() > reach + 1e-9  # sums differ in their last digits
    return few if enough else None

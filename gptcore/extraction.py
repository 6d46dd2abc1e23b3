"""What has a model learnt by heart? Give it the beginning of a passage, and see whether it goes on word for word.

How to read it: ``beginnings`` spreads the places, ``right_before_slip`` asks the model at each of them, ``extraction``
does so for several lengths of what is given.

Nothing needs to be generated for it. A model that takes the likeliest token each time writes the true passage exactly
if at every place, having read the *true* tokens so far, its likeliest token is the true one: up to the first slip what
it wrote is what stood there. So all places are asked side by side, and a test holds the result to what
``sampling.generate`` really writes.

What it reads has two regimes, as there. While all fits the context, it is read from the passage's first token on, and
one pass answers for every place. Then each guess reads the last ``context_length`` tokens anew.

What is left out: passages that a model knows and says only now and then (temperatures above 0), and near-copies.
Source: Carlini et al. 2022, "Quantifying memorization across neural language models", section 3; they take prefixes of
50 to 500 tokens and the next 50.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gptcore.config import GPTConfig
from gptcore.model import GPTModel
from gptcore.parameters import count_parameters
from gptcore.recitation import Recall

PREFIXES = (5, 10, 25, 50)  # tokens given
CONTINUATION = 50  # tokens asked for
PLACES = 50
MOST_SCORES = 2**24  # held at once, 64 MiB: a large vocabulary is asked at fewer places side by side
MOST_WORK = 2e9  # parameters x tokens of a batch, some tenths of a second: between two batches one may stop


def beginnings(n_tokens: int, needed: int, most: int = PLACES, stride: int = 1) -> Tensor:
    """Evenly spread places at which a passage may begin.

    Args:
        n_tokens: Tokens in the text.
        needed: Tokens of a whole passage, what is given and what is asked for.
        most: How many places there are to be; a short text has fewer.
        stride: Only every so many tokens a passage may begin; the stride of a run gives the beginnings of its windows.

    Returns:
        (places,), int64, ascending; none where the text is too short.

    >>> beginnings(100, needed=20, most=5).tolist(), beginnings(100, needed=20, most=5, stride=32).tolist()
    ([0, 20, 40, 60, 80], [0, 32, 64])
    """
    possible = max(n_tokens - needed + stride, 0) // stride
    return torch.linspace(0, possible - 1, min(most, possible)).round().long() * stride


@torch.inference_mode()
def right_before_slip(model: GPTModel, ids: Tensor, begin: Tensor, prefix: int, length: int) -> Tensor:
    """How many tokens a model recites before its first slip, given the first tokens of passages of a text.

    Args:
        model: In evaluation mode.
        ids: The text, (n,), int64, in the model's own vocabulary.
        begin: First tokens of the passages, (N,), int64.
        prefix: Tokens given, at least 1.
        length: Tokens asked for.

    Returns:
        (N,), int64, 0 to ``length``: the latter where it recites all that was asked for.
    """
    T = model.config.context_length
    asked = begin + prefix  # (N), the first token to be recited
    right = torch.zeros_like(begin)
    inside = min(max(T - prefix + 1, 0), length)  # guesses before which all that is read fits the context
    if inside:
        passages = ids[begin[:, None] + torch.arange(prefix + inside - 1)]  # (N, prefix + inside - 1)
        guesses = model.head(model.hidden(passages)[:, prefix - 1 :]).argmax(-1)  # (N, inside)
        hits = guesses == ids[asked[:, None] + torch.arange(inside)]
        right = hits.long().cumprod(1).sum(1)  # what comes after a slip does not count
    for recited in range(inside, length):
        (going_on,) = (right == recited).nonzero(as_tuple=True)
        if not len(going_on):
            break
        at = asked[going_on] + recited
        windows = ids[at[:, None] + torch.arange(-T, 0)]  # (going on, T)
        guesses = model.head(model.hidden(windows)[:, -1]).argmax(-1)
        right[going_on] += (guesses == ids[at]).long()
    return right


def extraction(
    model: GPTModel,
    ids: Tensor,
    begin: Tensor,
    prefixes: Sequence[int] = PREFIXES,
    length: int = CONTINUATION,
    stop: Callable[[], bool] = lambda: False,
) -> list[Recall]:
    """The extraction test: how often does a prefix call up what follows it, word for word?

    Args:
        model: In evaluation mode.
        ids: The text, (n,), int64, in the model's own vocabulary.
        begin: Where passages begin, (N,), int64; see ``beginnings``.
        prefixes: Tokens given, each at least 1.
        length: Tokens asked for.
        stop: Asked between batches of places; once it says so, what was tested by then is reported.

    Returns:
        One for each prefix, in their order.
    """
    batches = -(-len(begin) // _together(model.config, length))
    found: dict[int, list[Tensor]] = {}
    for number in range(batches):
        for prefix in prefixes:
            if found and stop():
                break
            places = begin[number::batches]  # spread over the whole text, so that whoever stops early is not misled
            found.setdefault(prefix, []).append(right_before_slip(model, ids, places, prefix, length))
    return [_recall(prefix, torch.cat(parts), length) for prefix, parts in found.items()]


def _together(config: GPTConfig, length: int) -> int:
    """How many places are asked side by side, at least one."""
    by_memory = MOST_SCORES // (length * config.vocab_size)
    by_time = int(MOST_WORK // (length * count_parameters(config)))
    return max(1, min(by_memory, by_time))


def _recall(prefix: int, right: Tensor, length: int) -> Recall:
    return Recall(prefix, len(right), int((right == length).sum()), float(right.double().mean()))

"""Two passages to ask a model about, again and again while it learns: one that it trains on, one that it never sees.

How to read it: ``choose_passages`` takes each from the middle of its part of the text; ``probe`` measures what every
token of a passage costs the model, and what the model expects after its end. Early in a run both passages cost the
same; where a run over-fits, the first becomes certain and the second does not.

What is left out: where the answers are kept (``runs``) and how they are shown (``timeline``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcore.batches import TrainingData
from gptcore.model import GPTModel
from gptcore.tokenizer import Tokenizer, show_token

PASSAGE_TOKENS = 32  # read; one more is to be expected
FAVOURITES = 20
MOST_PROBES = 120  # of a run; between them evaluations pass without one


class Passage(NamedTuple):
    """A piece of the text: what the model reads, and at the end the token that it is to expect.

    Attributes:
        part: "training" or "validation".
        ids: In the run's own vocabulary, at most ``PASSAGE_TOKENS`` + 1.
    """

    part: str
    ids: list[int]


def choose_passages(data: TrainingData, context_length: int, stride: int) -> list[Passage]:
    """A window from the middle of the training part, and one from the middle of the validation part, if it is there.

    The windows begin where those of the run begin, so that the model is asked just what it was trained on.
    """
    passages = []
    for part, ids in (("training", data.train_ids), ("validation", data.validation_ids)):
        windows = (len(ids) - 1 - context_length) // stride + 1
        if len(ids) > 1:
            start = max(0, windows // 2) * stride
            passages.append(Passage(part, ids[start:][: min(context_length, PASSAGE_TOKENS) + 1].tolist()))
    return passages


def token_texts(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """Each token as it is shown."""
    return [show_token(tokenizer.token_bytes(token)) for token in ids]


def is_due(evaluation: int, evaluations: int) -> bool:
    """Whether a run's ``evaluation``-th look, of so many, is one that is probed: at most ``MOST_PROBES`` are.

    >>> sum(is_due(number, 10_000) for number in range(10_000)) <= MOST_PROBES
    True
    """
    return evaluation % -(-evaluations // MOST_PROBES) == 0


@torch.no_grad()
def probe(model: GPTModel, tokenizer: Tokenizer, passages: list[Passage]) -> dict[str, Any]:
    """What a model makes of the passages, in evaluation mode; no random number is drawn.

    Returns:
        "losses": of every passage, for each of its tokens but the first, -ln of its probability (nats).
        "next": of every passage, what is expected where its last token stands: the likeliest tokens, each with its
        text and probability, the likeliest first.
    """
    model.eval()
    losses, expected = [], []
    for passage in passages:
        ids = torch.tensor(passage.ids, device=model.token_embedding.weight.device)
        logits = model(ids[None, :-1])[0]  # (T, V)
        losses.append([round(loss, 4) for loss in F.cross_entropy(logits, ids[1:], reduction="none").tolist()])
        expected.append(_likeliest(logits[-1], tokenizer))
    return {"losses": losses, "next": expected}


def _likeliest(logits: Tensor, tokenizer: Tokenizer) -> list[tuple[str, float]]:
    top = torch.softmax(logits.double(), dim=0).topk(min(FAVOURITES, len(logits)))
    return list(
        zip(token_texts(tokenizer, top.indices.tolist()), (round(p, 6) for p in top.values.tolist()), strict=True)
    )

"""The book's example of a choice among nine words, as something to sample from: published scores, and no model.

How to read it: ``logits`` and ``NineWords`` are to ``sampling.next_token_table`` what a model's scores and its
tokenizer are.
"""

from __future__ import annotations

import torch

from gptcore.published import NINE_WORDS
from gptcore.sampling import Logits


class NineWords:
    """The words as a vocabulary; their ids are their places in the book's list."""

    vocab_size = len(NINE_WORDS.words)

    def token_bytes(self, token_id: int) -> bytes:
        return NINE_WORDS.words[token_id].encode()


def logits() -> Logits:
    """The published scores, (9,)."""
    return torch.tensor(NINE_WORDS.logits)

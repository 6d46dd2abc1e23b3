"""How much of a text is copied? One measure for every text, whoever wrote it, against whatever text it is held to.

How to read it: ``written_tokens`` takes off the beginning that a model was given; ``copying`` measures the rest against
one text; ``over_the_run`` does so for all that a run said while it learnt, ``by_temperature`` for texts drawn hot and
cold.

All is counted in GPT-2's tokens, a compact model's text too: so models of any vocabulary can be compared. Two numbers
tell what chance would give. The same text, held to the validation text, which nobody trained on; and the text of a
model that never saw this one. The first is held to a shorter text, in which chance finds less.

What is left out: finding the passages (``memorization``) and making the texts (``sampling``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import pandas as pd

from gptcore.memorization import CopiedSpan, CopyIndex, copied_tokens
from gptcore.tokenizer import load_tokenizer


@dataclass(frozen=True, slots=True)
class Copying:
    """What one text has in common with another.

    Attributes:
        spans: The passages, in order.
        written: Tokens of the text.
        copied: How many of them lie in a passage.
    """

    spans: tuple[CopiedSpan, ...]
    written: int
    copied: int

    @property
    def share(self) -> float:
        """Copied tokens among those written; 0 for an empty text."""
        return self.copied / self.written if self.written else 0.0

    @property
    def longest(self) -> int:
        """Tokens of the longest passage; 0 where there is none."""
        return max((span.length for span in self.spans), default=0)


class Recall(NamedTuple):
    """What a model recited after prefixes of one length (made by ``extraction``).

    Attributes:
        prefix: Tokens given.
        places: Passages tested.
        recited: Passages that it went on with exactly, to the last token asked for.
        right: Tokens before the first slip, the mean over all places.
    """

    prefix: int
    places: int
    recited: int
    right: float

    @property
    def share(self) -> float:
        """Passages recited among those tested."""
        return self.recited / self.places


def copying(index: CopyIndex, ids: Sequence[int], min_tokens: int) -> Copying:
    """Hold a text to the one in the index.

    Args:
        index: The text that may have been copied.
        ids: What was written.
        min_tokens: Shortest passage that counts.

    >>> found = copying(CopyIndex([1, 2, 3, 4, 5]), [9, 2, 3, 4], min_tokens=2)
    >>> found.copied, found.longest, found.share
    (3, 3, 0.75)
    """
    spans = index.spans(ids, min_tokens)
    return Copying(tuple(spans), len(ids), copied_tokens(spans))


def written_tokens(text: str, prompt: str = "") -> list[int]:
    """What stands in a text after the beginning that was given, in GPT-2's tokens, as the whole text is cut.

    A token that begins in what was given and ends behind it counts as written.

    >>> written_tokens("Every effort moves you", prompt="Every effort")
    [6100, 345]
    >>> written_tokens("Every effort moves you", prompt="Every effort mov")
    [6100, 345]
    """
    tokenizer = load_tokenizer()
    ids = tokenizer.encode(text)
    given = sum(len(tokenizer.token_bytes(token)) for token in tokenizer.encode(prompt))
    ends = accumulate(len(tokenizer.token_bytes(token)) for token in ids)
    return ids[sum(end <= given for end in ends) :]


def over_the_run(
    samples: Iterable[Mapping[str, Any]], training: CopyIndex, validation: CopyIndex, min_tokens: int
) -> pd.DataFrame:
    """The copied share of everything a run said, step by step.

    Args:
        samples: Rows of samples.jsonl: step, prompt, text.
        training: The text that it learns from.
        validation: The text that it never trains on.
        min_tokens: Shortest passage that counts.

    Returns:
        A row for each sample: step, tokens (written), training and validation (shares, 0 to 1), longest (tokens).
    """
    rows = []
    for sample in samples:
        ids = written_tokens(sample["text"], sample["prompt"])
        found = copying(training, ids, min_tokens)
        by_chance = copying(validation, ids, min_tokens).share
        rows.append((int(sample["step"]), found.written, found.share, by_chance, found.longest))
    return pd.DataFrame(rows, columns=["step", "tokens", "training", "validation", "longest"])


def by_temperature(texts: Mapping[float, str], prompt: str, training: CopyIndex, min_tokens: int) -> pd.DataFrame:
    """The copied share of texts that one model wrote at several temperatures.

    Args:
        texts: Each text with its prompt, by temperature.
        prompt: The beginning that all of them were given.
        training: The text that the model learnt from.
        min_tokens: Shortest passage that counts.

    Returns:
        A row for each temperature: temperature, tokens (written), share (0 to 1), longest (tokens).
    """
    rows = []
    for temperature, text in texts.items():
        found = copying(training, written_tokens(text, prompt), min_tokens)
        rows.append((temperature, found.written, found.share, found.longest))
    return pd.DataFrame(rows, columns=["temperature", "tokens", "share", "longest"])

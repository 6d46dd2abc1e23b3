"""Four ways to cut one text: characters, words, byte-pair encoding learnt from the text itself, and GPT-2's.

How to read it: ``ways`` makes all four from the part of a text that one learns from; each ``Way`` cuts any text and
knows which of the pieces it has no number for.

What is left out: what other tokenizers do (WordPiece, Unigram); they, too, lie between characters and words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gptcore.bpe import BYTES, LearntMerge, encode_learnt
from gptcore.tokenizer import load_tokenizer, replace_surrogates, show_token

# The book's rule (section 2.2): cut at white space, and around each of these signs, which are words of their own.
WORD_RULE = re.compile(r"""([,.:;?_!"()']|--|\s)""")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to cut a text.

    Attributes:
        name: What its pieces are.
        size: How many pieces its vocabulary has.
        cut: Cuts a text into pieces, as they can be shown.
        known: The vocabulary, where a piece can be missing; None where every text can be written.
    """

    name: str
    size: int
    cut: Callable[[str], list[str]]
    known: frozenset[str] | None

    def unknown(self, text: str) -> list[str]:
        """The pieces of a text that have no number, as often as they occur."""
        return [] if self.known is None else [piece for piece in self.cut(text) if piece not in self.known]


def cut_words(text: str) -> list[str]:
    """The words of a text by the book's rule; white space is lost.

    >>> cut_words("The owl--who else?--said: hoot!")
    ['The', 'owl', '--', 'who', 'else', '?', '--', 'said', ':', 'hoot', '!']
    """
    return [word for word in WORD_RULE.split(text) if word.strip()]


def ways(train: str, merges: Sequence[LearntMerge], size: int) -> list[Way]:
    """All four ways.

    Args:
        train: The text whose characters and words make two of the vocabularies.
        merges: What ``bpe.learn_merges`` learnt from it.
        size: The size of the vocabulary made of them, bytes included.

    Raises:
        ValueError: A size below that of the bytes, which are in every such vocabulary.
    """
    if size < BYTES:
        raise ValueError(f"size={size} is below {BYTES}: the vocabulary begins with all {BYTES} bytes")
    kept = merges[: size - BYTES]
    characters, words = frozenset(train), frozenset(cut_words(train))
    return [
        Way("characters", len(characters), list, characters),
        Way("words", len(words), cut_words, words),
        Way(
            "this text's own BPE",
            BYTES + len(kept),
            lambda text: list(map(show_token, encode_learnt(text, kept))),
            None,
        ),
        Way("GPT-2's BPE", load_tokenizer().vocab_size, _cut_as_gpt2, None),
    ]


def _cut_as_gpt2(text: str) -> list[str]:
    tokenizer = load_tokenizer()
    return [show_token(tokenizer.token_bytes(i)) for i in tokenizer.encode(replace_surrogates(text))]

"""Text to token ids and back: GPT-2's byte-pair encoding, by the library that OpenAI published for it.

How to read it: ``GPT2Tokenizer`` wraps tiktoken around the rank file in ``assets``; ``Span`` groups the tokens of one
visible character, because a token may be a part of a character and must never be decoded alone for display.
``CompactTokenizer`` keeps only the tokens of one text, which makes a classroom model small.

What is left out: how the merges were found, and step-by-step merging (``bpe``). The rank file is OpenAI's (MIT).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import regex
import tiktoken
from tiktoken.load import load_tiktoken_bpe

from gptcore.paths import ASSETS

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 50_256

# How GPT-2 cuts a text before merging: contractions, words with their leading space, numbers, signs, white space.
GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
RANKS_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"

# tiktoken 0.14 cannot match a run of 999,999 or more white-space characters: its pattern matcher overflows.
LONG_BLANK = re.compile(r"\s{100000,}")


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text that can be shown, and the ids of the tokens that make it."""

    text: str
    ids: tuple[int, ...]


class Names(Protocol):
    """A vocabulary to look at: how many tokens there are, and the bytes of each."""

    @property
    def vocab_size(self) -> int: ...
    def __hash__(self) -> int: ...
    def token_bytes(self, token_id: int) -> bytes: ...


class Tokenizer(Names, Protocol):
    """What every part of the program needs of a tokenizer."""

    def __hash__(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def spans(self, text: str) -> list[Span]: ...


def show_token(raw: bytes) -> str:
    r"""A token's bytes as text; bytes that are only a part of a character appear as escapes.

    >>> show_token(b" you"), show_token(bytes([0xF0, 0x9F]))
    (' you', '\\xf0\\x9f')
    """
    return raw.decode("utf-8", errors="backslashreplace")


def replace_surrogates(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 can hold: each becomes U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def group_spans(text: str, ids: Sequence[int], pieces: Sequence[bytes]) -> list[Span]:
    """Group tokens so that each group is whole visible characters.

    A group ends where a token's end is also the end of a grapheme (a letter with its accents, an emoji family).

    Args:
        text: The text, which equals ``b"".join(pieces)`` decoded.
        ids: The token ids of the text.
        pieces: The bytes of each token.

    Returns:
        Spans whose texts join to ``text`` and whose ids join to ``ids``.
    """
    if text.isascii() and "\r\n" not in text:  # every byte is a visible character: nothing to group
        return [Span(piece.decode("ascii"), (i,)) for i, piece in zip(ids, pieces, strict=True)]
    boundaries = set()
    position = 0
    for grapheme in regex.findall(r"\X", text):
        position += len(grapheme.encode("utf-8"))
        boundaries.add(position)
    spans: list[Span] = []
    held_ids: list[int] = []
    held_bytes: list[bytes] = []
    position = 0
    for token_id, piece in zip(ids, pieces, strict=True):
        held_ids.append(token_id)
        held_bytes.append(piece)
        position += len(piece)
        if position in boundaries:
            spans.append(Span(b"".join(held_bytes).decode("utf-8"), tuple(held_ids)))
            held_ids, held_bytes = [], []
    return spans


def gpt2_encoding() -> tiktoken.Encoding:
    """The machinery of tiktoken with GPT-2's ranks, from the file that comes with this program: no network."""
    ranks = load_tiktoken_bpe(str(ASSETS / "gpt2.tiktoken"), expected_hash=RANKS_SHA256)
    return tiktoken.Encoding(
        "gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: END_OF_TEXT_ID}
    )


class GPT2Tokenizer:
    """GPT-2's 50,257 tokens: 256 bytes, 50,000 merges and one special token.

    Attributes:
        ranks: Each token but the special one to its id, which is also its rank: the order of learning.

    >>> load_tokenizer().encode("Every effort moves you")
    [6109, 3626, 6100, 345]
    """

    def __init__(self) -> None:
        self._encoding = gpt2_encoding()
        self.ranks: dict[bytes, int] = self._encoding._mergeable_ranks  # noqa: SLF001  (no public form)

    @property
    def vocab_size(self) -> int:
        """50,257."""
        return self._encoding.n_vocab

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of a text.

        Args:
            text: Any text; lone surrogates count as U+FFFD.
            special: Whether ``<|endoftext|>`` in the text is the special token 50256 or thirteen plain characters.

        Returns:
            Ids in 0..50256; their bytes join to the text.
        """
        text = replace_surrogates(text)
        allowed = {END_OF_TEXT} if special else set()
        ids: list[int] = []
        start = 0
        for blank in LONG_BLANK.finditer(text):
            # Such a run is one piece to GPT-2's pattern, less its last character where something follows.
            last = blank.end() == len(text) or (special and text.startswith(END_OF_TEXT, blank.end()))
            end = blank.end() if last else blank.end() - 1
            ids += self._encoding.encode(text[start : blank.start()], allowed_special=allowed, disallowed_special=())
            ids += self._encoding._encode_single_piece(text[blank.start() : end])  # noqa: SLF001  (no public form)
            start = end
        ids += self._encoding.encode(text[start:], allowed_special=allowed, disallowed_special=())
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a sequence; bytes that make no whole character appear as U+FFFD.

        Raises:
            ValueError: An id that the vocabulary lacks.
        """
        return b"".join(self.token_bytes(i) for i in ids).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token.

        Raises:
            ValueError: The id is not in the vocabulary.
        """
        try:
            return self._encoding.decode_single_token_bytes(token_id)
        except (KeyError, OverflowError) as error:
            raise ValueError(f"token id {token_id} is outside 0 to {self.vocab_size - 1}") from error

    def spans(self, text: str, *, special: bool = False) -> list[Span]:
        r"""The text in pieces that can be shown, each with the ids that make it.

        >>> load_tokenizer().spans("\U0001f642")
        [Span(text='🙂', ids=(8582, 25081))]
        """
        text = replace_surrogates(text)
        ids = self.encode(text, special=special)
        return group_spans(text, ids, [self.token_bytes(i) for i in ids])


class CompactTokenizer:
    """Only the tokens that occur in one text, numbered anew in the order of their GPT-2 ids.

    A model of 1,400 tokens learns a short story many times quicker than one of 50,257, and a blind guess then
    costs ln 1,400 = 7.2 instead of 10.8 nats: losses of different vocabularies can't be compared.

    Args:
        base: The full tokenizer.
        kept: GPT-2 ids to keep.
    """

    def __init__(self, base: GPT2Tokenizer, kept: Sequence[int]) -> None:
        self._base = base
        self.kept = tuple(sorted(set(kept)))
        self._compact = {full: small for small, full in enumerate(self.kept)}

    @property
    def vocab_size(self) -> int:
        """How many tokens are kept."""
        return len(self.kept)

    def encode(self, text: str) -> list[int]:
        """Compact ids of a text.

        Raises:
            ValueError: The text needs a token that the compact vocabulary lacks; the message names it.
        """
        full = self._base.encode(text)
        if unknown := [i for i in full if i not in self._compact]:
            names = ", ".join(repr(show_token(self._base.token_bytes(i)))[:40] for i in unknown[:5])
            raise ValueError(
                f"this model knows only the {self.vocab_size:,} tokens of its own text; it has no token {names}"
            )
        return [self._compact[i] for i in full]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of compact ids."""
        return self._base.decode([self._full(i) for i in ids])

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token."""
        return self._base.token_bytes(self._full(token_id))

    def spans(self, text: str) -> list[Span]:
        """As ``GPT2Tokenizer.spans``, with compact ids."""
        ids = self.encode(text)
        return group_spans(replace_surrogates(text), ids, [self.token_bytes(i) for i in ids])

    def _full(self, token_id: int) -> int:
        if not 0 <= token_id < len(self.kept):
            raise ValueError(f"token id {token_id} is outside 0 to {len(self.kept) - 1}")
        return self.kept[token_id]


@cache
def load_tokenizer(name: str = "gpt2") -> GPT2Tokenizer:
    """The tokenizer by name, read once per process (0.05 s, no network).

    Raises:
        ValueError: A name other than "gpt2".
    """
    if name != "gpt2":
        raise ValueError(f"tokenizer {name!r} is unknown; this program has 'gpt2'")
    return GPT2Tokenizer()

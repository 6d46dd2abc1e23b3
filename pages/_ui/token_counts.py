"""What a text's tokens come to; kept, because a text may have two million tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from gptcore.tokenizer import load_tokenizer
from pages._ui import resources
from pages._ui.kept import kept


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """A text in numbers.

    Attributes:
        tokens: How many tokens it has.
        characters: How many Unicode characters.
        distinct: How many different tokens.
    """

    tokens: int
    characters: int
    distinct: int


def show(counts: TokenCounts) -> None:
    """The four numbers in a row; a text without tokens has no ratio."""
    vocab_size = load_tokenizer().vocab_size
    ratio = f"{counts.characters / counts.tokens:.2f}" if counts.tokens else "–"
    with st.container(horizontal=True, gap="small"):
        st.metric("Tokens", f"{counts.tokens:,}", width="content")
        st.metric("Characters", f"{counts.characters:,}", width="content", help=CHARACTERS_HELP)
        st.metric("Characters a token", ratio, width="content")
        st.metric(
            "Distinct tokens",
            f"{counts.distinct:,} · {counts.distinct / vocab_size:.2%}",
            width="content",
            help=f"How many different tokens occur, and their share of GPT-2's {vocab_size:,}.",
        )


CHARACTERS_HELP = "Unicode characters. What looks like one, an emoji with a skin tone or a family, may be several."


@kept(32)
def of_text(text: str) -> TokenCounts:
    """Counts of the thread's text."""
    ids = resources.token_ids(text)
    return TokenCounts(len(ids), len(text), len(set(ids)))


def within_characters(ids: Sequence[int]) -> int:
    """How many tokens begin within a character, with one of its later bytes.

    >>> within_characters(load_tokenizer().encode("\U0001f642"))
    1
    """
    token_bytes = load_tokenizer().token_bytes
    return sum(token_bytes(i)[0] & 0xC0 == 0x80 for i in ids)

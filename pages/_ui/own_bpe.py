"""The vocabulary that the thread's text would give itself: learnt once a text, and shown at any size.

How to read it: ``part`` says what is learnt from and what is kept back; ``merges`` learns as many merges as there may
be; a smaller vocabulary is the beginning of that list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from gptcore.bpe import BYTES, LearntMerge, cut_pieces, encode_learnt, learn_merges, learnt_ranks
from gptcore.figures.compression import compression_curve
from gptcore.figures.theme import marked
from gptcore.tokenizer import Span, group_spans, load_tokenizer, replace_surrogates, show_token
from gptcore.windows import open_parts
from pages._ui import charts, chips, frame, thread
from pages._ui.kept import kept

MOST_BYTES = 120_000  # learning takes a core 0.2 s on these, 1 s where there are no spaces
MOST_MERGES = 4_000
FIRST_SIZE = 512
PIECES_SHOWN = 40
LONGEST_SHOWN = 400  # characters


class Part(NamedTuple):
    """The two parts of a text, or of the beginning of a long one.

    Attributes:
        train: What is learnt from.
        validation: What is kept back.
        used: Characters that a run's settings were asked to split: a sealed part and an unused share lie among them.
        shortened: Whether the text goes on behind them.
    """

    train: str
    validation: str
    used: int
    shortened: bool


def part() -> Part:
    """The parts of the thread's text, split as a run splits it."""
    text = replace_surrogates(thread.text().text)
    used = text[:MOST_BYTES].encode("utf-8")[:MOST_BYTES].decode("utf-8", errors="ignore")
    return Part(*open_parts(used, thread.training()), used=len(used), shortened=len(used) < len(text))


@kept(32)
def merges(train: str) -> list[LearntMerge]:
    """All merges that are learnt from a text."""
    return learn_merges(train, MOST_MERGES)


@kept(32)
def _gpt2_tokens(train: str) -> int:
    return len(load_tokenizer().encode(train))


def curve(train: str, learnt: Sequence[LearntMerge]) -> tuple[list[int], list[int]]:
    """Vocabulary sizes, and the tokens of the text at each."""
    sizes = list(range(BYTES, BYTES + len(learnt) + 1))
    return sizes, [len(train.encode("utf-8")), *(merge.tokens for merge in learnt)]


def merge_table(learnt: Sequence[LearntMerge], size: int) -> pd.DataFrame:
    """The merges of a vocabulary of this size, the latest first."""
    used = learnt[: size - BYTES]
    return pd.DataFrame(
        {
            "merge": range(len(used), 0, -1),
            **{
                name: [marked(show_token(getattr(merge, name))) for merge in reversed(used)]
                for name in ("left", "right", "token")
            },
            "found": [merge.count for merge in reversed(used)],
        }
    )


@kept(64)
def _drawn(train: str, size: int) -> tuple[pd.DataFrame, Any]:
    """A vocabulary of this size: its merges as a table, and where it stands among all sizes as a figure."""
    learnt = merges(train)
    curve_of_all = curve(train, learnt)
    figure = compression_curve(*curve_of_all, len(train), size, {"GPT-2": _gpt2_tokens(train)})
    return merge_table(learnt, size), figure


def beginning(train: str, learnt: Sequence[LearntMerge], size: int) -> list[Span]:
    """The first pieces of a text, cut by its own vocabulary of this size."""
    text = "".join(cut_pieces(train[:LONGEST_SHOWN])[:PIECES_SHOWN])
    ranks = learnt_ranks(learnt, size)
    tokens = encode_learnt(text, learnt[: size - BYTES])
    return group_spans(text, [ranks[token] for token in tokens], tokens)


def learn(part: Part) -> int | None:
    """Draw the section: merges found in this text; returns the vocabulary's size, None where nothing is learnt."""
    if part.shortened:
        st.caption(f"Of this long text the first {part.used:,} characters are used, so that nobody has to wait.")
    learnt = merges(part.train)
    if not learnt:
        st.info("In this text no pair of bytes occurs twice: there is nothing to learn from it.")
        return None
    sizes, tokens = curve(part.train, learnt)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        size = st.slider(
            "Vocabulary size", sizes[0], sizes[-1], min(FIRST_SIZE, sizes[-1]), key=f"bpe_size_{sizes[-1]}"
        )
        table, figure = _drawn(part.train, size)
        st.dataframe(table, hide_index=True, height=250, key="bpe_merges")
    count, characters = tokens[sizes.index(size)], len(part.train)
    with right:
        charts.draw(
            st,
            figure,
            key="bpe_curve",
            alt=f"With {size:,} tokens in the vocabulary the text takes {count:,} tokens.",
        )
    chips.tokens(beginning(part.train, learnt, size), key="bpe_beginning")
    st.caption("The beginning of the text, cut by this vocabulary; the ids are its own, not GPT-2's.")
    first, last = learnt[0], learnt[-1]
    frame.notice(
        f"With a vocabulary of {size:,} ({BYTES} bytes and {size - BYTES:,} merges) the text takes {count:,} tokens, "
        f"{characters / count:.2f} characters each. The first merge joined the most frequent pair, found "
        f"{first.count:,} times; the last of all {len(learnt):,} was found {last.count:,} times, so the curve grows "
        "flat. Of pairs that are equally frequent, the one that comes first in the order of bytes is taken."
    )
    return size

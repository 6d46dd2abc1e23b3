"""Text in coloured pieces: tokens with their ids, copied passages, graded guesses. A small component of our own.

Streamlit's markdown would read a student's ``$a$`` or ``:red[x]`` as commands; here each piece is shown as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypedDict

import streamlit as st

from gptcore.memorization import CopiedSpan
from gptcore.paths import ASSETS
from gptcore.tokenizer import Span, load_tokenizer

TOKEN_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
MOST_CHIPS = 1_500  # of a longer text the rest is counted, not drawn
LINE_ENDS = 2  # in a row; more are drawn as a number


class Piece(TypedDict, total=False):
    """One chip."""

    text: str
    note: str
    title: str
    colour: str
    kind: str


_component = st.components.v2.component(
    "glassbox_chips",
    html='<div class="chips" role="group" tabindex="0"></div>\n',
    css=(ASSETS / "components" / "chips.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "chips.js").read_text(encoding="utf-8"),
)


def _draw(pieces: Sequence[Piece], layout: str, label: str, key: str, *, marks: bool) -> None:
    _component(data={"pieces": list(pieces), "layout": layout, "label": label, "marks": marks}, key=key)


def tokens(spans: Sequence[Span], key: str, *, marks: bool = True) -> None:
    """Draw spans as coloured chips, each with the ids that make it; spaces and line ends as marks."""
    pieces: list[Piece] = [
        {
            "text": span.text,
            "note": " ".join(map(str, span.ids)),
            "title": f"{span.text!r}: token id {', '.join(map(str, span.ids))}",
            "colour": TOKEN_COLOURS[index % len(TOKEN_COLOURS)],
        }
        for index, span in enumerate(spans[:MOST_CHIPS])
    ]
    _draw(pieces, "tokens scroll", "the text's tokens with their ids", key, marks=marks)
    if len(spans) > MOST_CHIPS:
        st.caption(f"The first {MOST_CHIPS:,} of {len(spans):,} pieces are drawn; all are counted.")


def _fold_line_ends(pieces: Sequence[Piece]) -> list[Piece]:
    """A young model writes line ends by the dozen: more than a blank line of them become one mark with their number."""
    folded: list[Piece] = []
    for blank, group in groupby(pieces, key=lambda piece: not piece["text"].strip("\n")):
        run = list(group)
        ends = sum(len(piece["text"]) for piece in run)
        folded += [{**run[0], "text": f" ⏎ × {ends}\n"}] if blank and ends > LINE_ENDS else run
    return folded


def copied_pieces(prompt: str, text: str, spans: Sequence[CopiedSpan]) -> list[Piece]:
    """A generated text with its verbatim copies marked; positions are GPT-2 tokens of ``text``."""
    tokenizer = load_tokenizer()
    inside: dict[int, CopiedSpan] = {i: s for s in spans for i in range(s.start, s.start + s.length)}
    pieces: list[Piece] = []
    position = 0
    letters = 0
    for span in tokenizer.spans(text):
        source = inside.get(position)
        kind = ("copied " if source else "") + ("prompt" if letters < len(prompt) else "")
        piece: Piece = {"text": span.text, "kind": kind}
        if source:
            piece["title"] = f"{source.length} tokens, word for word from token {source.place:,} of the training text"
        pieces.append(piece)
        position += len(span.ids)
        letters += len(span.text)
    return _fold_line_ends(pieces)


def copied(prompt: str, text: str, spans: Sequence[CopiedSpan], key: str) -> None:
    """Draw a generated text with its verbatim copies marked (``copied_pieces``)."""
    pieces = copied_pieces(prompt, text, spans)
    _draw(pieces, "prose", "generated text; passages copied from the training text are marked", key, marks=False)


def graded(pieces: Sequence[Piece], key: str, label: str, *, marks: bool = True) -> None:
    """Draw pieces whose colours grade something, such as the loss of each token."""
    _draw(pieces, "prose", label, key, marks=marks)


def noted(pieces: Sequence[Piece], key: str, label: str) -> None:
    """Draw pieces as tokens, each with its small note below."""
    _draw(pieces, "tokens", label, key, marks=True)

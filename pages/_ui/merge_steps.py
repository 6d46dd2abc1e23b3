"""A piece of text from bytes to tokens, merge by merge, drawn by a small component of our own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from gptcore.bpe import Step, merge_trace
from gptcore.figures.theme import marked
from gptcore.paths import ASSETS
from gptcore.tokenizer import load_tokenizer, show_token

_steps = st.components.v2.component(
    "glassbox_merge_steps",
    html=(ASSETS / "components" / "merge_steps.html").read_text(encoding="utf-8"),
    css=(ASSETS / "components" / "merge_steps.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "merge_steps.js").read_text(encoding="utf-8"),
)


def draw(steps: list[Step], key: str) -> None:
    """Draw the steps of one piece."""
    _steps(data=record(steps), key=key)


def trace(piece: str) -> list[Step]:
    """The steps by which GPT-2 builds the tokens of one piece."""
    return merge_trace(piece.encode("utf-8"), load_tokenizer().ranks)


def record(steps: list[Step]) -> dict[str, Any]:
    """What the browser gets: a level for each step, and a sentence for each."""
    return {
        "bytes": sum(map(len, steps[0].parts)),
        "levels": [
            {"parts": list(map(_part, step.parts)), "ranks": list(step.ranks), "chosen": step.chosen} for step in steps
        ],
        "said": [_said(steps, place) for place in range(len(steps))],
    }


def _part(raw: bytes) -> tuple[str, int, int, bool]:
    """A part as it is shown, its bytes, its id, and whether it is made of whole characters."""
    text = show_token(raw)
    whole = text.encode("utf-8") == raw
    return text if whole else raw.hex(" "), len(raw), load_tokenizer().ranks[raw], whole


def _name(raw: bytes) -> str:
    """A part within a sentence."""
    text, _, _, whole = _part(raw)
    return marked(text) if whole else text


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "token"), counted(2, "token")
    ('1 token', '2 tokens')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"


def _said(steps: list[Step], place: int) -> str:
    """What the last merge made, and what is next."""
    step = steps[place]
    done = f"Merge {place} of {len(steps) - 1}: {_made(steps[place - 1])}. " if place else ""
    if step.chosen is None:
        became = f"{counted(len(step.parts), 'token')} from {counted(len(steps[0].parts), 'byte')}"
        return f"{done}No two neighbours make a token any more: {became}."
    possible = sum(rank is not None for rank in step.ranks)
    return (
        f"{done}Next: of {counted(len(step.ranks), 'pair')} of neighbours {possible} would make a token; the lowest "
        f"rank, {step.ranks[step.chosen]:,}, goes first."
    )


def _made(step: Step) -> str:
    """The merge that a step leads to: pair, result, rank."""
    place = step.chosen or 0
    left, right = step.parts[place : place + 2]
    return f"{_name(left)} + {_name(right)} became {_name(left + right)}, rank {step.ranks[place]:,}"

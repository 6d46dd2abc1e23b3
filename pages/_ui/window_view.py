"""One window as chips, and the counts of a text's windows with their formulas."""

from __future__ import annotations

from typing import Literal

import pandas as pd
import streamlit as st

from gptcore.batches import TrainingData, prepare
from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.figures import windows as figures
from gptcore.paths import ASSETS
from gptcore.tokenizer import load_tokenizer, show_token
from gptcore.windows import WindowCounts, over_epochs
from pages._ui import chips
from pages._ui.kept import kept

View = Literal["text", "ids", "positions"]
VIEWS: tuple[View, ...] = ("text", "ids", "positions")
SHOWN_COLUMNS = 64
LEAD_IN = 4  # columns before the chosen position: so many have room beside it on a phone
SHOWN_PREFIX = 60

window_strip = kept(64)(figures.window_strip)

_pairs = st.components.v2.component(
    "glassbox_pairs",
    html='<div class="window"><div class="pairs" role="group" tabindex="0"></div><p class="exercise" '
    'aria-live="polite"></p></div>\n',
    css=(ASSETS / "components" / "pairs.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "pairs.js").read_text(encoding="utf-8"),
)


@st.cache_resource(max_entries=4, show_spinner="The text is being cut into tokens.")
def token_parts(text: Text, config: TrainConfig) -> TrainingData:
    """Both parts of a text as GPT-2 tokens, whatever context and batch are then chosen.

    Args:
        text: Any text.
        config: ``cut_only`` of the settings: what else they say must not make another entry of this cache.

    Raises:
        TextError: The training part has fewer than two tokens.
    """
    return prepare(text, GPTConfig(context_length=1), config)


def cut_only(settings: TrainConfig) -> TrainConfig:
    """Of a run's settings those that cut the text."""
    return TrainConfig(
        batch_size=1,
        train_fraction=settings.train_fraction,
        train_share=settings.train_share,
        sealed_fraction=settings.sealed_fraction,
        end_of_text=settings.end_of_text or settings.reference,
    )


def _chip(token_id: int, place: int, view: View) -> dict[str, str]:
    text = show_token(load_tokenizer().token_bytes(token_id))
    return {
        "word": text,
        "text": {"text": text, "ids": str(token_id), "positions": str(place)}[view],
        "note": str(token_id) if view == "text" else "",
        "title": f"token {place:,} of the training part: {text!r}, id {token_id}",
        "colour": chips.TOKEN_COLOURS[place % len(chips.TOKEN_COLOURS)],
    }


def pairs(inputs: list[int], targets: list[int], start: int, position: int, view: View) -> None:
    """Draw a window's input row above its target row; the exercise of the chosen position is lit until another is.

    Args:
        inputs: Token ids (T,).
        targets: Token ids (T,), one token further.
        start: Where the window starts in the training part.
        position: The position in the window whose guess is looked at.
        view: What stands on a chip.
    """
    first = max(position - LEAD_IN, 0)
    end = min(first + SHOWN_COLUMNS, len(inputs))
    columns = [(_chip(inputs[t], start + t, view), _chip(targets[t], start + t + 1, view)) for t in range(first, end)]
    before = load_tokenizer().decode(inputs[max(first - SHOWN_PREFIX, 0) : first])
    _pairs(
        data={
            "columns": columns,
            "before": before,
            "first": first,
            "position": position - first,
            "label": "a row of inputs, and below each its target; the arrow keys go from exercise to exercise",
        },
        key="windows_pairs",
    )
    if end - first < len(inputs):
        st.caption(f"Positions {first} to {end - 1} of 0 to {len(inputs) - 1}; choose another position to see others.")


def formulas(
    n_tokens: int, context_length: int, stride: int, batch_size: int, drop_last: bool, counts: WindowCounts
) -> dict[str, tuple[str, int]]:
    """Every count of one part with its formula, today's numbers in it.

    Returns:
        What is counted, to the formula and its value.
    """
    n, T, S, B = (f"{value:,}" for value in (n_tokens, context_length, stride, batch_size))
    fits = n_tokens > context_length
    kept = counts.windows - counts.dropped_windows
    many = over_epochs(n_tokens, context_length, stride, batch_size, drop_last)
    met = many.windows - many.dropped_windows
    left, right = "⌊⌋" if drop_last else "⌈⌉"
    return {
        "windows": (f"⌊({n} − {T} − 1) / {S}⌋ + 1" if fits else "0", counts.windows),
        "batches an epoch": (f"{left}{counts.windows:,} / {B}{right}", counts.batches),
        "left out an epoch": (
            f"{counts.windows:,} − {counts.batches:,} × {B}" if drop_last else "0",
            counts.dropped_windows,
        ),
        "guesses an epoch": (f"{kept:,} × {T}", counts.predictions),
        "overlap": (f"{T} − {S}" if stride < context_length else "0", counts.overlap),
        "ever a target": (
            f"({met:,} − 1) × {min(stride, context_length):,} + {T}" if met else "0",
            many.targets_used,
        ),
        "never a target": (f"{n} − {many.targets_used:,}", many.never_targets),
    }


def show_formulas(rows: dict[str, tuple[str, int]]) -> None:
    """The counts as a table of sums: a formula that is the number itself stands alone."""
    sums = [formula if formula == f"{value:,}" else f"{formula} = **{value:,}**" for formula, value in rows.values()]
    st.table(pd.DataFrame({"": sums}, index=list(rows)), hide_header=True)


def judged_by(windows: int, most: int) -> str:
    """How many validation windows an evaluation looks at, in a sentence.

    >>> judged_by(48, 40)
    'Each evaluation is judged by 40 of 48 validation windows: the fewer, the noisier.'
    """
    if not windows:
        return "Without a validation window no evaluation can tell what a run makes of text that it never trains on."
    everyone = {1: "1 validation window", 2: "both validation windows"}.get(
        windows, f"all {windows:,} validation windows"
    )
    judges = f"{most:,} of {windows:,} validation windows" if most < windows else everyone
    return f"Each evaluation is judged by {judges}: the fewer, the noisier."


def counted(n: int, one: str, many: str) -> str:
    """A count with its noun.

    >>> counted(1, "batch", "batches"), counted(1_000, "batch", "batches")
    ('1 batch', '1,000 batches')
    """
    return f"{n:,} {one if n == 1 else many}"

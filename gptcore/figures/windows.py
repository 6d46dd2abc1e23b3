"""A text as a strip: where its windows lie, which batch each belongs to, and which tokens are never predicted.

How to read it: ``windows_in_view`` and ``target_runs`` say what is to be seen, by formula; ``window_strip`` draws it.
Of a long text only a stretch of windows is drawn, with a small map of the whole below.

What is left out: shuffling. The windows stand in the order of the text, and so do the batches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import CUT, DRAWN, KEPT, TRAIN, TRANSPARENT, VALIDATION, blank_figure
from gptcore.windows import WindowCounts

SHOWN_WINDOWS = 24
PART_STYLE = {"training": (TRAIN, ""), "validation": (VALIDATION, "/")}
LEFT_OUT = "left out by drop_last"
TIMES = ("never a target", "a target once", "a target several times")


class Part(NamedTuple):
    """One part of a text: its name, its first token counted from the text's beginning, its length, its counts."""

    name: str
    start: int
    tokens: int
    counts: WindowCounts

    @property
    def kept(self) -> int:
        """Windows that an epoch meets."""
        return self.counts.windows - self.counts.dropped_windows


def windows_in_view(parts: list[Part], context_length: int, stride: int, batch_size: int, first: int) -> pd.DataFrame:
    """The windows that are drawn, from number ``first`` on; the training part's come before the validation part's.

    Returns:
        A row a window: part, number within its part (from 0), batch (from 0), kept, start, and end (excluded).
    """
    rows = []
    passed = 0
    for part in parts:
        low, high = max(first - passed, 0), min(first + SHOWN_WINDOWS - passed, part.counts.windows)
        for number in range(low, high):
            start = part.start + number * stride
            rows.append((part.name, number, number // batch_size, number < part.kept, start, start + context_length))
        passed += part.counts.windows
    return pd.DataFrame(rows, columns=["part", "number", "batch", "kept", "start", "end"])


def stretch_in_view(parts: list[Part], windows: pd.DataFrame) -> tuple[int, int]:
    """First and last token (excluded) of the stretch that is drawn: its windows, and what is left at a part's end."""
    total = parts[-1].start + parts[-1].tokens
    if windows.empty:
        return 0, total
    last = windows.iloc[-1]
    number = next(i for i, part in enumerate(parts) if part.name == last["part"])
    part = parts[number]
    end = last["end"] + 1
    if last["number"] == part.counts.windows - 1:  # what is left over belongs to the picture
        later = any(other.counts.windows for other in parts[number + 1 :])
        end = part.start + part.tokens if later else total
    return int(windows["start"].iloc[0]), int(end)


def target_runs(part: Part, context_length: int, stride: int, low: int, high: int) -> list[tuple[int, int, int]]:
    """How often a part's tokens are predicted, as runs (start, end, 0 never, 1 once, 2 more often) within low..high.

    The kept window w predicts the tokens w S + 1 to w S + T of its part: counted by formula, not by cutting.
    """
    token = np.arange(max(low - part.start, 0), max(min(high - part.start, part.tokens), 0))
    if not len(token):
        return []
    last = np.minimum((token - 1) // stride, part.kept - 1)
    first = np.maximum(-((context_length - token) // stride), 0)
    times = np.clip(last - first + 1, 0, 2)
    edges = [0, *(np.flatnonzero(np.diff(times)) + 1), len(token)]
    offset = part.start + int(token[0])
    return [
        (offset + int(a), offset + int(b), int(times[a])) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a
    ]


def window_strip(
    parts: list[Part],
    context_length: int,
    stride: int,
    batch_size: int,
    chosen: int | None = None,
    height: int = 400,
) -> go.Figure:
    """Windows one below the other along the text, the tokens' use below them, and the whole text at the bottom.

    Args:
        parts: The training part, then the validation part.
        context_length: Tokens in a window (T).
        stride: Tokens between two window starts (S).
        batch_size: Windows in a batch.
        chosen: A training window that is marked, from 0; the stretch drawn holds it.
        height: Pixels.
    """
    first = (chosen or 0) // SHOWN_WINDOWS * SHOWN_WINDOWS
    windows = windows_in_view(parts, context_length, stride, batch_size, first)
    low, high = stretch_in_view(parts, windows)
    figure = blank_figure(height).set_subplots(rows=3, cols=1, row_heights=[0.76, 0.1, 0.14], vertical_spacing=0.09)
    _add_windows(figure, windows, chosen)
    runs = [run for part in parts for run in target_runs(part, context_length, stride, low, high)]
    _add_use(figure, runs)
    _add_whole(figure, parts, low, high)
    figure.update_layout(barmode="overlay", hovermode="closest", bargap=0.15)
    figure.update_xaxes(range=[low, high], showgrid=False, zeroline=False)
    figure.update_xaxes(showticklabels=False, row=1, col=1)
    figure.update_xaxes(title="token of the text", range=[0, parts[-1].start + parts[-1].tokens], row=3, col=1)
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, tickfont={"size": 10})
    return figure


def _add_windows(figure: go.Figure, windows: pd.DataFrame, chosen: int | None) -> None:
    kinds = windows["part"].where(windows["kept"], LEFT_OUT)
    for kind in kinds.unique():
        rows = windows[kinds == kind]
        colour, pattern = PART_STYLE.get(kind, (CUT, ""))
        marked = (rows["part"] == "training") & (rows["number"] == chosen)
        figure.add_bar(
            name=f"{kind} window" if kind in PART_STYLE else kind,
            base=rows["start"],
            x=rows["end"] - rows["start"],
            y=rows.index,
            orientation="h",
            text=rows["batch"] + 1 if kind in PART_STYLE else None,
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            marker={
                "color": colour if kind in PART_STYLE else TRANSPARENT,
                "opacity": [1.0 if batch % 2 == 0 else 0.6 for batch in rows["batch"]],
                "pattern": {"shape": pattern, "solidity": 0.2},
                "line": {
                    "color": [DRAWN if mark else colour for mark in marked],
                    "width": [4 if mark else 1 for mark in marked],
                },
            },
            customdata=_hover_rows(rows),
            hovertemplate=(
                "%{customdata[0]} window %{customdata[1]}, batch %{customdata[2]}<br>inputs: tokens %{customdata[3]:,} "
                "to %{customdata[4]:,}<br>targets: one further<extra></extra>"
            ),
            row=1,
            col=1,
        )
    names = [f"{'' if part == 'training' else 'v'}{number + 1}" for part, number in _pairs(windows)]
    figure.update_yaxes(title="window", tickmode="array", tickvals=windows.index, ticktext=names, row=1, col=1)


def _pairs(windows: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(windows["part"], windows["number"], strict=True))


def _hover_rows(rows: pd.DataFrame) -> list[list[str | int]]:
    return [
        [row.part, row.number + 1, row.batch + 1 if row.kept else "–", row.start, row.end - 1]
        for row in rows.itertuples(index=False)
    ]


def _add_use(figure: go.Figure, runs: list[tuple[int, int, int]]) -> None:
    styles = [("", TRANSPARENT, CUT), ("", KEPT, KEPT), ("x", KEPT, KEPT)]
    for times, (pattern, fill, line) in enumerate(styles):
        mine = [(start, end) for start, end, found in runs if found == times]
        if not mine:
            continue
        figure.add_bar(
            name=TIMES[times],
            base=[start for start, _ in mine],
            x=[end - start for start, end in mine],
            y=["use"] * len(mine),
            orientation="h",
            marker={
                "color": fill,
                "opacity": 0.5 if times == 1 else 1,
                "pattern": {"shape": pattern, "solidity": 0.3},
                "line": {"color": line, "width": 1 if times == 0 else 0},
            },
            customdata=[[start, end - 1] for start, end in mine],
            hovertemplate=f"tokens %{{customdata[0]:,}} to %{{customdata[1]:,}}: {TIMES[times]}<extra></extra>",
            row=2,
            col=1,
        )
    figure.update_yaxes(showticklabels=False, row=2, col=1)


def _add_whole(figure: go.Figure, parts: list[Part], low: int, high: int) -> None:
    """The whole text with the cut between its parts, and a frame around the stretch above."""
    for part in parts:
        colour, pattern = PART_STYLE[part.name]
        figure.add_bar(
            base=[part.start],
            x=[part.tokens],
            y=["whole"],
            orientation="h",
            marker={"color": colour, "opacity": 0.5, "pattern": {"shape": pattern, "solidity": 0.2}},
            text=[f"{part.name} part: {part.tokens:,} tokens"],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertemplate=f"{part.name} part: tokens {part.start:,} to {part.start + part.tokens - 1:,}<extra></extra>",
            showlegend=False,
            row=3,
            col=1,
        )
    figure.add_shape(
        type="rect", x0=low, x1=high, y0=-0.5, y1=0.5, line={"color": DRAWN, "width": 2}, row=3, col=1, xref="x3"
    )
    figure.update_yaxes(showticklabels=False, row=3, col=1)

"""A text as a strip: where its windows lie, which batch each belongs to, and which tokens are never predicted.

How to read it: ``windows_in_view`` and ``target_runs`` say what is to be seen, by formula; ``window_strip`` draws it.
Of a long text only a stretch of windows is drawn, with a small map of the whole below. There the windows stand in the
order of the text, and so do the batches; ``order_figure`` shows the order in which a run meets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from gptcore.figures.theme import CUT, DRAWN, KEPT, TRAIN, TRANSPARENT, VALIDATION, blank_figure
from gptcore.windows import WindowCounts

SHOWN_WINDOWS = 24
MOST_ORDERED = 1_000  # windows of an epoch whose order is drawn
LEFT_OUT = "left out by drop_last"
# Kind of window: fill, outline, pattern.
STYLES = {"training": (TRAIN, TRAIN, ""), "validation": (VALIDATION, VALIDATION, "/"), LEFT_OUT: (CUT, CUT, ".")}
# How often a token is a target: name, fill, opacity, outline's width, pattern.
TIMES = (
    ("never a target", TRANSPARENT, 1.0, 1, ""),
    ("a target once", KEPT, 0.5, 0, ""),
    ("a target several times", KEPT, 1.0, 0, "x"),
)


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

    @property
    def met(self) -> int:
        """Windows that a run meets sooner or later: each epoch leaves out others."""
        return self.counts.windows if self.counts.batches else 0


class Window(NamedTuple):
    """One window: its part, its number and its batch within the part, from 0; its tokens, the end excluded."""

    part: Part
    number: int
    batch: int
    start: int
    end: int

    @property
    def kind(self) -> str:
        """Its part's name, or that it is left out."""
        return self.part.name if self.number < self.part.kept else LEFT_OUT


class Run(NamedTuple):
    """Neighbouring tokens that are a target equally often: 0 never, 1 once, 2 more often; the end is excluded."""

    start: int
    end: int
    times: int


def windows_in_view(
    parts: Sequence[Part], context_length: int, stride: int, batch_size: int, first: int
) -> list[Window]:
    """The windows that are drawn, from number ``first`` on; the training part's come before the validation part's."""
    windows = []
    passed = 0
    for part in parts:
        low, high = max(first - passed, 0), min(first + SHOWN_WINDOWS - passed, part.counts.windows)
        for number in range(low, high):
            start = part.start + number * stride
            windows.append(Window(part, number, number // batch_size, start, start + context_length))
        passed += part.counts.windows
    return windows


def stretch_in_view(parts: Sequence[Part], windows: list[Window]) -> tuple[int, int]:
    """First and last token (excluded) of the stretch that is drawn: its windows, and what is left at a part's end."""
    total = parts[-1].start + parts[-1].tokens
    if not windows:
        return 0, total
    last = windows[-1]
    end = last.end + 1  # its last target
    if last.number == last.part.counts.windows - 1:
        later = any(part.counts.windows for part in parts if part.start > last.part.start)
        end = last.part.start + last.part.tokens if later else total
    return windows[0].start, end


def target_runs(part: Part, context_length: int, stride: int, low: int, high: int) -> list[Run]:
    """How often a part's tokens are predicted, in the stretch low to high of the text.

    Window w predicts the tokens w S + 1 to w S + T of its part: counted by formula, not by cutting, over many epochs.
    """
    token = np.arange(max(low - part.start, 0), max(min(high - part.start, part.tokens), 0))
    if not len(token):
        return []
    last = np.minimum((token - 1) // stride, part.met - 1)
    first = np.maximum(-((context_length - token) // stride), 0)
    times = np.clip(last - first + 1, 0, 2)
    edges = [0, *(np.flatnonzero(np.diff(times)) + 1).tolist(), len(token)]
    offset = part.start + int(token[0])
    return [Run(offset + a, offset + b, int(times[a])) for a, b in pairwise(edges)]


def window_strip(
    parts: Sequence[Part],
    context_length: int,
    stride: int,
    batch_size: int,
    chosen: int | None = None,
    height: int = 430,
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
    total = parts[-1].start + parts[-1].tokens
    figure = blank_figure(height).set_subplots(rows=3, cols=1, row_heights=[0.76, 0.1, 0.14], vertical_spacing=0.09)
    _add_windows(figure, windows)
    if chosen is not None:
        _mark(figure, windows[chosen - first], chosen - first)
    _add_use(figure, [run for part in parts for run in target_runs(part, context_length, stride, low, high)])
    _add_whole(figure, parts, (low, high))
    if low < parts[0].tokens < high:
        figure.add_vline(x=parts[0].tokens, line={"color": CUT, "width": 1, "dash": "dot"}, row="all", col=1)
    figure.update_layout(
        barmode="overlay", hovermode="closest", bargap=0.15, uniformtext={"minsize": 9, "mode": "hide"}
    )
    figure.update_xaxes(range=[low, high], showgrid=False, zeroline=False, tickformat=",d")
    figure.update_xaxes(showticklabels=False, row=1, col=1)
    figure.update_xaxes(title="token of the text", range=[0, total], row=3, col=1)
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, tickfont={"size": 9})
    return figure


def _add_windows(figure: go.Figure, windows: list[Window]) -> None:
    for kind, (fill, outline, pattern) in STYLES.items():
        lanes = [lane for lane, window in enumerate(windows) if window.kind == kind]
        if not lanes:
            continue
        mine = [windows[lane] for lane in lanes]
        figure.add_bar(
            name=f"{kind} window" if kind != LEFT_OUT else kind,
            base=[window.start for window in mine],
            x=[window.end - window.start for window in mine],
            y=lanes,
            orientation="h",
            marker={
                "color": fill,
                "opacity": [1.0 if window.batch % 2 == 0 else 0.6 for window in mine],  # neighbouring batches
                "pattern": {"shape": pattern, "solidity": 0.2},
                "line": {"color": outline, "width": 1},
            },
            customdata=[[w.number + 1, w.batch + 1, w.start, w.end - 1, w.start + 1, w.end] for w in mine],
            hovertemplate=(
                f"{kind}: window %{{customdata[0]:,}}, batch %{{customdata[1]:,}}<br>"
                "inputs: tokens %{customdata[2]:,} to %{customdata[3]:,}<br>"
                "targets: tokens %{customdata[4]:,} to %{customdata[5]:,}<extra></extra>"
            ),
            row=1,
            col=1,
        )
    lanes = [*range(len(windows))]
    figure.update_yaxes(tickmode="array", tickvals=lanes, ticktext=_lane_names(windows), row=1, col=1)


def _lane_names(windows: list[Window]) -> list[str]:
    """A window's number beside each lane, and where a batch begins the batch's; v marks the validation part."""
    names = []
    known = set()
    for window in windows:
        letter = "v" if window.part.start else ""
        begins = window.kind != LEFT_OUT and (letter, window.batch) not in known
        known.add((letter, window.batch))
        batch = f"batch {letter}{window.batch + 1:,} · " if begins else ""
        names.append(f"{batch}{letter}{window.number + 1:,}")
    return names


def _mark(figure: go.Figure, window: Window, lane: int) -> None:
    figure.add_bar(
        name="chosen window",
        base=[window.start],
        x=[window.end - window.start],
        y=[lane],
        orientation="h",
        marker={"color": TRANSPARENT, "line": {"color": DRAWN, "width": 3}},
        hoverinfo="skip",
        row=1,
        col=1,
    )


def _add_use(figure: go.Figure, runs: list[Run]) -> None:
    for times, (name, fill, opacity, width, pattern) in enumerate(TIMES):
        mine = [run for run in runs if run.times == times]
        if not mine:
            continue
        figure.add_bar(
            name=name,
            base=[run.start for run in mine],
            x=[run.end - run.start for run in mine],
            y=["as targets"] * len(mine),
            orientation="h",
            marker={
                "color": fill,
                "opacity": opacity,
                "pattern": {"shape": pattern, "solidity": 0.3},
                "line": {"color": CUT, "width": width},
            },
            customdata=[[run.start, run.end - 1] for run in mine],
            hovertemplate=f"tokens %{{customdata[0]:,}} to %{{customdata[1]:,}}: {name}<extra></extra>",
            row=2,
            col=1,
        )


def _add_whole(figure: go.Figure, parts: Sequence[Part], stretch: tuple[int, int]) -> None:
    """The whole text with the cut between its parts, and a frame around the stretch above."""
    for part in parts:
        fill, _, pattern = STYLES[part.name]
        figure.add_bar(
            base=[part.start],
            x=[part.tokens],
            y=["whole text"],
            orientation="h",
            marker={"color": fill, "opacity": 0.5, "pattern": {"shape": pattern, "solidity": 0.2}},
            text=[f"{part.name} part: {part.tokens:,} tokens"],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertemplate=f"{part.name} part: tokens {part.start:,} to {part.start + part.tokens - 1:,}<extra></extra>",
            showlegend=False,
            row=3,
            col=1,
        )
    frame = {"x0": stretch[0], "x1": stretch[1], "y0": -0.5, "y1": 0.5}
    figure.add_shape(type="rect", **frame, line={"color": DRAWN, "width": 2}, row=3, col=1)


def order_figure(order: Sequence[int], batch_size: int, height: int = 260) -> go.Figure:
    """Which window stands in which batch of an epoch; of a long one the batches that fit, from the first on.

    Args:
        order: The windows of an epoch as a run meets them, from 0, whole batches.
        batch_size: Windows in a batch.
        height: Pixels.
    """
    shown = order[: MOST_ORDERED // batch_size * batch_size or batch_size]
    figure = blank_figure(height)
    figure.add_scatter(
        x=[place // batch_size + 1 for place in range(len(shown))],
        y=[window + 1 for window in shown],
        mode="markers",
        marker={"color": TRAIN, "symbol": "square", "size": 7 if len(shown) < 300 else 4},
        hovertemplate="batch %{x:,}: window %{y:,}<extra></extra>",
    )
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_xaxes(title="batch of the epoch", tickformat=",d", rangemode="tozero")
    figure.update_yaxes(title="window of the text", tickformat=",d", rangemode="tozero")
    return figure

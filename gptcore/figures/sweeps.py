"""Figures of a sweep: a line for each trial through all its settings to its loss, and what each setting explains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import CUT, KEPT, TRAIN, blank_figure, blank_layout
from gptcore.sweeps import Axis

LOSS = "lowest loss"
MOST_MARKS = 5  # of an axis; with more values only its ends are named
PALE, STRONG = 0.25, 0.9  # from the worst trial to the best


def _heights(values: pd.Series, by_factors: bool) -> np.ndarray:
    """Where each value stands on its axis, 0 at the foot to 1 at the top."""
    scaled = np.log(values.to_numpy(float)) if by_factors else values.to_numpy(float)
    span = scaled.max() - scaled.min()
    return (scaled - scaled.min()) / span if span else np.full(len(scaled), 0.5)


def parallel_figure(rows: pd.DataFrame, axes: Sequence[Axis], height: int = 320) -> go.Figure:
    """Every trial as a line from axis to axis, the best one thick and green; the last axis is its loss, low is good.

    Args:
        rows: ``sweeps.table`` without trials that diverged; one or more, the best first.
        axes: The sweep's.
        height: Pixels.
    """
    by_factors = {axis.name: axis.is_wide for axis in axes} | {LOSS: False}
    columns = rows.rename(columns={"loss": LOSS})[list(by_factors)]
    heights = {name: _heights(columns[name], wide) for name, wide in by_factors.items()}
    figure = go.Figure(layout=blank_layout(height))
    for place in reversed(range(len(rows))):  # the best one is drawn last, on top
        best = place == 0
        said = "<br>".join(f"{name} {columns[name].iloc[place]:.4g}" for name in columns)
        shade = PALE + (STRONG - PALE) * (1 - place / max(1, len(rows) - 1))
        figure.add_scatter(
            x=list(by_factors),
            y=[float(heights[name][place]) for name in by_factors],
            text=[f"{columns[name].iloc[place]:g}" for name in by_factors],  # for who takes the numbers home
            mode="lines+markers",
            line={"color": KEPT if best else CUT, "width": 4 if best else 1.5},
            marker={"size": 9 if best else 4, "symbol": "diamond" if best else "circle"},
            opacity=1.0 if best else shade,
            name="the best" if best else "the others",
            legendgroup=str(best),
            showlegend=place <= 1,
            hovertemplate=said + "<extra></extra>",
        )
    _mark_values(figure, columns, heights)
    figure.update_layout(hovermode="closest", margin={"l": 48, "r": 48, "t": 28, "b": 8})
    figure.update_yaxes(visible=False, range=[-0.1, 1.1], fixedrange=True)
    figure.update_xaxes(showgrid=True, gridcolor=CUT, title="setting, and the validation loss (nats a token)")
    return figure


def _mark_values(figure: go.Figure, columns: pd.DataFrame, heights: dict[str, np.ndarray]) -> None:
    """Write the values where no line runs: outside the first axis and the last, above and below those between."""
    last = len(heights) - 1
    for number, name in enumerate(heights):
        marks = dict(zip(columns[name], heights[name], strict=True))
        if len(marks) > MOST_MARKS or name == LOSS:
            marks = {value: marks[value] for value in (min(marks), max(marks))}
        for value, at in marks.items():
            text = f"{value:.3f}" if name == LOSS else f"{value:g}"
            outside = number in (0, last)
            above = {0.0: -12, 1.0: 12}.get(float(at))
            if outside or above is None:
                side = {"xshift": 8, "xanchor": "left"} if number == last else {"xshift": -8, "xanchor": "right"}
            else:
                side = {"yshift": above}
            figure.add_annotation(x=number, y=at, text=text, showarrow=False, **side)


def importance_figure(shares: pd.DataFrame, height: int = 180) -> go.Figure:
    """A bar a setting: the share of the differences that it explains alone.

    Args:
        shares: ``sweeps.importance``, the largest first.
        height: Pixels.
    """
    figure = blank_figure(height)
    figure.add_bar(
        x=[100 * share for share in shares["share"]][::-1],
        y=shares["axis"].tolist()[::-1],
        orientation="h",
        marker_color=TRAIN,
        text=[f"{share:.0%}" for share in shares["share"]][::-1],
        hovertemplate="%{y}: %{text}<extra></extra>",
        showlegend=False,
    )
    most = 100 * float(shares["share"].max())
    figure.update_xaxes(title="explained alone (% of the variance)", range=[0, max(10.0, math.ceil(most * 1.15))])
    figure.update_layout(hovermode="closest")
    return figure

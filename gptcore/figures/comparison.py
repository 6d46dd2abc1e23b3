"""Several runs in one figure: one colour and marker a run, training solid and validation dashed as everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.curves import AXIS_TITLES, levels, thin
from gptcore.figures.theme import PUBLISHED, RUNS, blank_layout, literal

Shown = Literal["both", "training", "validation"]
Axis = Literal["step", "tokens_seen", "epochs_read", "seconds"]
AXES: dict[Axis, str] = dict(AXIS_TITLES) | {"seconds": "seconds"}
MARKERS = ("circle", "square", "diamond", "triangle-up", "x")
FONT = {"family": "sans-serif"}  # an image that is saved can't bring the page's own font along
DASHES = {"train_loss": "solid", "val_loss": "dash"}
COLUMNS: dict[Shown, tuple[str, ...]] = {
    "both": ("train_loss", "val_loss"),
    "training": ("train_loss",),
    "validation": ("val_loss",),
}
NAMES = {"train_loss": "training", "val_loss": "validation"}


def comparison_curves(
    runs: Mapping[str, pd.DataFrame],
    lines: Mapping[str, float],
    x: Axis = "step",
    shown: Shown = "both",
    height: int = 400,
) -> go.Figure:
    """The evaluations of several runs, in nats a token.

    Args:
        runs: Name to rows of metrics: train_loss, val_loss, and the column that is counted along the axis; a run that
            lacks this column is in the key without a curve.
        lines: Levels to measure by, name to nats a token, drawn dotted.
        x: What is counted along the axis.
        shown: Which losses.
        height: Pixels.
    """
    traces: list[dict[str, Any]] = []
    for number, (name, metrics) in enumerate(runs.items()):
        # Each a little wider than the next: a curve beneath one that is the same can still be seen.
        width = 2 + 0.9 * (len(runs) - 1 - number)
        style = {"color": RUNS[number % len(RUNS)], "width": width}, MARKERS[number % len(MARKERS)]
        for index, column in enumerate(COLUMNS[shown]):
            traces.append(_curve(metrics, x, column, *style) | _key(name, is_first=index == 0))
    traces += [_dash(column) for column in COLUMNS[shown]]
    shapes, labels = levels(lines)
    for label in labels:
        label |= {"yanchor": "bottom", "font": label["font"] | FONT}  # above its line, where no curve should be
    layout = blank_layout(height)
    layout |= {
        "hovermode": "closest",
        "legend": layout["legend"] | {"font": FONT},
        "shapes": shapes,
        "annotations": labels,
        "xaxis": {"title": {"text": AXES[x]}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "loss (nats a token)"}, "rangemode": "tozero"},
    }
    return go.Figure({"data": traces, "layout": layout})


def _curve(metrics: pd.DataFrame, x: Axis, column: str, line: dict[str, Any], marker: str) -> dict[str, Any]:
    rows = metrics[metrics[column].notna()] if x in metrics else metrics.iloc[:0].assign(**{x: 0.0})
    rows = thin(rows, column)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": rows[x].to_numpy(),
        "y": rows[column].to_numpy(),
        "line": {**line, "dash": DASHES[column]},
        "marker": {"size": 3 + line["width"], "symbol": marker},
        "hovertemplate": f"{NAMES[column]} %{{y:.3f}} at %{{x:,.6~g}}",
    }


def _key(name: str, *, is_first: bool) -> dict[str, Any]:
    """A run stands in the key once, and a click there hides all of it."""
    return {"name": literal(name), "legendgroup": name, "showlegend": is_first}


def _dash(column: str) -> dict[str, Any]:
    """What solid and dashed mean: an entry of the key without a curve."""
    line = {"color": PUBLISHED, "width": 2, "dash": DASHES[column]}
    return {"type": "scatter", "mode": "lines", "x": [None], "y": [None], "name": NAMES[column], "line": line}

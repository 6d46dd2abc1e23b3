"""Several runs in one figure: one colour and marker a run, training solid and validation dashed as everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from gptcore.baselines import uniform_loss
from gptcore.figures.curves import AXIS_TITLES, levels, thin
from gptcore.figures.theme import PUBLISHED, RUNS, blank_layout, literal

Shown = Literal["both", "training", "validation"]
Axis = Literal["step", "tokens_seen", "epochs_read", "seconds"]
AXES: dict[Axis, str] = dict(AXIS_TITLES) | {"seconds": "seconds"}
MARKERS = ("circle", "square", "diamond", "triangle-up", "x")
FONT = {"family": "sans-serif"}  # an image that is saved can't bring the page's own font along
THINNEST, RIM = 2.0, 2.4  # pixels; each line is a little wider than the next, so that one beneath its like is seen
NEAR = 0.6  # nats; lines that are nearer than this share a label
DASHES = {"train_loss": "solid", "val_loss": "dash"}
COLUMNS: dict[Shown, tuple[str, ...]] = {
    "both": ("train_loss", "val_loss"),
    "training": ("train_loss",),
    "validation": ("val_loss",),
}
NAMES = {"train_loss": "training", "val_loss": "validation"}


def comparison_curves(
    runs: Mapping[str, pd.DataFrame],
    vocabularies: Iterable[int],
    x: Axis = "step",
    shown: Shown = "both",
    height: int = 400,
) -> go.Figure:
    """The evaluations of several runs, in nats a token.

    Args:
        runs: Name to rows of metrics: train_loss, val_loss, and the column that is counted along the axis; a run that
            lacks this column has no curve.
        vocabularies: Their sizes V: what a blind guess costs, ln V, is drawn dotted.
        x: What is counted along the axis.
        shown: Which losses.
        height: Pixels.
    """
    traces: list[dict[str, Any]] = []
    for number, (name, metrics) in enumerate(runs.items()):
        width = THINNEST + RIM * (len(runs) - 1 - number) / max(1, len(runs) - 1)
        style = {"color": RUNS[number % len(RUNS)], "width": width}, MARKERS[number % len(MARKERS)]
        for index, column in enumerate(COLUMNS[shown]):
            traces.append(_curve(metrics, x, column, *style) | _key(name, is_first=index == 0))
    traces += [_dash(column) for column in COLUMNS[shown]]
    shapes, labels = _blind_guesses(vocabularies)
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


def _blind_guesses(vocabularies: Iterable[int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A dotted line at ln V for each size, with labels above, where no curve should be."""
    shapes, labels = levels({f"ln {size:,} =": uniform_loss(size) for size in vocabularies})
    kept: list[dict[str, Any]] = []
    for label in sorted(labels, key=itemgetter("y"), reverse=True):
        if kept and kept[-1]["y"] - label["y"] < NEAR:
            kept[-1]["text"] += f", {label['text']}"
        else:
            kept.append(label | {"text": f"a blind guess: {label['text']}", "yanchor": "bottom"})
    return shapes, [label | {"font": label["font"] | FONT} for label in kept]


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

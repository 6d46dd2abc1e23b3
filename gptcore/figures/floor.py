"""The way down to a known floor: validation curves for shares of one text, and how low each came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.curves import levels, thin
from gptcore.figures.theme import PUBLISHED, TRAIN, VALIDATION, blank_layout, literal

Trace = dict[str, Any]
ROOM = 1.14  # of the axis, for the names at the curves' ends
DOTTED = {"color": PUBLISHED, "width": 1.5, "dash": "dot"}


def share_curves(
    recorded: Mapping[str, pd.DataFrame],
    chosen: pd.DataFrame,
    name: str,
    lines: Mapping[str, float],
    height: int = 380,
) -> go.Figure:
    """One run's two curves in colour above the recorded validation curves of other shares, and levels to measure by.

    Args:
        recorded: Other shares by name: rows of metrics, drawn dotted.
        chosen: Rows of the run that is looked at.
        name: Of that run, for the key.
        lines: Levels, name to nats a token.
        height: Pixels.
    """
    dotted = {"mode": "lines", "line": DOTTED, "showlegend": False}
    traces = [_line(rows, "val_loss", share, **dotted) for share, rows in recorded.items()]
    square = {"size": 5, "symbol": "square"}
    traces += [
        _line(chosen, "train_loss", f"training, {name}", mode="lines", line={"color": TRAIN, "width": 2.5}),
        _line(
            chosen,
            "val_loss",
            f"validation, {name}",
            mode="lines+markers",
            line={"color": VALIDATION, "width": 2.5, "dash": "dash"},
            marker=square,
        ),
    ]
    shapes, labels = levels(lines)
    labels += [_at_the_end(share, rows) for share, rows in recorded.items()]
    longest = max(int(rows["step"].iloc[-1]) for rows in (*recorded.values(), chosen))
    axis = {"title": {"text": "step"}, "range": [0, longest * ROOM]}
    return _figure(traces, shapes, labels, axis, height)


def lowest_by_share(
    shares: Sequence[float],
    reached: Mapping[str, Sequence[float]],
    limit: float,
    lines: Mapping[str, float],
    height: int = 380,
) -> go.Figure:
    """How low the validation loss came with each share of the text, for a model and for counting.

    Args:
        shares: Of the training text.
        reached: By whom, nats a token at each share; the first is the model, the second is counting.
        limit: What counting can't get below, however long the text; drawn as a thin line without a name.
        lines: Levels, name to nats a token.
        height: Pixels.
    """
    styles = (
        {"line": {"color": VALIDATION, "width": 2.5, "dash": "dash"}, "marker": {"size": 8, "symbol": "square"}},
        {"line": DOTTED, "marker": {"size": 7, "symbol": "circle-open"}},
    )
    traces = [
        {"type": "scatter", "name": name, "x": list(shares), "y": list(values), "mode": "lines+markers"}
        | {"hovertemplate": "%{y:.3f}"}
        | style
        for (name, values), style in zip(reached.items(), styles, strict=True)
    ]
    unnamed, _ = levels({"": limit})
    shapes, labels = levels(lines)
    ticks = {"tickvals": list(shares), "ticktext": [f"{share:.0%}" for share in shares]}
    axis = {"title": {"text": "share of the text (log scale)"}, "type": "log", **ticks}
    return _figure(traces, unnamed + shapes, labels, axis, height)


def _line(rows: pd.DataFrame, column: str, name: str, **style: Any) -> Trace:
    rows = thin(rows[rows[column].notna()], column)
    values = {"x": rows["step"].to_numpy(), "y": rows[column].to_numpy()}
    return {"type": "scatter", "name": literal(name), "hovertemplate": "%{y:.3f}", **values, **style}


def _at_the_end(name: str, rows: pd.DataFrame) -> Trace:
    """A dotted curve's name beside its last point: a key can't tell grey from grey."""
    last = rows[rows["val_loss"].notna()].iloc[-1]
    font = {"size": 11, "color": PUBLISHED}
    at = {"x": float(last["step"]), "y": float(last["val_loss"]), "xanchor": "left", "yanchor": "bottom"}
    return {"text": literal(name), "showarrow": False, "font": font, **at}


def _figure(
    traces: Sequence[Trace], shapes: Sequence[Trace], labels: Sequence[Trace], x: dict[str, Any], height: int
) -> go.Figure:
    layout = blank_layout(height) | {
        "shapes": shapes,
        "annotations": labels,
        "xaxis": x,
        "yaxis": {"title": {"text": "loss (nats a token)"}, "rangemode": "tozero"},
    }
    return go.Figure({"data": traces, "layout": layout})

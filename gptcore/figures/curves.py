"""Learning curves: training and validation loss against steps, tokens or epochs, with lines to measure them by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import PUBLISHED, TRAIN, VALIDATION, blank_layout, literal
from gptcore.published import PublishedRun

Axis = Literal["step", "tokens_seen", "epochs_read"]
AXIS_TITLES: dict[Axis, str] = {"step": "step", "tokens_seen": "tokens seen", "epochs_read": "epochs read"}
MOST_POINTS = 500  # a line; more cost a browser its breath and show nothing new


def thin(frame: pd.DataFrame, column: str, most: int = MOST_POINTS) -> pd.DataFrame:
    """At most ``most`` rows: the smallest and largest value of every stretch, and a missing one, drawn as a gap.

    >>> len(thin(pd.DataFrame({"batch_loss": range(10_000)}), "batch_loss"))
    500
    """
    if len(frame) <= most:
        return frame
    values = frame[column].astype(float).reset_index(drop=True)
    kept_of_each = 3 if values.hasnans else 2
    stretch = pd.Series(range(len(values))) * (most // kept_of_each) // len(values)
    gaps = values.index[values.isna()].to_series().groupby(stretch).first()
    lowest, highest = (values.fillna(away).groupby(stretch) for away in (math.inf, -math.inf))
    return frame.iloc[sorted({*lowest.idxmin(), *highest.idxmax(), *gaps})]


def learning_curves(
    metrics: pd.DataFrame,
    lines: Mapping[str, float],
    x: Axis = "step",
    best_step: int | None = None,
    panels: bool = False,
    untrained: float | None = None,
    ghost: PublishedRun | None = None,
) -> go.Figure:
    """Both losses of a run in nats a token; below them, if asked, the gradient's length and the learning rate.

    The figure is made in one go from plain values: while runs are watched it is drawn all the time, and every line
    added to a finished figure would cost ten times what it costs here.

    Args:
        metrics: Rows of metrics.jsonl: step, tokens_seen, epochs_read, batch_loss, train_loss, val_loss, grad_norm, lr.
        lines: Levels to measure by, name to nats a token, drawn dotted.
        x: What is counted along the axis.
        best_step: Step of the best validation loss, marked.
        panels: Whether gradient length and learning rate are drawn.
        untrained: The training loss before any update: what the first update made of it is written beside its point.
        ghost: A published run of the same settings, drawn dotted.
    """
    traces: list[Trace] = []
    shapes, labels = levels(lines)
    if not metrics.empty:
        evaluated = metrics[metrics["train_loss"].notna()]
        traces = [_batches(thin(metrics, "batch_loss"), x), *_evaluations(evaluated, x)]
        if ghost is not None:
            traces += _ghost(ghost, metrics, x)
        if best_step is not None:
            traces.append(_best(evaluated[evaluated["step"] == best_step], x))
        if untrained is not None and evaluated["step"].iloc[:1].eq(0).any():
            labels = [*labels, _first_update(untrained, evaluated.iloc[0], x)]
        if panels:
            traces += [_panel(metrics, "grad_norm", "y2", x), _panel(metrics, "lr", "y3", x)]
    figure = _figure(traces, shapes, labels, AXIS_TITLES[x], 520 if panels else 380)
    if panels:
        figure.update_layout(PANELS)
    return figure


Trace = dict[str, Any]
PANELS = {
    "yaxis": {"domain": [0.42, 1.0]},
    "yaxis2": {"domain": [0.2, 0.36], "title": "gradient", "nticks": 3, "rangemode": "tozero"},
    "yaxis3": {"domain": [0.0, 0.16], "title": "rate", "nticks": 3, "rangemode": "tozero", "exponentformat": "e"},
    "xaxis": {"anchor": "y3"},
}


def _figure(
    traces: Sequence[Trace], shapes: Sequence[Trace], labels: Sequence[Trace], x_title: str, height: int
) -> go.Figure:
    layout = blank_layout(height) | {
        "shapes": shapes,
        "annotations": labels,
        "xaxis": {"title": {"text": x_title}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "loss (nats a token)"}, "rangemode": "tozero"},
    }
    return go.Figure({"data": traces, "layout": layout})


def levels(lines: Mapping[str, float]) -> tuple[list[Trace], list[Trace]]:
    """Dotted lines across the figure, and their names above them, that of the lowest below it."""
    lowest = min(lines.values(), default=0.0)
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1}
    shapes = [
        {**across, "y0": level, "y1": level, "line": {"color": PUBLISHED, "dash": "dot", "width": 1}}
        for level in lines.values()
    ]
    labels = [
        {
            "text": f"{literal(name)} {level:.2f}",
            "font": {"size": 11, "color": PUBLISHED},
            "showarrow": False,
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": level,
            "yanchor": "top" if level == lowest else "bottom",
        }
        for name, level in lines.items()
    ]
    return shapes, labels


def _scatter(frame: pd.DataFrame, x: str, y: str, name: str, **style: Any) -> Trace:
    values = {"x": frame[x].to_numpy(), "y": frame[y].to_numpy()}
    return {"type": "scatter", "name": name, "hovertemplate": "%{y:.3f}", **values, **style}


def _batches(metrics: pd.DataFrame, x: Axis) -> Trace:
    return _scatter(
        metrics, x, "batch_loss", "each batch", mode="lines", opacity=0.3, line={"color": TRAIN, "width": 1}
    )


def _panel(metrics: pd.DataFrame, column: str, axis: str, x: Axis) -> Trace:
    names = {"grad_norm": "gradient length", "lr": "learning rate"}
    line = {"color": PUBLISHED, "width": 1}
    return _scatter(
        thin(metrics, column), x, column, names[column], mode="lines", yaxis=axis, line=line, showlegend=False
    )


def _evaluations(evaluated: pd.DataFrame, x: Axis) -> list[Trace]:
    train, validation = (thin(evaluated, column) for column in ("train_loss", "val_loss"))
    solid, dashed = ({"color": TRAIN, "width": 2.5}, {"color": VALIDATION, "width": 2.5, "dash": "dash"})
    square = {"size": 5, "symbol": "square"}
    return [
        _scatter(train, x, "train_loss", "training", mode="lines+markers", line=solid, marker={"size": 5}),
        _scatter(validation, x, "val_loss", "validation", mode="lines+markers", line=dashed, marker=square),
    ]


def _ghost(run: PublishedRun, metrics: pd.DataFrame, x: Axis) -> list[Trace]:
    """A published run beside this one, along the axis of this one: the same settings make the same batches of it."""
    last = metrics.iloc[-1]
    of_a_step = last[x] / (last["step"] + 1)
    steps, train, validation = zip(*run.evaluations, strict=True)
    places = [step if x == "step" else (step + 1) * of_a_step for step in steps]
    line = {"color": PUBLISHED, "dash": "dot", "width": 1.5}
    style = {"type": "scatter", "mode": "lines", "line": line, "hovertemplate": "%{y:.3f}"}
    return [
        {"x": places, "y": losses, "name": f"published, {part}", **style}
        for part, losses in (("training", train), ("validation", validation))
    ]


def _first_update(untrained: float, first: pd.Series[Any], x: Axis) -> Trace:
    """What one single update brought."""
    return {
        "text": f"one update: {untrained:.2f} → {first['train_loss']:.2f}",
        "x": float(first[x]),
        "y": float(first["train_loss"]),
        "xanchor": "left",
        "showarrow": True,
        "ax": 30,
        "ay": 0,
        "font": {"size": 11},
    }


def _best(best: pd.DataFrame, x: Axis) -> Trace:
    star = {"color": VALIDATION, "size": 15, "symbol": "star", "line": {"color": "white", "width": 1}}
    return _scatter(best, x, "val_loss", "best validation", mode="markers", marker=star)


def schedule_figure(steps: Sequence[int], rates: Sequence[float], height: int = 130) -> go.Figure:
    """The learning rate of each step, before a run."""
    line = {"type": "scatter", "x": steps, "y": rates, "mode": "lines", "line": {"color": TRAIN, "width": 2}}
    figure = _figure([line], [], [], "step", height)
    figure.update_yaxes(title="rate", nticks=3, exponentformat="e")
    return figure

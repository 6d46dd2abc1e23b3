"""Learning curves: training and validation loss against steps, tokens or epochs, with lines to measure them by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import DRAWN, PUBLISHED, TRAIN, VALIDATION, blank_figure, literal

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
    cursor_step: int | None = None,
    height: int = 380,
) -> go.Figure:
    """Both losses of a run in nats a token.

    Args:
        metrics: Rows of metrics.jsonl: step, tokens_seen, epochs_read, batch_loss, train_loss, val_loss.
        lines: Levels to measure by, name to nats a token, drawn dotted.
        x: What is counted along the axis.
        best_step: Step of the best validation loss, marked.
        cursor_step: A step that a reader stands on, marked by a vertical line.
        height: Pixels.
    """
    figure = blank_figure(height)
    if not metrics.empty:
        evaluated = metrics[metrics["train_loss"].notna()]
        _add_batches(figure, thin(metrics, "batch_loss"), x)
        _add_evaluations(figure, evaluated, x)
        if best_step is not None:
            _mark_best(figure, evaluated[evaluated["step"] == best_step], x)
        if cursor_step is not None:
            here = metrics.loc[metrics["step"] == cursor_step, x]
            if len(here):
                figure.add_vline(x=float(here.iloc[0]), line={"color": DRAWN, "width": 2})
    lowest = min(lines.values(), default=0.0)
    for name, level in lines.items():
        figure.add_hline(
            y=level,
            line={"color": PUBLISHED, "dash": "dot", "width": 1},
            annotation={"text": f"{literal(name)} {level:.2f}", "font": {"size": 11, "color": PUBLISHED}},
            annotation_position="bottom right" if level == lowest else "top right",
        )
    figure.update_xaxes(title=AXIS_TITLES[x], rangemode="tozero")
    figure.update_yaxes(title="loss (nats a token)", rangemode="tozero")
    return figure


def _add_batches(figure: go.Figure, metrics: pd.DataFrame, x: Axis) -> None:
    figure.add_scatter(
        x=metrics[x],
        y=metrics["batch_loss"],
        name="each batch",
        mode="lines",
        line={"color": TRAIN, "width": 1},
        opacity=0.3,
        hovertemplate="%{y:.3f}",
    )


def _add_evaluations(figure: go.Figure, evaluated: pd.DataFrame, x: Axis) -> None:
    train, validation = (thin(evaluated, column) for column in ("train_loss", "val_loss"))
    figure.add_scatter(
        x=train[x],
        y=train["train_loss"],
        name="training",
        mode="lines+markers",
        line={"color": TRAIN, "width": 2.5},
        marker={"size": 5},
        hovertemplate="%{y:.3f}",
    )
    figure.add_scatter(
        x=validation[x],
        y=validation["val_loss"],
        name="validation",
        mode="lines+markers",
        line={"color": VALIDATION, "width": 2.5, "dash": "dash"},
        marker={"size": 5, "symbol": "square"},
        hovertemplate="%{y:.3f}",
    )


def _mark_best(figure: go.Figure, best: pd.DataFrame, x: Axis) -> None:
    figure.add_scatter(
        x=best[x],
        y=best["val_loss"],
        name="best validation",
        mode="markers",
        marker={"color": VALIDATION, "size": 15, "symbol": "star", "line": {"color": "white", "width": 1}},
        hovertemplate="%{y:.3f}",
    )


def gap_figure(metrics: pd.DataFrame, best_step: int | None, height: int = 380) -> go.Figure:
    """The two curves with the area between them filled: the gap is what was learnt about this text alone."""
    evaluated = metrics[metrics["train_loss"].notna() & metrics["val_loss"].notna()]
    figure = blank_figure(height)
    train, validation = (thin(evaluated, column) for column in ("train_loss", "val_loss"))
    figure.add_scatter(x=train["step"], y=train["train_loss"], line={"width": 0}, showlegend=False, hoverinfo="skip")
    figure.add_scatter(
        x=validation["step"],
        y=validation["val_loss"],
        name="gap",
        fill="tonexty",
        fillcolor="rgba(230,159,0,0.25)",
        line={"width": 0},
        hoverinfo="skip",
    )
    _add_evaluations(figure, evaluated, "step")
    if best_step is not None:
        _mark_best(figure, evaluated[evaluated["step"] == best_step], "step")
        figure.add_vline(x=best_step, line={"color": VALIDATION, "width": 1, "dash": "dot"})
    figure.update_xaxes(title="step", rangemode="tozero")
    figure.update_yaxes(title="loss (nats a token)", rangemode="tozero")
    return figure


def schedule_figure(steps: Sequence[int], rates: Sequence[float], height: int = 130) -> go.Figure:
    """The learning rate of each step, before a run."""
    figure = blank_figure(height)
    figure.add_scatter(x=steps, y=rates, mode="lines", line={"color": TRAIN, "width": 2}, hovertemplate="%{y:.2g}")
    figure.update_xaxes(title="step", rangemode="tozero")
    figure.update_yaxes(title="rate", rangemode="tozero", nticks=3, exponentformat="e")
    return figure

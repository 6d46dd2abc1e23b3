"""Figures of the curve clinic: a curve beside the same run without its mistake, a range test, a sweep of rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.curves import learning_curves
from gptcore.figures.theme import CUT, DRAWN, GPT2, KEPT, PUBLISHED, TRAIN, UNTRAINED, blank_layout
from gptcore.rates import RangeReading

FAR = 2.0  # times the highest line: what lies above is cut off, or the rest would be flat
PALE = 0.5  # of single batches: beside the curves, and yet to be seen on dark
FURTHER = 2.0  # nats above its beginning that are drawn of a range test
RATE_COLOURS = (UNTRAINED, KEPT, TRAIN, GPT2, DRAWN)  # from the smallest rate to the largest
RATE_DASHES = ("dot", "dash", "solid", "dashdot", "longdash")


def case_figure(
    rows: pd.DataFrame, lines: Mapping[str, float], without: pd.DataFrame | None = None, height: int = 340
) -> go.Figure:
    """Both losses of a run with the lines to measure by; dotted grey, the validation loss without its mistake.

    Args:
        rows: Metrics, the untrained model in front.
        lines: Levels to measure by, name to nats a token.
        without: Metrics of the same run without its mistake.
        height: Pixels.
    """
    figure = learning_curves(rows, lines).update_layout(height=height)
    figure.update_traces(opacity=PALE, selector={"name": "each batch"})
    if without is not None:
        looks = without[without["val_loss"].notna()]
        style = {"line": {"color": PUBLISHED, "dash": "dot", "width": 2}, "mode": "lines"}
        name, hover = "validation, without the mistake", "%{y:.3f}"
        figure.add_scatter(x=looks["step"].to_numpy(), y=looks["val_loss"].to_numpy(), name=name, hovertemplate=hover)
        figure.data[-1].update(style)
    most = FAR * max(lines.values(), default=math.inf)
    if cut_off(rows, lines):
        figure.update_yaxes(range=[0, most])
    return figure


def cut_off(rows: pd.DataFrame, lines: Mapping[str, float]) -> float | None:
    """The highest loss of a run that goes beyond the figure; None where all of it is drawn."""
    highest = float(rows[["batch_loss", "train_loss", "val_loss"]].max().max())
    return highest if highest > FAR * max(lines.values(), default=math.inf) else None


def batch_figure(rows: pd.DataFrame, height: int = 200) -> go.Figure:
    """The loss of each batch, and nothing else."""
    trace = _line(rows["step"], rows["batch_loss"], "each batch", color=TRAIN, width=2)
    return _figure([trace], "step", "loss (nats a token)", height)


def range_figure(
    rates: Sequence[float], losses: Sequence[float], reading: RangeReading, height: int = 340
) -> go.Figure:
    """A range test: each batch's loss against the rate of its step, smoothed, with what the rule reads from it."""
    traces = [
        _line(rates, losses, "each batch", color=TRAIN, width=1) | {"opacity": PALE},
        _line(rates, reading.smoothed, "smoothed", color=TRAIN, width=2.5),
        _mark(rates, reading, reading.lowest, "lowest", "diamond", CUT),
        _mark(rates, reading, reading.steepest, "falls fastest", "triangle-down", KEPT),
    ]
    figure = _figure(traces, "learning rate (logarithmic)", "loss (nats a token)", height)
    figure.update_xaxes(type="log", exponentformat="e", dtick=1)
    if max(losses) > reading.smoothed[0] + FURTHER:  # the dip is what matters; an explosion would flatten it
        figure.update_yaxes(range=[min(losses) - 0.3, reading.smoothed[0] + FURTHER])
    line = {"color": DRAWN, "width": 2}
    figure.add_shape(type="line", yref="paper", y0=0, y1=1, x0=reading.suggestion, x1=reading.suggestion, line=line)
    figure.add_annotation(
        text=f"a third: {reading.suggestion:g}",
        x=math.log10(reading.suggestion),  # a label on a logarithmic axis counts in powers of ten
        y=0.02,
        yref="paper",
        yanchor="bottom",
        xanchor="right",
        showarrow=False,
    )
    return figure


def _mark(rates: Sequence[float], reading: RangeReading, rate: float, name: str, symbol: str, colour: str) -> Any:
    at = list(rates).index(rate)
    marker = {"symbol": symbol, "size": 12, "color": colour, "line": {"color": "white", "width": 1}}
    return _line([rate], [float(reading.smoothed[at])], name) | {"mode": "markers", "marker": marker}


def sweep_figure(curves: Mapping[float, pd.DataFrame], best: float | None = None, height: int = 340) -> go.Figure:
    """The validation losses of runs with different rates, overlaid; the best one is drawn thicker."""
    traces = []
    for rank, (rate, rows) in enumerate(curves.items()):
        looks = rows[rows["val_loss"].notna()]
        line = {"color": RATE_COLOURS[rank % 5], "dash": RATE_DASHES[rank % 5], "width": 4 if rate == best else 2}
        traces.append(_line(looks["step"], looks["val_loss"], f"rate {rate:g}", **line))
    return _figure(traces, "step", "validation loss (nats a token)", height)


def _line(x: Any, y: Any, name: str, **line: Any) -> dict[str, Any]:
    values = {"x": list(x), "y": list(y), "hovertemplate": "%{y:.3f}"}
    return {"type": "scatter", "mode": "lines", "name": name, "line": line, **values}


def _figure(traces: Sequence[dict[str, Any]], x_title: str, y_title: str, height: int) -> go.Figure:
    axes = {"xaxis": {"title": {"text": x_title}}, "yaxis": {"title": {"text": y_title}}}
    return go.Figure({"data": list(traces), "layout": blank_layout(height) | axes})

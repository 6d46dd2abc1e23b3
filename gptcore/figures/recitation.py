"""What was learnt by heart: over a run, by what was given, by temperature.

How to read it: three builders, each for numbers of ``recitation``, each of two panels: what is copied or recited, and
what to set beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import CUT, MEMORISED, TRAIN, TRANSPARENT, VALIDATION, blank_figure
from gptcore.overfitting import Evaluation
from gptcore.recitation import Recall

HIGH, LOW = (0.56, 1.0), (0.0, 0.42)  # of the figure's height: two panels, one above the other
LEAST_TOP = 0.1  # a share's axis reaches at least so far: copies by the handful are not to look like mountains


def share_and_gap(shares: pd.DataFrame, looks: Sequence[Evaluation], height: int = 420) -> go.Figure:
    """The copied share of everything a run said, above the gap between its losses, on one axis of steps.

    Args:
        shares: Frame of ``recitation.over_the_run``.
        looks: The run's evaluations.
        height: Pixels.
    """
    figure = blank_figure(height)
    for column, name, colour, dash in (
        ("training", "found in the training text", MEMORISED, "solid"),
        ("validation", "found in the validation text", VALIDATION, "dash"),
    ):
        figure.add_scatter(
            x=shares["step"],
            y=shares[column],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"size": 5},
            hovertemplate="%{y:.0%}",
        )
    figure.add_scatter(
        x=[look.step for look in looks],
        y=[look.gap for look in looks],
        name="gap: validation loss less training loss",
        mode="lines+markers",
        line={"color": TRAIN, "width": 2.5},
        marker={"size": 5},
        fill="tozeroy",
        fillcolor="rgba(230,159,0,0.25)",
        yaxis="y2",
        hovertemplate="%{y:.2f} nats",
    )
    top = max(LEAST_TOP, 1.08 * float(shares[["training", "validation"]].to_numpy().max(initial=0.0)))
    figure.update_layout(
        xaxis={"title": "step", "anchor": "y2"},
        yaxis={"domain": HIGH, "title": "share copied", "tickformat": ".0%", "range": [-0.03 * top, top]},
        yaxis2={"domain": LOW, "title": "gap (nats a token)"},
    )
    return figure


SERIES = {  # of the extraction test: colour, fill and pattern
    "training text, from a window's beginning": (TRAIN, TRAIN, ""),
    "training text, from anywhere": (TRAIN, TRANSPARENT, ""),
    "validation text, from anywhere": (VALIDATION, VALIDATION, "/"),
}


def extraction_bars(tests: Mapping[str, Sequence[Recall]], length: int, height: int = 400) -> go.Figure:
    """How many prefixes call up what follows whole, and how many tokens are right before the first slip.

    Args:
        tests: Results of ``extraction.extraction`` by name, a name of ``SERIES``.
        length: Tokens asked for.
        height: Pixels.
    """
    figure = blank_figure(height)
    for name, recalls in tests.items():
        colour, fill, pattern = SERIES[name]
        shared = {
            "x": [f"{recall.prefix}" for recall in recalls],
            "name": name,
            "legendgroup": name,
            "marker": {"color": fill, "line": {"color": colour, "width": 1.5}, "pattern": {"shape": pattern}},
            "textposition": "outside",
            "textfont": {"size": 10},
            "textangle": 0,
            "constraintext": "none",
            "cliponaxis": False,
        }
        figure.add_bar(
            y=[recall.share for recall in recalls],
            text=[f"{recall.recited}" for recall in recalls],
            hovertext=[f"{recall.recited} of {recall.places} recited whole" for recall in recalls],
            hoverinfo="text",
            **shared,
        )
        figure.add_bar(
            y=[recall.right for recall in recalls],
            text=[f"{recall.right:.1f}" for recall in recalls],
            hovertext=[f"{recall.right:.2f} tokens, mean of {recall.places} places" for recall in recalls],
            hoverinfo="text",
            showlegend=False,
            yaxis="y2",
            **shared,
        )
    figure.update_layout(
        hovermode="closest",
        xaxis={"title": "tokens given", "type": "category", "anchor": "y2"},
        yaxis={"domain": HIGH, "title": "recited whole", "tickformat": ".0%", "range": [0, 1.15]},
        yaxis2={"domain": LOW, "title": "tokens right", "range": [0, 1.15 * length]},
    )
    return figure


def temperature_bars(table: pd.DataFrame, loss: float | None, height: int = 380) -> go.Figure:
    """The copied share at each temperature, above the validation loss, which is one number for all of them.

    Args:
        table: Frame of ``recitation.by_temperature``.
        loss: Of the model on its validation text, nats a token; None where there is no window to judge it by.
        height: Pixels.
    """
    figure = blank_figure(height)
    temperatures = [f"{temperature:g}" for temperature in table["temperature"]]
    figure.add_bar(
        x=temperatures,
        y=table["share"],
        name="share copied",
        marker={"color": MEMORISED, "line": {"color": CUT, "width": 1}},
        text=[f"{share:.0%}" for share in table["share"]],
        textposition="outside",
        cliponaxis=False,
        customdata=table[["tokens", "longest"]].to_numpy(),
        hovertemplate="%{y:.1%} of %{customdata[0]} tokens; the longest passage has %{customdata[1]}",
    )
    if loss is not None:
        figure.add_scatter(
            x=temperatures,
            y=[loss] * len(table),
            name=f"validation loss, {loss:.2f} nats a token",
            mode="lines+markers",
            line={"color": VALIDATION, "width": 2.5, "dash": "dash"},
            marker={"size": 6, "symbol": "square"},
            yaxis="y2",
            hovertemplate="%{y:.3f} nats a token",
        )
        figure.update_layout(
            xaxis={"anchor": "y2"},
            yaxis={"domain": HIGH},
            yaxis2={"domain": LOW, "title": "loss (nats a token)", "range": [0, 1.25 * loss]},
        )
    top = max(LEAST_TOP, 1.2 * float(table["share"].max()))
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title="temperature", type="category")
    figure.update_layout(yaxis={"title": "share copied", "tickformat": ".0%", "range": [0, top]})
    return figure

"""How much of a curve is chance: the band of some seeds with one run in it, and one run under several judges."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import PUBLISHED, TRAIN, VALIDATION, blank_figure, literal

BAND = "rgba(136,136,136,0.25)"
JUDGES = (  # by how much text they judge: a second cue beside the colour
    {"color": PUBLISHED, "width": 1.5, "dash": "dot"},
    {"color": VALIDATION, "width": 1.5, "dash": "dash"},
    {"color": VALIDATION, "width": 2.5, "dash": "solid"},
)


def seed_band(band: pd.DataFrame, run: pd.DataFrame | None, height: int = 320) -> go.Figure:
    """The validation losses of the recorded seeds as a band, and a run's own curve in it.

    Args:
        band: A frame of ``seeds.band``.
        run: Rows of step and val_loss; None draws the band alone.
        height: Pixels.
    """
    figure = _blank(height)
    unseen = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(x=band["step"], y=band["low"], name="low", showlegend=False, **unseen)
    figure.add_scatter(x=band["step"], y=band["high"], name="the band", fill="tonexty", fillcolor=BAND, **unseen)
    dotted = {"color": PUBLISHED, "dash": "dot", "width": 1.5}
    figure.add_scatter(x=band["step"], y=band["mean"], name="mean of five recorded seeds", mode="lines", line=dotted)
    if run is not None:
        looks = run[run["val_loss"].notna()]
        line, marker = {"color": TRAIN, "width": 2.5}, {"size": 5}
        figure.add_scatter(
            x=looks["step"], y=looks["val_loss"], name="yours", mode="lines+markers", line=line, marker=marker
        )
    return figure


def judged_curves(curves: Mapping[str, pd.DataFrame], height: int = 320) -> go.Figure:
    """One run's validation curve as several judges see it, the one with least text first.

    Args:
        curves: Rows of step and val_loss by the judge's name.
        height: Pixels.
    """
    figure = _blank(height)
    for (name, rows), line in zip(curves.items(), JUDGES, strict=True):
        looks = rows[rows["val_loss"].notna()]
        figure.add_scatter(x=looks["step"], y=looks["val_loss"], name=literal(name), mode="lines", line=line)
    return figure


def _blank(height: int) -> go.Figure:
    figure = blank_figure(height)
    figure.update_xaxes(title="step", rangemode="tozero")
    figure.update_yaxes(title="validation loss (nats a token)")
    return figure

"""A challenge whose seal is open: each person's validation loss, and what the sealed part cost the same model.

How to read it: a line a person, from the loss that the run was chosen by to the loss on text that nobody had looked at.
The bars around the second are one standard error to either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from gptcore.figures.classroom import shortened
from gptcore.figures.theme import PUBLISHED, SEALED, VALIDATION, blank_figure, literal
from gptcore.outcome import Place

ROW_HEIGHT = 30  # pixels
AROUND = 110
LABEL_SIGNS = 18


def challenge_figure(places: Sequence[Place]) -> go.Figure:
    """Validation and sealed loss of each person, who is first by validation at the top."""
    figure = blank_figure(len(places) * ROW_HEIGHT + AROUND)
    rows = list(range(len(places)))
    joined = [(value, row) for row, place in enumerate(places) for value in (place.validation, place.sealed, None)]
    figure.add_scatter(
        x=[value for value, _ in joined],
        y=[row for _, row in joined],
        mode="lines",
        line={"color": PUBLISHED, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    names = [literal(place.label) for place in places]
    validation, sealed = [place.validation for place in places], [place.sealed for place in places]
    figure.add_scatter(x=validation, y=rows, name="validation", **_markers(VALIDATION, "circle-open", names))
    errors = {"type": "data", "array": [place.error for place in places], "color": SEALED, "thickness": 1.5}
    figure.add_scatter(x=sealed, y=rows, name="sealed part", error_x=errors, **_markers(SEALED, "diamond", names))
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title="loss (nats a token)")
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[literal(shortened(place.label, LABEL_SIGNS)) for place in places],
        range=[len(places) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        title=None,
    )
    return figure


def _markers(colour: str, symbol: str, names: list[str]) -> dict[str, Any]:
    return {
        "mode": "markers",
        "marker": {"color": colour, "symbol": symbol, "size": 10, "line": {"color": colour, "width": 2}},
        "customdata": names,
        "hovertemplate": "%{customdata}: %{x:.3f}",
    }

"""Models as squares on one scale: areas are parameters, so that a small model looks as small as it is.

How to read it: each square is as wide as it is high; from below, its blocks, its positions and its dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import plotly.graph_objects as go

from gptcore.figures.theme import KEPT, TRAIN, VALIDATION, blank_figure, literal

GAP = 0.06  # between two squares, as a share of the largest one's side
ROOM = 0.09  # at least, for the name below a small square
SHARES = {  # drawn from below; the colours of the treemap
    "blocks": (("blocks", "final norm"), VALIDATION),
    "positions": (("position embedding",), KEPT),
    "dictionary": (("token embedding", "output head"), TRAIN),
}


def true_scale(models: Mapping[str, Mapping[str, int]], height: int = 360) -> go.Figure:
    """Models side by side at true scale.

    Args:
        models: Of each model, by its name, what ``parameters.part_groups`` counts.
        height: Pixels.
    """
    sides = {name: sqrt(sum(groups.values())) for name, groups in models.items()}
    largest = max(sides.values())
    places: dict[str, float] = {}
    end = 0.0
    for name, side in sides.items():
        room = max(side, ROOM * largest)
        places[name] = end + room / 2
        end += room + GAP * largest
    figure = blank_figure(height)
    for share, (parts, colour) in SHARES.items():
        counts = {name: sum(groups[part] for part in parts) for name, groups in models.items()}
        figure.add_bar(
            x=list(places.values()),
            y=[counts[name] / sides[name] for name in models],  # of the side that a square of the sum has
            width=list(sides.values()),
            name=share,
            marker={"color": colour, "line": {"width": 0}},
            customdata=[(literal(name), counts[name], sum(models[name].values())) for name in models],
            hovertemplate="%{customdata[0]}: %{customdata[1]:,} of %{customdata[2]:,}<extra>" + share + "</extra>",
        )
    figure.update_layout(
        barmode="stack", hovermode="closest", bargap=0, margin={"l": 70}
    )  # for the first slanting name
    figure.update_xaxes(
        tickmode="array",
        tickvals=list(places.values()),
        ticktext=[f"{literal(name)} {sum(groups.values()) / 1e6:,.1f} M" for name, groups in models.items()],
        tickangle=-50,
        ticklabeloverflow="allow",
        showgrid=False,
        zeroline=False,
        range=[0, end - GAP * largest],
    )
    figure.update_yaxes(visible=False, scaleanchor="x", constrain="domain", constraintoward="top", range=[0, largest])
    return figure

"""Many draws of one token beside what theory expects, each count with its sampling error."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import DRAWN, KEPT, PUBLISHED, blank_figure, visible


def draw_bars(
    counts: pd.DataFrame, published: Mapping[str, int] | None = None, shown: int = 15, height: int = 320
) -> go.Figure:
    """Bars for what was drawn, and over each what is expected with twice its standard deviation.

    Args:
        counts: A frame of ``draws.draw_counts``.
        published: What others drew of the same number of draws, by token.
        shown: The likeliest tokens that are drawn.
        height: Pixels.
    """
    top = counts.head(shown)
    names = [visible(token) for token in top["token"]]
    figure = blank_figure(height)
    figure.add_bar(
        x=names, y=top["drawn"], name="drawn here", marker={"color": DRAWN}, hovertemplate="%{y:,} drawn<extra></extra>"
    )
    figure.add_scatter(
        x=names,
        y=top["expected"],
        name="expected, ± 2 standard deviations",
        mode="markers",
        marker={"color": KEPT, "symbol": "line-ew-open", "size": 16, "line": {"width": 3}},
        error_y={"type": "data", "array": 2 * top["error"], "color": KEPT, "thickness": 1.5},
        hovertemplate="%{y:,.1f} expected<extra></extra>",
    )
    if published:
        figure.add_scatter(
            x=names,
            y=[published.get(token) for token in top["token"]],
            name="published",
            mode="markers",
            marker={"color": PUBLISHED, "symbol": "diamond", "size": 12, "line": {"width": 2, "color": "white"}},
            hovertemplate="%{y:,} published<extra></extra>",
        )
    figure.update_xaxes(title="token, the likeliest first", tickfont={"family": "monospace"}, type="category")
    figure.update_yaxes(title="draws", rangemode="tozero")
    return figure

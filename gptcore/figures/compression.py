"""How few tokens a text takes as its vocabulary grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from gptcore.figures.theme import DRAWN, KEPT, PUBLISHED, blank_figure, literal


def compression_curve(
    sizes: Sequence[int],
    tokens: Sequence[int],
    characters: int,
    chosen: int,
    levels: Mapping[str, int],
    height: int = 330,
) -> go.Figure:
    """Tokens of a text against the size of the vocabulary, and below it characters a token.

    Args:
        sizes: Vocabulary sizes.
        tokens: Tokens that the text takes at each of them.
        characters: Characters of the text.
        chosen: The size that is looked at, marked.
        levels: Token counts to measure by, by name, drawn dotted.
        height: Pixels.
    """
    figure = blank_figure(height)
    here = sizes.index(chosen)
    ratios = [characters / count for count in tokens]
    for axis, values, unit in (("y", tokens, "%{y:,} tokens"), ("y2", ratios, "%{y:.2f} characters a token")):
        figure.add_scatter(
            x=sizes, y=values, yaxis=axis, mode="lines", line={"color": KEPT, "width": 2.5}, hovertemplate=unit
        )
        figure.add_scatter(
            x=[chosen],
            y=[values[here]],
            yaxis=axis,
            mode="markers",
            marker={"color": DRAWN, "size": 11},
            hoverinfo="skip",
        )
    for name, count in levels.items():
        for axis, level in (("y", count), ("y2", characters / count)):
            figure.add_shape(
                type="line",
                xref="paper",
                x0=0,
                x1=1,
                yref=axis,
                y0=level,
                y1=level,
                line={"color": PUBLISHED, "dash": "dot", "width": 1},
            )
        figure.add_annotation(
            text=f"{literal(name)} {count:,}",
            xref="paper",
            x=0,
            xanchor="left",
            y=count,
            yanchor="top",
            showarrow=False,
            font={"size": 11, "color": PUBLISHED},
        )
    figure.update_layout(
        showlegend=False,
        xaxis={"title": {"text": "vocabulary size (tokens)"}, "anchor": "y2"},
        yaxis={"title": {"text": "tokens"}, "range": [0, 1.05 * max(tokens)], "domain": [0.48, 1.0]},
        yaxis2={"title": {"text": "characters a token"}, "rangemode": "tozero", "domain": [0.0, 0.4]},
    )
    return figure

"""The forward pass in pictures: vectors as strips, lengths, what each depth would say, what dropout does.

How to read it: four builders, each for what one function of ``gptcore.forward`` or ``gptcore.dropout`` gives. What is
left out: the maps of attention, which a component of the page draws, because a cell's arithmetic follows the hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from gptcore.figures.bars import percent
from gptcore.figures.theme import CUT, KEPT, TRAIN, TRANSPARENT, VALIDATION, blank_figure, visible

# Nothing is the page itself, so that zero looks the same in light and in dark.
SIGNED = [[0.0, "rgba(0,114,178,1)"], [0.5, "rgba(136,136,136,0.06)"], [1.0, "rgba(213,94,0,1)"]]
GROWING = [[0.0, "rgba(0,114,178,0.08)"], [1.0, "rgba(0,114,178,1)"]]
STRIP_HEIGHT, ROW_HEIGHT, MOST_HEIGHT = 26, 26, 1_300
LABELLED_TOKENS = 20  # of more tokens every label would lie upon the next
ROOM = 1.25  # beside the longest bar, for its label


def depth_name(layer: int) -> str:
    """Where in the model: 0 is before the first block.

    >>> depth_name(0), depth_name(3)
    ('embeddings', 'block 3')
    """
    return f"block {layer}" if layer else "embeddings"


def vector_strips(rows: Mapping[str, NDArray[np.float32]]) -> go.Figure:
    """Vectors one above the other, a cell for each number: negative blue, positive vermilion, the more the stronger.

    Args:
        rows: A vector (C,) for each name, all of one width. Each row has its own scale, given in its name.
    """
    largest = [float(np.abs(row).max()) or 1.0 for row in rows.values()]
    figure = blank_figure(60 + STRIP_HEIGHT * len(rows))
    figure.add_heatmap(
        z=np.stack([row / most for row, most in zip(rows.values(), largest, strict=True)]),
        y=[f"{name} (±{most:.2g})" for name, most in zip(rows, largest, strict=True)],
        customdata=np.stack(list(rows.values())),
        zmin=-1,
        zmax=1,
        colorscale=SIGNED,
        showscale=False,
        ygap=3,
        hovertemplate="%{y}<br>number %{x}: %{customdata:.4f}<extra></extra>",
    )
    figure.update_layout(hovermode="closest", margin={"t": 4})
    figure.update_xaxes(title="number of the vector", showgrid=False, zeroline=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def stream_lengths(lengths: NDArray[np.float32], tokens: Sequence[str]) -> go.Figure:
    """How long the stream's vector is at each depth and position, on a scale of powers.

    Args:
        lengths: (L + 1, T): before the first block, and after each.
        tokens: The T tokens as text.
    """
    depths, positions = lengths.shape
    figure = blank_figure(min(110 + ROW_HEIGHT * depths, MOST_HEIGHT))
    figure.add_heatmap(
        z=np.log10(np.maximum(lengths, 1e-6)),
        x=list(range(1, positions + 1)),
        y=[depth_name(layer) for layer in range(depths)],
        customdata=lengths,
        text=[[f"{length:.3g}" for length in row] for row in lengths],
        texttemplate="%{text}" if positions <= LABELLED_TOKENS else "",
        colorscale=GROWING,
        showscale=False,
        xgap=1,
        ygap=1,
        hovertemplate="token %{x}, %{y}: length %{customdata:.2f}<extra></extra>",
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title="token", showgrid=False, zeroline=False)
    if positions <= LABELLED_TOKENS:
        names = [visible(token) for token in tokens]
        figure.update_xaxes(tickvals=list(range(1, positions + 1)), ticktext=names, tickangle=-40)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def lens_bars(table: pd.DataFrame, first: Sequence[str], final: str) -> go.Figure:
    """At each depth the chance of its own first choice, outlined, and that of the choice that wins in the end, filled.

    Args:
        table: Frame of ``forward.lens_table``.
        first: The first choice at each depth, as text.
        final: The choice that wins, as text.
    """
    figure = blank_figure(min(120 + 2 * 17 * len(table), MOST_HEIGHT))
    names = [
        f"{depth_name(layer)}: <b>{visible(token)}</b>" for layer, token in zip(table["layer"], first, strict=True)
    ]
    for column, name, fill, line in (
        ("final_probability", f"the final choice, “{visible(final)}”", KEPT, KEPT),
        ("probability", "first choice at this depth", TRANSPARENT, CUT),
    ):
        figure.add_bar(
            y=names,
            x=table[column],
            name=name,
            orientation="h",
            marker={"color": fill, "line": {"color": line, "width": 1.5}},
            text=[percent(p) for p in table[column]],
            textposition="outside",
            textfont={"size": 10},
            constraintext="none",
            cliponaxis=False,
            hovertemplate="%{x:.3%}",
        )
    largest = float(table[["probability", "final_probability"]].to_numpy().max())
    figure.update_layout(hovermode="closest", legend_traceorder="reversed")
    figure.update_xaxes(title="probability", tickformat="~%", range=[0, largest * ROOM], nticks=5)
    figure.update_yaxes(autorange="reversed", tickfont={"family": "monospace"})
    return figure


def dropout_dots(table: pd.DataFrame, height: int = 300) -> go.Figure:
    """The loss of one window in evaluation after evaluation: scattered while values are dropped, one line without.

    Args:
        table: Frame of ``dropout.dropout_losses``.
        height: Pixels.
    """
    figure = blank_figure(height)
    for column, name, colour, symbol, dash in (
        ("train", "train(): with dropout", TRAIN, "circle", "solid"),
        ("eval", "eval(): without", VALIDATION, "square", "dash"),
    ):
        figure.add_scatter(
            x=table["evaluation"],
            y=table[column],
            name=name,
            mode="markers" if column == "train" else "lines+markers",
            line={"color": colour, "dash": dash},
            marker={"size": 9, "symbol": symbol, "color": colour},
            hovertemplate="%{y:.4f} nats",
        )
    figure.update_xaxes(title="evaluation of the same window", dtick=1)
    figure.update_yaxes(title="loss (nats a token)")
    return figure

"""What one update did: a guess before and after it, where the gradient was long, what other learning rates would do.

How to read it: three builders, each for one frame of ``gptcore.one_step``. What is left out: the arithmetic of a single
number, which the page writes out.
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import CUT, DRAWN, TRAIN, TRANSPARENT, blank_figure, visible

BAR_HEIGHT, PAIR_HEIGHT, LEAST_HEIGHT, MOST_HEIGHT = 24, 34, 240, 460
ROOM = 1.3  # beside the longest bar, for its label
ABOVE, BELOW = 0.35, 0.1  # of the valley's depth are shown above its edge and below its floor
LEAST_DEPTH = 0.01  # nats


def _height(bars: int, each: int) -> int:
    return min(max(90 + each * bars, LEAST_HEIGHT), MOST_HEIGHT)


def guess_bars(table: pd.DataFrame) -> go.Figure:
    """The chance of each token before the update, outlined, and after it, filled; the token that came is named.

    Args:
        table: Frame of ``one_step.Guess``: token, before, after, is_target.
    """
    figure = blank_figure(_height(len(table), PAIR_HEIGHT))
    names = [
        f"<b>{visible(token)}</b> ← came" if came else visible(token)
        for token, came in zip(table["token"], table["is_target"], strict=True)
    ]
    for moment, fill, line in (("after", TRAIN, TRAIN), ("before", TRANSPARENT, CUT)):
        figure.add_bar(
            y=list(range(len(names))),
            x=table[moment],
            name=moment,
            orientation="h",
            marker={"color": fill, "line": {"color": line, "width": 1.5}},
            text=[f"{p:.2%}" for p in table[moment]],
            textposition="outside",
            textfont={"size": 10},
            constraintext="none",
            cliponaxis=False,
            hovertemplate="%{x:.4%}",
        )
    largest = float(table[["before", "after"]].to_numpy().max())
    figure.update_layout(hovermode="closest", bargap=0.3, legend_traceorder="reversed")
    figure.update_xaxes(title="probability", tickformat="~%", range=[0, largest * ROOM], nticks=5)
    # Places, not names: two tokens may look alike.
    figure.update_yaxes(
        autorange="reversed", tickvals=list(range(len(names))), ticktext=names, tickfont={"family": "monospace"}
    )
    return figure


def gradient_bars(norms: pd.DataFrame) -> go.Figure:
    """How long the gradient is in each part of the model.

    Args:
        norms: Frame of ``gradients.gradient_norms``: part, norm.
    """
    figure = blank_figure(_height(len(norms), BAR_HEIGHT))
    figure.add_bar(
        y=norms["part"],
        x=norms["norm"],
        orientation="h",
        marker={"color": TRAIN},
        text=[f"{norm:.3g}" for norm in norms["norm"]],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.4g}<extra></extra>",
    )
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_xaxes(title="length of the gradient", range=[0, float(norms["norm"].max()) * ROOM], nticks=5)
    figure.update_yaxes(autorange="reversed")
    return figure


def descent_lines(losses: pd.DataFrame, lr: float, own: str, start: float, height: int = 300) -> go.Figure:
    """The loss of one batch against the learning rate of its update, along the gradient and the optimiser's direction.

    Args:
        losses: Frame of ``one_step.loss_along_gradient``: rate, gradient, optimiser (nats a token).
        lr: The learning rate that was taken, above 0, marked.
        own: The optimiser's name.
        start: The loss before the update, nats a token.
        height: Pixels.
    """
    figure = blank_figure(height)
    for column, name, colour, dash in (
        ("optimiser", f"{own}, as it moved", TRAIN, "solid"),
        ("gradient", "plain gradient descent", CUT, "dash"),
    ):
        figure.add_scatter(
            x=losses["rate"],
            y=losses[column],
            name=name,
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.5},
            marker={"size": 4},
            hovertemplate="%{y:.3f}",
        )
    # Named in the key: on an axis of powers Plotly would put its label elsewhere.
    figure.add_vline(x=lr, line={"color": DRAWN, "width": 2}, name=f"your rate, {lr:.3g}", showlegend=True)
    lowest = float(losses[["gradient", "optimiser"]].min().min())  # pandas leaves out the points that are missing
    depth = max(start - lowest, LEAST_DEPTH)
    figure.update_xaxes(title="learning rate of this one update", type="log", dtick=1, tickformat="~g")
    figure.update_yaxes(title="loss of this batch (nats)", range=[start - (1 + BELOW) * depth, start + ABOVE * depth])
    return figure

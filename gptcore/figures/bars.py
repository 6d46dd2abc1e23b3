"""Bars: the next token's probabilities, and what each guess of a window cost."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import CUT, KEPT, TRAIN, TRANSPARENT, blank_figure, visible


def percent(probability: float) -> str:
    """A probability as a label, with more digits where it is small.

    >>> percent(0.5), percent(0.00012)
    ('50.0%', '0.012%')
    """
    return f"{probability:.1%}" if probability >= 0.001 or probability == 0 else f"{probability:.3%}"


def next_token_bars(table: pd.DataFrame, shown: int = 10, colour: str = KEPT, height: int = 360) -> go.Figure:
    """The likeliest tokens by logit, what is cut outlined, and the whole rest of the vocabulary as one bar.

    Args:
        table: A frame of ``sampling.next_token_table``.
        shown: Bars before the rest.
        colour: Colour of what may be drawn.
        height: Pixels.
    """
    top = table.nlargest(shown, "logit")
    tokens, ids = top["token"].tolist(), top["token_id"].tolist()
    probabilities, kept = top["probability"].tolist(), top["kept"].tolist()
    rest = max(float(table["probability"].sum()) - sum(probabilities), 0.0)
    figure = blank_figure(height)
    figure.add_bar(
        y=[*(f"{visible(token)} <sup>{i}</sup>" for token, i in zip(tokens, ids, strict=True)), "all others"],
        x=[*probabilities, rest],
        orientation="h",
        marker={
            "color": [*(colour if keep else TRANSPARENT for keep in kept), TRANSPARENT],
            "line": {"color": [*(colour if keep else CUT for keep in kept), CUT], "width": 1.5},
        },
        text=[*(percent(p) if keep else "cut" for p, keep in zip(probabilities, kept, strict=True)), percent(rest)],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:.3%}<extra></extra>",
    )
    figure.update_layout(showlegend=False, hovermode="closest")
    largest = max([*probabilities, rest])
    figure.update_xaxes(title="probability", tickformat=".0%", range=[0, min(1.15, largest * 1.18)])
    figure.update_yaxes(autorange="reversed", title=None, tickfont={"family": "monospace"})
    return figure


LINE_DASHES = ("dot", "dash", "dashdot")


def loss_bars(table: pd.DataFrame, tokens: list[str], lines: Mapping[str, float], height: int = 300) -> go.Figure:
    """The price of each guess in a window, with the mean and levels to measure it by.

    Args:
        table: A frame of ``loss.loss_table``.
        tokens: The target tokens' texts, in the order of the table.
        lines: Levels by their names, nats: as ``baselines.reference_lines`` has them.
        height: Pixels.
    """
    figure = blank_figure(height)
    figure.add_bar(
        x=table["position"],
        y=table["loss"],
        name="this guess",
        marker={"color": TRAIN},
        opacity=0.45,
        customdata=[visible(token) for token in tokens],
        hovertemplate="%{customdata}: %{y:.2f} nats",
    )
    figure.add_scatter(
        x=table["position"],
        y=table["running_mean"],
        name="mean so far",
        line={"color": TRAIN, "width": 2.5},
        hovertemplate="%{y:.2f}",
    )
    # Named in the key: beside the lines their labels would lie upon the bars of an untrained model.
    for (name, level), dash in zip(lines.items(), LINE_DASHES, strict=False):
        line = {"color": CUT, "dash": dash, "width": 1.5}
        figure.add_hline(y=level, line=line, name=f"{name} {level:.2f}", showlegend=True)
    figure.update_xaxes(
        title="target token",
        tickmode="array",
        tickvals=table["position"],
        ticktext=[visible(token) for token in tokens],
        tickangle=-60,
    )
    figure.update_yaxes(title="loss (nats)", rangemode="tozero")
    return figure

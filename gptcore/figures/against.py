"""Models side by side: their next tokens as bars, and what a passage cost them as it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from gptcore.figures.bars import percent
from gptcore.figures.theme import GPT2, POCKET, PUBLISHED, RUNS, TRANSPARENT, UNTRAINED, blank_figure, literal, visible

OWN = (RUNS[0], RUNS[4], RUNS[1])  # a student's weights: theirs is the first blue, others follow
MORE_GPT2 = (GPT2, "#882255", "#44AA99")
PATTERNS = ("", "/", "x", "-")  # the second cue, in the order of the columns
DASHES = ("solid", "dash", "dashdot", "longdash")
BAR = 13  # pixels


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each model by what it is, the same in all charts: untrained, pocket, GPT-2, or a student's own.

    >>> list(colours(["untrained", "your run, best", "your run, last"]).values())
    ['#999933', '#0072B2', '#56B4E9']
    """
    own, gpt2 = iter(OWN), iter(MORE_GPT2)
    fixed = {"untrained": UNTRAINED, "pocket model": POCKET}
    return {name: fixed.get(name) or next(gpt2 if name.startswith("GPT-2") else own, PUBLISHED) for name in names}


def tops_together(tokens: pd.DataFrame, given: pd.DataFrame, published: Mapping[int, float] | None = None) -> go.Figure:
    """Next tokens, a bar for each model; what was published in grey dots.

    Args:
        tokens: First frame of ``against.next_tokens_together``.
        given: Its second frame.
        published: Probabilities by token id, where GPT-2's are known for this prompt.
    """
    shown = [f"{visible(token)} <sup>{i}</sup>" for token, i in zip(tokens["token"], tokens["token_id"], strict=True)]
    bars = len(given.columns) + bool(published)
    figure = blank_figure(110 + BAR * bars * len(tokens))
    colour = colours(list(given.columns))
    for number, name in enumerate(given.columns):
        shape = PATTERNS[number % len(PATTERNS)]
        pattern = {"shape": shape, "fillmode": "overlay", "fgcolor": "rgba(255, 255, 255, 0.7)", "size": 6}
        _bars(figure, shown, given[name].tolist(), name, {"color": colour[name], "pattern": pattern})
    if published:
        dots = {"line": {"color": PUBLISHED, "width": 1}, "color": PUBLISHED}
        dots["pattern"] = {"shape": ".", "bgcolor": TRANSPARENT, "fgcolor": PUBLISHED, "size": 5, "solidity": 0.5}
        chances = [published.get(i, np.nan) for i in tokens["token_id"]]
        _bars(figure, shown, chances, "GPT-2 124M, published", dots, "not published")
    largest = max(float(np.nanmax(given.to_numpy(), initial=0.0)), *(published or {0: 0.0}).values())
    figure.update_layout(barmode="group", hovermode="closest", bargap=0.2, legend={"traceorder": "normal"})
    figure.update_xaxes(title="probability of being the next token", tickformat=".0%", range=[0, largest * 1.2])
    figure.update_yaxes(autorange="reversed", tickfont={"family": "monospace"}, title="token")
    return figure


def _bars(
    figure: go.Figure,
    shown: list[str],
    chances: Sequence[float],
    name: str,
    marker: Mapping[str, object],
    missing: str = "not in its vocabulary",
) -> None:
    """One model's bars; a token without a number says why it has none, at a bar of no length: Plotly labels no gap."""
    figure.add_bar(
        y=shown,
        x=np.nan_to_num(chances),
        orientation="h",
        name=literal(name),
        marker=marker,
        text=[missing if np.isnan(chance) else percent(chance) for chance in chances],
        textposition="outside",
        textfont={"size": 10},
        constraintext="none",
        cliponaxis=False,
        hovertemplate=f"{literal(name)}: %{{text}}<extra></extra>",
    )


def losses_along(
    so_far: Mapping[str, NDArray[np.float64]], published: Mapping[str, float], height: int = 330
) -> go.Figure:
    """The mean loss up to each token of a passage, a line for each model; published means dotted.

    Args:
        so_far: ``against.Judged.so_far`` by the model's name.
        published: Mean losses of the whole passage that others measured, nats a token, by name.
        height: Pixels.
    """
    figure = blank_figure(height)
    colour = colours(list(so_far))
    for number, (name, means) in enumerate(so_far.items()):
        figure.add_scatter(
            x=np.arange(1, len(means) + 1),
            y=means.astype(np.float32),
            mode="lines",
            name=literal(name),
            line={"color": colour[name], "width": 2.2, "dash": DASHES[number % len(DASHES)]},
            hovertemplate="%{y:.2f}",
        )
    for name, level in published.items():
        figure.add_hline(y=level, line={"color": PUBLISHED, "dash": "dot"}, name=f"{name} {level:.2f}", showlegend=True)
    figure.update_xaxes(title="tokens guessed", rangemode="tozero")
    figure.update_yaxes(title="mean loss so far (nats a token)", rangemode="tozero")
    return figure

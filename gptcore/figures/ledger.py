"""The parameter ledger as a treemap: areas are counts, and one can step into any part."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.theme import GPT2, KEPT, TRAIN, TRANSPARENT, VALIDATION, blank_figure

NAMES = {
    "token_embedding": "token embedding",
    "position_embedding": "position embedding",
    "blocks": "blocks",
    "final_norm": "final norm",
    "head": "output head",
    "attention": "attention",
    "feed_forward": "feed-forward",
    "norm1": "norm 1",
    "norm2": "norm 2",
    "qkv": "queries, keys, values",
    "out_proj": "output projection",
    "up": "up",
    "down": "down",
    "weight": "weight",
    "bias": "bias",
}
MOST_ROWS, BLOCK_DEPTH = 2_000, 2  # from about 150 blocks on they are closed: too many areas for a browser
COLOURS = {"token_embedding": TRAIN, "position_embedding": KEPT, "blocks": VALIDATION, "head": GPT2}


def part_name(segment: str) -> str:
    """One segment of a parameter's name as a student reads it.

    >>> part_name("qkv"), part_name("0")
    ('queries, keys, values', 'block 1')
    """
    return f"block {int(segment) + 1}" if segment.isdigit() else NAMES[segment]


def parameter_treemap(table: pd.DataFrame, height: int = 420) -> go.Figure:
    """The ledger as nested areas.

    Args:
        table: A frame of ``parameters.parameter_table``.
        height: Pixels.
    """
    totals: dict[str, int] = {}
    deepest = BLOCK_DEPTH if len(table) > MOST_ROWS else None
    for part, count in zip(table["part"], table["count"], strict=True):
        segments = part.split(".")[:deepest]
        for depth in range(len(segments) + 1):
            path = ".".join(segments[:depth])
            totals[path] = totals.get(path, 0) + int(count)
    paths = [path for path, count in totals.items() if count]
    figure = blank_figure(height)
    figure.add_treemap(
        ids=[path or "all" for path in paths],
        labels=["all parameters" if not path else part_name(path.rsplit(".", 1)[-1]) for path in paths],
        parents=["" if not path else path.rpartition(".")[0] or "all" for path in paths],
        values=[totals[path] for path in paths],
        branchvalues="total",
        maxdepth=3,
        marker={"colors": [COLOURS.get(path.split(".")[0], "#888888" if path else TRANSPARENT) for path in paths]},
        texttemplate="%{label}<br>%{value:,}<br>%{percentRoot:.1%}",
        hovertemplate="%{label}: %{value:,} parameters, %{percentRoot:.2%} of all<extra></extra>",
    )
    figure.update_layout(margin={"l": 0, "r": 0, "t": 4, "b": 4})
    return figure

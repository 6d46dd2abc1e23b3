"""Colours by meaning, the same on every page, each with a second cue beside the colour; and the blank figure.

The palette is safe for colour-blind eyes (Okabe and Ito 2008; Tol 2021) and holds on light and dark backgrounds.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

TRAIN = "#0072B2"  # solid
VALIDATION = "#D55E00"  # dashed
SEALED = "#44AA99"  # diamonds
PUBLISHED = "#888888"  # dotted
UNTRAINED = "#999933"
POCKET = "#009E73"
GPT2 = "#CC79A7"
KEPT = "#009E73"  # filled
CUT = "#888888"  # outlined
DRAWN = "#E69F00"
MEMORISED = "#E69F00"  # copied word for word
RUNS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")  # side by side, each with its own marker
TRANSPARENT = "rgba(0,0,0,0)"


def literal(text: str) -> str:
    """A text as Plotly shows it letter by letter: its labels would read tags and entities.

    >>> literal("<b>&")
    '&lt;b&gt;&amp;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def marked(token: str) -> str:
    r"""A token with its spaces and line ends as marks.

    >>> marked(" you\n")
    '·you⏎'
    """
    marks = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
    return "".join(marks.get(letter, letter) for letter in token)


def visible(token: str) -> str:
    """A token with its spaces and line ends as marks, safe for a label.

    >>> visible(" <b>")
    '·&lt;b&gt;'
    """
    return literal(marked(token))


def blank_layout(height: int) -> dict[str, Any]:
    """A figure without frills: thin margins, no background of its own, the key above."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "paper_bgcolor": TRANSPARENT,
        "plot_bgcolor": TRANSPARENT,
        "hovermode": "x unified",
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0.0},
        "bargap": 0.25,
    }


def blank_figure(height: int) -> go.Figure:
    """An empty figure with the blank layout, to add to."""
    return go.Figure(layout=blank_layout(height))

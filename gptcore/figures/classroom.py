"""Everybody's learning curves as small multiples: one figure, one scale, a cell for each student.

How to read it: the cells of a row share one axis and so do those of a column, so that sixty cells need sixteen axes. A
curve is thinned to what its cell can show. What is left out: single batches, and what lies above the scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from gptcore.figures.curves import thin
from gptcore.figures.theme import PUBLISHED, TRAIN, VALIDATION, blank_layout, literal

CELL_POINTS = 40  # of a line: a cell is some hundred pixels wide
CELL_HEIGHT = 112  # pixels
WIDEST = 8  # cells in a row: on a window of 1280 pixels a name and a loss still fit above each
NARROWEST = 92  # pixels for a cell and its gap, below which its label would run into the next
USUAL_TOP = 11.0  # nats: before anything was evaluated; ln 50,257 is 10.82
GAP = 0.14  # of a cell's width, between two
LABEL_SIGNS = 12  # of a name above a cell
STYLES = {
    "train_loss": ("training", {"color": TRAIN, "width": 1.5}),
    "val_loss": ("validation", {"color": VALIDATION, "dash": "dash", "width": 1.5}),
}


class Cell(NamedTuple):
    """One student's cell.

    Attributes:
        label: Who; may hold a student's own words.
        note: What is written beside it: a loss, or a state.
        address: Where a click on the label leads; ours, never somebody's words.
        rows: Metrics: step, train_loss, val_loss.
        steps: Updates of the whole run; None where nobody knows yet.
    """

    label: str
    note: str
    address: str
    rows: pd.DataFrame
    steps: int | None


def columns_for(cells: int) -> int:
    """How many cells stand in a row: wider than high, as a screen is.

    >>> [columns_for(number) for number in (1, 12, 30, 60)]
    [2, 5, 8, 8]
    """
    return max(2, min(WIDEST, math.ceil(math.sqrt(cells * 1.9))))


def least_width(cells: int) -> int:
    """How many pixels wide the figure has to be, so that no label runs into the next; a narrow screen scrolls.

    >>> least_width(60)
    796
    """
    return columns_for(cells) * NARROWEST + 60


def shortened(label: str, signs: int) -> str:
    """A person's label, cut to so many signs; the seat's number stays, so that nobody passes for another.

    >>> shortened("Ada Lovelace (12)", 12), shortened("Student 12", 12), shortened("somebody of no class", 12)
    ('Ada Lo… (12)', 'Student 12', 'somebody of…')
    """
    if len(label) <= signs:
        return label
    name, bracket, number = label.rpartition(" (")
    seat = bracket + number if name and number.endswith(")") else ""
    return f"{label[: signs - 1 - len(seat)]}…{seat}"


def classroom_figure(cells: Sequence[Cell]) -> go.Figure:
    """Training and validation loss of each, against the share of the run that is done."""
    columns = columns_for(len(cells))
    rows = max(1, math.ceil(len(cells) / columns))
    traces: list[dict[str, Any]] = []
    for place, cell in enumerate(cells):
        axes = {"xaxis": _axis("x", place % columns), "yaxis": _axis("y", place // columns)}
        traces += [_curve(cell, column) | axes | {"showlegend": place == 0} for column in STYLES]
    layout = blank_layout(rows * CELL_HEIGHT + 70) | {
        "hovermode": "closest",
        "margin": {"l": 8, "r": 8, "t": 46, "b": 8},
        "legend": {"orientation": "h", "yanchor": "top", "yref": "container", "y": 1.0, "x": 0.0},
        "annotations": [_label(cell, place, columns) for place, cell in enumerate(cells)],
        "shapes": [_frame(place, columns) for place in range(len(cells))],
        **_axes(columns, rows, _top(cells), middle=min(columns, len(cells)) // 2),
    }
    return go.Figure({"data": traces, "layout": layout})


def _axis(letter: str, number: int) -> str:
    return letter if number == 0 else f"{letter}{number + 1}"


def _curve(cell: Cell, column: str) -> dict[str, Any]:
    name, line = STYLES[column]
    looks = cell.rows[cell.rows[column].notna()]
    looks = thin(looks, column, CELL_POINTS)
    share = 100.0 * (looks["step"] + 1) / (cell.steps or max(1, len(cell.rows)))
    return {
        "type": "scatter",
        "mode": "lines" if len(looks) > 1 else "markers",
        "x": share.to_numpy(dtype=float),
        "y": looks[column].to_numpy(dtype=float),
        "name": name,
        "legendgroup": name,
        "line": line,
        "marker": {"color": line["color"], "size": 5},
        "hovertemplate": f"{literal(cell.label)}, {name} %{{y:.2f}} at %{{x:.0f}}%<extra></extra>",
    }


def _top(cells: Sequence[Cell]) -> float:
    """The highest loss at anybody's first evaluation: one run that explodes must not flatten all others."""
    firsts = [cell.rows[column].dropna().iloc[:1] for cell in cells for column in STYLES]
    found = [float(value) for first in firsts for value in first if math.isfinite(value)]
    return 1.05 * max(found, default=USUAL_TOP)


def _label(cell: Cell, place: int, columns: int) -> dict[str, Any]:
    called = literal(shortened(cell.label, LABEL_SIGNS))
    return {
        "text": f'<a href="{cell.address}" target="_blank">{called}</a> {literal(cell.note)}',
        "xref": f"{_axis('x', place % columns)} domain",
        "yref": f"{_axis('y', place // columns)} domain",
        "x": 0.0,
        "y": 1.0,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 10},
    }


def _frame(place: int, columns: int) -> dict[str, Any]:
    return {
        "type": "rect",
        "xref": f"{_axis('x', place % columns)} domain",
        "yref": f"{_axis('y', place // columns)} domain",
        "x0": 0,
        "x1": 1,
        "y0": 0,
        "y1": 1,
        "line": {"color": PUBLISHED, "width": 0.5},
    }


def _axes(columns: int, rows: int, top: float, middle: int) -> dict[str, Any]:
    """The axes that the cells share; the first row stands at the top, the title below the column in the middle."""
    axes: dict[str, Any] = {}
    plain = {"showgrid": False, "zeroline": False, "fixedrange": True}
    for column in range(columns):
        left, right = _stretch(column, columns)
        axes[f"xaxis{column + 1 if column else ''}"] = {
            **plain,
            "domain": [left, right],
            "anchor": _axis("y", rows - 1),
            "range": [0, 100],
            "tickvals": [0, 50],
            "title": {"text": "share of the run (%)" if column == middle else ""},
        }
    for row in range(rows):
        low, high = _stretch(rows - 1 - row, rows, 0.25)
        axes[f"yaxis{row + 1 if row else ''}"] = {
            **plain,
            "domain": [low, high],
            "anchor": "x",
            "range": [0, top],
            "nticks": 3,
            "title": {"text": "nats a token" if row == rows // 2 else "", "standoff": 4},
        }
    return axes


def _stretch(number: int, of: int, gap: float = GAP) -> tuple[float, float]:
    """Where the cell with this number lies between 0 and 1, with gaps between it and the next."""
    width = 1 / (of + gap * (of - 1))
    begin = number * width * (1 + gap)
    return begin, min(1.0, begin + width)

"""The numbers behind a chart, as a table that any spreadsheet opens.

How to read it: ``numbers`` lays out what a figure draws, a row a point; ``as_csv`` writes it down.

What is left out: lines that only help the eye (shapes and their labels), which are no data.
"""

from __future__ import annotations

import csv
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

FIELDS = ("x", "y", "z", "values", "labels", "parents", "text")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of a formula


def _column(values: Any) -> list[Any]:
    """What one field of a trace holds, as a flat list."""
    if values is None:
        return []
    flat = [values] if isinstance(values, str) else np.asarray(values, dtype=object).ravel().tolist()
    return [_writable(value) if isinstance(value, str) else value for value in flat]


def _writable(text: str) -> str:
    """A text as UTF-8 can hold it: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _grid(trace: Any) -> pd.DataFrame:
    """A heat map: a row for each of its cells."""
    z = np.asarray(trace.z, dtype=object)
    rows, columns = z.shape
    x, y = _column(trace.x) or list(range(columns)), _column(trace.y) or list(range(rows))
    return pd.DataFrame({"x": x * rows, "y": [each for each in y for _ in x], "z": z.ravel()})


def numbers(figure: go.Figure) -> pd.DataFrame:
    """What a figure draws: a row a point, in the order of its traces.

    Args:
        figure: Any of ours.

    Returns:
        trace (number and name), then those of x, y, z, values, labels, parents and text that some trace has.

    >>> numbers(go.Figure(go.Scatter(name="loss", x=[0, 5], y=[9.8, 8.1]))).to_dict("list")
    {'trace': ['1 loss', '1 loss'], 'x': [0, 5], 'y': [9.8, 8.1]}
    """
    tables = []
    for number, trace in enumerate(figure.data, 1):
        if getattr(trace, "z", None) is not None and np.ndim(trace.z) == 2:
            table = _grid(trace)
        else:
            fields = {field: _column(getattr(trace, field, None)) for field in FIELDS if field in trace}
            used = {field: values for field, values in fields.items() if values}
            table = pd.DataFrame(list(zip_longest(*used.values())), columns=list(used), dtype=object)
        table.insert(0, "trace", _writable(f"{number} {trace.name or ''}".strip()))
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"trace": []})


def harmless(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula: an apostrophe before it says that it is a text.

    >>> harmless("=HYPERLINK(1)"), harmless("-1.5"), harmless(-1.5)
    ("'=HYPERLINK(1)", '-1.5', -1.5)
    """
    if not isinstance(value, str) or not value.lstrip(" \n").startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def as_csv(figure: go.Figure) -> bytes:
    """The numbers of a figure as CSV in UTF-8, marked so that spreadsheets read it as that."""
    table = numbers(figure).map(harmless)
    text: str = table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)  # a text may hold any kind of line end
    return text.encode("utf-8-sig")

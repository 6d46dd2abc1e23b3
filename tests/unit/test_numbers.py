"""The numbers behind a chart: all of them, in their order, and none that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import numpy as np
import plotly.graph_objects as go
import pytest

from gptcore.figures.numbers import as_csv, harmless, numbers


def test_traces_of_different_lengths_follow_one_another() -> None:
    figure = go.Figure([go.Scatter(name="a", x=[1, 2], y=np.float32([0.5, 0.25])), go.Bar(x=["k"], y=[3])])
    table = numbers(figure)
    assert table["trace"].tolist() == ["1 a", "1 a", "2"]
    assert table["x"].tolist() == [1, 2, "k"]
    assert table["y"].tolist() == [0.5, 0.25, 3]


def test_a_heat_map_has_a_row_a_cell() -> None:
    table = numbers(go.Figure(go.Heatmap(z=[[1, 2, 3], [4, 5, 6]], x=["a", "b", "c"], y=[10, 20])))
    assert table[["x", "y", "z"]].to_numpy().tolist() == [
        ["a", 10, 1],
        ["b", 10, 2],
        ["c", 10, 3],
        ["a", 20, 4],
        ["b", 20, 5],
        ["c", 20, 6],
    ]


def test_a_tree_map_has_its_labels_and_values() -> None:
    table = numbers(go.Figure(go.Treemap(labels=["all", "a"], parents=["", "all"], values=[3, 3])))
    assert table["labels"].tolist() == ["all", "a"]
    assert table["values"].tolist() == [3, 3]


def test_a_figure_without_traces_has_no_rows() -> None:
    assert numbers(go.Figure()).empty


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://x")', "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1"]
)
def test_what_a_spreadsheet_would_run_is_text(text: str) -> None:
    assert harmless(text) == f"'{text}"
    figure = go.Figure(go.Bar(name=text, x=[text], y=[-1.5]))
    rows = list(csv.DictReader(io.StringIO(as_csv(figure).decode("utf-8-sig"), newline="")))
    assert rows[0]["x"] == f"'{text}"
    assert float(rows[0]["y"]) == -1.5
    assert not rows[0]["trace"].startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("value", [-1.5, 3, None, "-1.5", "+2e3", "word", "a=b"])
def test_numbers_and_other_words_stay_as_they_are(value: object) -> None:
    assert harmless(value) is value


def test_a_lone_surrogate_does_not_stop_the_table() -> None:
    assert as_csv(go.Figure(go.Bar(x=["\ud800"], y=[1]))).decode("utf-8-sig").splitlines()[1] == '"1","?",1'

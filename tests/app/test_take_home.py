"""What can be taken home from a page: a run with its notebooks, and the numbers and pictures of every chart."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from gptcore.figures import numbers
from gptcore.paths import REPOSITORY
from gptcore.runs.store import Run
from gptcore.takehome import archive
from pages._ui import charts, frame, take_home, thread

Open = Callable[..., AppTest]
Drawn = Callable[[AppTest, str], list[dict[str, Any]]]


def opened(page: AppTest, key: str) -> AppTest:
    """The page after a click on an expander: AppTest has no such click, so the state that it leaves is set."""
    page.session_state[key] = True
    return page.run()


def downloads(page: AppTest) -> list[str]:
    return [button.proto.label for button in page.get("download_button")]


def cameras(page: AppTest) -> dict[str, dict[str, Any]]:
    """What each chart's camera makes, by the chart's key."""
    found = page.get("plotly_chart")
    return {chart.key: json.loads(chart.proto.config)["toImageButtonOptions"] for chart in found}


def test_nothing_is_offered_and_nothing_made_until_the_box_is_opened(
    lesson: Open, finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "weights_size", lambda run: pytest.fail("the box is closed"))
    page = lesson("training", **{thread.RUN: finished_run.id})
    assert downloads(page) == []


def test_the_box_offers_the_run_and_says_that_this_server_may_forget(
    lesson: Open, finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "write", lambda *_: pytest.fail("nobody has pressed the button"))
    page = opened(lesson("training", **{thread.RUN: finished_run.id}), "take_home")
    assert not page.exception
    assert downloads(page) == [
        "The whole run",
        "Notebook that trains it again",
        "The same as a script",
        "Notebook with four gaps",
    ]
    assert any("This server may forget" in text.value for text in page.markdown)
    size = finished_run.folder.joinpath("best.safetensors").stat().st_size
    assert any(f"its best weights ({size / 2**20:,.1f} MiB)" in text.value for text in page.caption)


def test_what_the_buttons_build_is_the_run(finished_run: Run) -> None:
    home = zipfile.ZipFile(io.BytesIO(take_home._build(finished_run, "run.zip")))
    assert home.read("metrics.jsonl") == (finished_run.folder / "metrics.jsonl").read_bytes()
    for name in ("reproduce.ipynb", "reproduce.py", "gaps.ipynb"):
        assert take_home._build(finished_run, name) == home.read(name)
    # json.dumps writes a float with all its digits: the notebook's numbers are those of the page's curve
    losses = [row["batch_loss"] for row in finished_run.metrics()[0]]
    assert all(repr(loss) in home.read("reproduce.py").decode() for loss in losses)


def test_a_recorded_run_without_weights_can_be_taken_home(lesson: Open) -> None:
    page = opened(lesson("training"), "take_home")
    assert any("This run comes with the program" in text.value for text in page.markdown)
    assert any("there are no weights to go with it" in text.value for text in page.caption)


def test_weights_that_are_too_large_stay_here_and_the_page_says_so(
    lesson: Open, finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_home, "MOST_WEIGHTS", 1)
    page = opened(lesson("training", **{thread.RUN: finished_run.id}), "take_home")
    assert any("stay here" in text.value for text in page.caption)
    home = zipfile.ZipFile(io.BytesIO(take_home._build(finished_run, "run.zip")))
    assert "best.safetensors" not in home.namelist()


# --------------------------------------------------------------------------------------------------------------- charts


def test_every_chart_is_drawn_in_the_one_place() -> None:
    pages = REPOSITORY.joinpath("pages").rglob("*.py")
    calls = {path.name for path in pages if re.search(r"\.plotly_chart\(", path.read_text(encoding="utf-8"))}
    assert calls == {"charts.py"}


@pytest.mark.parametrize("key", [each.key for each in frame.LESSONS])
def test_every_chart_has_a_camera_that_names_its_picture(lesson: Open, key: str) -> None:
    for name, camera in cameras(lesson(key)).items():
        assert camera["format"] in charts.FORMATS
        if name != "compare_curves":  # has a choice of its own
            assert camera == {"format": "svg", "filename": f"glassbox-{name.replace('_', '-')}", "scale": 3}


def test_the_numbers_of_each_chart_are_those_that_it_draws(lesson: Open, finished_run: Run, drawn: Drawn) -> None:
    page = lesson("training", **{thread.RUN: finished_run.id, "training_view": "Curves"})
    assert not any("Numbers of" in label for label in downloads(page))
    page = opened(page, charts.BOX)
    kept = page.session_state[charts.DRAWN]
    assert set(cameras(page)) == set(kept)
    assert [label for label in downloads(page) if "Numbers of" in label] == [
        f"Numbers of “{key.replace('_', ' ')}” (CSV)" for key in kept
    ]
    table = pd.read_csv(io.BytesIO(charts._numbers(kept, "training_curves")))
    for number, trace in enumerate(drawn(page, "training_curves"), 1):
        rows = table[table["trace"] == f"{number} {trace['name']}"]
        assert rows["x"].tolist() == pytest.approx(trace["x"])
        assert rows["y"].tolist() == pytest.approx(trace["y"], nan_ok=True)
    batches = table[table["trace"].str.endswith("each batch")]["y"].tolist()
    assert batches == [row["batch_loss"] for row in finished_run.metrics()[0]]


@pytest.mark.parametrize("key", [each.key for each in frame.LESSONS if each.section])
def test_the_numbers_of_every_chart_of_every_page_can_be_written_down(lesson: Open, key: str) -> None:
    page = opened(lesson(key), charts.BOX)
    assert not page.exception
    for figure in page.session_state[charts.DRAWN].values():
        table = pd.read_csv(io.BytesIO(numbers.as_csv(figure)))
        assert table["trace"].nunique() == len(figure.data) or any(len(numbers._column(t.x)) == 0 for t in figure.data)


def test_pictures_are_kept_as_png_where_that_was_chosen(lesson: Open) -> None:
    page = lesson("windows", **{charts.FORMAT: "png"})
    assert {camera["format"] for camera in cameras(page).values()} == {"png"}

"""The card on what makes training fast: the recorded table as it is, and a race whose numbers are on screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from gptcore import techniques
from gptcore.race import UPDATES
from pages._ui.made_fast import BOX, HELD


@pytest.fixture
def page(lesson: Callable[..., AppTest]) -> AppTest:
    return lesson("training", **{BOX: True})


def table(page: AppTest, first: str) -> AppTest:
    return next(frame.value for frame in page.dataframe if frame.value.columns[0] == first)


def test_the_table_shows_what_was_recorded_and_on_what(page: AppTest) -> None:
    date, about, gains = techniques.recorded()
    shown = table(page, "technique")
    assert shown["technique"].tolist() == [gain.name for gain in gains]
    assert shown["times quicker"].tolist() == [round(gain.times, 2) for gain in gains]
    said = next(caption.value for caption in page.caption if caption.value.startswith("Recorded on"))
    assert date in said
    assert about["torch"] in said


def test_nothing_of_it_is_drawn_until_it_is_opened(lesson: Callable[..., AppTest]) -> None:
    page = lesson("training")
    assert "What makes it fast?" in [box.label for box in page.expander]
    assert list(page.dataframe) == []


def test_no_race_is_shown_before_one_was_run(page: AppTest) -> None:
    assert HELD not in page.session_state
    assert not any(frame.value.columns[0] == "update" for frame in page.dataframe)


def test_a_race_shows_equal_losses_and_the_measured_times(page: AppTest) -> None:
    page.button("made_fast_run").click().run()
    assert not page.exception
    seen = page.session_state[HELD]
    shown = table(page, "update")
    assert 1 <= len(shown) <= UPDATES
    assert shown["plain loss"].tolist() == [lap.loss for lap in seen.plain]
    assert shown["quick loss"].tolist() == [lap.loss for lap in seen.quick]
    assert shown["quick loss"].tolist() == pytest.approx(shown["plain loss"].tolist(), rel=1e-5)
    said = next(text.value for text in page.markdown if "it is the same learning" in text.value)
    assert f"{seen.times:.1f} times as long" in said

"""A lesson as a link: every control is declared, and a link opened by somebody else shows the same numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS
from gptcore.runs.store import Run
from pages._ui import controls, frame, head, rules, thread

APP = Path(__file__).resolve().parents[2] / "app.py"
SECONDS = 60
WIDGETS = (
    "slider",
    "select_slider",
    "selectbox",
    "multiselect",
    "text_input",
    "text_area",
    "number_input",
    "toggle",
    "checkbox",
    "radio",
    "button_group",
    "file_uploader",
)
PROSE = ("markdown", "caption", "text", "metric", "code", "warning", "info", "success", "table", "error")
Open = Callable[..., AppTest]


def follow(key: str, said: Mapping[str, str]) -> AppTest:
    """Opens a link in a new visit."""
    app = AppTest.from_file(APP, default_timeout=SECONDS).run()
    for name, value in said.items():
        app.query_params[name] = value
    return app.switch_page(frame.page_file(key)).run()


def link_of(page: AppTest) -> dict[str, str]:
    """The link that a lesson offers, read where a student reads it."""
    page.session_state[head.CODE] = True
    page.run()
    link = next(code.value for code in page.code if "?v=" in code.value)
    page.session_state[head.CODE] = False
    page.run()
    return dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))


def shown(page: AppTest) -> dict[str, Any]:
    """Every number on screen: in prose, in tables, in charts and in our own components."""
    seen: dict[str, Any] = {kind: [each.value for each in page.get(kind)] for kind in PROSE}
    seen["charts"] = {chart.key: chart.proto.spec for chart in page.get("plotly_chart")}
    seen["tables"] = [each.value.to_csv() for each in page.dataframe]
    seen["components"] = [
        each.proto.SerializeToString()
        for each in page.get("bidi_component")
        if "share_copy" not in str(each.proto.id)
    ]
    seen["links"] = [each.label for each in page.get("page_link")]
    return seen


def moved(key: str, page: AppTest, **values: Any) -> AppTest:
    """Moves controls as a student does, one after another."""
    for name, value in values.items():
        widget = next(each for kind in WIDGETS for each in page.get(kind) if each.key == name)
        widget.set_value(value).run()
    assert not page.exception
    return page


@pytest.mark.parametrize("about", frame.LESSONS, ids=attrgetter("key"))
def test_every_control_is_shared_or_private_for_a_reason(about: frame.Lesson, lesson: Open) -> None:
    page = lesson(about.key)
    keys = {widget.key for kind in WIDGETS for widget in page.get(kind)}
    unknown = {key for key in keys if not controls.find(about.key, key) and not controls.why_private(key)}
    both = {key for key in keys if controls.find(about.key, key) and controls.why_private(key)}
    assert (unknown, both) == (set(), set())


@pytest.mark.parametrize("about", frame.LESSONS, ids=attrgetter("key"))
def test_the_link_of_an_untouched_lesson_holds_little_but_its_version(about: frame.Lesson, lesson: Open) -> None:
    said = link_of(lesson(about.key))
    always = {"windows": {"windows_position"}, "loss": {"loss_at"}}
    assert said.pop("v") == "1"
    assert set(said) <= always.get(about.key, set())

"""A teacher's levers: what a link or the secrets lock, hide and limit, and who is held by none of it."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from gptcore.runs.store import RunStore
from pages._ui import frame, present

APP = Path(__file__).resolve().parents[2] / "app.py"


def visit(key: str, secrets: dict[str, object] | None = None, **said: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.secrets["teaching"] = secrets or {}
    app.run()
    for name, value in said.items():
        app.query_params[name] = value
    return app.switch_page(frame.page_file(key)).run()


def test_a_locked_control_goes_back_to_where_the_link_put_it() -> None:
    page = visit("windows", v="1", windows_batch="5", lock="windows_batch")
    page.slider(key="windows_batch").set_value(9).run()
    assert page.slider(key="windows_batch").value == 5


def test_a_run_beyond_the_limit_is_refused_with_both_numbers(data_home: Path) -> None:
    page = visit("training", v="1", most_steps="50")
    page.button(key="training_start").click().run()
    assert any("this run has 300 steps" in box.value.lower() and "50" in box.value for box in page.error)
    assert list(RunStore(data_home / "runs")) == []


def test_a_link_can_tighten_what_the_secrets_say_and_not_loosen_it() -> None:
    page = visit("training", {"most_steps": 100}, v="1", most_steps="100000")
    page.button(key="training_start").click().run()
    assert any("at most 100" in box.value for box in page.error)


def test_presenting_is_remembered_from_lesson_to_lesson() -> None:
    page = visit("windows", present="1")
    assert page.button(key="present_next").value is False
    page.switch_page(frame.page_file("loss")).run()
    assert page.session_state[present.PRESENTING] is True
    page.button(key="present_leave").click().run()
    assert page.session_state[present.PRESENTING] is False

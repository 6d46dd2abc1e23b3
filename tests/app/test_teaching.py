"""A teacher's levers: what a link or the secrets lock, hide and limit, and who is held by none of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
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


def test_a_locked_control_that_nobody_set_stays_at_its_usual_value() -> None:
    page = visit("windows", v="1", lock="all")
    usual = page.slider(key="windows_batch").value
    page.slider(key="windows_batch").set_value(9).run()
    assert page.slider(key="windows_batch").value == usual != 9


def test_a_run_beyond_the_limit_is_refused_with_both_numbers(data_home: Path) -> None:
    page = visit("training", v="1", most_steps="50")
    page.button(key="training_start").click().run()
    assert any("this run has 300 steps" in box.value.lower() and "50" in box.value for box in page.error)
    assert list(RunStore(data_home / "runs")) == []


def test_a_page_loaded_anew_is_held_by_the_levers_that_its_address_kept() -> None:
    before = visit("windows", v="1", windows_batch="5", lock="windows_batch~sampling_seed", most_minutes="0.5")
    before.query_params.clear()  # as a browser does where one goes on to another page
    before.switch_page(frame.page_file("training")).run()
    address = dict(before.query_params)
    assert address == {"lock": "sampling_seed~windows_batch", "most_minutes": "0.5"}
    page = visit("training", **address)
    assert page.number_input(key="training_max_minutes_class").value == 0.5
    page.switch_page(frame.page_file("windows")).run()
    usual = page.slider(key="windows_batch").value
    page.slider(key="windows_batch").set_value(9).run()
    assert page.slider(key="windows_batch").value == usual != 9


def test_an_address_whose_levers_are_none_says_so() -> None:
    page = visit("training", lock="no_such_control", most_steps="many")
    assert any("There is no control called" in box.value and "left aside" in box.value for box in page.warning)


def test_a_link_can_tighten_what_the_secrets_say_and_not_loosen_it() -> None:
    page = visit("training", {"most_steps": 100}, v="1", most_steps="100000")
    page.button(key="training_start").click().run()
    assert any("at most 100" in box.value for box in page.error)


def test_presenting_is_remembered_from_lesson_to_lesson() -> None:
    page = visit("windows", present="1")
    assert page.button(key="present_leave")
    page.switch_page(frame.page_file("loss")).run()
    assert page.session_state[present.PRESENTING] is True
    page.button(key="present_leave").click().run()
    assert page.session_state[present.PRESENTING] is False


def test_a_run_is_given_no_more_minutes_than_the_class_has(data_home: Path) -> None:
    page = visit("training", {"most_minutes": 5}, v="1", most_minutes="0.5")
    assert page.number_input(key="training_max_minutes_class").value == 0.5
    page.button(key="training_start").click().run()
    (run,) = RunStore(data_home / "runs")
    assert run.train_config.max_minutes == 0.5


def test_a_run_that_asks_for_more_minutes_is_refused_with_both_numbers(
    data_home: Path, refusals: Callable[[AppTest], list[str]]
) -> None:
    page = visit("training", {"most_minutes": 5})
    page.number_input(key="training_max_minutes_class").set_value(60.0).run()
    page.button(key="training_start").click().run()
    assert refusals(page)[0].startswith("This run may train for 60 minutes, and in this class at most 5 are allowed")
    page.number_input(key="training_max_minutes_class").set_value(None).run()
    page.button(key="training_start").click().run()
    assert refusals(page)[0].startswith("This run has no limit of minutes, and in this class at most 5 are allowed")
    assert list(RunStore(data_home / "runs")) == []


@pytest.mark.parametrize("said", ["-1", "0", "nan", "1e400", "<b>"])
def test_minutes_that_are_none_are_left_aside_in_a_sentence(said: str) -> None:
    page = visit("training", v="1", most_minutes=said)
    assert any("most_minutes is left aside" in box.value.replace("\\", "") for box in page.warning)
    assert page.number_input(key="training_max_minutes_class").value == 10


def test_runs_that_are_laid_ready_keep_to_the_minutes_and_are_known_again(data_home: Path) -> None:
    page = visit("clinic", {"most_minutes": 2})
    page.session_state["clinic_part"] = "Learning rate"
    page.run()
    button = next(button for button in page.button if button.key == "clinic_sweep_run")
    button.click().run()
    assert not page.exception
    runs = list(RunStore(data_home / "runs"))
    assert runs
    assert {run.train_config.max_minutes for run in runs} == {2.0}
    assert next(button for button in page.button if button.key == "clinic_sweep_run").disabled

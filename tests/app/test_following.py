"""A run that is followed, whoever chose it: its text comes along, and a page loaded anew, or a new tab, knows of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.challenge import propose
from gptcore.classroom import Register
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import CATALOGUE, OWN_STORY, Text, load_text, read_bytes
from gptcore.paths import runs_home
from gptcore.runs.store import Run, RunStore, owner_of
from gptcore.seal import Challenge
from pages._ui import classmates, follow, frame, owner, present, teaching, thread

APP = Path(__file__).resolve().parents[2] / "app.py"
TOKEN, OTHER = "a" * 32, "b" * 32
LANGUAGE = "a-language-with-a-floor"


def visit(key: str, *, said: dict[str, str] | None = None, **session: object) -> AppTest:
    """A visit whose first page is this lesson's, at this address."""
    app = AppTest.from_file(APP, default_timeout=60)
    app.secrets["teaching"] = {"code": "only the teacher knows"}
    for name, value in (said or {}).items():
        app.query_params[name] = value
    for name, value in session.items():
        app.session_state[name] = value
    page = app.switch_page(frame.page_file(key)).run()
    assert not page.exception
    return page


def go_on(page: AppTest, key: str) -> AppTest:
    """To another lesson, as a browser does: the address begins anew."""
    page.query_params.clear()
    page.switch_page(frame.page_file(key)).run()
    assert not page.exception
    return page


def submitted(text: Text, token: str = TOKEN, **status: object) -> Run:
    training = replace(TRAIN_PRESETS["class"], steps=4)
    run = RunStore(runs_home()).create(text, MODEL_PRESETS["class"], training, owner=owner_of(token), plan={"steps": 4})
    run.update_status(**status)
    return run


@pytest.fixture
def register(data_home: Path) -> Register:
    """A class that has begun."""
    found = Register(data_home / "class")
    found.begin()
    return found


def test_the_text_of_ones_own_other_run_comes_along() -> None:
    first, second = submitted(load_text(OWN_STORY)), submitted(load_text(LANGUAGE))
    page = visit("training", **{owner.BROWSER: TOKEN, thread.RUN: second.id, thread.TEXT: second.text})
    assert page.selectbox("training_text").value == LANGUAGE
    page.selectbox("own_run").select(first.id).run()
    assert page.session_state[thread.TEXT].key == page.selectbox("training_text").value == OWN_STORY
    page.selectbox("training_text").select(LANGUAGE).run()
    assert page.session_state[thread.TEXT].key == LANGUAGE


def test_an_uploaded_text_gives_way_to_that_of_a_run() -> None:
    first, _ = submitted(load_text(OWN_STORY)), submitted(load_text(OWN_STORY))
    page = visit("training", **{owner.BROWSER: TOKEN, thread.TEXT: read_bytes(b"An owl at noon. " * 40, "noon.txt")})
    page.file_uploader("training_upload").set_value(("dawn.txt", b"A lark at dawn. " * 40, "text/plain")).run()
    mine = page.session_state[thread.TEXT]
    assert mine.key not in CATALOGUE
    assert "lark" in mine.text
    page.selectbox("own_run").select(first.id).run()
    page.run()
    assert page.session_state[thread.TEXT].key == OWN_STORY


def test_a_screen_that_follows_its_teacher_takes_the_text_of_the_run_that_is_shown(register: Register) -> None:
    page = visit("training", said={"v": "1", "class": register.key, "follow": "1"})
    shown = submitted(load_text(LANGUAGE), OTHER)
    register.show(shown.id)
    page.run()
    page.run()
    assert page.session_state[thread.RUN] == shown.id
    assert page.session_state[thread.TEXT].key == page.selectbox("training_text").value == LANGUAGE


def test_following_holds_on_a_page_that_is_loaded_anew_until_it_is_left(register: Register) -> None:
    page = go_on(visit("home", said={"v": "1", "class": register.key, "follow": "1"}), "training")
    address = dict(page.query_params)
    assert address == {"class": register.key, "follow": "1"}
    again = visit("training", said=address)
    assert again.session_state[teaching.FOLLOWS] is True
    again.button("follow_leave").click().run()
    assert "follow" not in again.query_params


def test_a_run_that_had_ended_before_is_no_news_once_the_browser_has_said_whose_it_is(register: Register) -> None:
    old = submitted(load_text(OWN_STORY), state="done")
    page = visit("loss", **{teaching.TEACHER: True, present.PRESENTING: True})
    page.session_state[owner.BROWSER] = TOKEN
    page.run()
    page.toggle(present.FOLLOW).set_value(True).run()
    assert register.shown != old.id
    assert thread.RUN not in page.session_state
    new = submitted(load_text(OWN_STORY))
    page.run()
    page.run()
    assert register.shown == page.session_state[thread.RUN] == new.id
    assert page.session_state[follow.FOLLOWED] == new.id


def test_the_plan_keeps_the_run_and_the_levers_in_its_address() -> None:
    run = submitted(load_text(LANGUAGE))
    page = visit("training", said={"run": run.id, "v": "1", "most_steps": "50"})
    address = dict(go_on(page, "plan").query_params)
    assert address == {"run": run.id, "most_steps": "50", "plan": "home"}
    again = visit("plan", said=address)
    assert again.session_state[thread.RUN] == run.id
    assert go_on(again, "training").query_params["most_steps"] == "50"


def test_who_watches_a_run_from_the_board_stays_in_the_class_under_its_levers_and_its_seal(register: Register) -> None:
    text = load_text(OWN_STORY)
    Challenge(register.folder, register.key).begin(propose(text))
    register.join([owner_of(OTHER)])
    run = submitted(text, OTHER)
    page = visit("classroom", said={"v": "1", "class": register.key, "most_steps": "50"})
    (address,) = page.dataframe[0].value["run"]
    assert address == f"training?run={run.id}&class={register.key}&most_steps=50"
    watched = visit("training", said=dict(part.split("=") for part in address.partition("?")[2].split("&")))
    assert any("sealed for the class's challenge" in box.value for box in watched.caption)
    watched.number_input("training_steps_class").set_value(60).run()
    watched.button("training_start").click().run()
    assert any("at most 50 are allowed" in box.value for box in watched.error)


def test_a_run_begun_on_another_text_than_a_links_is_found_with_its_own_text_by_a_reload() -> None:
    page = visit("training", said={"v": "1", "text": LANGUAGE})
    assert page.session_state[thread.TEXT].key == LANGUAGE
    assert page.query_params["text"] == LANGUAGE
    page.selectbox("training_text").select(OWN_STORY).run()
    page.button("training_start").click().run()
    page.run()
    again = visit("training", said=dict(page.query_params))
    assert again.session_state[thread.TEXT].key == OWN_STORY
    assert again.session_state[thread.RUN] == page.session_state[thread.RUN]


def test_a_link_on_the_board_names_the_class(register: Register) -> None:
    assert classmates.watch(["0123456789abcdef"]) == [f"training?run=0123456789abcdef&class={register.key}"]

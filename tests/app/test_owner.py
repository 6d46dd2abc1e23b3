"""Whose runs a page knows: every page asks the browser, and what another tab began is found at the next look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.paths import runs_home
from gptcore.runs.store import Run, RunStore, owner_of
from pages._ui import compared, frame, owner, present, thread

Open = Callable[..., AppTest]
TOKEN, OTHER = "7" * 32, "8" * 32
SETTINGS = replace(TRAIN_PRESETS["class"], steps=4)


def make(token: str = TOKEN) -> Run:
    return RunStore(runs_home()).create(
        load_text(OWN_STORY), MODEL_PRESETS["class"], SETTINGS, owner=owner_of(token), plan={"steps": 4}
    )


def asks(page: AppTest) -> int:
    """How often a page asks the browser who it is."""
    return sum(each.proto.component_name == "glassbox_owner" for each in page.get("bidi_component"))


@pytest.mark.parametrize("presents", [False, True])
@pytest.mark.parametrize("about", [*frame.LESSONS, frame.CLASSROOM], ids=attrgetter("key"))
def test_every_lesson_asks_the_browser_once_who_it_is(lesson: Open, about: frame.Lesson, presents: bool) -> None:
    page = lesson(about.key, **{present.PRESENTING: presents})
    assert not page.exception
    assert asks(page) == 1


def test_a_run_that_another_tab_began_is_ones_own_here_too(lesson: Open) -> None:
    make()
    second = make()
    make(OTHER)
    tab = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: second.id})
    assert len(tab.selectbox("own_run").options) == 2
    third = make()
    tab.session_state[thread.RUN] = third.id
    tab.run()
    assert len(tab.selectbox("own_run").options) == 3
    assert tab.selectbox("own_run").value == third.id
    tab.switch_page(frame.page_file("compare")).run()
    assert [name.split(" ·")[0] for name in tab.multiselect(compared.CHOSEN).options[:3]] == ["run 1", "run 2", "run 3"]


def test_what_is_begun_here_is_in_the_list_once(lesson: Open) -> None:
    first = make()
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: first.id})
    page.button("training_start").click().run()
    assert not page.exception
    assert len(page.selectbox("own_run").options) == 2


def test_a_run_that_was_deleted_in_another_tab_is_no_ones(lesson: Open) -> None:
    first, second = make(), make()
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: first.id})
    second.update_status(state="done")
    RunStore(runs_home()).delete(second)
    page.run()
    assert not page.exception
    assert not [box for box in page.selectbox if box.key == "own_run"]


@pytest.mark.parametrize("clicked", ["own_run", "training_go_on", "training_delete"])
def test_a_click_on_a_run_that_another_tab_has_deleted_finds_another_run(lesson: Open, clicked: str) -> None:
    first, second = make(), make()
    for run in (first, second):
        run.update_status(state="done", can_go_on=True)
    page = lesson("training", **{owner.BROWSER: TOKEN, thread.RUN: first.id})
    gone = second if clicked == "own_run" else first
    RunStore(runs_home()).delete(gone)
    if clicked == "own_run":
        page.selectbox(clicked).select(gone.id).run()
    else:
        page.button(clicked).click().run()
    assert not page.exception
    assert not page.error
    assert not page.warning
    kept = [page.session_state[thread.RUN]] if thread.RUN in page.session_state else []
    assert kept == ([first.id] if clicked == "own_run" else [])  # else the recorded run takes its place


@pytest.mark.parametrize(("key", "asked"), [("home", False), ("tokens", False), ("sampling", True), ("loss", True)])
def test_whether_a_page_has_to_know_whose_something_is_shows_while_it_is_drawn(
    lesson: Open, key: str, asked: bool
) -> None:
    assert lesson(key).session_state[owner.ASKED] is asked

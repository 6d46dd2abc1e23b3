"""The class board: who may see it, what it shows, and what a teacher may do there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.classroom import MOST_NAMES, Register
from gptcore.paths import runs_home
from gptcore.runs.machines import ClusterNow, Machine, tell
from gptcore.runs.store import Run, RunStore, owner_of
from pages._ui import classmates, frame, owner, teaching
from tests.tiny import MODEL, SETTINGS, STORY

APP = Path(__file__).resolve().parents[2] / "app.py"
CODE = "only the teacher knows"


@pytest.fixture(autouse=True)
def _nothing_seen_before() -> None:
    classmates._board.clear()


@pytest.fixture
def register(data_home: Path) -> Register:
    """A class that has begun."""
    found = Register(data_home / "class")
    found.begin()
    return found


def visit(key: str = "classroom", link: str = "", token: str | None = "c" * 32, *, teacher: bool = False) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.secrets["teaching"] = {"code": CODE}
    app.run()
    if link:
        app.query_params["v"], app.query_params["class"] = "1", link
    if teacher:
        app.session_state[teaching.TEACHER] = True
    if token is not None:
        app.session_state[owner.BROWSER] = token
    return app.switch_page(frame.page_file(key)).run()


def queued(owner_name: str) -> Run:
    return RunStore(runs_home()).create(STORY, MODEL, SETTINGS, owner=owner_name, plan={"steps": 10})


def shows_a_board(page: AppTest) -> bool:
    assert not page.exception
    return bool(page.dataframe) or any("Nobody in this class" in box.value for box in page.info)


@pytest.mark.parametrize("link", ["", "0123456789abcdef", "é", "<b>"])
def test_strangers_see_no_board(register: Register, link: str) -> None:
    page = visit(link=link)
    assert not shows_a_board(page)
    assert register.members() == []


def test_the_board_stands_in_the_menu_of_a_class_alone(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    page_of = frame.st.Page
    monkeypatch.setattr(
        frame.st,
        "Page",
        lambda file, **about: seen.append(about["visibility"] if "classroom" in file else "") or page_of(file, **about),
    )
    visit("tokens")
    assert set(filter(None, seen)) == {"hidden"}
    visit("tokens", register.key)
    assert list(filter(None, seen))[-1] == "visible"


def test_the_link_to_a_class_gives_a_seat_and_asks_for_no_name(register: Register) -> None:
    page = visit(link=register.key)
    assert shows_a_board(page)
    assert [member.label for member in register.members()] == ["Student 1"]
    assert page.text_input(key="classroom_nickname").value == ""


def test_a_visit_takes_no_seat_before_its_browser_has_said_who_it_is(register: Register) -> None:
    page = visit(link=register.key, token=None)
    assert shows_a_board(page)
    assert register.members() == []
    for reported in ("a" * 32, "a" * 32 + " " + "b" * 32):
        page.session_state[owner.BROWSER] = reported
        page.run()
        [member] = register.members()
        assert set(member.names) == {owner_of(token) for token in reported.split()}  # and none of the visit


def test_a_browser_that_keeps_nothing_has_a_seat_for_its_visit(register: Register) -> None:
    page = visit(link=register.key, token="")
    page.run()
    assert [member.label for member in register.members()] == ["Student 1"]


def test_a_run_begun_before_the_browser_spoke_has_the_seat_that_its_browser_keeps(register: Register) -> None:
    page = visit("training", register.key, token=None)
    page.button(key="training_start").click().run()
    [former] = register.members()
    page.session_state[owner.BROWSER] = "a" * 32
    page.switch_page(frame.page_file("classroom")).run()
    [member] = register.members()
    assert set(member.names) == {*former.names, owner_of("a" * 32)}
    classmates._board.clear()
    assert page.run().dataframe[0].value["who"].tolist() == ["Student 1"]


def test_a_seat_holds_every_name_that_a_visit_may_bring() -> None:
    reported = [" ".join(["a" * 32] * number) for number in (MOST_NAMES - 1, MOST_NAMES)]
    assert [bool(owner.TOKENS.fullmatch(each)) for each in reported] == [True, False]


def test_a_link_of_a_class_that_is_over_says_so(register: Register) -> None:
    former = register.key
    register.begin()
    page = visit("tokens", former)
    assert any("class is none of this server" in box.value for box in page.warning)


def test_a_nickname_is_cut_and_shown_as_it_was_typed(register: Register) -> None:
    page = visit(link=register.key)
    page.text_input(key="classroom_nickname").set_value("<b>*Ada* $x$").run()
    assert [member.nickname for member in register.members()] == ["<b>*Ada* $x$"]
    queued(register.members()[0].names[-1])
    classmates._board.clear()
    page.run()
    assert page.dataframe[0].value["who"].tolist() == ["<b>*Ada* $x$ (1)"]
    assert any(r"\<b\>\*Ada\* \$x\$" in text.value for text in page.markdown)


def test_the_curves_on_the_board_are_those_of_the_runs(
    register: Register, finished_run: Run, drawn: Callable[..., list[dict[str, Any]]]
) -> None:
    page = visit(teacher=True)
    looks = [row for row in finished_run.metrics()[0] if row["val_loss"] is not None]
    train, validation = drawn(page, "classroom_curves")
    assert train["y"] == [row["train_loss"] for row in looks]
    assert validation["y"] == [row["val_loss"] for row in looks]
    assert validation["x"] == [100 * (row["step"] + 1) / 6 for row in looks]
    table = page.dataframe[0].value
    assert table["best validation loss"].tolist() == [finished_run.status["best"]["val_loss"]]
    assert table["run"].tolist() == [f"training?run={finished_run.id}&class={register.key}"]


def test_a_student_sees_the_class_and_a_teacher_sees_everybody(register: Register) -> None:
    page = visit(link=register.key, token="a" * 32)
    queued(owner_of("a" * 32))
    queued(owner_of("b" * 32))
    classmates._board.clear()
    assert page.run().dataframe[0].value["who"].tolist() == ["Student 1"]
    assert visit(teacher=True).dataframe[0].value["who"].tolist() == ["Student 1", "Guest 1"]


def test_a_teacher_can_ask_any_run_to_stop(register: Register) -> None:
    run = queued(owner_of("a" * 32))
    page = visit(teacher=True)
    page.session_state["classroom_stop"] = True
    page.run()
    page.button(key="classroom_cancel").click().run()
    assert run.was_asked_to_stop
    assert page.dataframe[0].value["state"].tolist() == ["stopping"]


def test_a_student_has_no_way_to_stop_anothers_run(register: Register) -> None:
    run = queued(owner_of("b" * 32))
    page = visit(link=register.key)
    assert not [button for button in page.button if button.key in ("classroom_cancel", "classroom_begin")]
    assert not run.was_asked_to_stop


def test_a_teacher_begins_a_class_and_gets_its_link(data_home: Path) -> None:
    page = visit(teacher=True)
    page.session_state["classroom_link"] = True
    page.run()
    page.button(key="classroom_begin").click().run()
    key = Register(data_home / "class").key
    assert key
    assert any(code.value.endswith(f"/?v=1&class={key}") for code in page.code)


def test_a_run_submitted_in_a_class_is_on_its_board(register: Register) -> None:
    page = visit("training", register.key)
    page.button(key="training_start").click().run()
    assert not page.exception
    page.switch_page(frame.page_file("classroom")).run()
    assert page.dataframe[0].value["who"].tolist() == ["Student 1"]


# -------------------------------------------------------------------------------------------------------- where it runs

LAB = (Machine("room-1", 3, 4, 8 * 2**30), Machine("room-2", 1, 2, 4 * 2**30))


def seen_by_the_dispatcher(*machines: Machine, why_not: str | None = None, seconds_ago: float = 0.0) -> None:
    tell(runs_home(), ClusterNow("tls://10.0.0.5:8786", why_not, machines, time.time() - seconds_ago))


def test_the_board_shows_machines_slots_and_what_runs_where(register: Register) -> None:
    page = visit(link=register.key)
    run, stranger = queued(register.members()[0].names[-1]), queued("somebody outside the class")
    busy = Machine("room-1", 3, 4, 8 * 2**30, (run.id, stranger.id))
    seen_by_the_dispatcher(busy, LAB[1])
    classmates._board.clear()
    page.run()
    shown = page.dataframe[1].value
    assert shown.to_dict("list") == {
        "machine": ["room-1", "room-2"],
        "runs at a time": [3, 1],
        "cores": [4, 2],
        "memory, GiB": [8.0, 4.0],
        "trains": ["Student 1, a run that is not on this board", ""],
    }


def test_machines_that_are_out_of_reach_are_said_to_be_and_why(register: Register) -> None:
    page = visit(link=register.key)
    queued(register.members()[0].names[-1])
    seen_by_the_dispatcher(why_not="the connection to tls://10.0.0.5:8786 was lost")
    classmates._board.clear()
    page.run()
    assert len(page.dataframe) == 1
    (told,) = page.warning
    assert "the connection to" in told.value
    assert "was lost" in told.value


@pytest.mark.parametrize("spoken", [False, True])
def test_where_all_is_trained_on_one_machine_none_are_shown(register: Register, spoken: bool) -> None:
    page = visit(link=register.key)
    queued(register.members()[0].names[-1])
    if spoken:
        seen_by_the_dispatcher(*LAB, seconds_ago=60.0)  # before the server was started without a scheduler
    classmates._board.clear()
    page.run()
    assert len(page.dataframe) == 1
    assert not page.warning

"""A class: seats without names, a link that ends with the class, and a board of everybody's newest run."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from gptcore import classroom
from gptcore.classroom import MOST_NAMES, Register, board
from gptcore.figures.classroom import Cell, classroom_figure, columns_for
from gptcore.runs.files import replace_json
from gptcore.runs.queue import QUEUE_FILE
from gptcore.runs.store import Run, RunStore
from tests.tiny import MODEL, SETTINGS, STORY


def queued(store: RunStore, owner: str | None) -> Run:
    return store.create(STORY, MODEL, SETTINGS, owner=owner, plan={"steps": 10})


# -------------------------------------------------------------------------------------------------------------- seats


def test_who_comes_back_finds_the_same_seat_and_nickname(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.join(["first"])
    register.join(["second"], "Ada")
    assert register.join(["second", "second's next visit"]).label == "Ada (2)"
    assert register.find(["second's next visit"]) == register.members()[1]


def test_a_visit_that_turns_out_to_be_a_known_browser_gives_its_seat_back(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.join(["browser"], "Ada")
    register.join(["visit"])
    assert register.join(["browser", "visit"]).seat == 1
    assert [member.label for member in register.members()] == ["Ada (1)"]


@pytest.mark.parametrize("late", [False, True], ids=["recognised at once", "seated before it is recognised"])
def test_a_browser_keeps_its_one_seat_however_often_it_comes_back(tmp_path: Path, late: bool) -> None:
    register, browser = Register(tmp_path), [f"begun in a former visit {number}" for number in range(31)] + ["browser"]
    register.join(browser, "Ada")
    for number in range(2 * MOST_NAMES):
        visit = f"visit {number}"
        if late:
            register.join([visit])
        assert register.join(sorted([*browser, visit])).label == "Ada (1)"
    [ada] = register.members()
    assert set(browser) < set(ada.names)
    assert len(ada.names) == MOST_NAMES


def test_a_nickname_can_be_taken_back(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.join(["me"], "Ada")
    assert register.join(["me"], "").label == "Student 1"


def test_thirty_who_sit_down_at_once_get_thirty_seats(tmp_path: Path) -> None:
    register = Register(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: register.join([f"student {number}"]), range(30)))
    assert [member.seat for member in register.members()] == list(range(1, 31))


def test_a_class_that_is_full_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classroom, "MOST_MEMBERS", 2)
    register = Register(tmp_path)
    register.join(["a"])
    register.join(["b"])
    with pytest.raises(ValueError, match="all 2 seats"):
        register.join(["c"])
    assert register.join(["a"]).seat == 1


def test_another_class_has_another_key_and_no_seats(tmp_path: Path) -> None:
    register = Register(tmp_path / "class")
    assert register.key == ""
    register.begin()
    former = register.key
    register.join(["me"])
    register.begin()
    assert len(register.key) == len(former) == 16
    assert register.key != former
    assert register.members() == []


@pytest.mark.parametrize("said", ["", "{", "[1]", '[{"seat": 1}]', "null"])
def test_seats_that_cannot_be_read_are_no_seats(tmp_path: Path, said: str) -> None:
    Register(tmp_path).file.write_text(said, encoding="utf-8")
    assert Register(tmp_path).members() == []


# -------------------------------------------------------------------------------------------------------------- board


def test_the_board_shows_the_newest_run_of_each_member_by_seat_and_no_stranger(tmp_path: Path) -> None:
    store, register = RunStore(tmp_path / "runs"), Register(tmp_path / "class")
    register.join(["ada"], "Ada")
    register.join(["ben"])
    bens, former = queued(store, "ben"), queued(store, "ada")
    newest = queued(store, "ada")
    queued(store, "stranger")
    rows, more = board(store, register.members())
    assert [(row.label, row.run) for row in rows] == [("Ada (1)", newest), ("Student 2", bens)]
    assert former not in [row.run for row in rows]
    assert more == 0


def test_a_teacher_sees_guests_after_the_class(tmp_path: Path) -> None:
    store, register = RunStore(tmp_path / "runs"), Register(tmp_path / "class")
    queued(store, "stranger")
    queued(store, None)
    register.join(["ada"])
    queued(store, "ada")
    rows, _ = board(store, register.members(), guests=True)
    assert [row.label for row in rows] == ["Student 1", "Guest 1", "Guest 2"]


def test_a_row_says_what_the_folder_says(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    waits, runs = queued(store, "a"), queued(store, "b")
    runs.update_status(state="running", step=4, total_steps=12, best={"step": 3, "val_loss": 2.5})
    replace_json(store.root / QUEUE_FILE, [{"run": waits.id, "seconds": 7.0}])
    first, second = board(store, [], guests=True)[0]
    assert (first.state, first.done, first.steps, first.best) == ("queued", 0, 10, None)
    assert first.waits is not None
    assert (first.waits.place, first.waits.seconds) == (1, 7.0)
    assert (second.state, second.done, second.steps, second.best, second.waits) == ("running", 5, 12, 2.5, None)
    runs.ask_to_stop()
    assert board(store, [], guests=True)[0][1].state == "stopping"


def test_a_broken_run_stands_in_nobodys_way(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    broken, whole = queued(store, "a"), queued(store, "b")
    for said in ("{", "[]", json.dumps({"number": "x"}), json.dumps({"text": 3})):
        (broken.folder / "config.json").write_text(said, encoding="utf-8")
        assert [row.run for row in board(store, [], guests=True)[0]] == [whole]


def test_whoever_has_no_room_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classroom, "MOST_SHOWN", 2)
    store = RunStore(tmp_path / "runs")
    for owner in "abc":
        queued(store, owner)
    rows, more = board(store, [], guests=True)
    assert (len(rows), more) == (2, 1)


# -------------------------------------------------------------------------------------------------------------- figure


def cell(label: str = "Student 1", losses: tuple[float, ...] = (3.0, 2.0), steps: int | None = 4) -> Cell:
    rows = pd.DataFrame({"step": range(len(losses)), "train_loss": losses, "val_loss": losses}, dtype="float64")
    return Cell(label, "2.00", "training?run=0123456789abcdef", rows, steps)


def test_a_curve_stands_at_the_share_of_its_run_that_is_done() -> None:
    figure = classroom_figure([cell()])
    assert list(figure.data[0].x) == [25.0, 50.0]
    assert list(figure.data[0].y) == [3.0, 2.0]


@pytest.mark.parametrize("number", [1, 2, 13, 60])
def test_each_cell_has_a_place_of_its_own_and_all_have_one_scale(number: int) -> None:
    figure = classroom_figure([cell() for _ in range(number)])
    places = {(trace.xaxis, trace.yaxis) for trace in figure.data}
    assert len(places) == number
    ranges = {tuple(axis.range) for axis in figure.select_yaxes()}
    assert len(ranges) == 1
    assert len(list(figure.select_xaxes())) == columns_for(number)


def test_a_run_that_explodes_does_not_flatten_the_others() -> None:
    figure = classroom_figure([cell(), cell(losses=(3.5, math.inf)), cell(losses=(3.0, 1e9))])
    assert figure.layout.yaxis.range[1] == pytest.approx(3.5 * 1.05)


def test_a_nickname_is_shown_letter_by_letter_and_leads_to_the_run_alone() -> None:
    figure = classroom_figure([cell('<a href="http://x">')])
    text = figure.layout.annotations[0].text
    assert text.count("<a ") == 1
    assert text.startswith('<a href="training?run=0123456789abcdef"')
    assert '&lt;a href="ht…' in text


@pytest.mark.parametrize("number", [1, 2, 13])
def test_the_axis_below_a_cell_says_what_it_is(number: int) -> None:
    figure = classroom_figure([cell() for _ in range(number)])
    drawn = {trace.xaxis.replace("x", "xaxis") for trace in figure.data}
    assert [figure.layout[axis].title.text for axis in sorted(drawn)].count("share of the run (%)") == 1


def test_a_long_nickname_is_cut_and_its_seat_is_not() -> None:
    figure = classroom_figure([cell("Ada Lovelace, Countess o (7)"), cell("Ada Lovelace, Countess o (8)")])
    first, second = (label.text for label in figure.layout.annotations)
    assert ">Ada Lov… (7)<" in first
    assert ">Ada Lov… (8)<" in second


def test_before_the_first_evaluation_a_cell_is_empty() -> None:
    figure = classroom_figure([cell(losses=())])
    assert [len(trace.x) for trace in figure.data] == [0, 0]
    assert len(classroom_figure([]).data) == 0

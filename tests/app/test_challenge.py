"""A class's challenge: what is sealed and said beforehand, who may open it, and that it shows what gptcore gives."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from gptcore import unsealing
from gptcore.challenge import Score, Standings, Tried, best_of_each, propose
from gptcore.classroom import Register
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.outcome import Measured, Outcome, Place, measure, outcome
from gptcore.paths import runs_home
from gptcore.runs.store import Run, RunStore, owner_of
from gptcore.runs.worker import execute
from gptcore.seal import Challenge, Held
from pages._ui import challenges, classmates, clinic_curves, frame, owner, teaching, thread, unsealed

APP = Path(__file__).resolve().parents[2] / "app.py"
ADA, BEN = "a" * 32, "b" * 32
QUICK = replace(TRAIN_PRESETS["class"], steps=6, eval_every=2, eval_batches=1, sample_tokens=0, sealed_fraction=0.1)


@pytest.fixture(autouse=True)
def _nothing_seen_before() -> None:
    for seen in (classmates._board, challenges._standings):
        seen.clear()


@pytest.fixture
def register(data_home: Path) -> Register:
    """A class that has begun, with Ada and Ben in it."""
    found = Register(data_home / "class")
    found.begin()
    found.join([owner_of(ADA)], "Ada")
    found.join([owner_of(BEN)])
    return found


@pytest.fixture
def challenge(register: Register) -> Challenge:
    """A sealed challenge on our own story."""
    found = Challenge(register.folder, register.key)
    found.begin(propose(load_text(OWN_STORY)))
    return found


def visit(key: str, link: str = "", token: str = "", *, teacher: bool = False, **session: object) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.secrets["teaching"] = {"code": "only the teacher knows"}
    app.run()
    if link:
        app.query_params["v"], app.query_params["class"] = "1", link
    for name, value in session.items():
        app.session_state[name] = value
    if teacher:
        app.session_state[teaching.TEACHER] = True
        app.session_state[challenges.BOX] = True  # the box is open
    if token:
        app.session_state[owner.BROWSER] = token
    page = app.switch_page(frame.page_file(key)).run()
    assert not page.exception
    return page


def click(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception
    return page


def open_seal(page: AppTest) -> AppTest:
    page.checkbox(key="classroom_challenge_sure").check().run()
    return click(page, "classroom_challenge_open")


def trained(token: str, **changes: Any) -> Run:
    run = RunStore(runs_home()).create(
        load_text(OWN_STORY), MODEL_PRESETS["class"], replace(QUICK, **changes), owner=owner_of(token)
    )
    assert execute(run) == "done"
    return run


def validation(run: Run) -> float:
    return float(run.status["best"]["val_loss"])


def table(page: AppTest, column: str) -> Any:
    """The table that has this column."""
    return next(each.value for each in page.dataframe if column in each.value)


def everything(page: AppTest) -> str:
    """All that a browser is sent."""
    return " ".join(str(element.proto) for element in page.main) + " ".join(str(each.value) for each in page.dataframe)


def said(page: AppTest) -> str:
    return " ".join(text.value for text in page.markdown)


def test_a_teacher_begins_a_challenge(register: Register) -> None:
    page = visit("classroom", teacher=True)
    assert not [button for button in page.button if button.key == "classroom_challenge_open"]
    click(page, "classroom_challenge_begin")
    held = Challenge(register.folder, register.key).held()
    assert held == Held(propose(load_text(OWN_STORY)), None)
    assert "The last 10% of The Glass Clock" in said(page).replace("\\", "")


def test_a_text_too_short_for_three_parts_is_refused_with_its_numbers(
    register: Register, refusals: Callable[[AppTest], list[str]]
) -> None:
    short = Text("own", "Ten words", "One two three four five six seven eight nine ten.", "One")
    page = visit("classroom", teacher=True, **{thread.TEXT: short})
    page.selectbox(key="classroom_challenge_text").select(challenges.OWN).run()
    click(page, "classroom_challenge_begin")
    assert any("would have 9, 2 and 2 tokens, and each needs at least 128 + 1 = 129" in said for said in refusals(page))
    assert Challenge(register.folder, register.key).held() is None


def test_a_student_reads_of_the_seal_before_training_and_the_run_carries_it(challenge: Challenge) -> None:
    page = visit("training", challenge.key, ADA)
    sealed = challenge.held().terms.sealed_tokens  # type: ignore[union-attr]
    assert any(f"The last 10% of this text ({sealed:,} tokens) is sealed" in box.value for box in page.caption)
    page.number_input(key="training_steps_class").set_value(6).run()
    click(page, "training_start")
    [run] = RunStore(runs_home())
    assert run.train_config.sealed_fraction == 0.1


def test_a_run_of_the_clinic_carries_the_seal_and_is_found_again(challenge: Challenge) -> None:
    page = visit("clinic", challenge.key, ADA, **{clinic_curves.PART: "Sanity card"})
    assert any("is sealed for the class's challenge" in box.value for box in page.caption)
    click(page, "clinic_card_run")
    runs = list(RunStore(runs_home()))
    assert runs
    assert {run.train_config.sealed_fraction for run in runs} == {0.1}
    assert page.button(key="clinic_card_run").disabled


@pytest.mark.parametrize("who", ["a stranger", "on another text", "when it is open"])
def test_nobody_else_has_a_part_sealed(challenge: Challenge, who: str) -> None:
    other = {thread.TEXT: Text("own", "Another", load_text(OWN_STORY).text[:-1], "The")} if "text" in who else {}
    if who == "when it is open":
        challenge.open(Standings([Tried(1, "Ada (1)", "0123456789abcdef", 2.0)], {}, 0))
    page = visit("training", "" if who == "a stranger" else challenge.key, ADA, **other)
    assert not any("sealed" in box.value for box in page.caption)
    click(page, "training_start")
    [run] = RunStore(runs_home())
    assert run.train_config.sealed_fraction == 0.0


def test_settings_that_will_not_be_ranked_say_so_before_they_are_trained(challenge: Challenge) -> None:
    page = visit("training", challenge.key, ADA)
    page.number_input(key="training_train_fraction_class").set_value(0.8).run()
    assert any("it cuts at 0.8, not at 0.9" in box.value.replace("\\", "") for box in page.warning)


def test_while_it_is_sealed_the_board_ranks_by_validation_and_says_who_is_left_out(challenge: Challenge) -> None:
    worse, better = sorted([trained(ADA), trained(ADA, lr=1e-3)], key=validation, reverse=True)
    trained(BEN, sealed_fraction=0.0)
    page = visit("classroom", challenge.key, BEN)
    ranked = table(page, "place")
    assert ranked["who"].tolist() == ["Ada (1)"]
    assert ranked["lowest validation loss"].tolist() == [validation(better)]
    assert ranked["run"].tolist() == [f"training?run={better.id}&class={challenge.key}"]
    assert ranked["runs tried"].tolist() == [2]
    assert validation(worse) > validation(better)
    assert "Student 2: the newest run has read the sealed part" in said(page).replace("\\", "")
    assert not [button for button in page.button if str(button.key).startswith("classroom_challenge")]


def test_sealed_losses_are_nowhere_before_the_seal_is_open_and_gptcores_afterwards(
    challenge: Challenge, drawn: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(runs_home())
    runs = [trained(ADA), trained(ADA, lr=1e-3), trained(BEN, seed=7)]
    tried = [Tried(seat, "", run.id, validation(run)) for seat, run in zip((1, 1, 2), runs, strict=True)]
    wanted = {each.run: unsealing.score(store, each) for each in tried}
    secret = {f"{score.loss:.3f}" for score in wanted.values() if score.loss} - {
        f"{validation(run):.3f}" for run in runs
    }
    assert len(secret) == 3

    teacher = visit("classroom", teacher=True)
    student = visit("classroom", challenge.key, BEN)
    watched = visit("training", challenge.key, BEN, **{thread.RUN: runs[2].id})
    for page in (teacher, student, watched):
        assert not any(loss in everything(page) for loss in secret)
    assert not challenge.scores_file.exists()
    for file in runs_home().rglob("*.json*"):
        assert not any(str(score.loss)[:8] in file.read_text(encoding="utf-8") for score in wanted.values())

    assert teacher.button(key="classroom_challenge_open").disabled
    open_seal(teacher)
    monkeypatch.setattr(unsealing, "score", lambda *_: pytest.fail("everything is computed once"))
    challenges._standings.clear()
    for page in (teacher, student.run(), visit("classroom", challenge.key, ADA)):
        assert not page.exception
        _, by_validation, sealed = drawn(page, "classroom_challenge_losses")
        chosen = best_of_each(tried)
        assert by_validation["x"] == [each.validation for each in chosen]
        assert sealed["x"] == pytest.approx([wanted[each.run].loss for each in chosen])
        shown = table(page, "sealed loss")
        places = outcome(tried, wanted).places
        assert shown["on the sealed part"].tolist() == [place.by_sealed for place in places]
        assert shown["standard error"].tolist() == pytest.approx([place.error for place in places], abs=1e-4)
        rise = outcome(tried, wanted).rise.mean
        assert f"of the 2 chosen runs {'falls' if rise < 0 else 'rises'} by {abs(rise):.3f}" in said(page)
        assert f"with {places[0].sealed:.3f}." in said(page)
    assert len(json.loads(challenge.scores_file.read_text(encoding="utf-8"))) == 3


def test_a_run_that_still_trains_is_said_not_to_count_and_costs_nobody_a_place(challenge: Challenge) -> None:
    ended, live = trained(ADA), trained(ADA, lr=1e-3)
    live.update_status(state="running", best={"step": 1, "val_loss": 0.5})
    page = visit("classroom", teacher=True)
    assert table(page, "place")["lowest validation loss"].tolist() == [0.5]
    assert "made them: 1. Still training or waiting, so not counted: 1." in said(page)
    open_seal(page)
    live.update_status(best={"step": 2, "val_loss": 0.4})
    shown = table(page.run(), "sealed loss")
    assert shown["run"].tolist() == [f"training?run={ended.id}&class={challenge.key}"]
    assert shown["lowest validation loss"].tolist() == [validation(ended)]
    assert not any("Left out" in text.value or "Not ranked" in text.value for text in page.markdown)


def place(label: str, validation: float, by_validation: int, by_sealed: int, *blocks: float) -> Place:
    sealed = measure(blocks)
    return Place(label, "", 2, validation, sealed.mean, sealed.error, by_validation, by_sealed, "best", blocks)


ADA_PLACE = place("Ada (1)", 2.0, 1, 3, 2.7, 2.8, 2.9)
BEN_PLACE = place("*Ben* (2)", 2.1, 2, 2, 2.5, 2.5, 2.5)
CEM_PLACE = place("Cem (3)", 2.2, 3, 1, 2.4, 2.4, 2.4)


def test_who_leads_by_validation_is_held_against_the_second_and_no_verdict_falls_on_who_was_picked_afterwards() -> None:
    first, _, _ = unsealed.sentences(Outcome([ADA_PLACE, BEN_PLACE, CEM_PLACE], {}, Measured(0.6, 0.2, 3), None))
    assert first == (
        r"Ada \(1\) is first by validation with 2.000, and 3rd of 3 on the sealed part with 2.800. \*Ben\* \(2\), 2nd "
        "by validation, is 2nd there with 2.500: 0.300 nats less (standard error 0.058; chance alone does that less "
        r"than 1 time in 20). First there is Cem \(3\) with 2.400; who is picked as the lowest of 3 would pass such a "
        "test by luck more often."
    )
    alone, _, _ = unsealed.sentences(Outcome([ADA_PLACE, BEN_PLACE], {}, Measured(0.6, 0.2, 2), None))
    assert alone.endswith("1 time in 20).")


@pytest.mark.parametrize(
    ("by_choosing", "said"),
    [
        (
            Measured(0.4, 0.2, 3),
            "A chosen run rises by 0.400 more than the mean of its owner's other runs (3 people; st",
        ),
        (
            Measured(0.4, 0.2, 3),
            "1 time in 20). That may be chance, or choosing: the lowest of several scores looks be",
        ),
        (
            Measured(0.4, 0.1, 9),
            "does that less than 1 time in 20). All read the same two parts, so that points to cho",
        ),
        (Measured(-0.3, math.nan, 1), "0.300 less than the mean of its owner's other runs (1 person; too few to judge"),
        (
            None,
            "the 2 chosen runs rises by 0.600: the sealed part is other text, and each run's best moment was chosen",
        ),
    ],
    ids=["perhaps", "perhaps, then", "clear", "flattered nobody", "nobody has others"],
)
def test_what_choosing_made_look_better_is_said_with_its_error(by_choosing: Measured | None, said: str) -> None:
    found = Outcome([ADA_PLACE, BEN_PLACE], {}, Measured(0.6, 0.2, 2), by_choosing)
    assert said in unsealed.sentences(found)[1]


@pytest.mark.parametrize(("people", "blocks"), [(2, 4), (5, 60), (30, 4), (30, 60)])
def test_of_classes_whose_models_are_equally_good_1_in_20_hears_of_more_than_chance(people: int, blocks: int) -> None:
    noise = np.random.default_rng(people * blocks)
    classes, alarms = 400, 0
    for _ in range(classes):
        tried = [Tried(seat, f"Student {seat}", f"run {seat}", float(noise.normal(3, 0.05))) for seat in range(people)]
        losses = {each.run: noise.normal(3, 0.25, blocks) for each in tried}
        scores = {run: Score(run, "best", float(each.mean()), tuple(each)) for run, each in losses.items()}
        alarms += "less than 1 time in 20" in unsealed.sentences(outcome(tried, scores))[0]
    assert alarms / classes == pytest.approx(0.05, abs=0.03)


def test_deleted_and_damaged_runs_are_left_out_with_a_sentence(challenge: Challenge) -> None:
    whole, damaged = trained(ADA), trained(BEN)
    tried = [Tried(1, "Ada (1)", whole.id, validation(whole)), Tried(2, "<b>Ben</b>", damaged.id, validation(damaged))]
    challenge.open(Standings(tried, {"*Cem*": "is deliberately changed (no-mask)"}, 1))
    path = damaged.folder / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    page = visit("classroom", teacher=True)
    assert table(page, "sealed loss")["who"].tolist() == ["Ada (1)"]
    assert "Left out. <b>Ben</b>: the run can't be scored: best.safetensors can't be read" in said(page).replace(
        "\\", ""
    )
    assert "Not ranked. *Cem*: the newest run is deliberately changed" in said(page).replace("\\", "")
    assert "Ada (1) alone has a run that counts" in said(page).replace("\\", "")


def test_a_pass_that_was_cut_short_goes_on_where_it_stood(
    challenge: Challenge, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [trained(ADA), trained(ADA, lr=1e-3)]
    challenge.open(Standings([Tried(1, "Ada (1)", run.id, validation(run)) for run in runs], {}, 0))
    monkeypatch.setattr(challenges, "BUDGET_SECONDS", -1.0)
    page = visit("classroom", teacher=True)
    assert any("1 of the chosen runs" in box.value for box in page.info)
    assert not any("sealed loss" in each.value for each in page.dataframe)
    monkeypatch.setattr(challenges, "BUDGET_SECONDS", 60.0)
    click(page, "classroom_challenge_more")
    assert set(challenge.scores()) == {run.id for run in runs}
    assert not [button for button in page.button if button.key == "classroom_challenge_more"]


def test_another_challenge_begins_only_when_the_present_one_is_given_up(challenge: Challenge) -> None:
    page = visit("classroom", teacher=True)
    assert page.button(key="classroom_challenge_begin").disabled
    page.checkbox(key="classroom_challenge_give_up").check().run()
    page.toggle(key="classroom_challenge_compact").set_value(False).run()
    click(page, "classroom_challenge_begin")
    held = challenge.held()
    assert held is not None
    assert not held.terms.compact_vocab

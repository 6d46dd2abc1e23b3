"""The curve clinic: every number on screen is that of the curve beside it, and a click starts that very run."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import isnan
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from gptcore import diagnosis, gallery, rates, sanity
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.gallery import CASES, WITHOUT
from gptcore.paths import runs_home
from gptcore.rates import RANGE_TEST, RECORDED_SUGGESTION, read_range, sweep
from gptcore.recordings import load
from gptcore.runs.requests import MOST_WAITING
from gptcore.runs.store import Run, RunStore
from gptcore.runs.worker import execute
from gptcore.variants import SoftmaxHead, UnmaskedSelfAttention
from pages._ui import clinic_curves, clinic_words, resources, thread, trials

Open = Callable[..., AppTest]
Offers = Callable[[AppTest, str], Any]
Drawn = Callable[..., list[dict[str, Any]]]
QUIZ, CARD, RATE, SWEEP = "Which bug is this?", "Sanity card", "Learning rate", "Several settings"


def opened(lesson: Open, part: str, **session: object) -> AppTest:
    page = lesson("clinic", **{clinic_curves.PART: part, **session})
    assert not page.exception
    return page


def prose(page: AppTest) -> str:
    elements = [*page.markdown, *page.caption, *page.info, *page.success, *page.text]
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", " ".join(element.value for element in elements))


def runs() -> list[Run]:
    return list(RunStore(runs_home()))


def alt(page: AppTest, key: str) -> str:
    return str(next(chart for chart in page.get("plotly_chart") if chart.key == key).proto.alt)


def line(traces: list[dict[str, Any]], name: str) -> list[float]:
    return [value for value in next(trace for trace in traces if trace["name"] == name)["y"] if not isnan(value)]


def finish() -> None:
    """Train what is queued, as the dispatcher would."""
    for run in runs():
        if run.status["state"] == "queued":
            execute(run)


# --------------------------------------------------------------------------------------------------------------- a page


@pytest.mark.parametrize("part", ["Your curve", "Gallery", QUIZ, CARD, RATE, SWEEP])
def test_each_part_shows_something_true_before_any_click_and_only_that_part(lesson: Open, part: str) -> None:
    page = opened(lesson, part)
    assert len(page.get("plotly_chart")) >= 1
    assert "**What to notice.**" in prose(page)
    own = {
        "Your curve": ("own",),
        "Gallery": ("gallery",),
        QUIZ: ("quiz",),
        CARD: ("card",),
        RATE: ("range", "sweep"),
        SWEEP: ("settings",),
    }
    assert {str(chart.key).split("_")[1] for chart in page.get("plotly_chart")} == set(own[part])
    assert runs() == []


def test_the_parts_are_chosen_by_the_control(lesson: Open) -> None:
    page = lesson("clinic")
    assert page.segmented_control(clinic_curves.PART).value == "Your curve"
    page.segmented_control(clinic_curves.PART).set_value(CARD).run()
    assert "1. Does it start near ln V?" in prose(page)


# ----------------------------------------------------------------------------------------------------------- your curve


def test_the_recorded_run_is_held_to_every_rule_and_named_by_them(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson, "Your curve")
    shown = trials.of_run(Run(thread.RECORDED_RUN))
    found = diagnosis.examine(shown.curve)
    table = page.table[0].value
    assert sorted(table["measured"]) == sorted(clinic_words.measured(each)["measured"] for each in found.values())
    assert (table["by this rule"] == "unusual").sum() == sum(each.found for each in found.values())
    first = diagnosis.suspects(shown.curve)[0]
    assert f"**By our rules this is most like: {CASES[first].plan.title}.**" in prose(page)
    assert clinic_words.giveaway(first, shown) in prose(page)
    rows, _ = Run(thread.RECORDED_RUN).metrics()
    expected = [row["val_loss"] for row in rows if row["val_loss"] is not None]
    assert line(drawn(page, "clinic_own"), "validation")[1:] == pytest.approx(expected, rel=1e-6)


def test_the_lines_are_those_of_the_text(lesson: Open) -> None:
    page = opened(lesson, "Your curve")
    run = Run(thread.RECORDED_RUN)
    lines = resources.reference_lines(run.text.text, run.train_config)
    layout = json.loads(page.get_by_key("clinic_own").proto.spec)["layout"]
    assert [shape["y0"] for shape in layout["shapes"]] == list(lines.values())


def test_a_button_leads_to_the_curve_that_it_is_like(lesson: Open) -> None:
    page = opened(lesson, "Your curve")
    page.button("clinic_visit").click().run()
    assert page.segmented_control(clinic_curves.PART).value == "Gallery"
    assert page.pills(clinic_curves.CASE).value == "over-fitting"
    assert "**Over-fitting**, recorded" in prose(page)


def test_a_students_own_run_is_judged_and_a_deliberate_change_is_told(lesson: Open, data_home: Any) -> None:
    plan = CASES["not-shifted"].plan
    plan = replace(plan, training=replace(plan.training, steps=80, sample_tokens=0))
    run = RunStore(runs_home()).create(load_text(OWN_STORY), plan.model, plan.training)
    assert execute(run) == "done"
    page = opened(lesson, "Your curve", **{thread.RUN: run.id})
    assert "most like: Targets not shifted" in prose(page)
    assert "trained with the deliberate change “not-shifted”" in prose(page)
    asked = run.metrics()[0]
    level = diagnosis.Levels(*resources.reference_lines(run.text.text, run.train_config).values()).tokens
    first = next(row["step"] for row in asked if row["val_loss"] is not None and row["val_loss"] < level)
    page.number_input(f"clinic_own_{run.id}_predict_guess").set_value(first)
    page.button(f"clinic_own_{run.id}_predict_check").click().run()
    assert f"Yes: {first}." in prose(page)


def test_a_run_that_has_no_curve_yet_gives_a_sentence(lesson: Open) -> None:
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    page = opened(lesson, "Your curve", **{thread.RUN: run.id})
    assert "This run is queued and has not been evaluated yet" in prose(page)


def test_a_run_that_was_looked_at_before_its_first_update_alone_has_no_curve_yet(lesson: Open) -> None:
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    run.update_status(state="running", untrained={"train_loss": 7.2, "val_loss": 7.2})
    page = opened(lesson, "Your curve", **{thread.RUN: run.id})
    assert "This run is running and has not been evaluated yet" in prose(page)


def test_a_text_without_a_validation_part_is_judged_by_what_there_is(lesson: Open) -> None:
    text = Text("own", "**Short** $x$", load_text(OWN_STORY).text[:1_500], "The")
    settings = replace(TRAIN_PRESETS["class"], steps=4, train_fraction=0.99, batch_size=2, eval_every=2)
    run = RunStore(runs_home()).create(text, MODEL_PRESETS["class"], settings)
    assert execute(run) == "done"
    page = opened(lesson, "Your curve", **{thread.RUN: run.id})
    assert "its validation part holds no whole window" in prose(page)
    assert "Is it worse than counting tokens?" not in page.table[0].value["the rule asks"].tolist()
    assert [each.value for each in page.text][-1] == "Your run on **Short** $x$"


# -------------------------------------------------------------------------------------------------------------- gallery


@pytest.mark.parametrize("name", CASES)
def test_each_curve_is_drawn_as_recorded_and_its_words_hold_its_numbers(lesson: Open, drawn: Drawn, name: str) -> None:
    page = opened(lesson, "Gallery")
    page.pills(clinic_curves.CASE).set_value(name).run()
    assert not page.exception
    found = load(CASES[name].plan.name)
    kept = found.metrics["val_loss"].dropna().tolist()
    assert line(drawn(page, "clinic_gallery"), "validation") == pytest.approx(
        [found.untrained["val_loss"], *kept], rel=1e-6
    )
    assert line(drawn(page, "clinic_gallery"), "each batch") == pytest.approx(
        found.metrics["batch_loss"].tolist(), rel=1e-6
    )
    shown = trials.recorded(CASES[name].plan)
    words = clinic_words.giveaway(name, shown)
    assert words.replace("\\", "") in prose(page)
    assert re.search(r"\d", words)
    for field, (usual, mine) in gallery.differences(CASES[name].plan).items():
        assert f"`{field}` {clinic_curves._said(mine)} instead of {clinic_curves._said(usual)}" in prose(page)


def test_the_words_name_the_numbers_that_give_a_curve_away() -> None:
    rows = {name: load(case.plan.name).metrics for name, case in CASES.items()}
    words = {name: clinic_words.giveaway(name, trials.recorded(case.plan)) for name, case in CASES.items()}
    assert f"comes down to {rows['no-mask']['val_loss'].min():.2f}, where counting pairs" in words["no-mask"]
    assert f"training loss is {rows['not-shifted']['train_loss'].dropna().iloc[-1]:.3f}" in words["not-shifted"]
    assert f"{rows['no-zero-grad']['grad_norm'].max():.2f} at most" in words["no-zero-grad"]
    assert f"the highest batch loss is {rows['too-fast']['batch_loss'].max():.2f}" in words["too-fast"]
    V = resources.text_counts(load_text(OWN_STORY).text, 32, TRAIN_PRESETS["class"]).vocab_size
    assert f"could not come below {np.log(np.e + V - 1) - 1:.2f}" in words["softmax-twice"]
    assert load("gallery-diverging").reason is not None
    assert "diverged at step" in words["diverging"]


@pytest.mark.parametrize("name", WITHOUT)
def test_a_mistake_is_shown_beside_the_same_run_without_it_and_in_its_line(
    lesson: Open, drawn: Drawn, name: str
) -> None:
    page = opened(lesson, "Gallery", **{clinic_curves.CASE: name})
    beside = "validation, without the mistake"
    assert not any(trace["name"] == beside for trace in drawn(page, "clinic_gallery"))
    page.toggle("clinic_compare").set_value(True).run()
    kept = load(WITHOUT[name].name).metrics["val_loss"].dropna().tolist()
    assert line(drawn(page, "clinic_gallery"), beside)[1:] == pytest.approx(kept, rel=1e-6)
    sources = [each.value for each in page.code]
    variants = {"no-mask": UnmaskedSelfAttention.forward, "softmax-twice": SoftmaxHead.forward}
    if name in variants:
        assert any(inspect.getsource(variants[name]).strip().splitlines()[-1].strip() in source for source in sources)


def test_a_curve_that_leaves_the_figure_says_how_far_it_goes(lesson: Open) -> None:
    page = opened(lesson, "Gallery", **{clinic_curves.CASE: "diverging"})
    highest = load("gallery-diverging").metrics[["batch_loss", "train_loss", "val_loss"]].max().max()
    assert f"the curve goes on up to {highest:,.0f}." in prose(page)


def test_run_this_yourself_submits_that_very_run_on_the_students_text_and_follows_it(
    lesson: Open, drawn: Drawn
) -> None:
    text = replace(load_text(OWN_STORY), key="own", title="Mine", text=load_text(OWN_STORY).text[:9_000])
    page = opened(lesson, "Gallery", **{thread.TEXT: text, clinic_curves.CASE: "stuck"})
    page.button("clinic_run_stuck").click().run()
    assert not page.exception
    (run,) = runs()
    plan = CASES["stuck"].plan
    assert (run.model_config, run.train_config) == (plan.model, plan.training)
    assert run.text.text == text.text
    assert page.session_state[thread.RUN] == run.id
    assert page.button("clinic_run_stuck").disabled
    assert "its first point is on the way" in prose(page)
    finish()
    page.run()
    assert "**Stuck**, yours" in prose(page)
    kept = [row["val_loss"] for row in run.metrics()[0] if row["val_loss"] is not None]
    assert line(drawn(page, "clinic_gallery"), "validation")[1:] == pytest.approx(kept, rel=1e-6)
    page.segmented_control("clinic_whose_stuck").set_value("recorded").run()
    assert "**Stuck**, recorded" in prose(page)


def test_a_cancelled_run_may_be_started_again(lesson: Open) -> None:
    page = opened(lesson, "Gallery", **{clinic_curves.CASE: "stuck"})
    page.button("clinic_run_stuck").click().run()
    runs()[0].update_status(state="cancelled")
    page.run()
    assert not page.button("clinic_run_stuck").disabled
    assert "**Stuck**, recorded" in prose(page)


def test_what_the_queue_refuses_is_said(lesson: Open, refusals: Callable[[AppTest], list[str]]) -> None:
    page = opened(lesson, "Gallery")
    for name in list(CASES)[: MOST_WAITING + 1]:
        page.pills(clinic_curves.CASE).set_value(name).run()
        page.button(f"clinic_run_{name}").click().run()
    assert len(runs()) == MOST_WAITING
    assert refusals(page)[0].startswith(f"{MOST_WAITING} of your runs are waiting already")


# ----------------------------------------------------------------------------------------------------------------- quiz


def test_the_quiz_names_no_curve_and_scores_the_first_guess(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson, QUIZ)
    score = 0
    for number in range(len(CASES)):
        question = gallery.ask(1, number)
        title = CASES[question.answer].plan.title
        kept = load(CASES[question.answer].plan.name).metrics["val_loss"].dropna().tolist()
        assert line(drawn(page, "clinic_quiz"), "validation")[1:] == pytest.approx(kept, rel=1e-6)
        assert title not in alt(page, "clinic_quiz")
        radio = page.radio(f"clinic_guess_1_{number}")
        assert radio.options == [CASES[case].plan.title for case in question.options]
        guess = question.answer if number % 2 else next(case for case in question.options if case != question.answer)
        radio.set_value(guess).run()
        score += number % 2
        begins = f"Yes: {title}." if number % 2 else f"You said {CASES[guess].plan.title}; it is {title}."
        assert begins in prose(page)
        assert f"{score} right of {number + 1} answered." in prose(page)
        if number + 1 < len(CASES):
            page.button("clinic_next").click().run()
    assert "That was the last one." in prose(page)


def test_what_was_answered_is_still_so_after_another_part(lesson: Open) -> None:
    page = opened(lesson, "Gallery")
    page.segmented_control(clinic_curves.PART).set_value(QUIZ).run()
    page.radio("clinic_guess_1_0").set_value(gallery.ask(1, 0).answer).run()
    for part in ("Gallery", CARD, QUIZ):
        page.segmented_control(clinic_curves.PART).set_value(part).run()
        assert not page.exception
    assert "1 right of 1 answered." in prose(page)


def test_a_second_guess_does_not_count(lesson: Open) -> None:
    page = opened(lesson, QUIZ)
    question = gallery.ask(1, 0)
    wrong = next(case for case in question.options if case != question.answer)
    page.radio("clinic_guess_1_0").set_value(wrong).run()
    page.radio("clinic_guess_1_0").set_value(question.answer).run()
    assert "0 right of 1 answered." in prose(page)


def test_another_seed_asks_in_another_order_and_keeps_its_own_score(lesson: Open) -> None:
    page = opened(lesson, QUIZ)
    page.radio("clinic_guess_1_0").set_value(gallery.ask(1, 0).answer).run()
    page.number_input("clinic_seed").set_value(3).run()
    assert page.radio("clinic_guess_3_0").options == [CASES[case].plan.title for case in gallery.ask(3, 0).options]
    assert "0 right of 0 answered." in prose(page)
    page.number_input("clinic_seed").set_value(1).run()
    assert "1 right of 1 answered." in prose(page)


# ---------------------------------------------------------------------------------------------------------- sanity card


def test_the_recorded_card_says_what_its_recordings_say(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson, CARD)
    one, alike, mixed = (load(plan.name) for plan in sanity.PLANS)
    assert "Recorded, on the story that comes with the program" in prose(page)
    assert prose(page).count("**As it should be.**") == 4
    assert f"The untrained loss is {one.untrained['train_loss']:.3f}" in prose(page)
    assert f"on the same batch its loss is {one.metrics['batch_loss'].iloc[-1]:.4f}" in prose(page)
    assert f"At the end they are {alike.metrics['train_loss'].iloc[-1]:.4f}" in prose(page)
    assert f"The lowest validation loss is {mixed.metrics['val_loss'].min():.3f}" in prose(page)
    assert drawn(page, "clinic_card_one_batch")[0]["y"] == pytest.approx(one.metrics["batch_loss"].tolist())


def test_a_guess_about_the_card_is_checked_against_the_recording(lesson: Open) -> None:
    page = opened(lesson, CARD)
    rows = load(sanity.ONE_BATCH.name).metrics
    answer = int((rows["batch_loss"] <= sanity.LEARNT).to_numpy().argmax()) + 1
    page.number_input("clinic_card_predict_guess").set_value(answer)
    page.button("clinic_card_predict_check").click().run()
    assert f"Yes: {answer}." in prose(page)


def test_one_button_runs_the_card_on_the_students_text(lesson: Open) -> None:
    text = replace(load_text(OWN_STORY), key="own", title="**Mine**", text=load_text(OWN_STORY).text[:9_000])
    page = opened(lesson, CARD, **{thread.TEXT: text})
    page.button("clinic_card_run").click().run()
    assert not page.exception
    assert [run.train_config for run in runs()] == [plan.training for plan in sanity.PLANS]
    assert {run.text.text for run in runs()} == {text.text}
    assert page.button("clinic_card_run").disabled
    assert "On your text, **Mine**" in prose(page)
    assert "This run is not done yet." in prose(page)
    assert "**As it should be.**" not in prose(page)
    finish()
    page.run()
    one = runs()[0].metrics()[0]
    assert f"on the same batch its loss is {one[-1]['batch_loss']:.4f}" in prose(page)
    assert prose(page).count("s it should be.**") == 4


def test_a_check_that_fails_says_so(lesson: Open) -> None:
    """A run that could not learn its batch, as a rate of next to nothing leaves it."""
    page = opened(lesson, CARD)
    page.button("clinic_card_run").click().run()
    for run in runs():
        rows = [
            {"step": step, "epoch": 0, "tokens_seen": 1, "batch_loss": 7.0, "grad_norm": 1.0, "lr": 1.0, "seconds": 1.0}
            | {"train_loss": 7.0, "val_loss": 4.0}
            for step in range(3)
        ]
        (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        run.update_status(state="done", untrained={"train_loss": 9.0, "val_loss": 9.0})
    page.run()
    assert prose(page).count("**Not as it should be.**") == 4


# -------------------------------------------------------------------------------------------------------- learning rate


def test_the_recorded_range_test_is_read_by_the_rule(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson, RATE)
    rows = load(RANGE_TEST.name).metrics
    reading = read_range(rows)
    traces = drawn(page, "clinic_range")
    assert traces[0]["x"] == rows["lr"].tolist()
    assert traces[0]["y"] == rows["batch_loss"].tolist()
    assert traces[1]["y"] == pytest.approx(reading.smoothed.tolist())
    assert [(trace["x"], trace["y"]) for trace in traces[2:]] == [
        ([reading.lowest], [reading.smoothed.min()]),
        ([reading.steepest], [reading.smoothed[rows["lr"].tolist().index(reading.steepest)]]),
    ]
    assert f"**The rule suggests {reading.suggestion:g}.**" in prose(page)
    layout = json.loads(page.get_by_key("clinic_range").proto.spec)["layout"]
    assert layout["shapes"][0]["x0"] == reading.suggestion
    assert layout["xaxis"]["type"] == "log"


def test_the_recorded_sweep_names_the_best_of_five(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson, RATE)
    plans = sweep(RECORDED_SUGGESTION)
    lowest = {plan.training.lr: load(plan.name).metrics["val_loss"].min() for plan in plans}
    best = rates.best_of(lowest)
    assert f"**The best of them is {best:g}**, with {lowest[best]:.3f}" in prose(page)
    table = page.dataframe[0].value
    assert table["lowest loss"].tolist() == [f"{loss:.3f}" for loss in lowest.values()]
    for trace, plan in zip(drawn(page, "clinic_sweep"), plans, strict=True):
        assert trace["y"] == load(plan.name).metrics["val_loss"].dropna().tolist()
        assert (trace["line"]["width"] == 4) == (plan.training.lr == best)


@pytest.mark.parametrize("key", ["clinic_use_range", "clinic_use_best"])
def test_use_this_rate_puts_it_into_the_training_lessons_settings(lesson: Open, key: str) -> None:
    page = opened(lesson, RATE)
    rate = RECORDED_SUGGESTION  # the best of the recorded sweep as well
    assert page.button(key).label == f"Use {rate:g} for training"
    page.button(key).click().run()
    page.switch_page("pages/training.py").run()
    assert not page.exception
    assert page.selectbox("training_preset").value == "class"
    assert page.number_input("training_lr_class").value == rate
    assert page.number_input("training_min_lr_class").value == rates.to_two_digits(rate / rates.DECAY)
    page.button("training_start").click().run()
    assert runs()[0].train_config.lr == rate


def test_a_rate_replaces_one_that_was_set_by_hand(lesson: Open) -> None:
    page = lesson("training")
    page.number_input("training_lr_class").set_value(0.001).run()
    page.session_state[clinic_curves.PART] = RATE
    page.switch_page("pages/clinic.py").run()
    page.button("clinic_use_range").click().run()
    page.switch_page("pages/training.py").run()
    assert page.number_input("training_lr_class").value == RECORDED_SUGGESTION


def test_range_test_and_sweep_run_on_the_students_text(lesson: Open, drawn: Drawn) -> None:
    text = replace(load_text(OWN_STORY), key="own", title="Mine", text=load_text(OWN_STORY).text[:9_000])
    page = opened(lesson, RATE, **{thread.TEXT: text})
    page.button("clinic_range_run").click().run()
    assert page.button("clinic_range_run").disabled
    finish()
    page.run()
    rows = runs()[0].metrics()[0]
    used = [row["lr"] for row in rows]
    assert drawn(page, "clinic_range")[0]["x"] == used
    assert [later / earlier for earlier, later in pairwise(used)] == pytest.approx([used[1] / used[0]] * 59)
    reading = read_range(resources.metrics(runs()[0]))
    assert f"**The rule suggests {reading.suggestion:g}.**" in prose(page)
    page.button("clinic_sweep_run").click().run()
    assert not page.exception
    plans = sweep(reading.suggestion)
    assert [run.train_config for run in runs()[1:]] == [plan.training for plan in plans]
    finish()
    page.run()
    lowest = {
        run.train_config.lr: min(row["val_loss"] for row in run.metrics()[0] if row["val_loss"] is not None)
        for run in runs()[1:]
    }
    best = rates.best_of(lowest)
    assert f"**The best of them is {best:g}**, with {lowest[best]:.3f}" in prose(page)
    assert page.button("clinic_use_best").label == f"Use {best:g} for training"


def test_a_guess_about_the_rates_is_checked_against_the_recordings(lesson: Open, offers: Offers) -> None:
    page = opened(lesson, RATE)
    fallen = {plan.training.lr: load(plan.name).metrics["train_loss"].min() for plan in sweep(RECORDED_SUGGESTION)}
    offers(page, "clinic_rates").set_value(f"{min(fallen, key=lambda rate: fallen[rate]):g}").run()
    assert any(element.value.startswith("Yes.") for element in page.success)

"""Several settings in the curve clinic: the recorded sweep, one's own through the queue, and its best run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore import sweep_results
from gptcore.paths import runs_home
from gptcore.runs import sweeping
from gptcore.runs.store import RunStore
from gptcore.runs.worker import execute
from pages._ui import clinic_curves, clinic_sweep, thread

Open = Callable[..., AppTest]
Offers = Callable[[AppTest, str], Any]
Drawn = Callable[..., list[dict[str, Any]]]


def opened(lesson: Open) -> AppTest:
    page = lesson("clinic", **{clinic_curves.PART: "Several settings"})
    assert not page.exception
    return page


def prose(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.caption, *page.text, *page.success, *page.info])


def finish() -> None:
    for run in RunStore(runs_home()):
        if run.status["state"] == "queued":
            execute(run)


def test_the_recorded_sweep_is_drawn_trial_by_trial_with_its_shares(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson)
    sweep, trials = sweep_results.recorded()
    rows = sweep_results.table(sweep, trials)
    lines = drawn(page, "clinic_settings_parallel")
    assert len(lines) == len(rows) == sweep.planned
    lowest, highest = rows["loss"].min(), rows["loss"].max()
    expected = [(loss - lowest) / (highest - lowest) for loss in rows["loss"]]
    assert [line["y"][-1] for line in reversed(lines)] == pytest.approx(expected)
    assert lines[-1]["name"] == "the best"
    assert lines[-1]["text"][:-1] == [f"{rows[axis.name].iloc[0]:g}" for axis in sweep.axes]
    shares = sweep_results.importance(sweep, rows)
    bars = json.loads(page.get_by_key("clinic_settings_importance").proto.spec)["data"][0]
    assert bars["text"] == [f"{share:.0%}" for share in shares["share"]][::-1]
    assert f"with a validation loss of {lowest:.3f}" in prose(page)
    assert f"ended between {lowest:.2f} and {highest:.2f} nats" in prose(page)
    for width, rate in rows.groupby("emb_dim").apply(lambda each: each.loc[each["loss"].idxmin(), "lr"]).items():
        assert f"at width {width} the best learning rate is {rate:g}" in prose(page)
    assert list(RunStore(runs_home())) == []


def test_a_sweep_runs_on_the_students_text_within_its_axes_and_its_best_is_one_click_away(
    lesson: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clinic_sweep, "TRAINING", replace(clinic_sweep.TRAINING, steps=2))
    page = opened(lesson)
    page.multiselect("clinic_settings_lr").set_value([0.002, 0.018])
    page.multiselect("clinic_settings_emb_dim").set_value([16])
    page.multiselect("clinic_settings_context_length").set_value([8]).run()
    assert page.button("clinic_settings_run").label == "Try 2 trials on your text"
    page.button("clinic_settings_run").click().run()
    assert not page.exception
    (mine,) = sweeping.all_of(RunStore(runs_home()), [run.config["owner"] for run in RunStore(runs_home())])
    while sweeping.advance(mine).goes_on:
        finish()
    page.run()
    assert "2 of 2 trials" in str(page.get("progress")[0].proto)
    rows = sweep_results.table(mine.sweep, sweeping.trials(mine))
    assert {run.model_config.emb_dim for run in mine.runs()} == {16}
    assert f"with a validation loss of {rows['loss'].min():.3f}" in prose(page)
    page.button("clinic_settings_best").click().run()
    assert page.session_state[thread.RUN] == rows["run"].iloc[0]


def test_one_who_varies_nothing_is_told_what_to_choose(lesson: Open, refusals: Callable[[AppTest], list[str]]) -> None:
    page = opened(lesson)
    for name in clinic_sweep.CHOICES:
        page.multiselect(f"clinic_settings_{name}").set_value([])
    page.run()
    assert refusals(page) == [
        "A sweep needs one axis or more, each named once. Choose two values or more of one setting."
    ]
    assert page.get_by_key("clinic_settings_parallel") is not None


def test_a_sweep_is_stopped_and_goes_on(lesson: Open) -> None:
    page = opened(lesson)
    page.button("clinic_settings_run").click().run()
    page.button("clinic_settings_stop").click().run()
    assert page.button("clinic_settings_stop").label == "Go on with the sweep"
    assert all(run.was_asked_to_stop for run in RunStore(runs_home()))
    page.button("clinic_settings_stop").click().run()
    assert page.button("clinic_settings_stop").label == "Stop the sweep"


def test_a_guess_about_the_shares_is_checked_against_the_recording(lesson: Open, offers: Offers) -> None:
    page = opened(lesson)
    sweep, trials = sweep_results.recorded()
    first = sweep_results.importance(sweep, sweep_results.table(sweep, trials)).iloc[0]
    offers(page, "clinic_settings").set_value(clinic_sweep.WORDS[first["axis"]]).run()
    assert f"{clinic_sweep.WORDS[first['axis']]} {first['share']:.0%}" in page.success[0].value

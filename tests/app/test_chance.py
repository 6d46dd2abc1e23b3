"""The over-fitting lesson's last section: is one's own curve normal, and how much of its wobble is the judge's?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from gptcore import judges, seeds
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.paths import runs_home
from gptcore.recordings import load
from gptcore.runs.store import Run, RunStore
from pages._ui import thread

Open = Callable[..., AppTest]
Drawn = Callable[..., list[dict[str, Any]]]


def prose(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.caption])


def own_run(lift: dict[int, float], **settings: Any) -> Run:
    """A run with seed 900 that goes as the recorded seed 125 does, its validation loss lifted at some steps."""
    config = replace(TRAIN_PRESETS["class"], seed=900, **settings)
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], config)
    with (run.folder / "metrics.jsonl").open("w") as file:
        for recorded in load("seed-125").metrics.astype(object).to_dict("records"):
            row = {name: None if pd.isna(value) else value for name, value in recorded.items()}
            if row["val_loss"] is not None:
                row["val_loss"] += lift.get(row["step"], 0.0)
            file.write(json.dumps({**row, "seconds": 1.0}) + "\n")
    run.update_status(state="done")
    return run


def opened(lesson: Open, run: Run) -> AppTest:
    page = lesson("overfitting", **{thread.RUN: run.id})
    assert not page.exception
    return page


def test_the_band_is_that_of_the_five_recorded_seeds(lesson: Open, drawn: Drawn) -> None:
    band = seeds.band([load(plan.name).metrics for plan in seeds.PLANS])
    low, high, mean = drawn(lesson("overfitting"), "chance_seeds")
    assert low["x"] == high["x"] == mean["x"] == band["step"].tolist()
    assert [low["y"], high["y"], mean["y"]] == [band[name].tolist() for name in ("low", "high", "mean")]


def test_ones_own_run_with_another_seed_is_drawn_into_the_band_and_judged(lesson: Open, drawn: Drawn) -> None:
    run = own_run({})
    page = opened(lesson, run)
    yours = drawn(page, "chance_seeds")[-1]
    rows = [row for row in run.metrics()[0] if row["val_loss"] is not None]
    assert (yours["name"], yours["y"]) == ("yours", [row["val_loss"] for row in rows])
    assert f"**Yours is inside:** all {len(rows)} evaluations lie in the band." in prose(page)


def test_a_short_way_out_of_the_band_is_called_chance_and_its_step_is_named(lesson: Open) -> None:
    words = prose(opened(lesson, own_run({100: 2.0})))
    assert "**Yours is inside:** 30 of its 31 evaluations lie in the band. It leaves it at step 100" in words


def test_a_long_way_out_of_the_band_is_named_from_step_to_step(lesson: Open) -> None:
    words = prose(opened(lesson, own_run(dict.fromkeys(range(150, 300), 2.0))))
    assert "**Yours is outside** from step 150 to 299: only 15 of its 31 evaluations lie in the band" in words


def test_a_run_with_other_settings_is_not_drawn_and_they_are_named(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson, own_run({}, lr=1e-3, grad_clip=1.0))
    assert [trace["name"] for trace in drawn(page, "chance_seeds")][-1] == "mean of five recorded seeds"
    words = prose(page)
    assert r"learning rate 0\.001 (recorded: 0\.005)" in words
    assert r"gradient clipping 1 (recorded: none)" in words


def test_a_title_that_is_markdown_is_named_letter_by_letter(lesson: Open) -> None:
    text = replace(load_text(OWN_STORY), key="own", title=":red[$x$]", text=load_text(OWN_STORY).text + "More.")
    run = RunStore(runs_home()).create(text, MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    page = opened(lesson, run)
    assert r"text \:red\[\$x\$\]" in prose(page)


def test_a_run_that_waits_is_told_that_its_curve_will_be_drawn(lesson: Open) -> None:
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    assert "its curve will be drawn here" in prose(opened(lesson, run))


def test_the_judges_curves_and_their_scatter_are_those_of_the_recordings(lesson: Open, drawn: Drawn) -> None:
    page = lesson("overfitting")
    losses = [load(plan.name).metrics["val_loss"] for plan in judges.PLANS]
    traces = drawn(page, "chance_judges")
    assert [trace["y"] for trace in traces] == [each.dropna().tolist() for each in losses]
    words = prose(page)
    for plan, each in zip(judges.PLANS[:-1], losses, strict=False):
        offset, scatter = judges.disagreement(each, losses[-1])
        tokens = plan.training.eval_batches * plan.training.batch_size * plan.model.context_length
        assert f"({tokens:,} tokens) the loss comes out {abs(offset):.2f} nats too low" in words
        assert f"standard deviation of {scatter:.3f}" in words
    steps = [int(each.idxmin()) for each in losses]
    assert all(f"{step} judged by" in words for step in steps)


@pytest.mark.parametrize("key", ["chance_seeds", "chance_judges"])
def test_both_charts_say_in_words_what_they_show(lesson: Open, key: str) -> None:
    assert lesson("overfitting").get_by_key(key).proto.alt

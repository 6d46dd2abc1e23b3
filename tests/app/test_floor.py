"""The floor lesson: every number on screen is the language's own, and the way down can be trained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore import floor
from gptcore.baselines import counting_losses
from gptcore.config import TrainConfig
from gptcore.corpora import LANGUAGE, OWN_STORY, load_text
from gptcore.language import FLOOR, STRENGTH, TOKENS, make_language, the_entropies, the_language
from gptcore.paths import runs_home
from gptcore.runs.store import Run, RunStore, owner_of
from gptcore.runs.worker import execute
from gptcore.timeline import look_back
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text
from pages._ui import made_language, owner, resources, thread, way_down

Open = Callable[..., AppTest]
Offers = Callable[[AppTest, str], Any]
Drawn = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def page(lesson: Open) -> AppTest:
    page = lesson("floor")
    assert not page.exception
    return page


def prose(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.caption, *page.info, *page.success])


def choose(page: AppTest, share: float) -> AppTest:
    return page.segmented_control(key="floor_share").set_value(share).run()


def levels(page: AppTest, key: str) -> dict[str, float]:
    """The dotted levels of a chart by the name beside them."""
    layout = json.loads(page.get_by_key(key).proto.spec)["layout"]
    named = [note for note in layout["annotations"] if note.get("xref") == "paper"]
    heights = {shape["y0"] for shape in layout["shapes"]}
    assert {note["y"] for note in named} <= heights
    return {note["text"].rpartition(" ")[0]: note["y"] for note in named}


def evaluated(share: float, column: str) -> list[float]:
    return [float(value) for value in floor.recorded(share).metrics[column].dropna()]


def trained(config: TrainConfig, owner_name: str | None = None) -> Run:
    run = RunStore(runs_home()).create(load_text(LANGUAGE), floor.MODEL, config, owner=owner_name)
    assert execute(run) == "done"
    return run


@pytest.mark.parametrize("share", floor.SHARES)
def test_the_chosen_share_is_drawn_in_colour_above_the_recorded_others(
    page: AppTest, drawn: Drawn, share: float
) -> None:
    choose(page, share)
    traces = {trace["name"]: trace["y"] for trace in drawn(page, "floor_curves")}
    assert traces[f"training, {share:.0%}, recorded"] == evaluated(share, "train_loss")
    assert traces[f"validation, {share:.0%}, recorded"] == evaluated(share, "val_loss")
    others = [other for other in floor.SHARES if other != share]
    assert len(traces) == 2 + len(others)
    for other in others:
        assert traces[f"{other:.0%}"] == evaluated(other, "val_loss")
    assert f"The recorded run on {share:.0%} of the text came down to {min(evaluated(share, 'val_loss')):.3f}" in prose(
        page
    )


def test_the_levels_are_a_blind_guess_counting_and_the_floor(page: AppTest) -> None:
    training = floor.plan(floor.SHARES[0]).training
    parts = split_text(load_text(LANGUAGE).text, training.train_fraction, training.train_share)
    counted = counting_losses(*(load_tokenizer().encode(part) for part in parts), len(TOKENS))
    assert levels(page, "floor_curves") == pytest.approx(
        {
            "a blind guess, ln V:": math.log(len(TOKENS)),
            "counting pairs:": counted["bigram"],
            "the floor, H:": the_entropies().floor,
        }
    )


def test_the_best_losses_come_down_to_the_floor_with_more_of_the_text(page: AppTest, drawn: Drawn) -> None:
    model, pairs = drawn(page, "floor_lowest")
    assert model["x"] == pairs["x"] == list(floor.SHARES)
    assert model["y"] == [min(evaluated(share, "val_loss")) for share in floor.SHARES]
    assert pairs["y"] == [way_down.lines(share)[way_down.PAIRS] for share in floor.SHARES]
    assert levels(page, "floor_lowest") == {"the floor, H:": the_entropies().floor}
    assert f"(at best {the_entropies().one:.2f})" in pairs["name"]


def test_what_to_notice_and_the_slip_hold_the_numbers_of_the_runs_and_of_the_language(page: AppTest) -> None:
    least, words = the_entropies(), prose(page)
    small, whole = (floor.recorded(share).metrics for share in (0.02, 1.0))
    assert f"With 100% of the text the model comes to {floor.lowest(whole):.3f}" in words
    assert f"about {(least.one - least.floor) / floor.MODEL.context_length:.3f} are the windows' doing" in words
    assert f"the rules themselves score {the_language().score(floor.judged()):.3f}" in words
    ends = [f"{small[column].dropna().iloc[-1]:.2f}" for column in ("train_loss", "val_loss")]
    assert f"training loss of {ends[0]}, and at a validation loss of {ends[1]}" in words
    assert f"exp({least.floor:.2f}) = {math.exp(least.floor):.1f} tokens" in words
    assert "With 2% of the text the model comes to" in prose(choose(page, 1.0))


@pytest.mark.parametrize("strength", [0.0, 1.25, STRENGTH, 4.0])
def test_the_entropies_follow_the_strength(page: AppTest, strength: float) -> None:
    page.slider(key="floor_strength").set_value(strength).run()
    least = make_language(strength=strength).entropies()
    assert [metric.value for metric in page.metric] == [f"{least.floor:.3f} nats a token"]
    words = prose(page)
    assert f"exp(H) = **{math.exp(least.floor):.2f}** tokens" in words
    assert f"pays {least.one:.3f} at least, who sees none {least.none:.3f}" in words


def test_each_token_of_the_lines_stands_above_its_true_probability(page: AppTest) -> None:
    page.number_input(key="floor_seed").set_value(5).run()
    page.slider(key="floor_strength").set_value(1.0).run()
    language = make_language(strength=1.0)
    tokens = list(islice(language.write(5), made_language.WRITTEN))
    shown = json.loads(page.get_by_key("floor_lines").proto.json)["pieces"]
    assert [piece["text"] for piece in shown] == tokens
    assert [piece["note"] for piece in shown[:2]] == ["given", "given"]
    for piece, before, last, token in zip(shown[2:], tokens, tokens[1:], tokens[2:], strict=False):
        probability = language.chances(before, last)[token]
        assert f"probability {probability:.3%}, costs {-math.log(probability):.2f} nats" in piece["title"]


def test_the_prediction_is_answered_from_the_language_half_as_sure(page: AppTest, offers: Offers) -> None:
    page.slider(key="floor_strength").set_value(3.0).run()
    now, then = (make_language(strength=strength).entropies().floor for strength in (3.0, 1.5))
    answers = offers(page, "floor")
    assert answers.options == sorted(f"{level:.3f}" for level in (now / 2, now, then))
    answers.set_value(f"{now:.3f}").run()
    assert f"It is {then:.3f}." in prose(page)
    offers(page, "floor").set_value(f"{then:.3f}").run()
    assert f"H goes from {now:.3f} to {then:.3f}" in prose(page)
    page.slider(key="floor_strength").set_value(0.0).run()
    assert "there is something to guess" in prose(page)


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_the_button_queues_the_recorded_settings_on_the_chosen_share(page: AppTest, share: float) -> None:
    choose(page, share)
    page.button(key="floor_train").click().run()
    assert not page.exception
    (run,) = RunStore(runs_home())
    assert run.train_config == floor.plan(share).training
    assert (run.model_config, run.text.text) == (floor.MODEL, load_text(LANGUAGE).text)
    assert page.session_state[thread.RUN] == run.id
    assert any("queued" in caption.value for caption in page.caption)


def test_the_sixth_waiting_run_is_refused_in_a_sentence(page: AppTest, refusals: Callable[..., list[str]]) -> None:
    for _ in range(6):
        page.button(key="floor_train").click().run()
    assert any("5 of your runs are waiting already" in sentence for sentence in refusals(page))


def test_ones_own_run_takes_the_recorded_ones_place(
    lesson: Open, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(floor.TRAINING, steps=4, eval_every=2, sample_tokens=2)
    monkeypatch.setattr(floor, "TRAINING", short)
    run = trained(floor.plan(0.1).training)
    page = choose(lesson("floor", **{thread.RUN: run.id}), 0.1)
    rows = [row for row in run.metrics()[0] if row["val_loss"] is not None]
    traces = {trace["name"]: trace["y"] for trace in drawn(page, "floor_curves")}
    assert traces["validation, 10%, yours"] == [row["val_loss"] for row in rows]
    assert traces["recorded"] == evaluated(0.1, "val_loss")
    assert drawn(page, "floor_lowest")[0]["y"][1] == min(row["val_loss"] for row in rows)
    assert "Your run on 10% of the text came down to" in prose(page)
    assert "The recorded run on 30% of the text" in prose(choose(page, 0.3))


def test_a_run_that_its_owner_deletes_gives_its_place_back_to_the_recorded_one(
    lesson: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "TRAINING", replace(floor.TRAINING, steps=2, eval_every=2, sample_tokens=2))
    run = trained(floor.plan(0.02).training, owner_of("a" * 32))
    page = lesson("floor", **{thread.RUN: run.id, owner.BROWSER: "a" * 32})
    assert "Your run on 2% of the text" in prose(page)
    page.button(key="training_delete").click().run()
    assert not page.exception
    assert not run.exists
    assert "The recorded run on 2% of the text" in prose(page)


def test_a_run_with_other_settings_is_not_taken_for_one_of_this_lesson(lesson: Open) -> None:
    run = trained(replace(floor.TRAINING, steps=2, eval_every=2, sample_tokens=0, lr=1e-3))
    page = lesson("floor", **{thread.RUN: run.id})
    assert "The recorded run on 2% of the text" in prose(page)
    assert not any("step 2 of 2" in caption.value for caption in page.caption)


def test_the_training_page_draws_the_floor_of_this_text_and_of_no_other(lesson: Open) -> None:
    run = trained(replace(floor.TRAINING, steps=2, eval_every=2, sample_tokens=2))
    page = lesson("training", **{thread.RUN: run.id})
    page.segmented_control(key="training_view").set_value("Curves").run()
    assert levels(page, "training_curves")["the floor, H:"] == pytest.approx(the_entropies().floor)
    assert resources.reference_lines(load_text(OWN_STORY).text, floor.TRAINING).keys() == {
        "a blind guess, ln V:",
        "counting tokens:",
        "counting pairs:",
    }


def test_the_time_machine_draws_the_floor_as_well() -> None:
    run = trained(replace(floor.TRAINING, steps=2, eval_every=2, sample_tokens=2))
    assert look_back(run).lines[FLOOR] == the_entropies().floor

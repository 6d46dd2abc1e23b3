"""One step on screen: each number is that of a session beside it, and what can't be updated is said in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from gptcore import one_step
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import OWN_STORY, Text, load_text, read_bytes
from gptcore.descent import loss_along_gradient
from gptcore.line_by_line import source_lines
from gptcore.one_step import Session, Update
from gptcore.parameters import count_parameters
from pages._ui.one_step import HELD, MOST_PARAMETERS, MULTIPLES, STAND_IN_CHARACTERS

Drawn = Callable[[AppTest, str], list[dict[str, Any]]]
Refusals = Callable[[AppTest], list[str]]
STORY = load_text(OWN_STORY)
MODEL, CONFIG = MODEL_PRESETS["class"], TRAIN_PRESETS["class"]
SECONDS = 60


SCRIPT = """
import streamlit as st

from pages._ui import one_step

one_step.section(*st.session_state["settings"])
"""


def open_section(text: Text = STORY, model: GPTConfig = MODEL, config: TrainConfig = CONFIG) -> AppTest:
    page = AppTest.from_string(SCRIPT, default_timeout=SECONDS)
    page.session_state["settings"] = (text, model, config)
    assert not page.run().exception
    return page


def click(page: AppTest, times: int = 1) -> AppTest:
    for _ in range(times):
        page.button("one_step_do").click().run()
        assert not page.exception
    return page


def beside(times: int = 1, text: Text = STORY, model: GPTConfig = MODEL, **changes: Any) -> tuple[Session, Update]:
    session = one_step.begin(text, model, replace(CONFIG, **changes))
    return session, [one_step.one_update(session) for _ in range(times)][-1]


def lines(page: AppTest) -> list[dict[str, str]]:
    component = next(each for each in page.get("bidi_component") if "lines" in json.loads(each.proto.json))
    found: list[dict[str, str]] = json.loads(component.proto.json)["lines"]
    return found


def prose(page: AppTest) -> str:
    return " ".join(text.value for text in [*page.markdown, *page.caption])


def keys(page: AppTest) -> set[str]:
    return {
        element.key for kind in ("button", "plotly_chart", "selectbox", "number_input") for element in page.get(kind)
    }


def test_before_the_first_click_the_lines_stand_there_unlit_and_nothing_else_can_be_pressed() -> None:
    page = open_section()
    assert [line["code"] for line in lines(page)] == list(source_lines())
    assert {line["made"] for line in lines(page)} == {""}
    assert keys(page) == {"one_step_do"}
    assert HELD not in page.session_state


@pytest.mark.parametrize("times", [1, 3])
def test_each_line_has_the_number_that_it_made(times: int) -> None:
    made = [line["made"] for line in lines(click(open_section(), times))]
    _, update = beside(times)
    B, T, C = CONFIG.batch_size, MODEL.context_length, MODEL.emb_dim
    assert made == [
        "no gradients are left from before",
        f"{C} numbers at each of {B} × {T} positions",
        f"{update.vocab_size:,} scores at each position; their loss is {update.loss:.4g} nats a token",
        f"{update.parameters:,} gradients, one for each parameter",
        f"the gradient's length is {update.grad_norm:.3g}",
        f"{update.changed:,} of {update.parameters:,} parameters have changed",
        f"the same batch again: its loss is now {update.loss_after:.4g}",
    ]
    assert update.loss_after < update.loss


def test_the_charts_draw_the_sessions_numbers(drawn: Drawn) -> None:
    page = click(open_section(), 2)
    session, update = beside(2)
    after, before = drawn(page, "one_step_guess")
    assert after["x"] == pytest.approx(update.guess.table["after"].tolist())
    assert before["x"] == pytest.approx(update.guess.table["before"].tolist())
    (bars,) = drawn(page, "one_step_gradient")
    assert bars["x"] == pytest.approx(update.norms["norm"].tolist())
    assert bars["y"] == update.norms["part"].tolist()
    losses = loss_along_gradient(session, MULTIPLES)
    own, plain = (line for line in drawn(page, "one_step_descent") if len(line["x"]) == len(MULTIPLES))
    assert own["x"] == pytest.approx(losses["rate"].tolist())
    for line, column in ((own, "optimiser"), (plain, "gradient")):
        assert line["y"] == pytest.approx(losses[column].tolist(), nan_ok=True)


def test_the_learning_rate_is_marked_where_it_lies() -> None:
    page = click(open_section(config=replace(CONFIG, lr=0.003)))
    chart = next(each for each in page.get("plotly_chart") if each.key == "one_step_descent")
    (mark,) = json.loads(chart.proto.spec)["layout"]["shapes"]
    assert mark["x0"] == mark["x1"] == 0.003
    assert mark["name"] == "your rate, 0.003"


def test_start_again_gives_the_same_first_update_again() -> None:
    page = click(open_section())
    first = lines(page)
    assert "Update 2 of this run: step 1" in prose(click(page))
    page.button("one_step_again").click().run()
    assert keys(page) == {"one_step_do"}
    assert lines(click(page)) == first


def test_the_lines_light_up_again_with_each_update_and_only_then() -> None:
    def run(page: AppTest) -> str:
        component = next(each for each in page.get("bidi_component") if "lines" in json.loads(each.proto.json))
        return str(json.loads(component.proto.json)["run"])

    page = click(open_section())
    first = run(page)
    assert run(page.selectbox("one_number_tensor").select("final_norm.weight").run()) == first
    assert run(click(page)) != first


def test_other_settings_begin_another_run() -> None:
    page = click(open_section(), 2)
    page.session_state["settings"] = (STORY, MODEL, replace(CONFIG, seed=7))
    page.run()
    assert {line["made"] for line in lines(page)} == {""}
    assert "Update 1 of this run: step 0" in prose(click(page))
    assert f"their loss is {beside(seed=7)[1].loss:.4g} nats" in lines(page)[2]["made"]


def test_the_arithmetic_ends_at_the_number_in_the_model() -> None:
    page = click(open_section(), 2)
    step = one_step.one_parameter(beside(2)[0], "head.weight")
    row, column = step.place
    assert f"`head.weight[{row}, {column}]`" in prose(page)
    assert f"was *p* = {step.before:.7f}. Its gradient is *g* = {step.gradient:.4g}." in prose(page)
    assert f"**{step.plain:.7f}**" in prose(page)
    assert f"= **{step.after:.7f}**, as in the model now." in prose(page)


@pytest.mark.parametrize("changes", [{}, {"optimiser": "sgd", "lr": 0.3}], ids=str)
def test_any_number_may_be_followed(changes: dict[str, Any]) -> None:
    page = click(open_section(config=replace(CONFIG, **changes)))
    page.selectbox("one_number_tensor").select("blocks.1.feed_forward.up.bias").run()
    session, _ = beside(**changes)
    size = session.look_back().weights["blocks.1.feed_forward.up.bias"].numel()
    page.number_input(f"one_number_blocks.1.feed_forward.up.bias_{size}").set_value(17).run()
    step = one_step.one_parameter(session, "blocks.1.feed_forward.up.bias", 17)
    assert f"`blocks.1.feed_forward.up.bias[17]` was *p* = {step.before:.7f}" in prose(page)
    assert f"**{step.after:.7f}**" in prose(page)


@pytest.mark.parametrize("gradient", ["none", "some"])
def test_a_first_update_moves_a_number_by_the_rate_only_where_it_has_a_gradient(gradient: str) -> None:
    page = click(open_section())
    session, _ = beside()
    weights, name = dict(session.state.model.named_parameters()), "token_embedding.weight"
    slopes = weights[name].grad.flatten()
    index = int(slopes.abs().argmin() if gradient == "none" else slopes.abs().argmax())
    assert (slopes[index] == 0) == (gradient == "none")
    page.selectbox("one_number_tensor").select(name).run()
    page.number_input(f"one_number_{name}_{len(slopes)}").set_value(index).run()
    step = one_step.one_parameter(session, name, index)
    assert abs(step.move) == pytest.approx(0.0 if gradient == "none" else step.lr, rel=1e-3)
    assert "At a first update that is nearly ±1 wherever the gradient is well above 1e-08; where it is 0" in prose(page)
    assert "At a first update" not in prose(click(page))


def test_with_dropout_both_losses_are_told_apart() -> None:
    model = replace(MODEL, drop_rate=0.2)
    page = click(open_section(model=model))
    _, update = beside(model=model)
    assert update.loss != update.loss_before
    assert f"Without dropout the loss of this batch was {update.loss_before:.4g}" in prose(page)


def test_a_shortened_gradient_is_said() -> None:
    page = click(open_section(config=replace(CONFIG, grad_clip=0.25)))
    assert lines(page)[4]["made"].endswith(", shortened to 0.25")


def test_a_rate_of_zero_moves_nothing_and_is_explained() -> None:
    page = click(open_section(config=replace(CONFIG, lr=0.0, min_lr=None)))
    assert lines(page)[5]["made"].startswith("0 of ")
    assert "At a learning rate of 0 nothing moves" in prose(page)
    assert "one_step_descent" not in keys(page)


@pytest.mark.parametrize("name", ["book-124m", "harry-potter", "pocket"])
def test_the_class_preset_stands_in_for_a_model_too_large_for_a_click(name: str) -> None:
    page = open_section(model=MODEL_PRESETS[name], config=TRAIN_PRESETS[name])
    assert f"With {count_parameters(MODEL_PRESETS[name]):,} parameters" in prose(page)
    assert "so the class preset stands in, on your text." in prose(page)
    assert f"their loss is {beside()[1].loss:.4g} nats" in lines(click(page))[2]["made"]


def test_of_a_long_text_the_beginning_stands_in() -> None:
    long = replace(STORY, text=STORY.text * 10)
    page = click(open_section(text=long))
    assert f"on the first {STAND_IN_CHARACTERS:,} characters of your text." in prose(page)
    shorter = replace(long, text=long.text[:STAND_IN_CHARACTERS])
    assert f"their loss is {beside(text=shorter)[1].loss:.4g} nats" in lines(page)[2]["made"]


def test_what_a_session_holds_is_small() -> None:
    held = click(open_section(model=MODEL_PRESETS["book-124m"])).session_state[HELD]
    assert sum(weight.numel() for weight in held.session.state.model.parameters()) <= MOST_PARAMETERS
    memory = [tensor for each in held.session.state.optimiser.state.values() for tensor in each.values()]
    assert sum(tensor.numel() for tensor in memory) < 2.1 * MOST_PARAMETERS


def test_a_text_that_is_too_short_is_refused_in_a_sentence(refusals: Refusals) -> None:
    page = open_section(text=read_bytes(b"One two three four five six.", "short.txt"))
    (sentence,) = refusals(click(page))
    assert "needs at least 32 + 1 = 33" in sentence
    assert keys(page) == {"one_step_do"}


def test_a_run_that_diverges_says_so_and_can_begin_again(refusals: Refusals) -> None:
    page = open_section(config=replace(CONFIG, lr=1e30, min_lr=None))
    assert refusals(click(page)) == ["Diverged at step 0; learning rate 1e+30: choose a smaller one."]
    assert HELD not in page.session_state
    page.run()
    assert refusals(page) == []


def test_two_students_have_a_model_each() -> None:
    mine, other = click(open_section()), click(open_section(), 2)
    assert "Update 2 of this run: step 1" in prose(click(mine))
    assert lines(mine) == lines(other)
    assert mine.session_state[HELD].session is not other.session_state[HELD].session


def test_a_students_text_is_shown_letter_by_letter() -> None:
    hostile = read_bytes(b"<script>x</script> $a$ :red[b] [c](javascript:1) " * 60, "hostile.txt")
    page = click(open_section(text=hostile), 2)
    assert "<script" not in prose(page)
    assert ":red[" not in prose(page)
    assert "](javascript" not in prose(page)


def test_runs_and_the_random_numbers_of_the_server_are_left_alone(data_home: Path) -> None:
    before = torch.get_rng_state()
    click(open_section(model=replace(MODEL, drop_rate=0.2)), 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(data_home.iterdir()) == []

"""The loss lesson: each number of a window is gptcore's, whoever guesses and wherever the window stands."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from gptcore import loss
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text, read_bytes
from gptcore.library import load_model, new_model
from gptcore.model import GPTModel
from gptcore.runs.store import Run
from gptcore.tokenizer import CompactTokenizer, load_tokenizer
from gptcore.windows import split_text
from pages._ui import passage, thread

Open = Callable[..., AppTest]
Drawn = Callable[[AppTest, str], list[dict[str, Any]]]
STORY = load_text(OWN_STORY).text


@pytest.fixture(scope="module")
def untrained() -> GPTModel:
    return new_model(MODEL_PRESETS["class"], TRAIN_PRESETS["class"].seed)


@pytest.fixture
def page(lesson: Open) -> AppTest:
    return lesson("loss")


@pytest.fixture
def bars(drawn: Drawn) -> Callable[[AppTest], list[float]]:
    """The height of each bar."""
    return lambda page: next(trace for trace in drawn(page, "loss_bars") if trace["name"] == "this guess")["y"]


def prose(page: AppTest) -> str:
    return " ".join(" ".join(text.value for text in page.markdown).split())


def chips(page: AppTest) -> list[dict[str, Any]]:
    (component,) = page.get("bidi_component")
    pieces: list[dict[str, Any]] = json.loads(component.proto.json)["pieces"]
    return pieces


def expected(model: GPTModel, ids: Sequence[int], start: int, length: int) -> pd.DataFrame:
    window = torch.tensor(ids[start : start + length + 1])
    with torch.no_grad():
        return loss.loss_table(model(window[None, :-1])[0], window[1:])


def training_ids(text: str = STORY) -> list[int]:
    return load_tokenizer().encode(split_text(text, 0.9)[0])


def follow(lesson: Open, run: Run) -> AppTest:
    """The page after a run of one's own, as ``thread.follow`` leaves it."""
    return lesson("loss", **{thread.RUN: run.id, thread.TEXT: run.text})


def test_the_first_view_is_an_untrained_models_window(
    page: AppTest, untrained: GPTModel, bars: Callable[[AppTest], list[float]]
) -> None:
    assert not page.exception
    table = expected(untrained, training_ids(), 0, 16)
    mean = table["loss"].mean()
    assert page.selectbox("loss_voice").value == "untrained"
    assert bars(page) == pytest.approx(table["loss"].tolist())
    assert f"**{mean:.4f}** nats a token" in prose(page)
    assert f"perplexity **{math.exp(mean):,.1f}**" in prose(page)
    assert "(1, 16, 50,257) → (16, 50,257)" in prose(page)
    assert any(f"in one call, as a training run does it: {mean:.4f}" in caption.value for caption in page.caption)


def test_an_untrained_model_guesses_about_as_badly_as_blindly(page: AppTest) -> None:
    told = prose(page).split("A blind guess costs ln 50,257 = ")[1]
    assert told.startswith(f"{math.log(50_257):.2f}; this mean is 0.")


def test_every_control_moves_the_window(
    page: AppTest, untrained: GPTModel, bars: Callable[[AppTest], list[float]]
) -> None:
    page.slider("loss_start_training").set_value(40).run()
    assert bars(page) == pytest.approx(expected(untrained, training_ids(), 40, 16)["loss"].tolist())
    page.slider("loss_length").set_value(8).run()
    assert bars(page) == pytest.approx(expected(untrained, training_ids(), 40, 8)["loss"].tolist())
    page.button_group("loss_part").set_value("validation").run()
    ids = load_tokenizer().encode(split_text(STORY, 0.9)[1])
    assert bars(page) == pytest.approx(expected(untrained, ids, 0, 8)["loss"].tolist())
    assert not page.exception


def test_the_window_reaches_the_very_last_token(page: AppTest, bars: Callable[[AppTest], list[float]]) -> None:
    ids = training_ids()
    slider = page.slider("loss_start_training")
    assert slider.max == len(ids) - 1 - 16
    slider.set_value(slider.max).run()
    assert len(bars(page)) == 16
    page.slider("loss_length").set_value(32).run()  # does not fit behind that start any more
    assert not page.exception
    assert page.slider("loss_start_training").value == len(ids) - 1 - 32
    assert len(bars(page)) == 32


def test_one_guess_is_followed_step_by_step(page: AppTest, untrained: GPTModel) -> None:
    page.slider("loss_at").set_value(3).run()
    row = expected(untrained, training_ids(), 0, 16).iloc[2]
    assert f"scored {row['target_logit']:.2f}, place" in prose(page)
    assert f"*p* = 1 in {1 / row['probability']:,.0f}" in prose(page)
    assert f"{row['loss']:.3f} nats" in prose(page)


@pytest.mark.parametrize(
    ("probability", "said"),
    [(1.0, "100.0%"), (0.25, "25.0%"), (0.0005, "1 in 2,000"), (1e-9, "1 in 1,000,000,000"), (0.0, "0")],
)
def test_a_small_probability_is_told_as_one_in_so_many(probability: float, said: str) -> None:
    assert passage.chance(probability) == said


def test_the_favourites_are_the_models_five_likeliest(page: AppTest, untrained: GPTModel) -> None:
    page.slider("loss_at").set_value(3).run()
    ids = training_ids()
    with torch.no_grad():
        chances = torch.softmax(untrained(torch.tensor([ids[:16]]))[0, 2].double(), dim=0)
    likeliest = chances.topk(5)
    shown = page.dataframe[0].value
    assert shown["probability"].tolist() == pytest.approx(likeliest.values.tolist())
    assert shown["loss"].tolist() == pytest.approx((-likeliest.values.log()).tolist())
    names = [load_tokenizer().decode([i]).replace(" ", "·") for i in likeliest.indices.tolist()]
    assert shown["token"].tolist() == names


def test_the_chips_are_the_window_and_the_dearer_the_bluer(page: AppTest, untrained: GPTModel) -> None:
    pieces = chips(page)
    assert "".join(piece["text"] for piece in pieces) == load_tokenizer().decode(training_ids()[:17])
    assert "colour" not in pieces[0]  # given, not guessed
    losses = expected(untrained, training_ids(), 0, 16)["loss"]
    opacity = [int(piece["colour"][-2:], 16) for piece in pieces[1:]]
    assert opacity == [round(255 * min(loss / math.log(50_257), 1)) for loss in losses]


def test_a_run_of_ones_own_guesses_in_its_own_vocabulary(
    lesson: Open, finished_run: Run, bars: Callable[[AppTest], list[float]]
) -> None:
    page = follow(lesson, finished_run)
    assert page.selectbox("loss_voice").value == "your run, best"
    model, tokenizer = load_model(finished_run.folder, "best")
    assert isinstance(tokenizer, CompactTokenizer)
    table = expected(model, tokenizer.encode(split_text(STORY, 0.9)[0]), 0, 16)
    assert bars(page) == pytest.approx(table["loss"].tolist(), rel=1e-5)
    assert f"(1, 16, {tokenizer.vocab_size:,})" in prose(page)
    assert f"ln {tokenizer.vocab_size:,} = {math.log(tokenizer.vocab_size):.2f}" in prose(page)


@pytest.mark.parametrize("which", ["best", "last"])
def test_the_best_and_the_last_weights_can_be_asked(lesson: Open, finished_run: Run, which: str) -> None:
    page = follow(lesson, finished_run)
    page.selectbox("loss_voice").select(f"your run, {which}").run()
    model, tokenizer = load_model(finished_run.folder, which)
    mean = expected(model, tokenizer.encode(split_text(STORY, 0.9)[0]), 0, 16)["loss"].mean()
    assert f"**{mean:.4f}** nats a token" in prose(page)


def test_the_untrained_model_can_still_be_asked_after_training(
    lesson: Open, finished_run: Run, untrained: GPTModel
) -> None:
    page = follow(lesson, finished_run)
    page.selectbox("loss_voice").select("untrained").run()
    mean = expected(untrained, training_ids(), 0, 16)["loss"].mean()
    assert f"**{mean:.4f}** nats a token" in prose(page)


def test_a_text_outside_a_compact_vocabulary_is_said_and_the_untrained_model_goes_on(
    lesson: Open, finished_run: Run
) -> None:
    other = read_bytes(b"Quantum chromodynamics is asymptotically free. " * 20, "other.txt")
    page = lesson("loss", **{thread.RUN: finished_run.id, thread.TEXT: other})
    assert not page.exception
    (error,) = page.error
    assert error.value.startswith("This model knows only the ")
    assert error.value.endswith("Shown instead: the untrained model.")
    assert "50,257) →" in prose(page)


@pytest.mark.parametrize("text", [b"a", b"Hi"])
def test_a_text_without_anything_to_guess_is_said_in_a_sentence(lesson: Open, text: bytes) -> None:
    page = lesson("loss", **{thread.TEXT: read_bytes(text, "tiny.txt")})
    assert not page.exception
    (error,) = page.error
    assert error.value.startswith("This part of the text needs at least 2 tokens")


@pytest.mark.parametrize("words", [2, 3, 6, 9, 10])
def test_a_short_text_gives_a_short_window(lesson: Open, words: int) -> None:
    text = read_bytes((" one" * words + ".").encode(), "short.txt")
    page = lesson("loss", **{thread.TEXT: text})
    assert not page.exception
    assert len(chips(page)) == len(training_ids(text.text))


def test_a_students_text_is_shown_letter_by_letter_and_never_as_markdown(lesson: Open) -> None:
    hostile = "<script>x</script> $a$ :red[b] [c](javascript:1) " * 8
    page = lesson("loss", **{thread.TEXT: read_bytes(hostile.encode(), "hostile.txt")})
    assert not page.exception
    assert "script" in "".join(piece["text"] for piece in chips(page))
    assert "script" not in prose(page)
    assert ":red" not in prose(page)


@pytest.mark.parametrize("right", [True, False])
def test_the_question_is_scored_from_the_window(page: AppTest, untrained: GPTModel, right: bool) -> None:
    probabilities = expected(untrained, training_ids(), 0, 16)["probability"]
    halved, mean = (-(probabilities / share).map(math.log).mean() for share in (2, 1))
    page.button_group("loss_predict_choice").set_value(f"{halved if right else mean:.2f}").run()
    (verdict,) = page.success if right else page.info
    assert verdict.value.startswith("Yes. Half" if right else f"It is {halved:.2f}. Half")


def test_the_slips_are_answered_by_numbers(page: AppTest) -> None:
    assert "ln 48,725 = 10.794" in prose(page)
    assert "has: 38,597,376 in GPT-2's small shape, 50,257 × 64 = 3,216,448 here" in prose(page)

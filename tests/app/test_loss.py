"""The loss lesson: each number of a window is gptcore's, whoever guesses and wherever the window stands."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from gptcore import baselines, loss
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig
from gptcore.corpora import OWN_STORY, load_text, read_bytes
from gptcore.language import the_entropies
from gptcore.library import load_model, new_model
from gptcore.model import GPTModel
from gptcore.paths import POCKET_MODEL
from gptcore.pretrained import save_gpt2
from gptcore.runs.store import Run
from gptcore.tokenizer import CompactTokenizer, load_tokenizer
from gptcore.windows import split_text
from pages._ui import passage, thread, three_judges

Open = Callable[..., AppTest]
Offers = Callable[[AppTest, str], Any]
Drawn = Callable[[AppTest, str], list[dict[str, Any]]]
STORY = load_text(OWN_STORY).text
FAVOURED = ["token", "probability", "loss"]


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


def chips(page: AppTest, key: str = "loss_passage") -> list[dict[str, Any]]:
    component = next(component for component in page.get("bidi_component") if component.key == key)
    pieces: list[dict[str, Any]] = json.loads(component.proto.json)["pieces"]
    return pieces


def table(page: AppTest, column: str) -> pd.DataFrame:
    """The one table that has this column."""
    (frame,) = (frame.value for frame in page.dataframe if column in frame.value.columns)
    return frame


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
    shown = next(frame.value for frame in page.dataframe if list(frame.value.columns) == FAVOURED)
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
def test_the_question_is_scored_from_the_window(
    page: AppTest, untrained: GPTModel, offers: Offers, right: bool
) -> None:
    probabilities = expected(untrained, training_ids(), 0, 16)["probability"]
    halved, mean = (-(probabilities / share).map(math.log).mean() for share in (2, 1))
    offers(page, "loss").set_value(f"{halved if right else mean:.2f}").run()
    (verdict,) = page.success if right else page.info
    assert verdict.value.startswith("Yes. Half" if right else f"It is {halved:.2f}. Half")


def test_the_slips_are_answered_by_numbers(page: AppTest) -> None:
    assert "ln 48,725 = 10.794 is the loss in question, and e to that is 48,725 again" in prose(page)
    assert "ln 47,678 would be 10.772" in prose(page)
    assert "has: 38,597,376 in GPT-2's small shape, 50,257 × 64 = 3,216,448 here" in prose(page)


def test_that_the_loss_goes_to_zero_is_answered_by_a_run_and_by_a_known_floor(page: AppTest) -> None:
    rows = [row for row in Run(thread.RECORDED_RUN).metrics()[0] if row["val_loss"] is not None]
    train, new = (min(row[part] for row in rows) for part in ("train_loss", "val_loss"))
    assert f"In the recorded run the loss on text read before fell to {train:.2f}" in prose(page)
    assert f"on new text never below {new:.2f}" in prose(page)
    assert f"that is {the_entropies().floor:.2f} nats a token" in prose(page)


def test_counting_is_measured_on_the_same_window(page: AppTest) -> None:
    (chart,) = page.get("plotly_chart")
    ids = training_ids()
    counted = baselines.counting_losses(ids, ids[:17], 50_257)
    lines = {line["name"]: line["y0"] for line in json.loads(chart.proto.spec)["layout"]["shapes"]}
    assert lines == {
        f"a blind guess, ln V: {math.log(50_257):.2f}": pytest.approx(math.log(50_257)),
        f"counting tokens: {counted['unigram']:.2f}": pytest.approx(counted["unigram"]),
        f"counting pairs: {counted['bigram']:.2f}": pytest.approx(counted["bigram"]),
    }


# ------------------------------------------------------------------------------------------------------- as one batch


def test_two_windows_of_four_are_laid_flat_with_their_real_numbers(page: AppTest, untrained: GPTModel) -> None:
    ids = training_ids()
    windows = torch.tensor([ids[:5], ids[4:9]])
    with torch.no_grad():
        logits = untrained(windows[:, :-1])
    assert logits.shape == (2, 4, 50_257)
    flat = loss.loss_table(logits.flatten(0, 1), windows[:, 1:].flatten())
    shown = table(page, "ln Σ exp")
    assert "(2, 4, 50257) → (8, 50257), targets (2, 4) → (8)" in prose(page)
    assert shown["id"].tolist() == windows[:, 1:].flatten().tolist()
    assert shown["its logit"].tolist() == pytest.approx(flat["target_logit"].tolist(), rel=1e-5)
    assert shown["ln Σ exp"].tolist() == pytest.approx(logits.logsumexp(-1).flatten().tolist(), rel=1e-5)
    assert shown["−ln p"].tolist() == pytest.approx(flat["loss"].tolist(), rel=1e-5)
    mean = loss.mean_loss(logits, windows[:, 1:]).item()
    assert f"/ 8 = **{mean:.4f}** nats; e to that is {math.exp(mean):,.1f}. In one call: {mean:.4f}" in prose(page)


# --------------------------------------------------------------------------------------------------------- edit a word


def edit(page: AppTest, words: str) -> AppTest:
    page.button_group("loss_part").set_value("edit it").run()
    return page.text_area("loss_typed").set_value(words).run()


def test_the_window_that_was_seen_can_be_edited(page: AppTest) -> None:
    page.slider("loss_start_training").set_value(40).run()
    page.button_group("loss_part").set_value("edit it").run()
    assert not page.exception
    assert page.text_area("loss_typed").value == load_tokenizer().decode(training_ids()[40:57])
    assert "As it stands now" not in prose(page)


def test_a_changed_word_changes_what_comes_after_it_costs(page: AppTest) -> None:
    page.selectbox("loss_voice").select("pocket model").run()
    window = load_tokenizer().decode(training_ids()[:17])
    edit(page, window.replace("street", "river"))
    assert not page.exception
    model, tokenizer = load_model(POCKET_MODEL)
    now, before = (
        expected(model, tokenizer.encode(text), 0, 16)["loss"] for text in (window.replace("street", "river"), window)
    )
    assert f"(first, {now.mean():.2f} nats a token) **and as it stood** (second, {before.mean():.2f})" in prose(page)
    assert f"Its last 8 tokens are the same, and yet they cost {now[-8:].mean():.2f} instead of" in prose(page)
    assert "".join(piece["text"] for piece in chips(page, "loss_before")) == window


@pytest.mark.parametrize("words", ["", "a"])
def test_a_text_that_was_edited_away_is_said_in_a_sentence(page: AppTest, words: str) -> None:
    edit(page, words)
    assert not page.exception
    assert page.error[0].value.startswith("This part of the text needs at least 2 tokens")
    assert not edit(page, "Some words again.").error


def test_an_edit_is_shown_letter_by_letter(page: AppTest) -> None:
    edit(page, "<script>x</script> $a$ :red[b]")
    assert not page.exception
    assert "script" in "".join(piece["text"] for piece in chips(page))
    assert "script" not in prose(page)
    assert ":red" not in prose(page)


def test_a_word_that_a_compact_vocabulary_lacks_is_said(lesson: Open, finished_run: Run) -> None:
    page = edit(follow(lesson, finished_run), "The quantum chromodynamics of it")
    assert not page.exception
    assert page.error[0].value.startswith("This model knows only the ")


# ------------------------------------------------------------------------------------------------------- several judges


def test_untrained_trained_and_pretrained_models_judge_the_same_passage(page: AppTest, untrained: GPTModel) -> None:
    window = load_tokenizer().decode(training_ids()[:17])
    judged = table(page, "judge").set_index("judge")
    models = {
        "untrained": (untrained, load_tokenizer()),
        three_judges.RECORDED.label: load_model(thread.SMALL_RUN),
        "pocket model": load_model(POCKET_MODEL),
    }
    assert judged.index.tolist() == list(models)
    for label, (model, tokenizer) in models.items():
        ids = tokenizer.encode(window)
        losses = expected(model, ids, 0, len(ids) - 1)["loss"]
        size = len(b"".join(tokenizer.token_bytes(i) for i in ids[1:]))
        assert judged.loc[label, "loss"] == pytest.approx(losses.mean(), rel=1e-5)
        assert judged.loc[label, "perplexity"] == pytest.approx(math.exp(losses.mean()), rel=1e-4)
        assert judged.loc[label, "bits per byte"] == pytest.approx(losses.sum() / math.log(2) / size, rel=1e-5)
        assert judged.loc[label, "vocabulary"] == tokenizer.vocab_size


def test_a_compact_vocabulary_is_said_to_have_it_easier(page: AppTest) -> None:
    small = load_model(thread.SMALL_RUN)[1].vocab_size
    assert f"A vocabulary of {small:,} tokens makes even a blind guess cheap, {math.log(small):.2f} nats" in prose(page)
    assert "Neither column takes that help away." in prose(page)


def test_judges_that_cut_alike_are_ranked_alike_by_losses_and_by_bits(page: AppTest) -> None:
    judged = table(page, "judge").set_index("judge")
    ratio = judged["bits per byte"] / judged["loss"]
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-9)
    assert "All judges here cut alike, so both columns rank them alike." in prose(page)


def test_a_judge_that_lacks_a_token_says_so_and_the_others_go_on(page: AppTest) -> None:
    edit(page, "Quantum chromodynamics is asymptotically free, they say.")
    assert table(page, "judge")["judge"].tolist() == ["untrained", "pocket model"]
    assert any(caption.value.startswith("recorded small run: this model knows only") for caption in page.caption)


def test_gpt2_weights_that_lie_ready_are_a_judge_and_the_shortest_context_counts_for_all(
    lesson: Open, data_home: Path
) -> None:
    shape = GPTConfig(context_length=12, emb_dim=64, n_heads=1, n_layers=1, qkv_bias=True, tie_weights=True)
    save_gpt2(new_model(shape, 0), data_home / "models" / "tiny-gpt2")
    page = lesson("loss")
    assert not page.exception
    judged = table(page, "judge").set_index("judge")
    ids = training_ids()[:13]
    for label, model in (("GPT-2 (tiny-gpt2)", new_model(shape, 0)), ("pocket model", load_model(POCKET_MODEL)[0])):
        assert judged.loc[label, "loss"] == pytest.approx(expected(model, ids, 0, 12)["loss"].mean(), rel=1e-4)
    assert any(caption.value.startswith("The first 12 of 16 guesses") for caption in page.caption)


def test_gpt2_can_be_asked_about_a_window_of_the_thread(lesson: Open, data_home: Path) -> None:
    shape = GPTConfig(context_length=40, emb_dim=64, n_heads=1, n_layers=1, qkv_bias=True, tie_weights=True)
    save_gpt2(new_model(shape, 1), data_home / "models" / "tiny-gpt2")
    page = lesson("loss")
    page.selectbox("loss_voice").select("GPT-2 (tiny-gpt2)").run()
    mean = expected(new_model(shape, 1), training_ids(), 0, 16)["loss"].mean()
    assert f"**{mean:.4f}** nats a token" in prose(page)

"""The forward lesson: each number on its way from prompt to next token is gptcore's, whoever reads which prompt."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from gptcore import forward
from gptcore.config import MODEL_PRESETS, GPTConfig, SamplingConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.dropout import dropout_losses
from gptcore.figures.bars import next_token_bars, percent
from gptcore.forward import Trace, lens_table, logit_lens, settled
from gptcore.library import new_model
from gptcore.model import GPTModel
from gptcore.paths import POCKET_MODEL
from gptcore.pretrained import save_gpt2
from gptcore.runs.store import Run
from gptcore.sampling import next_logits, next_token_table
from gptcore.tokenizer import END_OF_TEXT_ID, Tokenizer, load_tokenizer, show_token
from pages._ui import attention, forward_pass, forward_views, resources, thread
from pages._ui.forward_steps import length
from pages._ui.resources import UNTRAINED, Voice

Open = Callable[..., AppTest]
Drawn = Callable[[AppTest, str], list[dict[str, Any]]]
Refusals = Callable[[AppTest], list[str]]
PROMPT = f"forward_prompt_{OWN_STORY}"
STORY_PROMPT = load_text(OWN_STORY).prompt
HOSTILE = "<b>$x^2$</b> :red[a] **b** [c](javascript:1)"
SHAPE = MODEL_PRESETS["class"]


@pytest.fixture
def page(lesson: Open) -> AppTest:
    """The lesson with the untrained model, which is always there."""
    return lesson("forward").selectbox("forward_voice").select("untrained").run()


def ask(page: AppTest, prompt: str) -> AppTest:
    page.text_input(PROMPT).set_value(prompt).run()
    assert not page.exception
    return page


def spoken(voice: Voice = UNTRAINED, prompt: str = STORY_PROMPT) -> tuple[GPTModel, Tokenizer, Trace]:
    """What gptcore makes of a prompt, without the pages' caches."""
    model, tokenizer = resources.speak(voice)
    ids = tokenizer.encode(prompt) if prompt else [END_OF_TEXT_ID]
    return model, tokenizer, forward.trace(model, ids)


def prose(page: AppTest) -> str:
    return " ".join(" ".join(text.value for text in [*page.markdown, *page.caption]).split())


def component(page: AppTest, name: str) -> dict[str, Any]:
    """What the browser gets for one of the page's components."""
    data = [json.loads(each.proto.json) for each in page.get("bidi_component")]
    found: dict[str, Any] = next(each for each in data if name in each)
    return found


def unpacked(packed: str, dtype: type, *shape: int) -> Any:
    return np.frombuffer(base64.b64decode(packed), dtype).reshape(shape)


def assert_map_is(page: AppTest, trace: Trace, layer: int, head: int) -> None:
    data = component(page, "maps")
    T = len(trace.ids)
    assert (data["layer"], data["head"]) == (layer, head)
    for name in ("q", "k"):
        expected = getattr(trace, name)[layer, head].numpy()
        assert np.allclose(unpacked(data[name], np.float32, T, data["width"]), expected, atol=1e-6)
    assert np.allclose(unpacked(data["weights"], np.float32, T, T), trace.weights[layer, head].numpy(), atol=1e-6)


def bars_are(page: AppTest, drawn: Drawn, model: GPTModel, tokenizer: Tokenizer, ids: list[int]) -> None:
    (bars,) = drawn(page, "forward_bars")
    (expected,) = next_token_bars(next_token_table(next_logits(model, ids), tokenizer, SamplingConfig()), shown=8).data
    assert bars["y"] == list(expected.y)
    assert bars["x"] == pytest.approx(list(expected.x), abs=1e-6)


def follow(lesson: Open, run: Run) -> AppTest:
    return lesson("forward", **{thread.RUN: run.id, thread.TEXT: run.text})


# ----------------------------------------------------------------------------------------------------- before any click


def test_the_first_view_is_the_bundled_models_way_through_the_storys_prompt(lesson: Open, drawn: Drawn) -> None:
    page = lesson("forward")
    model, tokenizer, trace = spoken(Voice("pocket model", POCKET_MODEL))
    assert page.selectbox("forward_voice").value == "pocket model"
    assert page.text_input(PROMPT).value == STORY_PROMPT
    bars_are(page, drawn, model, tokenizer, list(trace.ids))
    assert_map_is(page, trace, 0, 0)
    assert component(page, "pieces")["pieces"][-1]["kind"] == "asked"
    assert "".join(piece["text"] for piece in component(page, "pieces")["pieces"]) == STORY_PROMPT


def test_every_part_carries_its_shapes_and_the_length_of_the_stream(page: AppTest) -> None:
    model, _, trace = spoken()
    T, C, V = len(trace.ids), model.config.emb_dim, model.config.vocab_size
    lengths = [length(row[-1].numpy()) for row in trace.stream]
    labels = [box.label for box in page.expander]
    assert labels[:4] == [
        f"Embeddings · ({T}) → ({T}, {C}) · length {lengths[0]:,.2f}",
        f"Block 1 · ({T}, {C}) → ({T}, {C}) · length {lengths[1]:,.2f}",
        f"Block 2 · ({T}, {C}) → ({T}, {C}) · length {lengths[2]:,.2f}",
        f"Head · ({T}, {C}) → ({T}, {V:,})",
    ]


def test_the_notice_holds_the_passes_own_numbers(page: AppTest) -> None:
    _, _, trace = spoken()
    first, last = (length(trace.stream[depth, -1].numpy()) for depth in (0, -1))
    assert f"enters with length {first:.2f} and leaves block 2 with {last:.2f}." in prose(page)
    share = float(trace.weights[:, :, -1, 0].mean())
    assert f"over all 8 heads the last token gives {percent(share)} of its weight to the first" in prose(page)
    assert f"evenly spread it would be {percent(1 / len(trace.ids))}." in prose(page)
    assert "attention is not explanation" in prose(page)


def test_the_slip_is_answered_by_a_number(page: AppTest) -> None:
    assert "768 × 768 = 589,824: 0.59 M." in prose(page)


# ------------------------------------------------------------------------------------------------------------- controls


def test_the_prompt_decides_map_bars_and_tokens(page: AppTest, drawn: Drawn) -> None:
    ask(page, "Another beginning")
    model, tokenizer, trace = spoken(prompt="Another beginning")
    assert_map_is(page, trace, 0, 0)
    bars_are(page, drawn, model, tokenizer, list(trace.ids))


def test_layer_and_head_choose_the_map(page: AppTest) -> None:
    _, _, trace = spoken()
    page.number_input(attention.LAYER).set_value(2).run()
    assert_map_is(page, trace, 1, 0)
    page.number_input(attention.HEAD).set_value(3).run()
    assert_map_is(page, trace, 1, 2)


def test_a_model_with_fewer_layers_and_heads_brings_the_pager_back_into_reach(lesson: Open) -> None:
    page = lesson("forward")
    page.number_input(attention.LAYER).set_value(4).run()
    page.selectbox("forward_voice").select("untrained").run()
    assert not page.exception
    assert page.number_input(attention.LAYER).value == 2
    assert_map_is(page, spoken()[2], 1, 0)


def test_the_small_maps_are_all_heads_in_a_byte_a_cell(page: AppTest) -> None:
    _, _, trace = spoken()
    small = component(page, "maps")["maps"]
    shown = unpacked(small["weights"], np.uint8, *trace.weights.shape)
    assert small["layers"] == [0, 1]
    assert np.abs(shown / 255 - trace.weights.numpy()).max() <= 0.5 / 255 + 1e-6


def test_of_many_tokens_only_the_chosen_layers_heads_are_sent(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MOST_SMALL_BYTES", 100)
    page.number_input(attention.LAYER).set_value(2).run()
    small = component(page, "maps")["maps"]
    assert small["layers"] == [1]
    assert len(base64.b64decode(small["weights"])) == 4 * len(spoken()[2].ids) ** 2
    assert "those of layer 2" in prose(page)


def test_another_token_is_followed_through_every_part(page: AppTest) -> None:
    count = len(spoken()[2].ids)
    page.slider(f"forward_at_{count}").set_value(2).run()
    _, _, trace = spoken()
    assert [piece["kind"] for piece in component(page, "pieces")["pieces"]].index("asked") == 1
    assert component(page, "maps")["cell"] == [1, int(trace.weights[0, 0, 1].argmax())]
    assert page.expander[1].label.endswith(f"length {length(trace.stream[1, 1].numpy()):,.2f}")


def test_embeddings_are_a_row_of_each_table_and_their_sum(page: AppTest) -> None:
    _, _, trace = spoken()
    token, position, stream = (length(x[-1].numpy()) for x in (trace.token, trace.position, trace.stream[0]))
    (told,) = [text.value for text in page.markdown if "of the dictionary" in text.value]
    assert f"row {trace.ids[-1]:,} of the dictionary (50,257 × 64): a vector of length {token:.2f}" in told
    assert f"(32 × 64): length {position:.2f}" in told
    assert told.endswith(f"of length {stream:.2f}.")


def test_a_block_that_is_opened_shows_its_eight_steps_in_numbers(page: AppTest) -> None:
    assert not any("Norm 1" in text.value for text in page.markdown)  # what is closed is not even sent
    page.session_state["forward_part_2"] = True
    page.run()
    model, _, trace = spoken()
    stages = forward.stages_of(model, trace, 1)
    (told,) = [text.value for text in page.markdown if "Norm 1" in text.value]
    T = len(trace.ids)
    lines = told.splitlines()
    assert len(lines) == 8
    assert f"→ 3 × (4, {T}, 16): one matrix, 64 × 192" in lines[1]
    assert f"(4, {T}, {T}): scores q · k / √16" in lines[2]
    assert "64 × 64 = 4,096 numbers" in lines[3]
    entered, added, between, thought, left = (
        length(x[-1].numpy())
        for x in (stages.entered, stages.attention, stages.between, stages.feed_forward, stages.left)
    )
    assert f"length {added:.2f} is added; the stream goes from {entered:.2f} to {between:.2f}." in lines[4]
    assert f"({T}, 256)" in lines[6]
    assert f"leaves {int((stages.wide[-1] > 0).sum())} above 0." in lines[6]
    assert f"length {thought:.2f} is added; the stream leaves with length {left:.2f}." in lines[7]


def test_the_head_that_is_opened_names_the_two_likeliest(page: AppTest) -> None:
    page.session_state["forward_part_head"] = True
    page.run()
    model, _, trace = spoken()
    scores = trace.logits.topk(2).values.tolist()
    assert f"The largest, {scores[0]:.3f}, belongs to" in prose(page)
    assert f"the next, {scores[1]:.3f}, to" in prose(page)
    assert f"50,257 rows of {model.config.emb_dim} numbers" in prose(page)


# ----------------------------------------------------------------------------------------------------------------- lens


def lens_question(page: AppTest) -> Any:
    return next(group for group in page.button_group if str(group.key).endswith("_predict_choice"))


def test_the_lens_is_hidden_until_a_guess_and_then_answered_by_the_model(page: AppTest, drawn: Drawn) -> None:
    assert "forward_lens" not in [chart.key for chart in page.get("plotly_chart")]
    model, _, trace = spoken()
    table = lens_table(logit_lens(model, trace, -1))
    depth = settled(table)
    lens_question(page).set_value(forward_views.depth_name(depth)).run()
    (verdict,) = page.success
    assert f"has {percent(table['final_probability'].iloc[0])}, rank {table['final_rank'].iloc[0]:,}" in verdict.value
    final, first = drawn(page, "forward_lens")
    assert final["x"] == pytest.approx(table["final_probability"].tolist())
    assert first["x"] == pytest.approx(table["probability"].tolist())


def test_a_wrong_guess_is_told_the_right_answer(page: AppTest) -> None:
    model, _, trace = spoken()
    depth = settled(lens_table(logit_lens(model, trace, -1)))
    lens_question(page).set_value(forward_views.depth_name((depth + 1) % 3)).run()
    (told,) = page.info
    assert told.value.startswith(f"It is {forward_views.depth_name(depth)}. ")


def test_the_lens_can_be_shown_without_a_guess(page: AppTest, drawn: Drawn) -> None:
    page.toggle("forward_show").set_value(True).run()
    assert len(drawn(page, "forward_lens")) == 2


def test_a_guess_is_for_one_prompt_and_not_for_the_next(page: AppTest) -> None:
    lens_question(page).set_value("embeddings").run()
    assert page.success or page.info
    ask(page, "Another beginning")
    assert not page.success
    assert not page.info


def test_the_lens_ends_at_the_models_own_next_token_table(page: AppTest, drawn: Drawn) -> None:
    page.toggle("forward_show").set_value(True).run()
    table = resources.next_tokens(UNTRAINED, STORY_PROMPT, SamplingConfig())
    best = table.loc[table["probability"].idxmax()]
    final, first = drawn(page, "forward_lens")
    assert final["x"][-1] == first["x"][-1] == pytest.approx(best["probability"], abs=1e-6)
    assert best["token"].strip() in first["y"][-1]


def test_only_a_tied_head_that_finds_the_token_again_is_said_to(page: AppTest, lesson: Open) -> None:
    page.toggle("forward_show").set_value(True).run()
    assert "the token that went in" not in prose(page)  # the untrained model's head is a matrix of its own
    page = lesson("forward")
    page.toggle("forward_show").set_value(True)
    for prompt in ("Once upon a time, there was", "ends with a space "):
        ask(page, prompt)
        model, _, trace = spoken(Voice("pocket model", POCKET_MODEL), prompt)
        first = int(logit_lens(model, trace, -1)[0].argmax())
        assert ("the token that went in" in prose(page)) == (first == trace.ids[-1])


@pytest.mark.parametrize("layers", range(1, 49))
def test_every_depth_is_offered_once(layers: int) -> None:
    offered = [depth for first, last in forward_views.offers(layers) for depth in range(first, last + 1)]
    assert offered == list(range(layers + 1))


# -------------------------------------------------------------------------------------------------- stream and dropout


def test_the_residual_stream_is_drawn_by_depth_and_token(page: AppTest) -> None:
    page.button_group("forward_view").set_value("Residual stream").run()
    assert not page.exception
    _, _, trace = spoken()
    lengths = trace.stream.norm(dim=-1)
    chart = next(chart for chart in page.get("plotly_chart") if chart.key == "forward_stream")
    (heat,) = json.loads(chart.proto.spec)["data"]
    packed = heat["customdata"]
    shown = np.frombuffer(base64.b64decode(packed["bdata"]), np.dtype(packed["dtype"])).reshape(lengths.shape)
    assert np.allclose(shown, lengths.numpy(), rtol=1e-5)
    assert f"The longest vector, {lengths.max():,.2f}, stands at token" in prose(page)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_dropout_scatters_ten_losses_in_training_mode_and_none_in_evaluation_mode(
    page: AppTest, drawn: Drawn, rate: float
) -> None:
    page.button_group("forward_view").set_value("Dropout").run()
    page.slider("forward_rate").set_value(rate).run()
    model, _, trace = spoken()
    table = dropout_losses(model, trace.ids, rate, forward_views.SEED)
    scattered, calm = drawn(page, "forward_dropout")
    assert len(scattered["y"]) == 10
    assert scattered["y"] == pytest.approx(table["train"].tolist(), rel=1e-5)
    assert calm["y"] == pytest.approx(table["eval"].tolist(), rel=1e-5)
    assert f"between {table['train'].min():.3f} and {table['train'].max():.3f} nats" in prose(page)
    assert f"{table['eval'][0]:.3f}, all the same." in prose(page)
    assert f"1 / (1 − {rate:g}) = {1 / (1 - rate):.3f}, not by 1 / {rate:g}" in prose(page)


def test_without_dropout_nothing_is_rescaled(page: AppTest) -> None:
    page.button_group("forward_view").set_value("Dropout").run()
    page.slider("forward_rate").set_value(0.0).run()
    assert not page.exception
    assert "What is kept is multiplied" not in prose(page)


# -------------------------------------------------------------------------------------------------------------- prompts


def test_an_empty_prompt_starts_from_the_end_of_a_text_and_says_so(page: AppTest, drawn: Drawn) -> None:
    ask(page, "")
    model, tokenizer, trace = spoken(prompt="")
    bars_are(page, drawn, model, tokenizer, [END_OF_TEXT_ID])
    assert_map_is(page, trace, 0, 0)
    assert "An empty prompt starts from the token" in prose(page)
    page.button_group("forward_view").set_value("Dropout").run()
    assert page.info[0].value.startswith("With one token there is nothing to guess")


def test_of_a_prompt_longer_than_the_context_the_last_tokens_pass_and_the_rest_is_counted(
    page: AppTest, drawn: Drawn
) -> None:
    prompt = "one two three four five six seven eight nine ten " * 6 + "end"
    ask(page, prompt)
    model, tokenizer = resources.speak(UNTRAINED)
    ids = tokenizer.encode(prompt)
    assert len(ids) > SHAPE.context_length
    shown = ids[-SHAPE.context_length :]
    assert f"This prompt has {len(ids)} tokens. Its last 32 go through the model here" in prose(page)
    assert f"{len(ids) - 32} are left out" in prose(page)
    assert len(component(page, "pieces")["pieces"]) == 32
    assert_map_is(page, forward.trace(model, shown), 0, 0)
    bars_are(page, drawn, model, tokenizer, shown)


def test_a_pass_is_bounded_in_tokens_and_in_bytes() -> None:
    for config in MODEL_PRESETS.values():
        most = forward_pass.most_tokens(config)
        assert 1 <= most <= min(64, config.context_length)
        assert forward.trace_bytes(config, most) <= forward_pass.MOST_BYTES
    assert forward_pass.most_tokens(MODEL_PRESETS["gpt2-small"]) == 64
    assert forward_pass.most_tokens(MODEL_PRESETS["gpt2-xl"]) < 64
    assert forward_pass.most_tokens(replace(MODEL_PRESETS["gpt2-xl"], emb_dim=16_000)) == 3


def test_a_trailing_space_is_warned_of_and_only_that(page: AppTest) -> None:
    assert not page.warning
    ask(page, f"{STORY_PROMPT} ")
    assert len(page.warning) == 1


@pytest.mark.parametrize("view", forward_views.VIEWS)
def test_markdown_and_html_in_a_prompt_are_shown_letter_by_letter(page: AppTest, view: str) -> None:
    ask(page, HOSTILE)
    page.button_group("forward_view").set_value(view).run()
    page.toggle("forward_show").set_value(True).run() if view == forward_views.VIEWS[0] else None
    page.session_state["forward_part_head"] = True
    for at in (1, 4, 9):
        page.slider(f"forward_at_{len(load_tokenizer().encode(HOSTILE))}").set_value(at).run()
        assert not page.exception
        assert "".join(component(page, "maps")["tokens"]) == HOSTILE
        read = [*page.markdown, *page.caption, *page.error, *page.info, *page.success]
        assert not any(bit in element.value for element in read for bit in ("<b>", "$x^2$", ":red[", "](javascript"))


@pytest.mark.parametrize("token", ["**", "$", "`", "[", "<"])
def test_a_token_that_is_a_sign_of_markdown_is_asked_about_as_it_is(page: AppTest, token: str) -> None:
    ask(page, token)
    assert f"After token 1, “{''.join(chr(92) + sign for sign in token)}”," in prose(page)


@pytest.mark.parametrize("prompt", ["日本", "👩‍👩‍👧", "e\u0301 \u202eabc", "\x00 \n\t"])
def test_tokens_that_are_parts_of_a_character_pass_too(page: AppTest, prompt: str) -> None:
    ask(page, prompt)
    tokens = component(page, "maps")["tokens"]
    tokenizer = load_tokenizer()
    value = page.text_input(PROMPT).value
    assert tokens == [show_token(tokenizer.token_bytes(i)) for i in tokenizer.encode(value)]


# --------------------------------------------------------------------------------------------------------------- voices


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_run_of_ones_own_passes_in_its_own_vocabulary(
    lesson: Open, finished_run: Run, drawn: Drawn, which: str
) -> None:
    page = follow(lesson, finished_run)
    page.selectbox("forward_voice").select(f"your run, {which}").run()
    assert not page.exception
    model, tokenizer, trace = spoken(Voice(f"your run, {which}", finished_run.folder, which))
    assert_map_is(page, trace, 0, 0)
    bars_are(page, drawn, model, tokenizer, list(trace.ids))
    assert f"out of {tokenizer.vocab_size:,}," in prose(page)


@pytest.mark.parametrize("prompt", ["日本", ""])
def test_a_prompt_that_the_vocabulary_cant_write_is_refused_in_one_sentence(
    lesson: Open, finished_run: Run, prompt: str, refusals: Refusals
) -> None:
    page = follow(lesson, finished_run)
    assert page.selectbox("forward_voice").value == "your run, best"
    ask(page, prompt)
    with pytest.raises(ValueError, match=r".") as refused:
        resources.prompt_ids(resources.speak(Voice("your run, best", finished_run.folder, "best"))[1], prompt)
    assert [said.lower() for said in refusals(page)] == [f"{refused.value}.".lower()]
    frames = {"owner", "share_copy_forward"}  # on every lesson
    assert {each.key for each in page.get("bidi_component")} <= frames
    ask(page, STORY_PROMPT)
    assert not page.error


def test_gpt2_weights_that_lie_ready_can_be_asked(lesson: Open, data_home: Path, drawn: Drawn) -> None:
    config = GPTConfig(context_length=16, emb_dim=24, n_heads=3, n_layers=5, qkv_bias=True, tie_weights=True)
    folder = data_home / "models" / "tiny"
    save_gpt2(new_model(config, 0), folder)
    page = lesson("forward")
    page.selectbox("forward_voice").select("GPT-2 (tiny)").run()
    assert not page.exception
    model, tokenizer, trace = spoken(Voice("GPT-2 (tiny)", folder))
    assert torch.equal(model.head.weight, new_model(config, 0).head.weight)
    assert_map_is(page, trace, 0, 0)
    bars_are(page, drawn, model, tokenizer, list(trace.ids))


def test_weights_that_cant_be_read_are_refused_in_a_sentence(lesson: Open, data_home: Path, refusals: Refusals) -> None:
    (data_home / "models").mkdir()
    (data_home / "models" / "broken.safetensors").write_bytes(b"<html>404</html>" * 10)
    page = lesson("forward")
    page.selectbox("forward_voice").select("GPT-2 (broken.safetensors)").run()
    assert not page.exception
    assert len(refusals(page)) == 1

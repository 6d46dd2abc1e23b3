"""The GPT-2 lesson: weights of that form are found, loaded and refused; every number of every column is gptcore's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from gptcore import against as measures
from gptcore.config import GPTConfig, SamplingConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.gpt2_names import mapping_rows
from gptcore.memorization import MIN_COPIED, CopyIndex
from gptcore.paths import POCKET_MODEL
from gptcore.pretrained import WeightsError, load_gpt2, save_gpt2
from gptcore.published import GPT2_NEXT_TOKENS, GPT2_SAMPLE, THE_VERDICT_LOSSES
from gptcore.recitation import copying, written_tokens
from gptcore.runs.store import Run
from gptcore.sampling import generate, next_logits
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text
from pages._ui import against, against_passage, resources, thread
from pages._ui.against import PUBLISHED, RECORDED
from pages._ui.resources import UNTRAINED, Voice
from tests.tiny_gpt2 import TINY, tiny

Open = Callable[..., AppTest]
Offers = Callable[[AppTest, str], Any]
Refusals = Callable[[AppTest], list[str]]
NEW_TOKENS = 40  # as the page asks for
STORY = load_text(OWN_STORY)
PROMPT = f"pretrained_prompt_{OWN_STORY}"
POCKET = Voice("pocket model", POCKET_MODEL)
RULES = SamplingConfig(temperature=0.8, top_k=50)  # as the page begins
LOSS, NEXT = "Loss on a passage", "Next token"
WRONG_FILES = {
    "a pickle": b"PK\x03\x04" + b"\0" * 100,
    "a page of HTML": b"<!DOCTYPE html><html>404</html>",
    "nothing": b"",
    "a header without end": (10**12).to_bytes(8, "little") + b"{",
}


def bring(page: AppTest, raw: bytes, name: str = "model.safetensors") -> AppTest:
    page.selectbox("pretrained_source").select("upload a file")
    return page.run().file_uploader("pretrained_upload").set_value((name, raw, "application/octet-stream")).run()


def chosen(page: AppTest) -> list[str]:
    return list(page.multiselect("pretrained_columns").value)


def look(page: AppTest, view: str) -> AppTest:
    return page.button_group("pretrained_view").set_value(view).run()


def component(page: AppTest, key: str) -> list[dict[str, Any]]:
    """The chips of one column; none where it has no text."""
    found = [part for part in page.get("bidi_component") if part.key == key]
    pieces: list[dict[str, Any]] = json.loads(found[0].proto.json)["pieces"] if found else []
    return pieces


def answers(page: AppTest) -> dict[str, str]:
    """What each column's text is, by its name."""
    texts = {
        label: "".join(piece["text"] for piece in component(page, f"pretrained_text_{place}"))
        for place, label in enumerate(chosen(page))
    }
    return {label: text for label, text in texts.items() if text}


def captions(page: AppTest) -> str:
    return " ".join(caption.value for caption in page.caption)


def table_with(page: AppTest, column: str) -> pd.DataFrame:
    shown: pd.DataFrame = next(table.value for table in page.dataframe if column in table.value)
    return shown


def continued(voice: Voice, prompt: str, config: SamplingConfig) -> str:
    model, tokenizer = resources.speak(voice)
    ids = tokenizer.encode(prompt)
    return tokenizer.decode([*ids, *(drawn.token_id for drawn in generate(model, ids, config, NEW_TOKENS))])


def test_weights_laid_ready_are_offered_loaded_and_mapped_to_the_last_tensor(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    assert not page.exception
    assert page.selectbox("pretrained_source").value == "tiny-gpt2"
    shown, expected = page.dataframe[0].value, mapping_rows(load_gpt2(ready).config)
    for column in ("gpt2_name", "our_name", "transposed", "note"):
        assert shown[column].tolist() == expected[column].tolist()
    assert shown["gpt2_shape"].tolist()[0] == "50,257 x 64"


def test_an_uploaded_file_is_loaded_like_one_laid_ready(lesson: Open, tmp_path: Path) -> None:
    file = save_gpt2(tiny(), tmp_path / "brought")
    page = bring(lesson("pretrained"), file.read_bytes())
    assert not page.exception
    assert not page.error
    assert len(page.dataframe[0].value) == len(mapping_rows(TINY))


@pytest.mark.parametrize("kind", list(WRONG_FILES))
def test_a_wrong_file_is_refused_in_the_one_sentence_of_gptcore(
    lesson: Open, tmp_path: Path, kind: str, refusals: Refusals
) -> None:
    page = bring(lesson("pretrained"), WRONG_FILES[kind])
    wrong = tmp_path / "model.safetensors"
    wrong.write_bytes(WRONG_FILES[kind])
    with pytest.raises(WeightsError) as refused:
        load_gpt2(wrong)
    assert not page.exception
    assert [said.lower() for said in refusals(page)] == [f"{refused.value}.".lower()]
    assert PUBLISHED.label in chosen(page), "the published figures stay"


def test_before_any_click_small_models_have_written_and_gpt2_stands_there_as_published(lesson: Open) -> None:
    page = lesson("pretrained")
    assert not page.exception
    assert chosen(page) == ["untrained", RECORDED[-1].label, "pocket model", PUBLISHED.label]
    expected = {voice.label: continued(voice, STORY.prompt, RULES) for voice in (UNTRAINED, RECORDED[-1], POCKET)}
    assert answers(page) == expected
    assert GPT2_SAMPLE in [code.value for code in page.code]
    assert "Published" in captions(page)


def test_the_copied_share_is_that_of_gptcore(lesson: Open) -> None:
    page = lesson("pretrained")
    text = answers(page)[RECORDED[-1].label]
    index = CopyIndex(load_tokenizer().encode(split_text(STORY.text, 0.9)[0]))
    found = copying(index, written_tokens(text, STORY.prompt), MIN_COPIED)
    assert found.copied > 0
    assert f"{found.share:.0%} copied" in captions(page)
    marked = "".join(p["text"] for p in component(page, "pretrained_text_1") if "copied" in p["kind"])
    assert marked
    assert marked in STORY.text or len(found.spans) > 1


def test_a_refused_file_leaves_the_other_models_to_be_asked(lesson: Open) -> None:
    page = bring(lesson("pretrained"), WRONG_FILES["a pickle"])
    page.button("pretrained_ask").click().run()
    assert not page.exception
    assert "untrained" in answers(page)
    assert PUBLISHED.label in chosen(page)


def test_gpt2s_weights_take_the_place_of_its_published_figures(lesson: Open, tmp_path: Path) -> None:
    page = lesson("pretrained")
    assert PUBLISHED.label in chosen(page)
    file = save_gpt2(tiny(), tmp_path / "brought")
    page = bring(page, file.read_bytes()).run()
    assert not page.exception
    assert chosen(page)[-1].startswith("GPT-2")
    assert PUBLISHED.label not in chosen(page)


def test_all_answers_are_what_gptcore_draws_by_the_same_rules(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    page.text_input(PROMPT).set_value("Two doors stood open")
    page.slider("pretrained_temperature").set_value(1.3)
    page.number_input("pretrained_top_k").set_value(20)
    page.button("pretrained_ask").click().run()
    assert not page.exception
    rules, texts = SamplingConfig(temperature=1.3, top_k=20), answers(page)
    gpt2 = next(label for label in texts if label.startswith("GPT-2"))
    assert texts[gpt2] == continued(Voice("GPT-2", ready), "Two doors stood open", rules)
    assert texts["untrained"] == continued(UNTRAINED, "Two doors stood open", rules)
    assert "temperature 1.3, top-k 20, seed 123" in captions(page)


def test_each_column_may_have_settings_of_its_own(lesson: Open) -> None:
    page = lesson("pretrained")
    page.toggle("pretrained_own").set_value(True).run()
    page.slider("pretrained_temperature_2").set_value(0.0)
    page.number_input("pretrained_top_k_0").set_value(5)
    page.button("pretrained_ask").click().run()
    assert answers(page)["pocket model"] == continued(POCKET, STORY.prompt, SamplingConfig(temperature=0.0, top_k=50))
    assert answers(page)["untrained"] == continued(UNTRAINED, STORY.prompt, SamplingConfig(temperature=0.8, top_k=5))
    assert "temperature 0, top-k 50" in captions(page)


def test_ones_own_run_is_asked_too_and_says_what_it_cant_read(lesson: Open, finished_run: Run) -> None:
    page = lesson("pretrained", **{thread.RUN: finished_run.id, thread.TEXT: finished_run.text})
    last = Voice("your run, last", finished_run.folder, "last")
    assert last.label in chosen(page)
    page.button("pretrained_ask").click().run()
    assert answers(page)[last.label] == continued(last, finished_run.text.prompt, RULES)
    page.text_input(PROMPT).set_value("日本")
    page.button("pretrained_ask").click().run()
    assert not page.exception
    assert "this model knows only" in captions(page).replace("\\", "")
    assert last.label not in answers(page)


def test_the_answers_stay_until_the_next_question(lesson: Open) -> None:
    page = lesson("pretrained")
    page.button("pretrained_ask").click().run()
    texts = answers(page)
    page.slider("pretrained_temperature").set_value(0.0).run()
    assert answers(page) == texts
    page.button("pretrained_ask").click().run()
    assert answers(page) != texts


def test_an_empty_prompt_starts_from_the_end_of_a_text(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    page.text_input(PROMPT).set_value("")
    page.button("pretrained_ask").click().run()
    assert not page.exception
    assert {"untrained", "pocket model"} <= set(answers(page))


def test_one_column_alone_is_asked_for_company(lesson: Open) -> None:
    page = lesson("pretrained")
    page.multiselect("pretrained_columns").set_value(["untrained"]).run()
    assert not page.exception
    assert any("at least two" in info.value for info in page.info)


def test_one_seed_in_two_models_is_counted_token_by_token(lesson: Open) -> None:
    page = lesson("pretrained")
    ids = []
    for voice in (RECORDED[-1], POCKET):
        model, tokenizer = resources.speak(voice)
        drawn = generate(model, tokenizer.encode(STORY.prompt), RULES, NEW_TOKENS)
        ids.append([tokenizer.token_bytes(one.token_id) for one in drawn])
    same = sum(a == b for a, b in zip(*ids, strict=True))
    page.number_input("pretrained_same_predict_guess").set_value(same)
    next(button for button in page.button if button.label == "Check").click().run()
    assert [success.value for success in page.success] == [f"Yes: {same:,}."]


def test_the_passage_costs_each_model_what_gptcore_says(lesson: Open) -> None:
    page = look(lesson("pretrained"), LOSS)
    assert not page.exception
    table = table_with(page, "bits per byte").set_index("model")
    text = split_text(STORY.text, 0.9)[1]
    for voice in (UNTRAINED, RECORDED[-1], POCKET):
        model, tokenizer = resources.speak(voice)
        ids = tokenizer.encode(text)[: 2 * 256 + 1]
        read = measures.judged(model, tokenizer, ids, measures.judge(model, ids, measures.window_of(model)))
        row = table.loc[voice.label]
        assert (row["loss"], row["perplexity"]) == (pytest.approx(read.loss), pytest.approx(read.perplexity))
        assert row["bits per byte"] == pytest.approx(read.bits_per_byte)
        assert row["vocabulary"] == tokenizer.vocab_size
    assert f"{THE_VERDICT_LOSSES[0].validation:.4f}" in captions(page)
    assert "another passage" in captions(page)
    ratio = table["bits per byte"] / table["loss"]
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-9)
    said = " ".join(text.value for text in page.markdown)
    assert "so losses and bits per byte rank them alike; neither takes that head start away." in said


def test_the_lines_along_the_passage_end_at_the_means_of_the_table(lesson: Open, drawn: Callable[..., Any]) -> None:
    page = look(lesson("pretrained"), LOSS)
    table = table_with(page, "bits per byte").set_index("model")
    for trace in drawn(page, "pretrained_losses"):
        assert trace["y"][-1] == pytest.approx(table.loc[trace["name"], "loss"], abs=1e-4)
        assert len(trace["y"]) == 512


def test_tokens_are_the_bluer_the_more_they_cost(lesson: Open) -> None:
    page = look(lesson("pretrained"), LOSS)
    given, *guessed = component(page, "pretrained_chips_2")
    assert given["kind"] == "prompt"
    assert len(guessed) == 100
    price = [float(piece["title"].split("loss ")[1].split(" ")[0]) for piece in guessed]
    shade = [int(piece["colour"][-2:], 16) for piece in guessed]
    order = sorted(range(len(price)), key=price.__getitem__)
    assert [shade[i] for i in order] == sorted(shade)


def test_which_model_was_least_surprised_is_answered_by_their_losses(lesson: Open, offers: Offers) -> None:
    page = look(lesson("pretrained"), LOSS)
    ids = resources.token_ids(split_text(STORY.text, 0.9)[1])[:513]
    losses = {}
    for voice in (UNTRAINED, RECORDED[-1], POCKET):
        model, tokenizer = resources.speak(voice)
        own = tokenizer.encode(load_tokenizer().decode(ids))
        losses[voice.label] = measures.judged(
            model, tokenizer, own, measures.judge(model, own, measures.window_of(model))
        ).losses
    at = measures.upset(list(losses.values()))
    won = min(losses, key=lambda label: losses[label][at])
    offers(page, "pretrained_passage").set_value(won).run()
    assert page.success[0].value.startswith("Yes.")


def test_a_passage_of_ones_own_is_read_and_nothing_of_it_is_obeyed(lesson: Open) -> None:
    page = look(lesson("pretrained"), LOSS)
    page.selectbox("pretrained_passage").set_value(against_passage.OWN).run()
    page.text_area("pretrained_typed").set_value("Once there was a $dog$ **here**").run()
    assert not page.exception
    assert table_with(page, "bits per byte")["model"].tolist() == ["untrained", "pocket model"]
    assert "this model knows only" in captions(page).replace("\\", "")
    page.text_area("pretrained_typed").set_value("").run()
    assert not page.exception


def test_on_the_books_passage_published_and_measured_stand_side_by_side(
    lesson: Open,
    ready: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared_data: Path,
    drawn: Callable[..., Any],
) -> None:
    monkeypatch.setenv("GPTCORE_DATA", str(shared_data))
    page = look(lesson("pretrained"), LOSS)
    page.selectbox("pretrained_passage").set_value("Validation part of The Verdict").run()
    assert table_with(page, "bits per byte")["published"].isna().all(), "of this size nothing was published"
    monkeypatch.setattr(against, "SHAPE_OF_124M", (TINY.n_layers, TINY.emb_dim))
    page.run()
    table = table_with(page, "bits per byte").set_index("model")
    assert table.loc["GPT-2 (tiny-gpt2)", "published"] == THE_VERDICT_LOSSES[0].validation


def test_next_tokens_and_divergences_are_gptcores(lesson: Open, drawn: Callable[..., Any]) -> None:
    page = look(lesson("pretrained"), NEXT)
    assert not page.exception
    expected = {}
    for voice in (UNTRAINED, RECORDED[-1], POCKET):
        model, tokenizer = resources.speak(voice)
        expected[voice.label] = measures.Expectation(next_logits(model, tokenizer.encode(STORY.prompt)), tokenizer)
    _, given = measures.next_tokens_together(expected, 4)
    for trace in drawn(page, "pretrained_next"):
        assert trace["x"] == pytest.approx(given[trace["name"]].fillna(0.0).tolist())
        assert [label == "not in its vocabulary" for label in trace["text"]] == given[trace["name"]].isna().tolist()
    table = measures.kl_table(expected)
    pairs = table_with(page, "nats")
    shown = {(row["what holds"], row["expected"]): row["nats"] for _, row in pairs.iterrows()}
    assert shown == {
        ("untrained", "pocket model"): pytest.approx(table.loc["untrained", "pocket model"]),
        ("pocket model", "untrained"): pytest.approx(table.loc["pocket model", "untrained"]),
    }
    assert "another list to choose from" in captions(page)


def test_a_published_prompt_shows_what_gpt2_said_in_dots(lesson: Open, drawn: Callable[..., Any]) -> None:
    page = look(lesson("pretrained"), NEXT)
    assert "nothing of GPT-2 was published" in captions(page)
    prompt, rows = list(GPT2_NEXT_TOKENS.items())[2]
    page.selectbox("pretrained_published_prompt").set_value(prompt).run()
    assert not page.exception
    assert page.text_input(PROMPT).value == prompt
    published = drawn(page, "pretrained_next")[-1]
    assert "published" in published["name"]
    assert published["marker"]["pattern"]["shape"] == "."
    assert max(published["x"]) == pytest.approx(rows[0].probability)


def test_measured_chances_of_gpt2_are_held_to_the_published_ones(
    lesson: Open, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(against, "SHAPE_OF_124M", (TINY.n_layers, TINY.emb_dim))
    page = look(lesson("pretrained"), NEXT)
    prompt, rows = next(iter(GPT2_NEXT_TOKENS.items()))
    page.text_input(PROMPT).set_value(prompt).run()
    chances = next_logits(load_gpt2(ready), load_tokenizer().encode(prompt)).double().softmax(-1)
    off = max(abs(float(chances[row.token_id]) - row.probability) for row in rows)
    assert f"at most {off:.2%} from them" in captions(page)


def test_a_model_of_gpt2s_form_with_another_vocabulary_is_refused_not_crashed(
    lesson: Open, data_home: Path, refusals: Refusals
) -> None:
    other = GPTConfig(
        vocab_size=101, context_length=16, emb_dim=64, n_heads=1, n_layers=1, qkv_bias=True, tie_weights=True
    )
    save_gpt2(tiny(config=other), data_home / "models" / "other")
    page = lesson("pretrained")
    for view in (LOSS, NEXT, "Write"):
        page = look(page, view)
        assert not page.exception
    page.button("pretrained_ask").click().run()
    assert not page.exception
    (refused,) = refusals(page)
    assert "101" in refused

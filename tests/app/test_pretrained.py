"""The GPT-2 lesson: weights of that form are found, loaded and asked; anything else is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from gptcore.config import GPTConfig, SamplingConfig
from gptcore.gpt2_names import mapping_rows
from gptcore.model import GPTModel
from gptcore.pretrained import WeightsError, load_gpt2, save_gpt2
from gptcore.published import GPT2_SAMPLE, THE_VERDICT_LOSSES
from gptcore.runs.store import Run
from gptcore.sampling import generate
from pages._ui import resources, thread
from pages._ui.resources import UNTRAINED, Voice

Open = Callable[..., AppTest]
Refusals = Callable[[AppTest], list[str]]
# GPT-2's vocabulary and form in a size that is written in a moment.
TINY = GPTConfig(context_length=16, emb_dim=64, n_heads=1, n_layers=2, drop_rate=0.0, qkv_bias=True, tie_weights=True)
NEW_TOKENS = 40  # as the page asks for
WRONG_FILES = {
    "a pickle": b"PK\x03\x04" + b"\0" * 100,
    "a page of HTML": b"<!DOCTYPE html><html>404</html>",
    "nothing": b"",
    "a header without end": (10**12).to_bytes(8, "little") + b"{",
}


def tiny(seed: int = 0, config: GPTConfig = TINY) -> GPTModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTModel(config).eval()


@pytest.fixture
def ready(data_home: Path) -> Path:
    """A tiny GPT-2 that whoever runs the server laid ready."""
    return save_gpt2(tiny(), data_home / "models" / "tiny-gpt2").parent


def bring(page: AppTest, raw: bytes, name: str = "model.safetensors") -> AppTest:
    page.selectbox("pretrained_source").select("upload a file")
    return page.run().file_uploader("pretrained_upload").set_value((name, raw, "application/octet-stream")).run()


def answers(page: AppTest) -> dict[str, str]:
    """What each model answered, by the name above its column."""
    columns = [column for column in page.columns if column.markdown and column.markdown[0].value.startswith("**")]
    return {
        column.markdown[0].value.strip("*"): column.code[0].value
        for column in columns
        if len(column.markdown) == 1 and len(column.code) == 1
    }


def continued(voice: Voice, prompt: str, config: SamplingConfig) -> str:
    model, tokenizer = resources.speak(voice)
    ids = tokenizer.encode(prompt)
    return tokenizer.decode([*ids, *(drawn.token_id for drawn in generate(model, ids, config, NEW_TOKENS))])


def test_without_weights_the_published_numbers_stand_there_as_published(lesson: Open) -> None:
    page = lesson("pretrained")
    assert page.selectbox("pretrained_source").options == ["upload a file"]
    pd.testing.assert_frame_equal(
        page.table[0].value, pd.DataFrame(THE_VERDICT_LOSSES).set_index("model"), check_dtype=False
    )
    assert GPT2_SAMPLE in [code.value for code in page.code]
    assert any(caption.value.startswith("Published") for caption in page.caption)


def test_weights_laid_ready_are_offered_loaded_and_mapped_to_the_last_tensor(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    assert not page.exception
    assert page.selectbox("pretrained_source").value == "tiny-gpt2"
    shown, expected = page.dataframe[0].value, mapping_rows(load_gpt2(ready).config)
    for column in ("gpt2_name", "our_name", "transposed", "note"):
        assert shown[column].tolist() == expected[column].tolist()
    assert shown["gpt2_shape"].tolist()[0] == "50,257 x 64"
    assert not page.table


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
    assert page.table, "the published numbers stay"


def test_a_refused_file_leaves_the_other_models_to_be_asked(lesson: Open) -> None:
    page = bring(lesson("pretrained"), WRONG_FILES["a pickle"])
    page.button("pretrained_ask").click().run()
    assert not page.exception
    assert "untrained" in answers(page)
    assert "GPT-2" not in answers(page)


def test_all_answers_are_what_gptcore_draws_by_the_same_rules(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    assert answers(page) == {}
    page.text_input("pretrained_prompt").set_value("Two doors stood open")
    page.slider("pretrained_temperature").set_value(1.3)
    page.slider("pretrained_top_k").set_value(20)
    page.button("pretrained_ask").click().run()
    assert not page.exception
    rules = SamplingConfig(temperature=1.3, top_k=20)
    said = answers(page)
    assert said["GPT-2"] == continued(Voice("GPT-2", ready), "Two doors stood open", rules)
    assert said["untrained"] == continued(UNTRAINED, "Two doors stood open", rules)


def test_ones_own_run_is_asked_too_and_says_what_it_cant_read(lesson: Open, ready: Path, finished_run: Run) -> None:
    page = lesson("pretrained", **{thread.RUN: finished_run.id})
    story = finished_run.text.prompt
    page.text_input("pretrained_prompt").set_value(story)
    page.button("pretrained_ask").click().run()
    rules = SamplingConfig(temperature=0.8, top_k=50)
    best = Voice("your run, best", finished_run.folder, "best")
    assert answers(page)["your run, best"] == continued(best, story, rules)
    page.text_input("pretrained_prompt").set_value("日本")
    page.button("pretrained_ask").click().run()
    assert not page.exception
    with pytest.raises(ValueError, match=r".") as refused:
        resources.speak(best)[1].encode("日本")
    assert answers(page)["your run, best"] == f"({refused.value})"


def test_the_answers_stay_until_the_next_question(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    page.button("pretrained_ask").click().run()
    said = answers(page)
    page.slider("pretrained_temperature").set_value(0.0).run()
    assert answers(page) == said
    page.button("pretrained_ask").click().run()
    assert answers(page) != said


def test_an_empty_prompt_starts_from_the_end_of_a_text(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    page.text_input("pretrained_prompt").set_value("")
    page.button("pretrained_ask").click().run()
    assert not page.exception
    assert {"GPT-2", "untrained"} <= set(answers(page))


def test_a_model_of_gpt2s_form_with_another_vocabulary_is_refused_not_crashed(
    lesson: Open, data_home: Path, refusals: Refusals
) -> None:
    other = GPTConfig(
        vocab_size=101, context_length=16, emb_dim=64, n_heads=1, n_layers=1, qkv_bias=True, tie_weights=True
    )
    save_gpt2(tiny(config=other), data_home / "models" / "other")
    page = lesson("pretrained")
    page.button("pretrained_ask").click().run()
    assert not page.exception
    (said,) = refusals(page)
    assert "101" in said

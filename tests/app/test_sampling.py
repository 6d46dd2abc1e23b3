"""The sampling lesson: bars, sentences and text all follow from what gptcore computes for the same rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.config import SamplingConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.draws import effective_choices
from gptcore.figures.bars import next_token_bars
from gptcore.runs.store import Run
from gptcore.sampling import generate, next_logits, next_token_table
from gptcore.tokenizer import END_OF_TEXT_ID
from pages._ui import resources, thread
from pages._ui.resources import UNTRAINED, Voice

Open = Callable[..., AppTest]
Refusals = Callable[[AppTest], list[str]]
Drawn = Callable[..., list[dict[str, Any]]]
PROMPT = f"sampling_prompt_{OWN_STORY}"
STORY_PROMPT = load_text(OWN_STORY).prompt
HOSTILE = "<b>$x^2$</b> :red[a] **b** [c](javascript:1)"


@pytest.fixture
def page(lesson: Open) -> AppTest:
    """The lesson with the untrained model, which is always there."""
    return lesson("sampling").selectbox("sampling_voice").select("untrained").run()


def table_of(prompt: str, config: SamplingConfig, voice: Voice = UNTRAINED) -> Any:
    """What gptcore makes of a prompt, without the pages' caches."""
    model, tokenizer = resources.speak(voice)
    ids = tokenizer.encode(prompt) if prompt else [END_OF_TEXT_ID]
    return next_token_table(next_logits(model, ids), tokenizer, config)


def assert_shows(page: AppTest, drawn: Drawn, table: Any) -> None:
    (bars,) = drawn(page, "sampling_bars")
    (expected,) = next_token_bars(table).data
    assert bars["y"] == list(expected.y)
    assert bars["text"] == list(expected.text)
    assert bars["x"] == pytest.approx(list(expected.x))
    noticed = next(text.value for text in page.markdown if text.value.startswith("**What to notice.**"))
    assert f"{int(table['kept'].sum()):,} of {len(table):,} tokens may be drawn" in noticed
    assert f"among {effective_choices(table['probability'].to_numpy()):,.1f} equally" in noticed


def text_shown(page: AppTest) -> list[str]:
    """What was written by a model: the code boxes outside the expander of sources."""
    sources = next(box for box in page.expander if box.label == "The code behind this page")
    return [code.value for code in page.code if code.value not in {source.value for source in sources.code}]


def go_on(page: AppTest, tokens: int = 8) -> str:
    page.number_input("sampling_most").set_value(tokens).run()
    (text,) = text_shown(page.button("sampling_go").click().run())
    return text


def written(prompt: str, config: SamplingConfig, tokens: int = 8) -> str:
    model, tokenizer = resources.speak(UNTRAINED)
    ids = tokenizer.encode(prompt)
    return prompt + tokenizer.decode([drawn.token_id for drawn in generate(model, ids, config, tokens)])


def test_before_any_click_the_bars_are_those_of_the_storys_prompt(page: AppTest, drawn: Drawn) -> None:
    assert page.text_area(PROMPT).value == STORY_PROMPT
    assert_shows(page, drawn, table_of(STORY_PROMPT, SamplingConfig()))
    assert text_shown(page) == []


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("slider", "temperature", 0.5),
        ("slider", "temperature", 3.0),
        ("slider", "top_k", 5),
        ("slider", "top_p", 0.25),
    ],
)
def test_every_rule_changes_bars_and_sentences_as_gptcore_computes(
    page: AppTest, drawn: Drawn, kind: str, name: str, value: float
) -> None:
    before = drawn(page, "sampling_bars")
    getattr(page, kind)(f"sampling_{name}").set_value(value).run()
    assert not page.exception
    assert_shows(page, drawn, table_of(STORY_PROMPT, SamplingConfig(**{name: value})))
    assert drawn(page, "sampling_bars") != before


def test_top_p_before_the_temperature_is_another_choice(page: AppTest, drawn: Drawn) -> None:
    page.slider("sampling_temperature").set_value(0.5)
    page.slider("sampling_top_p").set_value(0.25).run()
    after_temperature = SamplingConfig(temperature=0.5, top_p=0.25)
    assert_shows(page, drawn, table_of(STORY_PROMPT, after_temperature))
    page.toggle("sampling_top_p_first").set_value(True).run()
    assert_shows(page, drawn, table_of(STORY_PROMPT, replace(after_temperature, top_p_first=True)))


def test_temperature_0_gives_the_likeliest_token_everything(page: AppTest, drawn: Drawn) -> None:
    page.slider("sampling_temperature").set_value(0.0).run()
    (bars,) = drawn(page, "sampling_bars")
    likeliest = table_of(STORY_PROMPT, SamplingConfig())["logit"].idxmax()
    assert bars["x"] == [1.0] + [0.0] * 10
    assert f"<sup>{likeliest}</sup>" in bars["y"][0]


def test_top_k_5_leaves_five_bars_that_sum_to_1(page: AppTest, drawn: Drawn) -> None:
    page.slider("sampling_top_k").set_value(5).run()
    (bars,) = drawn(page, "sampling_bars")
    assert sum(bars["x"]) == pytest.approx(1)
    assert bars["text"].count("cut") == 5
    assert all(probability > 0 for probability in bars["x"][:5])


def test_the_seed_changes_the_draw_and_not_the_bars(page: AppTest, drawn: Drawn) -> None:
    bars, first = drawn(page, "sampling_bars"), go_on(page)
    page.number_input("sampling_seed").set_value(7).run()
    assert drawn(page, "sampling_bars") == bars
    assert go_on(page) == written(STORY_PROMPT, SamplingConfig(seed=7)) != first


def test_the_text_is_the_one_that_gptcore_draws(page: AppTest) -> None:
    page.slider("sampling_top_k").set_value(50).run()
    assert go_on(page) == written(STORY_PROMPT, SamplingConfig(top_k=50))
    assert go_on(page, tokens=3) == written(STORY_PROMPT, SamplingConfig(top_k=50), tokens=3)


def test_the_prompt_decides_the_bars(page: AppTest, drawn: Drawn) -> None:
    page.text_area(PROMPT).set_value("Another beginning").run()
    assert_shows(page, drawn, table_of("Another beginning", SamplingConfig()))


def test_an_empty_prompt_starts_from_the_end_of_a_text(page: AppTest, drawn: Drawn) -> None:
    page.text_area(PROMPT).set_value("").run()
    assert not page.exception
    assert_shows(page, drawn, table_of("", SamplingConfig()))


def test_a_trailing_space_is_warned_of_and_only_that(page: AppTest) -> None:
    assert not page.warning
    page.text_area(PROMPT).set_value(f"{STORY_PROMPT} ").run()
    assert len(page.warning) == 1
    assert "ends with a space" in page.warning[0].value


def test_markdown_and_html_in_a_prompt_are_shown_literally(page: AppTest) -> None:
    page.text_area(PROMPT).set_value(HOSTILE).run()
    assert go_on(page).startswith(HOSTILE)
    assert not page.exception
    read_as_markdown = [*page.markdown, *page.caption, *page.header, *page.error, *page.warning, *page.info]
    assert not any(HOSTILE in element.value for element in read_as_markdown)


def test_the_voices_are_ones_own_run_first_and_an_untrained_model_last(lesson: Open, finished_run: Run) -> None:
    page = lesson("sampling", **{thread.RUN: finished_run.id})
    assert page.selectbox("sampling_voice").options[:2] == ["your run, best", "your run, last"]
    assert page.selectbox("sampling_voice").options[-1] == "untrained"


def test_another_voice_has_other_bars_over_its_own_vocabulary(lesson: Open, drawn: Drawn, finished_run: Run) -> None:
    page = lesson("sampling", **{thread.RUN: finished_run.id})
    assert page.selectbox("sampling_voice").value == "your run, best"
    best = Voice("your run, best", finished_run.folder, "best")
    assert_shows(page, drawn, table_of(STORY_PROMPT, SamplingConfig(), best))


@pytest.mark.parametrize("prompt", ["日本", ""])
def test_a_prompt_that_the_vocabulary_cant_write_is_refused_in_one_sentence(
    lesson: Open, finished_run: Run, prompt: str, refusals: Refusals
) -> None:
    page = lesson("sampling", **{thread.RUN: finished_run.id})
    page.text_area(PROMPT).set_value(prompt).run()
    assert not page.exception
    best = Voice("your run, best", finished_run.folder, "best")
    with pytest.raises(ValueError, match=r".") as refused:
        resources.prompt_ids(resources.speak(best)[1], prompt)
    assert [said.lower() for said in refusals(page)] == [f"{refused.value}.".lower()]
    page.text_area(PROMPT).set_value(STORY_PROMPT).run()
    assert not page.error

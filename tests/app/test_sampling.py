"""The sampling lesson among its plain controls: bars, sentences, draws and texts follow from what gptcore computes.

That the playground shows the same is held by tests/browser/test_playground.py; what it is sent is looked at here.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from gptcore import sampling
from gptcore.checkpoint import save_weights
from gptcore.config import SamplingConfig, Variant
from gptcore.corpora import OWN_STORY, load_text
from gptcore.draws import distinct_share, draw_counts, draw_many, effective_choices, nucleus_size, repeated_share
from gptcore.figures.bars import next_token_bars
from gptcore.figures.theme import marked
from gptcore.library import load_model, new_model
from gptcore.paths import runs_home
from gptcore.published import NINE_WORDS
from gptcore.runs.files import replace_json
from gptcore.runs.store import Run, RunStore, owner_of
from gptcore.runs.worker import execute
from gptcore.sampling import choose, generate, next_logits, next_token_table
from gptcore.tokenizer import END_OF_TEXT_ID, show_token
from gptcore.variants import VARIANTS, Unchanged
from pages._ui import choices, frame, owner, resources, rules, thread
from pages._ui.resources import UNTRAINED, Voice

Open = Callable[..., AppTest]
Offers = Callable[[AppTest, str], Any]
Refusals = Callable[[AppTest], list[str]]
Drawn = Callable[..., list[dict[str, Any]]]
PROMPT = f"sampling_prompt_{OWN_STORY}"
STORY_PROMPT = load_text(OWN_STORY).prompt
BROWSER_TOKEN = "5" * 32
HOSTILE = "<b>$x^2$</b> :red[a] **b** [c](javascript:1)"


@pytest.fixture
def page(lesson: Open) -> AppTest:
    """The lesson with the untrained model, which is always there, and with controls that a test can move."""
    return plain(lesson("sampling")).selectbox("sampling_voice").select("untrained").run()


def plain(page: AppTest) -> AppTest:
    return page.toggle("sampling_plain").set_value(True).run()


def look(page: AppTest, view: str) -> AppTest:
    return page.segmented_control("sampling_view").set_value(view).run()


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
    noticed = notice(page)
    assert f"{int(table['kept'].sum()):,} of {len(table):,} tokens may be drawn" in noticed
    assert f"among {effective_choices(table['probability'].to_numpy()):,.1f} equally" in noticed


def notice(page: AppTest) -> str:
    return next(text.value for text in page.markdown if text.value.startswith("**What to notice.**"))


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
    assert any("starts from `<|endoftext|>`" in caption.value for caption in page.caption)
    assert_shows(page, drawn, table_of("", SamplingConfig()))


def test_of_a_prompt_beyond_the_context_the_number_of_tokens_cut_is_said(page: AppTest) -> None:
    page.text_area(PROMPT).set_value(STORY_PROMPT * 60).run()
    model, tokenizer = resources.speak(UNTRAINED)
    tokens, context = len(tokenizer.encode(STORY_PROMPT * 60)), model.config.context_length
    said = [caption.value for caption in page.caption if "are cut off" in caption.value]
    assert said == [
        f"The model reads the last {context:,} of {tokens:,} tokens; {tokens - context:,} before them are cut off."
    ]


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
    assert page.selectbox("sampling_voice").options[-2:] == ["untrained", "the book's nine words"]


@pytest.mark.parametrize("variant", ["no-mask", "one-batch"])
def test_a_run_whose_model_was_changed_is_said_to_speak_in_the_usual_one(
    lesson: Open, finished_run: Run, variant: Variant
) -> None:
    told = finished_run.config
    told["training"]["variant"] = variant
    replace_json(finished_run.folder / "config.json", told)
    for key in ("sampling", "forward", "loss"):
        page = lesson(key, **{thread.RUN: finished_run.id})
        assert not page.exception
        said = [caption.value for caption in page.caption if "deliberate change" in caption.value]
        assert bool(said) == (variant == "no-mask")


def test_the_variants_of_which_that_is_said_are_those_that_change_the_model() -> None:
    changing = [name for name, one in VARIANTS.items() if type(one).change_model is not Unchanged.change_model]
    assert list(choices.CHANGED_MODELS) == changing


def test_another_voice_has_other_bars_over_its_own_vocabulary(lesson: Open, drawn: Drawn, finished_run: Run) -> None:
    page = plain(lesson("sampling", **{thread.RUN: finished_run.id}))
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


# ------------------------------------------------------------------------------------------ one model run, and no other


@pytest.fixture
def model_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever a model is run."""
    runs: list[int] = []
    scores = sampling._scores
    monkeypatch.setattr(sampling, "_scores", lambda *given: runs.append(1) or scores(*given))
    return runs


def test_the_rules_never_run_the_model_and_a_token_runs_it_once(page: AppTest, model_runs: list[int]) -> None:
    page.text_area(PROMPT).set_value("A beginning that nobody else asks for").run()
    assert len(model_runs) == 1
    page.slider("sampling_temperature").set_value(2.5).run()
    page.slider("sampling_top_k").set_value(40).run()
    page.slider("sampling_top_p").set_value(0.5).run()
    page.toggle("sampling_top_p_first").set_value(True).run()
    page.number_input("sampling_seed").set_value(9).run()
    page.segmented_control("sampling_draws").set_value(10_000).run()
    look(page, "Draw")
    plain(page).toggle("sampling_plain").set_value(False).run()
    assert len(model_runs) == 1
    look(page, "Step by step").button("sampling_take").click().run()
    # The step itself, and the twelve tokens of the greedy and of the sampled path, which are written once.
    assert len(model_runs) == 1 + 1 + 2 * 12
    page.button("sampling_take").click().run()
    assert len(model_runs) == 1 + 2 + 2 * 12


# ----------------------------------------------------------------------------------------------- what the browser gets


def sent(page: AppTest) -> tuple[dict[str, Any], Any]:
    """The head and the scores that the playground is sent."""
    (raw,) = (each.proto.bytes for each in page.get("bidi_component") if each.proto.bytes)
    length = int.from_bytes(raw[:4], "little")
    return json.loads(raw[4 : 4 + length]), np.frombuffer(raw[4 + length :], "<f4")


@pytest.fixture
def playground(lesson: Open) -> AppTest:
    return lesson("sampling").selectbox("sampling_voice").select("untrained").run()


def test_the_playground_gets_all_scores_of_the_prompt_once_and_the_likeliest_names(playground: AppTest) -> None:
    model, tokenizer = resources.speak(UNTRAINED)
    logits = next_logits(model, tokenizer.encode(STORY_PROMPT)).numpy()
    head, scores = sent(playground)
    assert np.array_equal(scores, logits)
    order = np.argsort(-logits, kind="stable")
    assert head["names"] == [show_token(tokenizer.token_bytes(int(i))) for i in order[:2_000]]
    assert head["path"] == []
    assert len(head["names"]) * 20 + 4 * len(scores) < 272_000


def test_the_rules_are_no_part_of_what_is_sent_so_that_nothing_is_sent_again(playground: AppTest) -> None:
    before = sent(playground)[0]
    look(playground, "Draw")
    playground.session_state[rules.KEPT] = rules.Rules(SamplingConfig(temperature=3.0, top_k=5), 1_000)
    playground.session_state["playground"] = {}
    after, _ = sent(playground.run())
    assert after | {"start": None} == before | {"start": None}


def test_scores_of_weights_that_were_written_anew_are_other_scores_to_the_playground(
    lesson: Open, finished_run: Run
) -> None:
    page = lesson("sampling", **{thread.RUN: finished_run.id})
    assert page.selectbox("sampling_voice").value == "your run, best"
    before, scores = sent(page)
    model, tokenizer = load_model(finished_run.folder)
    other = new_model(model.config, seed=7)
    save_weights(finished_run.folder / "best.safetensors", other, tokenizer)
    after, new = sent(page.run())
    assert new.tolist() == next_logits(other, tokenizer.encode(STORY_PROMPT)).tolist() != scores.tolist()
    assert after["run"] != before["run"]
    assert sent(page.run())[0] == after


def test_what_the_plain_controls_said_is_where_the_playground_begins_and_back(playground: AppTest) -> None:
    page = plain(playground)
    page.slider("sampling_temperature").set_value(2.5)
    page.slider("sampling_top_p").set_value(0.8).run()
    page.toggle("sampling_plain").set_value(False).run()
    start = sent(page)[0]["start"]
    assert (start["temperature"], start["top_p"], start["top_k"], start["draws"]) == (2.5, 0.8, None, 1)
    assert plain(page).slider("sampling_temperature").value == 2.5


@pytest.mark.parametrize(
    "said",
    [
        None,
        "rules",
        {"temperature": 1},
        {"temperature": 9.0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_k": 101},
        {"top_p": 0.0},
        {"seed": 2**40},
        {"seed": "1"},
        {"draws": 10**9},
        {"draws": None},
    ],
    ids=str,
)
def test_what_no_control_could_have_said_is_left_aside(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr(rules.st, "session_state", state)
    good = dict(rules.as_said(rules.Rules(SamplingConfig(top_k=4), 100)))
    rules.reported(good | said if isinstance(said, dict) and len(said) == 1 and said != {"temperature": 1} else said)
    assert state == {}
    rules.reported(good)
    assert rules.rules() == rules.Rules(SamplingConfig(top_k=4), 100)


# ----------------------------------------------------------------------------------------------------- many draws of it


def test_every_stage_of_every_bar_is_in_the_table(page: AppTest) -> None:
    page.slider("sampling_temperature").set_value(0.7)
    page.slider("sampling_top_k").set_value(6)
    page.slider("sampling_top_p").set_value(0.5)
    page.segmented_control("sampling_draws").set_value(100).run()
    config = SamplingConfig(temperature=0.7, top_k=6, top_p=0.5)
    shown = page.dataframe[0].value
    model, tokenizer = resources.speak(UNTRAINED)
    logits = next_logits(model, tokenizer.encode(STORY_PROMPT))
    choice = choose(logits, config)
    ids = shown["token_id"].to_numpy()
    for column, stage in (("scaled", choice.scaled), ("softmax", choice.softmax), ("chance", choice.probability)):
        assert shown[column].to_numpy() == pytest.approx(stage.numpy()[ids])
    assert shown["kept"].tolist() == choice.kept.numpy()[ids].tolist()
    assert shown["drawn"].sum() == 100
    assert "in the other order:" in notice(page)


@pytest.mark.parametrize("draws", [100, 1_000, 10_000])
def test_counts_and_theory_are_those_of_gptcore(page: AppTest, drawn: Drawn, draws: int) -> None:
    page.slider("sampling_top_k").set_value(8)
    page.segmented_control("sampling_draws").set_value(draws).run()
    table = table_of(STORY_PROMPT, SamplingConfig(top_k=8))
    ids = draw_many(table["probability"].to_numpy(), draws, 123)
    counts = draw_counts(table, ids)
    bars, theory = drawn(look(page, "Draw"), "sampling_draws_chart")
    assert bars["y"] == counts["drawn"].tolist()
    assert sum(bars["y"]) == draws
    assert theory["y"] == pytest.approx(counts["expected"].tolist())
    page.number_input("sampling_seed").set_value(5).run()
    assert drawn(page, "sampling_draws_chart")[0]["y"] != bars["y"]
    assert drawn(page, "sampling_draws_chart")[1]["y"] == pytest.approx(theory["y"])


def test_one_draw_is_named_with_its_chance(page: AppTest) -> None:
    table = table_of(STORY_PROMPT, SamplingConfig())
    (token_id,) = draw_many(table["probability"].to_numpy(), 1, 123)
    said = [text.value for text in look(page, "Draw").markdown]
    expected = f"Seed 123 draws **{frame.plain(marked(table['token'][token_id]))}**"
    assert any(text.startswith(expected) for text in said)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 5.0])
def test_the_nine_words_stand_beside_their_published_counts(page: AppTest, drawn: Drawn, temperature: float) -> None:
    page.selectbox("sampling_voice").select("the book's nine words").run()
    page.slider("sampling_temperature").set_value(temperature)
    page.segmented_control("sampling_draws").set_value(1_000).run()
    bars, theory, published = drawn(look(page, "Draw"), "sampling_draws_chart")
    assert published["name"] == "published"
    by_word = dict(zip(published["x"], published["y"], strict=True))
    known = NINE_WORDS.counts[temperature]
    assert {word: count for word, count in by_word.items() if count is not None} == known
    assert sum(bars["y"]) == 1_000
    if temperature == 5:
        assert dict(zip(theory["x"], theory["y"], strict=True))["pizza"] == pytest.approx(43, abs=0.5)
        assert any("not its chance: that is 4.3%" in said.value for said in page.caption)
    page.slider("sampling_top_k").set_value(3).run()  # under other rules nothing was published
    assert [trace["name"] for trace in drawn(page, "sampling_draws_chart")][2:] == []


@pytest.mark.parametrize("view", ["Write", "Step by step", "Compare"])
def test_behind_the_nine_words_stands_no_model(page: AppTest, view: str) -> None:
    look(page.selectbox("sampling_voice").select("the book's nine words").run(), view)
    assert not page.exception
    assert "stands no model" in page.info[0].value


# --------------------------------------------------------------------------------------------------------- step by step


def paths(page: AppTest) -> list[list[str]]:
    """The tokens of the paths side by side: one's own, the greedy and the sampled one."""
    heads = [json.loads(each.proto.json) for each in page.get("bidi_component") if each.proto.json]
    return [[piece["text"] for piece in head["pieces"]] for head in heads if "the greener" in head.get("label", "")]


def total(page: AppTest, place: int) -> float:
    said = [text.value for text in page.caption if "nats in all" in text.value]
    return -float(said[place].partition(" nats")[0].lstrip("−"))


def test_taking_what_is_drawn_writes_what_going_on_writes(page: AppTest) -> None:
    look(page, "Step by step")
    for _ in range(4):
        page.button("sampling_take_drawn").click().run()
    own, _, sampled = paths(page)
    model, tokenizer = resources.speak(UNTRAINED)
    expected = list(generate(model, tokenizer.encode(STORY_PROMPT), SamplingConfig(), 4))
    assert own == sampled == [show_token(tokenizer.token_bytes(each.token_id)) for each in expected]
    assert total(page, 0) == pytest.approx(sum(each.log_probability for each in expected), abs=0.01)


def test_any_token_can_be_taken_and_given_back_and_the_bars_follow(page: AppTest, drawn: Drawn) -> None:
    look(page, "Step by step")
    table = table_of(STORY_PROMPT, SamplingConfig())
    third = int(table.nlargest(3, "logit")["token_id"].iloc[2])
    page.selectbox("sampling_next").select_index(2).run()
    page.button("sampling_take").click().run()
    model, tokenizer = resources.speak(UNTRAINED)
    ids = [*tokenizer.encode(STORY_PROMPT), third]
    assert paths(page)[0] == [show_token(tokenizer.token_bytes(third))]
    assert total(page, 0) == pytest.approx(math.log(table["probability"][third]), abs=0.01)
    assert_shows(page, drawn, next_token_table(next_logits(model, ids), tokenizer, SamplingConfig()))
    page.button("sampling_back").click().run()
    assert_shows(page, drawn, table)
    assert paths(page) == []


def test_the_greedy_path_takes_the_likeliest_every_time(page: AppTest) -> None:
    look(page, "Step by step")
    for _ in range(3):
        page.button("sampling_take").click().run()
    own, greedy, _ = paths(page)
    model, tokenizer = resources.speak(UNTRAINED)
    expected = generate(model, tokenizer.encode(STORY_PROMPT), SamplingConfig(temperature=0), 3)
    assert greedy == [show_token(tokenizer.token_bytes(each.token_id)) for each in expected]
    assert own[0] == greedy[0]  # the first in the list is the likeliest


def test_another_prompt_starts_another_path(page: AppTest) -> None:
    look(page, "Step by step").button("sampling_take").click().run()
    assert len(paths(page)) == 3
    page.text_area(PROMPT).set_value("Another beginning").run()
    assert paths(page) == []


def test_the_text_goes_on_from_the_tokens_that_were_taken(page: AppTest) -> None:
    look(page, "Step by step").button("sampling_take").click().run()
    model, tokenizer = resources.speak(UNTRAINED)
    likeliest = int(table_of(STORY_PROMPT, SamplingConfig())["logit"].idxmax())
    ids = [*tokenizer.encode(STORY_PROMPT), likeliest]
    expected = tokenizer.decode([*ids, *(each.token_id for each in generate(model, ids, SamplingConfig(), 5))])
    look(page, "Write")
    assert go_on(page, tokens=5) == expected


# --------------------------------------------------------------------------------------------- three rules side by side


def test_three_rules_write_what_each_would_write_alone_and_are_measured(page: AppTest) -> None:
    look(page, "Compare")
    page.slider("sampling_compare_temperature_2").set_value(0.5)
    page.number_input("sampling_compare_top_k_2").set_value(7)
    page.number_input("sampling_compare_top_p_1").set_value(0.6)
    page.number_input("sampling_compare_most").set_value(9)
    page.button("sampling_compare_go").click().run()
    ways = [
        SamplingConfig(temperature=0),
        SamplingConfig(top_p=0.6),
        SamplingConfig(temperature=0.5, top_k=7),
    ]
    model, tokenizer = resources.speak(UNTRAINED)
    alone = [list(generate(model, tokenizer.encode(STORY_PROMPT), way, 9)) for way in ways]
    assert text_shown(page) == [STORY_PROMPT + tokenizer.decode([each.token_id for each in way]) for way in alone]
    measures = [text.value for text in page.caption if "different ones" in text.value]
    for said, way in zip(measures, alone, strict=True):
        ids = [each.token_id for each in way]
        assert f"{distinct_share(ids):.0%} different ones; {repeated_share(ids):.0%} of its passages" in said


# -------------------------------------------------------------------------------------------------------- predict first


def answered(page: AppTest, offered: Any, guess: str) -> list[str]:
    offered.set_value(guess).run()
    return [each.value for each in page.success]


def test_the_leader_at_half_the_temperature_is_the_leader(page: AppTest, offers: Offers) -> None:
    leader = frame.plain(marked(table_of(STORY_PROMPT, SamplingConfig()).nlargest(1, "logit")["token"].iloc[0]))
    look(page, "Step by step")
    assert answered(page, offers(page, "sampling_lead"), leader)[0].startswith("Yes.")


def test_top_k_1_at_temperature_5_is_greedy(page: AppTest, offers: Offers) -> None:
    look(page, "Compare")
    assert answered(page, offers(page, "sampling_one"), "any token") == []
    assert answered(page, offers(page, "sampling_one"), "always the likeliest")[0].startswith("Yes.")


def guess_how_many(page: AppTest, size: int) -> None:
    (box,) = (each for each in page.number_input if (each.key or "").startswith("sampling_hold_"))
    box.set_value(size)
    next(each for each in page.button if (each.key or "").startswith("sampling_hold_")).click().run()


def test_how_many_tokens_hold_90_percent_is_counted(page: AppTest) -> None:
    page.slider("sampling_top_k").set_value(20).run()
    look(page, "Draw")
    size = nucleus_size(table_of(STORY_PROMPT, SamplingConfig(top_k=20))["probability"].to_numpy(), 0.9)
    guess_how_many(page, size)
    assert [each.value for each in page.success] == [f"Yes: {size:,}."]


@pytest.mark.parametrize("change", ["the rules", "the prompt"])
def test_a_guess_about_other_scores_is_none_about_these(page: AppTest, change: str) -> None:
    guess_how_many(look(page, "Draw"), 5)
    assert page.info[0].value.startswith("You said 5; it is")
    if change == "the rules":
        page.slider("sampling_temperature").set_value(0.3).run()
    else:
        page.text_area(PROMPT).set_value("Once").run()
    assert not page.exception
    assert not page.success
    assert not page.info


# ------------------------------------------------------------------------------------------------------------ any model


def test_weights_that_lie_ready_are_offered_and_refused_in_words_where_they_are_none(
    lesson: Open, data_home: Path, refusals: Refusals
) -> None:
    (data_home / "models").mkdir()
    (data_home / "models" / "small.safetensors").write_bytes(b"<html>")
    page = lesson("sampling")
    page.selectbox("sampling_voice").select("GPT-2 (small.safetensors)").run()
    assert not page.exception
    assert len(refusals(page)) == 1


def test_all_of_ones_own_runs_can_be_asked(lesson: Open, finished_run: Run) -> None:
    given = (finished_run.text, finished_run.model_config, finished_run.train_config)
    other = RunStore(runs_home()).create(*given, owner=owner_of(BROWSER_TOKEN))
    assert execute(other) == "done"
    page = lesson("sampling", **{thread.RUN: finished_run.id, owner.BROWSER: BROWSER_TOKEN})
    options = page.selectbox("sampling_voice").options
    assert [f"your run 1, {which}" in options for which in ("best", "last")] == [True, True]
    page.selectbox("sampling_voice").select("your run 1, last").run()
    assert not page.exception
    assert not page.error


# -------------------------------------------------------------------------------------------------------- many students


def test_texts_that_are_written_at_once_take_turns_and_are_whole() -> None:
    computing: list[int] = []
    together: list[int] = []

    def steps() -> Iterator[int]:
        for step in range(20):
            computing.append(step)
            together.append(len(computing))
            time.sleep(0.001)
            computing.pop()
            yield step

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: list(resources.in_turn(steps())), range(8)))
    assert texts == [list(range(20))] * 8
    assert set(together) == {1}

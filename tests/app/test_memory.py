"""Memory: each number is gptcore's, each control moves what it says, and what is missing gives a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, SamplingConfig, TrainConfig
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.extraction import beginnings, extraction
from gptcore.library import load_model
from gptcore.memorization import MIN_COPIED, CopyIndex
from gptcore.paths import POCKET_MODEL, runs_home
from gptcore.recitation import Copying, Recall, by_temperature, copying, over_the_run, written_tokens
from gptcore.runs.store import Run, RunStore
from gptcore.runs.worker import execute
from gptcore.temperatures import TEMPERATURES, validation_loss, write
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text
from pages._ui import frame, recital, thread

Open = Callable[..., AppTest]
Refusals = Callable[[AppTest], list[str]]
Drawn = Callable[..., list[dict[str, Any]]]
SMALL, LARGE = Run(thread.SMALL_RUN), Run(thread.RECORDED_RUN)
SHORTEST, SEED, TOKENS = MIN_COPIED, 123, 200
STORY = load_text(OWN_STORY)
QUICK = replace(TRAIN_PRESETS["class"], steps=6, eval_every=2, eval_batches=1, sample_tokens=4)


@pytest.fixture
def page(lesson: Open) -> AppTest:
    """The lesson as it opens: the recorded small run, its last weights, temperature 0."""
    page = lesson("memory")
    assert not page.exception
    return page


def opened(lesson: Open, run: Run, **session: object) -> AppTest:
    page = lesson("memory", **{thread.RUN: run.id}, **session)
    assert not page.exception
    return page


def trained(text: Text = STORY, config: TrainConfig = QUICK) -> Run:
    run = RunStore(runs_home()).create(text, MODEL_PRESETS["class"], config)
    assert execute(run) == "done"
    return run


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No text is cut short because other tests use the core, too; the budget has a test of its own."""
    monkeypatch.setattr(recital, "SECONDS", 600.0)


def prose(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.caption, *page.info, *page.success])


def look(page: AppTest, view: str) -> AppTest:
    page = page.segmented_control("memory_view").set_value(view).run()
    assert not page.exception
    return page


# ---------------------------------------------------------------------------------------- what gptcore says of the same


def index(run: Run, part: int = 0) -> CopyIndex:
    return CopyIndex(load_tokenizer().encode(split_text(run.text.text, run.train_config.train_fraction)[part]))


def text_of(run: Run, state: str, temperature: float = 0.0, seed: int = SEED) -> str:
    model, tokenizer = load_model(run.folder, state)
    rules = SamplingConfig(temperature=temperature, seed=seed)
    return write(model, tokenizer, tokenizer.encode(prompt_of(run)), rules, TOKENS).text


def prompt_of(run: Run) -> str:
    return str(run.samples()[0]["prompt"])


def held_to(run: Run, text: str, part: int = 0, shortest: int = SHORTEST) -> Copying:
    return copying(index(run, part), written_tokens(text, prompt_of(run)), shortest)


def stranger(run: Run, temperature: float = 0.0, seed: int = SEED, tokens: int = TOKENS) -> Copying:
    model, tokenizer = load_model(POCKET_MODEL)
    rules = SamplingConfig(temperature=temperature, seed=seed)
    text = write(model, tokenizer, tokenizer.encode(prompt_of(run)), rules, tokens).text
    return held_to(run, text)


def assert_measured(page: AppTest, run: Run, text: str, other: Copying, shortest: int = SHORTEST) -> None:
    found, chance = held_to(run, text, 0, shortest), held_to(run, text, 1, shortest)
    assert {metric.label: metric.value for metric in page.metric} == {
        "Longest passage": f"{found.longest} tokens",
        "Share copied": f"{found.share:.0%}",
        "In unseen text": f"{chance.share:.0%}",
        "By pocket model": f"{other.share:.0%}",
    }
    assert f"{found.copied} of the {found.written} tokens it wrote stand word for word" in prose(page)
    assert f"Held to the validation text, {chance.copied} do" in prose(page)
    assert f"shares {other.copied} of its {other.written} tokens" in prose(page)
    pieces = json.loads(page.get_by_key("memory_text").proto.json)["pieces"]
    orange = [piece for piece in pieces if "copied" in piece["kind"]]
    assert all("prompt" not in piece["kind"] for piece in orange)
    places = {f"word for word from token {span.place:,} of" for span in found.spans}
    assert len({piece["title"].split("tokens, ")[1].split(" the training")[0] for piece in orange}) == len(places)


def asked(run: Run, state: str, length: int) -> list[list[Recall]]:
    model, _ = load_model(run.folder, state)
    data = prepare(run.text, run.model_config, run.train_config)
    T = run.model_config.context_length
    return [
        extraction(model, ids, beginnings(len(ids), 50 + length, stride=stride), length=length)
        for ids, stride in ((data.train_ids, T), (data.train_ids, 1), (data.validation_ids, 1))
    ]


def assert_extracted(page: AppTest, drawn: Drawn, tests: list[list[Recall]]) -> None:
    bars = drawn(page, "memory_extraction")
    expected = [values for recalls in tests for values in ([r.share for r in recalls], [r.right for r in recalls])]
    assert [bar["y"] for bar in bars] == [pytest.approx(values, abs=1e-9) for values in expected]
    assert [bar["x"] for bar in bars] == [[str(recall.prefix) for recall in tests[0]]] * 6
    assert bars[0]["text"] == [str(recall.recited) for recall in tests[0]]


# ------------------------------------------------------------------------------------------------------------- the text


def test_before_any_click_the_small_recorded_run_recites(page: AppTest) -> None:
    assert page.text[0].value == f"The recorded small run on {SMALL.text.title}"
    text = text_of(SMALL, "last")
    assert held_to(SMALL, text).longest >= 20
    assert_measured(page, SMALL, text, stranger(SMALL))
    assert "200 tokens at temperature 0, seed 123." in prose(page)


def test_the_best_weights_say_something_else(page: AppTest) -> None:
    page.segmented_control("memory_state").set_value("best").run()
    assert_measured(page, SMALL, text_of(SMALL, "best"), stranger(SMALL))
    assert "Drawn now with its best weights" in prose(page)


def test_temperature_and_seed_draw_another_text_of_both_models(page: AppTest) -> None:
    page.select_slider("memory_temperature_of_text").set_value(0.5).run()
    assert_measured(page, SMALL, text_of(SMALL, "last", 0.5), stranger(SMALL, 0.5))
    page.number_input("memory_seed").set_value(7).run()
    assert_measured(page, SMALL, text_of(SMALL, "last", 0.5, 7), stranger(SMALL, 0.5, 7))
    assert "at temperature 0.5, seed 7." in prose(page)


def test_the_shortest_passage_that_counts_is_the_readers(page: AppTest) -> None:
    text = text_of(SMALL, "last")
    shares = []
    for shortest in (3, 20):
        page.slider("memory_min_tokens").set_value(shortest).run()
        found = held_to(SMALL, text, 0, shortest)
        assert page.metric[1].value == f"{found.share:.0%}"
        assert f"in passages of {shortest} tokens or more" in prose(page)
        shares.append(found.share)
    assert shares[0] > shares[1] > 0


def test_a_passage_is_shown_where_it_stands_in_the_training_text(page: AppTest) -> None:
    spans = held_to(SMALL, text_of(SMALL, "last")).spans
    ids = load_tokenizer().encode(split_text(SMALL.text.text, SMALL.train_config.train_fraction)[0])
    box = page.selectbox("memory_passage")
    longest_first = sorted(spans, key=lambda span: -span.length)
    assert box.options == [f"{s.length} tokens, from token {s.place:,}" for s in longest_first]
    for number in (0, len(box.options) - 1):
        page.selectbox("memory_passage").select_index(number).run()
        before, copied, after = json.loads(page.get_by_key("memory_source").proto.json)["pieces"]
        span = longest_first[number]
        assert copied["text"] == load_tokenizer().decode(ids[span.place : span.place + span.length])
        assert before["text"] + copied["text"] + after["text"] in SMALL.text.text


def test_the_large_recorded_run_shows_what_it_said_and_asks_for_no_weights(page: AppTest) -> None:
    page.selectbox("memory_recorded_run").select("Recorded: large").run()
    assert page.text[0].value == f"The recorded run of 162 million parameters on {LARGE.text.title}"
    best = next(row for row in LARGE.samples() if row["step"] == LARGE.status["best"]["step"])
    for state, sample in (("last", LARGE.samples()[-1]), ("best", best)):
        page.segmented_control("memory_state").set_value(state).run()
        written = len(written_tokens(sample["text"], sample["prompt"]))
        assert f"Said while it learnt, step {sample['step']}: {written} tokens at temperature 0." in prose(page)
        assert_measured(page, LARGE, sample["text"], stranger(LARGE, 0.0, 0, written))
    assert page.select_slider("memory_temperature_of_text").disabled
    for view in ("Extraction test", "Temperature"):
        assert "This takes weights. The recorded run of 162 million parameters has no best ones" in prose(
            look(page, view)
        )


# ------------------------------------------------------------------------------------------------------ extraction test


def test_the_extraction_test_is_gptcores(page: AppTest, drawn: Drawn) -> None:
    tests = asked(SMALL, "last", 16)
    assert_extracted(page, drawn, tests)
    windows, anywhere, unseen = (next(r for r in recalls if r.prefix == 10) for recalls in tests)
    assert windows.recited > 30 > anywhere.recited >= unseen.recited == 0
    for recall, way in ((windows, "from the beginning"), (anywhere, "from anywhere"), (unseen, "in the validation")):
        assert f"{recall.recited} of {recall.places} {way}" in prose(page)
    assert "Its windows began every 32 tokens" in prose(page)
    assert "Past 32 tokens, its context" in prose(page)


def test_other_weights_and_another_length_are_another_test(page: AppTest, drawn: Drawn) -> None:
    page.select_slider("memory_length_16").set_value(5).run()
    assert_extracted(page, drawn, asked(SMALL, "last", 5))
    page.segmented_control("memory_state").set_value("best").run()
    assert_extracted(page, drawn, asked(SMALL, "best", 5))


def test_a_prediction_is_checked_against_the_models_own_number(page: AppTest) -> None:
    (recited,) = (recall.recited for recall in asked(SMALL, "last", 16)[0] if recall.prefix == 10)
    key = f"memory_{SMALL.id}_last_predict"
    for guess, answer in ((recited - 1, f"You said {recited - 1}; it is {recited}."), (recited, f"Yes: {recited}.")):
        page.number_input(f"{key}_guess").set_value(guess)
        page.button(f"{key}_check").click().run()
        assert answer in prose(page)


def test_guess_first_hides_the_result_until_it_was_guessed(page: AppTest) -> None:
    page.toggle("memory_hide").set_value(True).run()
    assert not page.get("plotly_chart")
    assert "Passages recited whole" not in prose(page)
    key = f"memory_{SMALL.id}_last_predict"
    page.number_input(f"{key}_guess").set_value(1)
    page.button(f"{key}_check").click().run()
    assert page.get("plotly_chart")


def test_where_windows_begin_at_every_token_all_places_are_beginnings(lesson: Open, drawn: Drawn) -> None:
    page = opened(lesson, trained(config=replace(QUICK, stride=1)))
    assert "A training window began at every token" in prose(page)
    assert "places of a window at most" not in prose(page)
    bars = drawn(page, "memory_extraction")
    assert [bar["y"] for bar in bars[:2]] == [bar["y"] for bar in bars[2:4]]


@pytest.mark.parametrize(("stride", "places"), [(16, 2), (5, 7), (40, 1)])
def test_windows_that_overlap_show_each_token_at_several_places(lesson: Open, stride: int, places: int) -> None:
    run = trained(config=replace(QUICK, stride=stride))
    T, tokens = run.model_config.context_length, range(200, 300)  # far from the text's ends
    stood = [{token - begin for begin in range(0, 400, stride) if 0 <= token - begin < T} for token in tokens]
    assert max(map(len, stood)) == places
    said = prose(opened(lesson, run))
    assert (f"each token stood at {places} places of a window at most" in said) == (places > 1)
    assert ("each token always stood at the same place of a window" in said) == (places == 1)


# ------------------------------------------------------------------------------------------------------ the other views


@pytest.mark.parametrize("run", [SMALL, LARGE], ids=["small", "large"])
def test_the_share_over_the_run_stands_above_the_gap_of_the_same_steps(page: AppTest, drawn: Drawn, run: Run) -> None:
    if run is LARGE:
        page.selectbox("memory_recorded_run").select("Recorded: large").run()
    look(page, "Over the run")
    page.slider("memory_min_tokens").set_value(8).run()
    table = over_the_run(run.samples(), index(run), index(run, 1), 8)
    training, validation, gap = drawn(page, "memory_over_the_run")
    assert training["x"] == validation["x"] == table["step"].tolist()
    assert training["y"] == pytest.approx(table["training"].tolist())
    assert validation["y"] == pytest.approx(table["validation"].tolist())
    rows = [row for row in run.metrics()[0] if row["val_loss"] is not None]
    before = run.status["untrained"]
    assert gap["x"] == [-1, *(row["step"] for row in rows)]
    assert gap["y"] == pytest.approx([row["val_loss"] - row["train_loss"] for row in (before, *rows)])
    last = table.iloc[-1]
    assert f"{last['training']:.0%} of {last['tokens']:g} tokens stand in copied passages" in prose(page)
    assert f"is {gap['y'][-1]:.2f} nats a token" in prose(page)


def test_temperature_moves_the_share_and_not_the_loss(page: AppTest, drawn: Drawn) -> None:
    look(page, "Temperature")
    texts = {t: text_of(SMALL, "last", t) for t in TEMPERATURES}
    table = by_temperature(texts, prompt_of(SMALL), index(SMALL), SHORTEST)
    model, _ = load_model(SMALL.folder, "last")
    loss = validation_loss(model, prepare(SMALL.text, SMALL.model_config, SMALL.train_config).validation_ids, 40)
    shares, losses = drawn(page, "memory_temperature")
    assert shares["x"] == losses["x"] == ["0", "0.5", "1", "1.5", "2"]
    assert shares["y"] == pytest.approx(table["share"].tolist())
    assert shares["y"][0] > 0.1 > shares["y"][-1]
    assert losses["y"] == [pytest.approx(loss, abs=1e-5)] * 5
    assert f"{shares['y'][0]:.0%} at temperature 0" in prose(page)
    assert f"Its validation loss is {loss:.2f} nats a token" in prose(page)
    assert "1,000 tokens were drawn now, at least 200 at each" in prose(page)


def test_the_code_behind_the_page_is_what_ran(page: AppTest) -> None:
    page.session_state[frame.CODE] = True
    page.run()
    box = next(box for box in page.expander if box.label == "The code behind this page")
    assert [caption.value for caption in box.caption] == [
        "`gptcore.memorization.CopyIndex`",
        "`gptcore.recitation.copying`",
        "`gptcore.extraction.right_before_slip`",
        "`gptcore.extraction.extraction`",
        "`gptcore.temperatures.write`",
    ]


# ---------------------------------------------------------------------------------------------------- runs of one's own


def test_a_run_of_ones_own_comes_first_and_the_recorded_ones_are_a_choice(
    lesson: Open, drawn: Drawn, finished_run: Run
) -> None:
    page = opened(lesson, finished_run)
    assert page.text[0].value == f"Your run on {STORY.title}"
    assert page.selectbox("memory_run").options == ["Your run", "Recorded: small", "Recorded: large"]
    assert_measured(page, finished_run, text_of(finished_run, "last"), stranger(finished_run))
    assert_extracted(page, drawn, asked(finished_run, "last", 16))
    page.selectbox("memory_run").select("Recorded: small").run()
    assert page.text[0].value == f"The recorded small run on {SMALL.text.title}"


def test_a_run_with_the_full_vocabulary_is_measured_as_one_with_a_compact_one(lesson: Open, drawn: Drawn) -> None:
    run = trained(config=replace(QUICK, compact_vocab=False))
    page = opened(lesson, run)
    assert_measured(page, run, text_of(run, "last"), stranger(run))
    assert_extracted(page, drawn, asked(run, "last", 16))
    assert len(drawn(look(page, "Temperature"), "memory_temperature")) == 2


def test_a_title_and_a_text_are_shown_letter_by_letter(lesson: Open) -> None:
    hostile = "**:red[$x$]** <b>one</b> [two](javascript:3) "
    run = trained(Text("own", "**:red[$x$]**", hostile * 200, hostile[:20]))
    page = opened(lesson, run)
    assert page.text[0].value == "Your run on **:red[$x$]**"
    for view in ("Over the run", "Temperature"):
        look(page, view)
        assert ":red[" not in prose(page)
    pieces = json.loads(page.get_by_key("memory_text").proto.json)["pieces"]
    assert "".join(piece["text"] for piece in pieces) == text_of(run, "last")


@pytest.mark.parametrize("missing", ["best", "last"])
def test_where_one_kind_of_weights_is_missing_the_recorded_text_takes_their_place(
    lesson: Open, finished_run: Run, missing: str
) -> None:
    (finished_run.folder / f"{missing}.safetensors").unlink()
    page = opened(lesson, finished_run)
    page.segmented_control("memory_state").set_value(missing).run()
    assert not page.exception
    assert f"This run has no {missing} weights (yet)" in prose(page)
    assert "Said while it learnt, step" in prose(page)
    assert f"This takes weights. Your run has no {missing} ones here" in prose(page)
    page.segmented_control("memory_state").set_value("last" if missing == "best" else "best").run()
    assert "Drawn now with its" in prose(page)


def test_a_run_that_only_waits_gives_a_sentence_in_each_view(lesson: Open) -> None:
    page = opened(lesson, RunStore(runs_home()).create(STORY, MODEL_PRESETS["class"], QUICK))
    assert "This run is queued and has neither weights nor a text of its own to look at yet." in prose(page)
    assert not page.metric
    assert "This takes weights." in prose(page)
    assert "has not said anything yet: there is no share to draw" in prose(look(page, "Over the run"))
    assert "This takes weights." in prose(look(page, "Temperature"))


def test_damaged_weights_are_refused_once_in_a_sentence(lesson: Open, finished_run: Run, refusals: Refusals) -> None:
    path = finished_run.folder / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    page = opened(lesson, finished_run)
    assert len(refusals(page)) == 1
    assert "ast.safetensors is cut short: 100 of its" in refusals(page)[0]
    assert page.get("plotly_chart") == []
    look(page, "Over the run")
    assert page.get("plotly_chart")


def test_a_run_without_a_validation_part_is_measured_without_it(lesson: Open, drawn: Drawn) -> None:
    run = trained(config=replace(QUICK, train_fraction=1.0))
    page = opened(lesson, run)
    assert page.metric[2].value == "0%"
    assert "The validation text holds 0 tokens" in prose(page)
    assert "it is left out" in prose(page)
    assert len(drawn(page, "memory_extraction")) == 4
    assert "no validation loss, so there is no gap" in prose(look(page, "Over the run"))
    assert drawn(page, "memory_over_the_run")[2]["x"] == []
    assert "too short for one window" in prose(look(page, "Temperature"))
    assert len(drawn(page, "memory_temperature")) == 1


def test_a_text_too_short_for_the_longest_prefixes_is_tested_with_shorter_ones(lesson: Open, drawn: Drawn) -> None:
    config = replace(QUICK, batch_size=1, train_fraction=0.5)
    text = replace(STORY, key="own", text=STORY.text[:400])
    run = trained(text, config)
    tokens = [len(load_tokenizer().encode(part)) for part in split_text(text.text, 0.5)]
    assert 25 + 16 <= min(tokens) < max(tokens) < 50 + 16
    page = opened(lesson, run)
    for part, held in zip(("training", "validation"), tokens, strict=True):
        assert f"The {part} text holds {held} tokens. To give 50 and ask for 16 takes 66" in prose(page)
    assert "the longest prefix here is 25" in prose(page)
    assert drawn(page, "memory_extraction")[0]["x"] == ["5", "10", "25"]
    page.select_slider("memory_length_16").set_value(50).run()
    assert not page.exception
    assert "it is left out" in prose(page)
    assert page.get("plotly_chart") == []


def test_a_text_and_a_test_that_run_out_of_time_say_what_was_done(
    lesson: Open, finished_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recital, "SECONDS", -1.0)
    page = opened(lesson, finished_run)
    assert "0 tokens at temperature 0, seed 123, all that -1 seconds of a core allowed." in prose(page)
    assert page.metric[1].value == "0%"
    assert "Evenly spread places tested: 50 training text from a window's beginning" in prose(page)


def test_a_text_that_the_pocket_model_may_have_read_is_not_called_unseen(lesson: Open) -> None:
    own = trained(replace(STORY, key="own-1"))
    assert "was this one of them?" in opened(lesson, own).metric[3].help
    assert "never saw" in lesson("memory").metric[3].help

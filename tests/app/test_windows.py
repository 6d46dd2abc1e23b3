"""The lesson on windows: its counts are those of gptcore.windows, and whatever the controls say fits the text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from gptcore.batches import epoch_order, prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.figures.windows import SHOWN_WINDOWS, Part, stretch_in_view, target_runs, window_strip, windows_in_view
from gptcore.paths import runs_home
from gptcore.runs.store import RunStore
from gptcore.tokenizer import load_tokenizer
from gptcore.training import new_state, next_batch
from gptcore.windows import make_windows, split_text, window_counts
from pages._ui import frame, thread
from pages._ui.window_view import SHOWN_COLUMNS, formulas

encode = load_tokenizer().encode
SMALL = st.integers(1, 12)


@pytest.fixture
def page(lesson: Callable[..., AppTest]) -> AppTest:
    return lesson("windows")


def with_text(page: AppTest, text: str) -> AppTest:
    page.session_state["thread_text"] = Text("own-1", "<b>mine</b>", text, "Mine")
    return page.run()


def story() -> tuple[list[int], list[int]]:
    train, validation = split_text(load_text("the-glass-clock").text, 0.9)
    return encode(train), encode(validation)


def headline(T: int, S: int, B: int, drop_last: bool = True) -> str:
    train, validation = (
        window_counts(len(ids), T, S, B, drop) for ids, drop in zip(story(), (drop_last, False), strict=True)
    )
    never = len(story()[0]) - len(ever_targets(len(story()[0]), T, S, B, drop_last))
    return (
        f"**{train.windows:,} + {validation.windows:,}** windows · "
        f"**{train.batches:,} + {validation.batches:,}** batches · "
        f"**{never:,} + {validation.never_targets:,}** never a target"
    )


def ever_targets(n: int, T: int, S: int, B: int, drop_last: bool = True, epochs: int = 200) -> set[int]:
    """The tokens that a run predicts sooner or later, found by cutting and shuffling as it does."""
    places = torch.arange(n)
    _, targets = make_windows(places, T, S)
    whole = len(targets) // B * B if drop_last else len(targets)
    met = {int(window) for epoch in range(epochs) for window in epoch_order(len(targets), 123, epoch)[:whole]}
    return set(targets[sorted(met)].flatten().tolist())


def said(page: AppTest) -> str:
    return " ".join(element.value for element in page.markdown)


def rows(page: AppTest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The drawn chips of the input row and of the target row, without the rows' names."""
    columns = sent(page)["columns"]
    return [column[0] for column in columns], [column[1] for column in columns]


def sent(page: AppTest) -> dict[str, Any]:
    """What the rows of inputs and targets were given."""
    return json.loads(page.get_by_key("windows_pairs").proto.json)


def ids_of(pieces: list[dict[str, Any]]) -> list[int]:
    return [int(piece["note"]) for piece in pieces]


def test_our_story_gives_the_counts_of_the_books_text(page: AppTest) -> None:
    assert not page.exception
    assert headline(256, 256, 2) in said(page)
    assert "**18 + 2** windows · **9 + 1** batches" in said(page)  # as The Verdict does: FACTS.md


def test_the_target_row_is_the_input_row_moved_by_one(page: AppTest) -> None:
    train, _ = story()
    inputs, targets = rows(page)
    shown = len(inputs)
    assert ids_of(inputs) == train[:shown]
    assert ids_of(targets) == train[1 : shown + 1]


def test_another_window_starts_a_stride_further(page: AppTest) -> None:
    train, _ = story()
    page.number_input(key="windows_stride").set_value(100)
    page.number_input(key="windows_window").set_value(4).run()
    inputs, targets = rows(page)
    assert ids_of(inputs) == train[300 : 300 + len(inputs)]
    assert ids_of(targets) == train[301 : 301 + len(inputs)]


@pytest.mark.parametrize(("T", "S", "B"), [(4, None, 8), (16, 4, 3), (64, 65, 5), (1024, 1, 64), (1, None, 1)])
def test_context_stride_and_batch_change_the_counts(page: AppTest, T: int, S: int | None, B: int) -> None:
    page.select_slider(key="windows_context").set_value(T)
    page.number_input(key="windows_stride").set_value(S)
    page.slider(key="windows_batch").set_value(B).run()
    assert not page.exception
    assert headline(T, S or T, B) in said(page)


def test_drop_last_changes_the_training_part_alone(page: AppTest) -> None:
    page.slider(key="windows_batch").set_value(4).run()
    assert headline(256, 256, 4, drop_last=True) in said(page)
    page.toggle(key="windows_drop_last").set_value(False).run()
    assert headline(256, 256, 4, drop_last=False) in said(page)
    assert headline(256, 256, 4, drop_last=True) not in said(page)


def test_tokens_are_shown_as_text_ids_or_positions(page: AppTest) -> None:
    train, _ = story()
    view = page.get("segmented_control")[0]
    view.set_value("ids").run()
    assert [int(piece["text"]) for piece in rows(page)[0]] == train[: len(rows(page)[0])]
    page.get("segmented_control")[0].set_value("positions").run()
    inputs, targets = rows(page)
    assert [piece["text"] for piece in inputs] == [str(i) for i in range(len(inputs))]
    assert [piece["text"] for piece in targets] == [str(i + 1) for i in range(len(inputs))]


def test_the_chosen_position_is_a_prefix_and_its_target(page: AppTest) -> None:
    train, _ = story()
    page.number_input(key="windows_position").set_value(5).run()
    given, (inputs, targets) = sent(page), rows(page)
    place = given["position"]
    assert given["first"] + place == 5
    prefix = given["before"] + "".join(piece["word"] for piece in inputs[: place + 1])
    assert prefix == load_tokenizer().decode(train[:6])
    assert targets[place]["word"] == load_tokenizer().decode(train[6:7])


def test_only_columns_around_the_chosen_position_are_sent(page: AppTest) -> None:
    train, _ = story()
    page.select_slider(key="windows_context").set_value(1024).run()
    page.number_input(key="windows_position").set_value(700).run()
    inputs, targets = rows(page)
    assert len(inputs) == SHOWN_COLUMNS
    assert ids_of(targets)[sent(page)["position"]] == train[701]


def test_a_window_number_beyond_the_last_is_brought_back(page: AppTest) -> None:
    page.number_input(key="windows_window").set_value(18).run()
    page.select_slider(key="windows_context").set_value(1024).run()
    assert not page.exception
    windows = window_counts(len(story()[0]), 1024, 1024, 2, drop_last=False).windows
    assert page.number_input(key="windows_window").value == windows


def test_a_short_text_says_what_is_missing_and_offers_a_context_that_fits(page: AppTest) -> None:
    text = "The owl went home, and nobody saw it go. It never told."
    with_text(page, text)
    assert not page.exception
    train, validation = map(encode, split_text(text, 0.9))
    assert page.warning[0].value == (
        f"A context of 256 needs at least 256 + 1 = 257 tokens; the training part has {len(train)}."
    )
    page.button(key="windows_context_take").click().run()
    assert not page.exception
    T = page.select_slider(key="windows_context").value
    assert window_counts(len(train), T, T, 1, drop_last=False).windows
    assert window_counts(len(validation), T, T, 1, drop_last=False).windows
    assert not page.warning


def test_a_validation_part_that_is_too_short_is_said(page: AppTest) -> None:
    with_text(page, "owl " * 800)
    assert not page.exception
    assert "The validation part is too short" in page.warning[0].value
    page.button(key="windows_context_take").click().run()
    assert not page.warning


def test_a_batch_larger_than_the_windows_is_said(page: AppTest) -> None:
    page.slider(key="windows_batch").set_value(32).run()
    assert "fewer than one batch of 32" in page.warning[0].value
    page.button(key="windows_batch_take").click().run()
    assert page.slider(key="windows_batch").value == 18
    assert not page.warning


@pytest.mark.parametrize("text", ["a", "ab", "abc", "owl owl", " ", "\U0001f989"])
def test_a_tiny_text_gives_one_sentence_and_no_exception(page: AppTest, text: str) -> None:
    with_text(page, text)
    assert not page.exception
    assert len(page.error) + len(page.warning) == 1


def test_a_texts_name_is_never_read_as_markdown(page: AppTest) -> None:
    with_text(page, "a")
    prose = " ".join(e.value for kind in ("markdown", "caption", "error", "warning") for e in page.get(kind))
    assert "<b>" not in prose


def test_the_question_is_scored_by_the_formula(page: AppTest) -> None:
    answer = window_counts(len(story()[0]), 256, 1, 2, drop_last=False).windows
    page.number_input(key="windows_predict_guess").set_value(answer)
    page.button(key="windows_predict_check").click().run()
    assert page.success[0].value == f"Yes: {answer:,}."
    page.select_slider(key="windows_context").set_value(128).run()
    assert not page.success  # another question, not answered yet


def test_the_settings_are_still_there_after_another_page(page: AppTest) -> None:
    page.select_slider(key="windows_context").set_value(64)
    page.number_input(key="windows_stride").set_value(32)
    page.toggle(key="windows_drop_last").set_value(False)
    page.slider(key="windows_batch").set_value(6).run()
    shown = said(page)
    page.switch_page("pages/tokens.py").run().switch_page("pages/windows.py").run()
    assert not page.exception
    assert said(page) == shown


def parts_of(n: int, m: int, T: int, S: int, B: int, drop: bool) -> list[Part]:
    return [
        Part("training", 0, n, window_counts(n, T, S, B, drop)),
        Part("validation", n, m, window_counts(m, T, S, B, drop_last=False)),
    ]


@given(st.integers(0, 90), st.integers(0, 30), SMALL, st.integers(1, 20), SMALL, st.booleans())
def test_the_strips_runs_count_targets_as_cutting_would(n: int, m: int, T: int, S: int, B: int, drop: bool) -> None:
    for part in parts_of(n, m, T, S, B, drop):
        met = part.counts.windows if part.counts.batches else 0
        predicted = [w * S + t + 1 for w in range(met) for t in range(T)]
        times = [min(predicted.count(token), 2) for token in range(part.tokens)]
        runs = target_runs(part, T, S, 0, n + m)
        assert [run.times for run in runs for _ in range(run.end - run.start)] == times
        assert [token for run in runs for token in range(run.start, run.end)] == [
            part.start + i for i in range(part.tokens)
        ]


@pytest.mark.parametrize(("epoch", "seed", "batch"), [(1, 123, 2), (2, 123, 4), (1, 7, 5)])
def test_the_order_is_the_one_in_which_a_run_meets_its_windows(
    page: AppTest, drawn: Callable[..., list[dict[str, Any]]], epoch: int, seed: int, batch: int
) -> None:
    page.number_input(key="windows_epoch").set_value(epoch)
    page.number_input(key="windows_seed").set_value(seed)
    page.slider(key="windows_batch").set_value(batch).run()
    model, config = MODEL_PRESETS["book-124m"], replace(TRAIN_PRESETS["class"], batch_size=batch, seed=seed)
    data = prepare(load_text(OWN_STORY), model, replace(config, compact_vocab=False))
    state = new_state(replace(model, emb_dim=8, n_heads=1, n_layers=1), config, data)
    state.step = (epoch - 1) * state.batches_per_epoch
    windows = state.windows(data.train_ids)[0]
    (points,) = drawn(page, "windows_order")
    for number in range(state.batches_per_epoch):
        met, _ = next_batch(state)
        mine = [int(y) - 1 for x, y in zip(points["x"], points["y"], strict=True) if x == number + 1]
        assert windows[mine].tolist() == met.tolist()
        state.step += 1
    assert len(points["x"]) == state.batches_per_epoch * batch


@pytest.mark.parametrize("stride", [None, 7])
def test_the_windows_are_taken_to_the_training_lesson_with_one_click(page: AppTest, stride: int | None) -> None:
    page.select_slider(key="windows_context").set_value(16)
    page.number_input(key="windows_stride").set_value(stride)
    page.slider(key="windows_batch").set_value(3).run()
    page.button("windows_train").click().run()
    assert not page.exception
    page.switch_page(frame.page_file("training")).run()  # AppTest stays where it was when a page leads on
    assert page.selectbox("training_preset").value == "the settings of the windows lesson"
    page.button("training_start").click().run()
    (run,) = RunStore(runs_home())
    assert run.model_config == replace(MODEL_PRESETS["class"], context_length=16)
    assert run.train_config == replace(TRAIN_PRESETS["class"], stride=stride, batch_size=3)


@given(st.integers(1, 400), st.integers(0, 60), SMALL, st.integers(1, 20), SMALL, st.data())
def test_the_chosen_window_is_in_the_stretch_that_is_drawn(
    n: int, m: int, T: int, S: int, B: int, data: st.DataObject
) -> None:
    parts = parts_of(n, m, T, S, B, drop=True)
    windows = parts[0].counts.windows
    chosen = data.draw(st.integers(0, windows - 1)) if windows else None
    first = (chosen or 0) // SHOWN_WINDOWS * SHOWN_WINDOWS
    seen = windows_in_view(parts, T, S, B, first)
    low, high = stretch_in_view(parts, seen)
    assert len(seen) <= SHOWN_WINDOWS
    assert all(low <= window.start < window.end < high <= n + m for window in seen)
    if chosen is not None:
        assert seen[chosen - first].start == chosen * S


def test_a_long_text_is_drawn_in_part_only() -> None:
    figure = window_strip(parts_of(2_000_000, 200_000, 256, 1, 8, drop=True), 256, 1, 8, chosen=1_000_000)
    assert len(figure.to_json()) < 60_000
    low, high = figure.layout.xaxis.range
    assert low <= 1_000_000 < high


def evaluate(formula: str) -> int:
    """What a formula of the page comes to, worked out by Python."""
    plain = formula.replace(",", "").replace("−", "-").replace("×", "*")
    plain = re.sub(r"⌊(.+) / (\d+)⌋", r"((\1) // \2)", plain)
    return int(eval(re.sub(r"⌈(.+) / (\d+)⌉", r"(-(-(\1) // \2))", plain)))


@given(st.integers(0, 9_000), st.integers(1, 1_500), st.integers(1, 2_000), SMALL, st.booleans())
def test_each_formula_comes_to_the_count_beside_it(n: int, T: int, S: int, B: int, drop: bool) -> None:
    counts = window_counts(n, T, S, B, drop)
    rows = formulas(n, T, S, B, drop, counts)
    for formula, value in rows.values():
        assert evaluate(formula) == value
    assert rows["ever a target"][1] + rows["never a target"][1] == n


@pytest.mark.parametrize(("T", "S", "B"), [(32, 32, 8), (32, 16, 8), (32, 4, 8), (32, 32, 1), (64, 200, 8)])
def test_what_is_never_a_target_is_what_no_epoch_predicts(page: AppTest, T: int, S: int, B: int) -> None:
    page.select_slider(key="windows_context").set_value(T)
    page.number_input(key="windows_stride").set_value(S)
    page.slider(key="windows_batch").set_value(B).run()
    n, counts = len(story()[0]), window_counts(len(story()[0]), T, S, B, drop_last=True)
    never = n - len(ever_targets(n, T, S, B))
    left_out = counts.dropped_windows
    notice = f"{never:,} of the {n:,} training tokens {'is' if never == 1 else 'are'} never a target"
    if left_out:
        notice += f"; each epoch leaves out {left_out} window{'s' * (left_out > 1)}, other ones each time"
    assert f"{notice}." in said(page)


def test_the_class_presets_windows_leave_out_seven_tokens_for_good_and_four_windows_an_epoch(page: AppTest) -> None:
    page.select_slider(key="windows_context").set_value(32)
    page.slider(key="windows_batch").set_value(8).run()
    assert (
        "7 of the 4,743 training tokens are never a target; each epoch leaves out 4 windows, other ones each time."
    ) in said(page)


@pytest.mark.parametrize(
    ("T", "judged_by"),
    [
        (32, "10 of 16 validation windows"),
        (64, "all 8 validation windows"),
        (256, "both validation windows"),
        (512, "1 validation window"),
    ],
)
def test_an_evaluation_is_judged_by_no_more_windows_than_it_looks_at(page: AppTest, T: int, judged_by: str) -> None:
    assert TRAIN_PRESETS["book-124m"].eval_batches * TRAIN_PRESETS["book-124m"].batch_size == 10
    page.select_slider(key="windows_context").set_value(T).run()
    assert f"Each evaluation is judged by {judged_by}: the fewer, the noisier." in said(page)


@pytest.mark.parametrize("changes", [{"train_share": 0.3}, {"sealed_fraction": 0.1}, {"train_share": 0.5, "stride": 3}])
def test_the_lesson_has_the_windows_that_its_run_has(
    lesson: Callable[..., AppTest], data_home: Path, changes: dict[str, Any]
) -> None:
    config = replace(TRAIN_PRESETS["class"], **changes)
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], config)
    page = lesson("windows", **{thread.RUN: run.id, thread.PRESET: run.model_config})
    data = prepare(run.text, run.model_config, config)
    stride = config.stride or run.model_config.context_length
    train = window_counts(len(data.train_ids), run.model_config.context_length, stride, config.batch_size, True)
    assert f"**Training part**, n = {len(data.train_ids):,} tokens" in said(page)
    assert f"an epoch of {train.batches:,} batches has {train.predictions:,}" in said(page)
    share = f"of the first part {config.train_share:.0%} is used"
    assert any(share in text.value for text in page.caption) == ("train_share" in changes)


@pytest.mark.parametrize(("stride", "said_of_it"), [(None, ""), (40, "; between two windows 8 tokens are skipped")])
def test_predict_first_asks_for_what_no_epoch_predicts(
    lesson: Callable[..., AppTest], data_home: Path, stride: int | None, said_of_it: str
) -> None:
    config = replace(TRAIN_PRESETS["class"], stride=stride)
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], config)
    page = lesson("windows", quiz_windows=True, **{thread.RUN: run.id, thread.PRESET: run.model_config})
    guess = next(field for field in page.number_input if (field.key or "").startswith("quiz_windows_never"))
    n = len(story()[0])
    guess.set_value(n - len(ever_targets(n, 32, stride or 32, 8)))
    page.button((guess.key or "").replace("guess", "check")).click().run()
    assert page.success[0].value.startswith("Yes")
    assert f"what is left at the end fills no window{said_of_it}. The windows that fill no batch are other" in (
        " ".join(text.value for text in [*page.markdown, *page.caption, *page.success])
    )

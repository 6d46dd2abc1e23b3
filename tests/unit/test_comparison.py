"""Runs side by side: what differs, what came of it, and whether two runs are the same to the last bit."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gptcore import recordings
from gptcore.comparison import (
    CURVES,
    NUMBERS,
    Compared,
    are_judged_alike,
    as_csv,
    causes,
    circumstances,
    curves_table,
    differences,
    in_words,
    recipe,
    results,
    same_run,
)
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.figures.comparison import comparison_curves
from gptcore.figures.theme import RUNS
from gptcore.machine import processor, versions
from gptcore.parameters import count_parameters
from gptcore.runs.store import Run, create_run
from gptcore.runs.worker import execute

NAN = math.nan
MODEL, TRAINING = MODEL_PRESETS["class"], TRAIN_PRESETS["class"]


def rows(losses: Sequence[float], evaluations: Sequence[tuple[float, float]] = (), every: int = 2) -> pd.DataFrame:
    """Metrics of a run that was evaluated at every second step."""
    looked = {index * every: pair for index, pair in enumerate(evaluations)}
    return pd.DataFrame(
        [
            {
                "step": step,
                "epoch": step // 4,
                "tokens_seen": 256 * (step + 1),
                "batch_loss": loss,
                "grad_norm": 1.0,
                "lr": 0.005,
                "train_loss": looked.get(step, (NAN, NAN))[0],
                "val_loss": looked.get(step, (NAN, NAN))[1],
                "seconds": 0.5 * (step + 1),
            }
            for step, loss in enumerate(losses)
        ],
        columns=["step", "epoch", "tokens_seen", *NUMBERS, "seconds"],
    )


def run(name: str = "a", metrics: pd.DataFrame | None = None, **changes: Any) -> Compared:
    training = replace(TRAINING, **{key: value for key, value in changes.items() if hasattr(TRAINING, key)})
    others = {key: value for key, value in changes.items() if not hasattr(TRAINING, key)}
    metrics = rows([5.0, 4.0, 3.0], [(4.5, 5.0), (3.5, 5.5)]) if metrics is None else metrics
    about: dict[str, Any] = {"text": "A text", "sha256": "ab" * 32, "model": MODEL, "state": "done", **others}
    return Compared(name=name, training=training, metrics=metrics, **about)


# --------------------------------------------------------------------------------------------------------- the settings


def test_only_settings_that_differ_are_in_the_table() -> None:
    table = differences([run("a"), run("b", lr=0.01), run("c", seed=7)])
    assert table.to_dict("index") == {"lr": {"a": 0.005, "b": 0.01, "c": 0.005}, "seed": {"a": 123, "b": 123, "c": 7}}


def test_runs_that_differ_in_nothing_give_an_empty_table() -> None:
    assert differences([run("a"), run("b", metrics=rows([9.0]))]).empty
    assert differences([run("a")]).empty


def test_settings_that_look_alike_and_are_not_are_told_apart() -> None:
    assert list(differences([run("a", lr=0.1), run("b", lr=math.nextafter(0.1, 1))]).index) == ["lr"]
    assert list(differences([run("a", min_lr=None), run("b", min_lr=0.0)]).index) == ["min_lr"]


def test_a_compact_vocabulary_is_shown_with_its_true_size_and_the_parameters_follow() -> None:
    small = replace(MODEL, vocab_size=1_155)
    table = differences([run("a", model=small), run("b", compact_vocab=False)])
    assert table.loc["vocab_size"].tolist() == [1_155, 50_257]
    assert table.loc["parameters"].tolist() == [count_parameters(small), count_parameters(MODEL)]
    assert causes(table) == ["compact_vocab"]


def test_a_text_is_known_by_its_content_not_by_its_title() -> None:
    renamed = differences([run("a"), run("b", text="Another title")])
    assert causes(renamed) == []
    rewritten = differences([run("a"), run("b", sha256="cd" * 32, model=replace(MODEL, vocab_size=900))])
    assert causes(rewritten) == ["text"]
    assert "text" not in rewritten.index


def test_epochs_that_steps_replace_are_no_difference() -> None:
    assert differences([run("a", steps=30, epochs=10), run("b", steps=30, epochs=20)]).empty
    table = differences([run("a", steps=30), run("b", steps=None, epochs=20)])
    assert table.loc["epochs"].tolist() == [None, 20]


@pytest.mark.parametrize(
    "other", [{"sha256": "cd" * 32}, {"train_fraction": 0.8}, {"model": replace(MODEL, vocab_size=900)}]
)
def test_runs_of_another_text_cut_or_vocabulary_are_not_judged_alike(other: dict[str, Any]) -> None:
    assert are_judged_alike([run("a"), run("b", lr=0.1, train_share=0.5)])
    assert not are_judged_alike([run("a"), run("b", **other)])


# ---------------------------------------------------------------------------------------------------------- the results


def test_results_are_the_best_and_the_last_evaluation_and_the_pace() -> None:
    (row,) = results([run()]).to_dict("records")
    assert row == {
        "run": "a",
        "best_validation": 5.0,
        "best_step": 0,
        "train_loss": 3.5,
        "val_loss": 5.5,
        "updates": 3,
        "seconds": 1.5,
        "tokens_a_second": 512.0,
        "state": "done",
    }


def test_what_is_not_known_is_missing_and_never_a_zero() -> None:
    queued = run("queued", rows([]), state="queued")
    timeless = run("timeless", rows([5.0]).drop(columns="seconds"), state="recorded")
    unjudged = run("unjudged", rows([5.0, 4.0], [(4.0, NAN)]))
    table = results([queued, timeless, unjudged]).set_index("run")
    assert table["updates"].tolist() == [0, 1, 2]
    assert table["best_validation"].isna().all()
    assert table["best_step"].isna().all()
    assert table["seconds"].isna().tolist() == [True, True, False]
    assert table.loc["unjudged", "train_loss"] == 4.0
    assert pd.isna(table.loc["unjudged", "val_loss"])


# ------------------------------------------------------------------------------------------------------------ same run?


def test_equal_numbers_are_identical_whatever_time_they_took() -> None:
    slower = rows([5.0, 4.0, 3.0], [(4.5, 5.0), (3.5, 5.5)]).assign(seconds=[7.0, 8.0, 9.0])
    same = same_run(run(), run("b", slower))
    assert (same.steps, same.alone, same.parts_at, same.most, same.last) == (3, 0, None, 0.0, 0.0)
    assert in_words(same) == "identical to the last bit in all 3 steps"


def test_the_last_bit_counts() -> None:
    nudged = rows([5.0, math.nextafter(4.0, 5.0), 3.5], [(4.5, 5.0), (3.5, 5.5)])
    same = same_run(run(), run("b", nudged))
    assert (same.parts_at, same.number, same.by) == (1, "batch_loss", math.nextafter(4.0, 5.0) - 4.0)
    assert (same.most, same.most_at, same.last) == (0.5, 2, 0.5)
    assert in_words(same) == (
        "not identical: they part at step 1, where the batch loss differs by 8.9e-16. Their losses are at most 0.5 "
        "nats a token apart, at step 2, and 0.5 at the last step that both have"
    )


@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_of_a_line_is_compared(number: str) -> None:
    changed = rows([5.0, 4.0, 3.0], [(4.5, 5.0), (3.5, 5.5)])
    changed.loc[2, number] += 0.25
    same = same_run(run(), run("b", changed))
    assert (same.parts_at, same.number, same.by) == (2, number, 0.25)
    assert NUMBERS[number] in in_words(same)
    assert same.most == (0.25 if number in CURVES else 0.0)


def test_the_largest_difference_need_not_be_the_last() -> None:
    same = same_run(run("a", rows([5.0, 4.0, 3.0, 2.0])), run("b", rows([5.0, 4.75, 3.5, 2.25])))
    assert (same.parts_at, same.by, same.most, same.most_at, same.last) == (1, 0.75, 0.75, 1, 0.25)


def test_an_evaluation_that_one_run_did_not_make_is_no_difference() -> None:
    often = rows([5.0, 4.0, 3.0], [(4.5, 5.0), (4.0, 5.1), (3.5, 5.5)], every=1)
    assert same_run(run(), run("b", often)).parts_at is None


def test_a_number_that_is_none_in_both_is_the_same_and_infinity_against_a_number_is_not() -> None:
    broken = [5.0, math.inf, NAN]
    assert same_run(run("a", rows(broken)), run("b", rows(broken))).parts_at is None
    same = same_run(run("a", rows(broken)), run("b", rows([5.0, 4.0, NAN])))
    assert (same.parts_at, same.by) == (1, math.inf)


def test_of_runs_of_different_lengths_the_steps_that_both_have_are_compared() -> None:
    same = same_run(run("a", rows([5.0, 4.0])), run("b", rows([5.0, 4.0, 3.0, 2.0])))
    assert (same.steps, same.alone, same.parts_at) == (2, 2, None)
    assert in_words(same) == "identical to the last bit in the 2 steps that both have"


def test_runs_without_a_common_step_are_not_compared() -> None:
    same = same_run(run("a", rows([])), run("b", rows([5.0])))
    assert (same.steps, same.parts_at, same.most_at) == (0, None, -1)
    assert in_words(same) == "not comparable yet: they have no step in common"


def test_a_recording_is_compared_to_the_digits_that_it_keeps() -> None:
    whole = run("whole", rows([5.00004, 4.00006]))
    kept = run("kept", rows([5.0, 4.0001]), digits={"batch_loss": 4})
    for pair in ((whole, kept), (kept, whole)):
        assert in_words(same_run(*pair)) == "identical to the digits that the recording keeps in all 2 steps"
    assert same_run(whole, run("other", rows([5.0, 4.0002]), digits={"batch_loss": 4})).parts_at == 1


def test_a_real_recording_is_itself_and_parts_at_step_0_from_another_seed() -> None:
    mine, other = (
        run(name, recordings.load(name).metrics, digits=recordings.COLUMNS) for name in ("seed-123", "seed-124")
    )
    assert same_run(mine, mine).parts_at is None
    assert same_run(mine, other).parts_at == 0


def trained(folder: Path, stop_at: int | None = None, **changes: Any) -> Run:
    """A tiny real run, stopped and taken up again on the way where that is asked for."""
    config = replace(TRAINING, steps=6, eval_every=2, eval_batches=1, sample_tokens=2, **changes)
    made = create_run(folder, load_text(OWN_STORY), MODEL, config)
    if stop_at is not None:
        assert execute(made, lambda _, state: made.ask_to_stop() if state.step == stop_at else None) == "cancelled"
        made.reopen()
    assert execute(made) == "done"
    return made


def read(folder: Path, **changes: Any) -> Compared:
    made = trained(folder, **changes)
    metrics = pd.DataFrame(made.metrics()[0]).astype(dict.fromkeys(NUMBERS, float))
    return run(folder.name, metrics, versions=made.config["versions"], seed=made.train_config.seed)


def test_a_real_run_is_identical_when_it_is_run_again_and_when_it_was_resumed(tmp_path: Path) -> None:
    first, again, resumed = read(tmp_path / "a"), read(tmp_path / "b"), read(tmp_path / "c", stop_at=3)
    for other in (again, resumed):
        assert in_words(same_run(first, other)) == "identical to the last bit in all 6 steps"


def test_a_real_run_with_another_seed_parts_at_step_0(tmp_path: Path) -> None:
    first, other = read(tmp_path / "a"), read(tmp_path / "b", seed=124)
    same = same_run(first, other)
    assert (same.parts_at, same.number) == (0, "batch_loss")
    assert same.by == abs(first.metrics["batch_loss"][0] - other.metrics["batch_loss"][0])


def test_circumstances_are_what_was_recorded_and_nothing_else() -> None:
    known = circumstances(run(threads=2, versions={"python": "3.11.7", "torch": "2.13.0"}))
    assert known == {
        "seed": 123,
        "threads": 2,
        "precision": "float32",
        "arithmetic": "fast",
        "python": "3.11.7",
        "torch": "2.13.0",
        "machine": None,
        "processor": None,
        "text_sha256": "ab" * 32,
    }


def test_a_run_notes_its_processor(tmp_path: Path) -> None:
    made = create_run(tmp_path / "run", load_text(OWN_STORY), MODEL, TRAINING)
    assert made.config["versions"] == versions()
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nmodel name\t: Some Chip @ 2: fast\nmodel name\t: Other\n", encoding="utf-8")
    assert processor(described) == "Some Chip @ 2: fast"
    assert processor(tmp_path / "none")


def test_threads_and_time_are_no_part_of_a_recipe_and_all_else_is() -> None:
    def of(**changes: Any) -> tuple[Any, ...]:
        return recipe("ab", MODEL, replace(TRAINING, **changes))

    assert of() == of(threads=4, max_minutes=1.0)
    assert of() != of(seed=1)
    assert of() != recipe("cd", MODEL, TRAINING)
    assert of() != recipe("ab", replace(MODEL, n_layers=3), TRAINING)


# ------------------------------------------------------------------------------------------------------------ the files


def test_the_curves_in_long_form_hold_every_loss_once() -> None:
    timeless = run("b", rows([2.0]).drop(columns="seconds"))
    table = curves_table([run(), timeless])
    assert list(table.columns) == ["run", "step", "tokens_seen", "epochs_read", "seconds", "curve", "loss"]
    batch = table[(table["run"] == "a") & (table["curve"] == "batch")]
    assert batch["loss"].tolist() == [5.0, 4.0, 3.0]
    validation = table[(table["run"] == "a") & (table["curve"] == "validation")]
    assert validation[["step", "loss"]].to_numpy().tolist() == [[0, 5.0], [2, 5.5]]
    assert table[table["run"] == "b"]["seconds"].isna().all()
    assert len(table) == 3 + 2 + 2 + 1


def test_a_table_of_runs_without_a_step_has_its_columns() -> None:
    assert curves_table([run("a", rows([]))]).empty
    assert as_csv(curves_table([])).startswith(b'"run","step",')


def test_a_file_gives_back_the_losses_to_the_last_bit() -> None:
    third = run("a", rows([1 / 3, 2 / 3]))
    back = pd.read_csv(io.BytesIO(as_csv(curves_table([third]))))
    assert back["loss"].tolist() == [1 / 3, 2 / 3]


@pytest.mark.parametrize("hostile", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", " =1", "\t=1", "\r@a"])
def test_a_text_that_would_be_a_formula_is_made_harmless_wherever_it_stands(hostile: str) -> None:
    table = pd.DataFrame({hostile: [hostile, -1.5]}, index=pd.Index([hostile, "plain"], name="what"))
    lines = list(csv.reader(io.StringIO(as_csv(table).decode(), newline="")))
    assert lines == [["what", f"'{hostile}"], [f"'{hostile}", f"'{hostile}"], ["plain", "-1.5"]]


# ----------------------------------------------------------------------------------------------------------- the figure


def test_a_run_has_one_colour_training_is_solid_and_validation_dashed() -> None:
    runs = {name: run(name).metrics for name in "abc"}
    curves = [trace for trace in comparison_curves(runs, []).data if trace.legendgroup]
    assert [trace.line.color for trace in curves] == [colour for colour in RUNS[:3] for _ in range(2)]
    assert [trace.line.dash for trace in curves] == ["solid", "dash"] * 3
    assert len({trace.marker.symbol for trace in curves}) == 3
    assert [trace.showlegend for trace in curves] == [True, False] * 3
    assert np.array_equal(curves[1].y, [5.0, 5.5])


@pytest.mark.parametrize(("shown", "dashes"), [("training", ["solid"]), ("validation", ["dash"])])
def test_one_kind_of_curve_alone_can_be_shown(shown: Any, dashes: list[str]) -> None:
    figure = comparison_curves({"a": run().metrics}, [1_155], shown=shown)
    curves = [trace for trace in figure.data if trace.legendgroup]
    assert [(trace.line.dash, trace.showlegend) for trace in curves] == [(dash, True) for dash in dashes]


def test_a_blind_guess_is_marked_for_each_vocabulary_and_near_ones_share_a_label() -> None:
    layout = comparison_curves({"a": run().metrics}, [886, 1_155, 50_257]).layout
    assert [shape.y0 for shape in layout.shapes] == [math.log(886), math.log(1_155), math.log(50_257)]
    assert [label.text for label in layout.annotations] == [
        "a blind guess: ln 50,257 = 10.82",
        "a blind guess: ln 1,155 = 7.05, ln 886 = 6.79",
    ]
    assert layout.annotations[1].y == math.log(1_155)


def test_an_identical_curve_lies_on_a_wider_one() -> None:
    widths = [trace.line.width for trace in comparison_curves({name: run().metrics for name in "abc"}, []).data[:6:2]]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3


def test_a_run_without_times_has_no_curve_against_seconds() -> None:
    figure = comparison_curves({"a": run().metrics, "b": run().metrics.drop(columns="seconds")}, [], x="seconds")
    lengths = {trace.name: len(trace.x) for trace in figure.data if trace.showlegend and trace.legendgroup}
    assert lengths == {"a": 2, "b": 0}
    assert figure.layout.xaxis.title.text == "seconds"


def test_a_name_is_no_markup_in_the_key() -> None:
    figure = comparison_curves({"<b>&x": run().metrics}, [])
    assert figure.data[0].name == "&lt;b&gt;&amp;x"
    assert "<b>" not in figure.data[0].hovertemplate

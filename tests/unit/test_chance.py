"""How much of a curve is chance: the band of the seeds, the judges, and the recorded way down to the floor."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pandas as pd
import pytest

from gptcore import floor, judges, seeds
from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.language import LENGTH, the_entropies, the_language
from gptcore.recordings import Plan, load, record
from gptcore.tokenizer import load_tokenizer
from gptcore.training import new_state, train
from gptcore.windows import split_text, window_counts

STORY = load_text(OWN_STORY)


def run(*losses: float | None) -> pd.DataFrame:
    return pd.DataFrame({"step": range(len(losses)), "val_loss": losses}, dtype=float).astype({"step": int})


def test_the_band_is_the_mean_and_three_standard_deviations() -> None:
    found = seeds.band([run(1.0, 5.0), run(2.0, 5.0), run(3.0, 5.0)])
    assert found.to_dict("list") == {"step": [0, 1], "mean": [2.0, 5.0], "low": [-1.0, 5.0], "high": [5.0, 5.0]}


def test_a_run_is_inside_while_nine_in_ten_evaluations_are() -> None:
    band = pd.DataFrame({"step": range(10), "mean": 2.0, "low": 1.0, "high": 3.0})
    for losses, inside, outside in (
        ([2.0] * 10, True, []),
        ([2.0] * 4 + [3.1] + [2.0] * 5, True, [(4, 4)]),
        ([0.9] + [2.0] * 6 + [3.1] * 3, False, [(0, 0), (7, 9)]),
    ):
        placed = seeds.is_inside(run(*losses), band)
        assert placed.inside is inside
        assert placed.outside == outside
        assert (placed.within, placed.compared) == (10 - sum(b - a + 1 for a, b in outside), 10)


def test_only_evaluations_at_the_bands_steps_are_compared() -> None:
    band = pd.DataFrame({"step": [0, 2], "mean": 2.0, "low": 1.0, "high": 3.0})
    assert seeds.is_inside(run(2.0, 9.0, None), band).compared == 1
    with pytest.raises(ValueError, match="no evaluation yet at a step of the recorded ones"):
        seeds.is_inside(run(None, 2.0), band)


def test_each_recorded_seed_lies_in_the_band_and_a_slower_run_does_not() -> None:
    curves = [load(plan.name).metrics for plan in seeds.PLANS]
    band = seeds.band(curves)
    assert all(seeds.is_inside(curve, band).inside for curve in curves)
    slow = replace(seeds.PLANS[0], training=replace(TRAIN_PRESETS["class"], lr=5e-4, steps=100, sample_tokens=0))
    assert not seeds.is_inside(record(slow).metrics, band).inside


def test_a_seed_and_what_moves_no_loss_make_no_difference() -> None:
    model, training = MODEL_PRESETS["class"], TRAIN_PRESETS["class"]
    alike = replace(training, seed=9, threads=2, max_minutes=None, sample_tokens=3, sample_at="epoch")
    assert seeds.differences(STORY, replace(model, vocab_size=1_417), alike) == []
    found = seeds.differences(replace(STORY, text="Other.", title="Mine"), replace(model, n_layers=3), training)
    assert found == [("text", "Mine", STORY.title), ("n_layers", 3, 2)]
    assert seeds.differences(STORY, model, replace(training, lr=0.1)) == [("lr", 0.1, training.lr)]


def test_a_judges_offset_is_taken_off_before_its_scatter_is_measured() -> None:
    truth = pd.Series([3.0, float("nan"), 2.0, 1.0])
    assert judges.disagreement(truth + 0.5, truth) == (0.5, 0.0)
    offset, scatter = judges.disagreement(truth + pd.Series([0.1, 0.0, -0.1, 0.0]), truth)
    assert (offset, scatter) == pytest.approx((0.0, 0.1))


def test_the_judges_see_1_and_5_and_all_batches_of_the_same_weights() -> None:
    plan = judges.PLANS[-1]
    ids = load_tokenizer().encode(split_text(STORY.text, plan.training.train_fraction)[1])
    assert window_counts(len(ids), 32, 32, plan.training.batch_size, drop_last=False).batches == judges.BATCHES[-1]
    runs = [load(each.name).metrics for each in judges.PLANS]
    for other in runs[1:]:
        assert (other["batch_loss"] == runs[0]["batch_loss"]).all()
    scatters = [judges.disagreement(each["val_loss"], runs[-1]["val_loss"]).scatter for each in runs]
    assert scatters == sorted(scatters, reverse=True)
    assert scatters[0] > 0.05


def test_more_of_the_text_brings_the_model_down_to_the_floor_and_never_below() -> None:
    lowest = [floor.lowest(floor.recorded(share).metrics) for share in floor.SHARES]
    assert lowest == sorted(lowest, reverse=True)
    least = the_entropies()
    assert the_language().score(floor.judged()) < lowest[-1] < least.floor + 0.06 < least.one
    small = floor.recorded(floor.SHARES[0]).metrics
    assert small["train_loss"].iloc[-1] < 0.05
    assert small["val_loss"].iloc[-1] > 2 * lowest[0]


def test_all_of_the_validation_text_judges_every_share() -> None:
    training, T = floor.TRAINING, floor.MODEL.context_length
    assert len(floor.judged()) == round(LENGTH * (1 - training.train_fraction))
    batches = window_counts(len(floor.judged()), T, T, training.batch_size, drop_last=False).batches
    assert batches == training.eval_batches


@pytest.mark.parametrize("plan", [seeds.PLANS[0], judges.PLANS[0], floor.PLANS[1]], ids=lambda plan: plan.name)
def test_a_recorded_curve_begins_as_the_same_run_does_today(plan: Plan) -> None:
    """The first steps, to the digits that are kept and as far as another processor rounds alike."""
    kept = load(plan.name)
    assert kept.plan == plan
    data = prepare(load_text(plan.text), plan.model, plan.training)
    untrained, *steps = islice(train(new_state(plan.model, plan.training, data)), 12)
    assert kept.untrained == pytest.approx({"train_loss": untrained.train_loss, "val_loss": untrained.val_loss})
    expected = kept.metrics.iloc[: len(steps)]
    for column, within in (("batch_loss", 2e-3), ("lr", 1e-8)):
        found = [getattr(step, column) for step in steps]
        assert found == pytest.approx(expected[column].tolist(), abs=within)
    assert steps[0].val_loss == pytest.approx(expected["val_loss"].iloc[0], abs=1e-4)

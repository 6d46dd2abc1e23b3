"""The sanity card: each check at its limit, and what the recorded runs say."""

from __future__ import annotations

import pandas as pd
import pytest

from gptcore import sanity
from gptcore.baselines import counting_losses, uniform_loss
from gptcore.batches import prepare
from gptcore.corpora import load_text
from gptcore.recordings import load
from gptcore.sanity import ONE_BATCH, PLANS, SHUFFLED, TRAIN_AS_VALIDATION

DATA = prepare(load_text(SHUFFLED.text), SHUFFLED.model, SHUFFLED.training)
V = DATA.tokenizer.vocab_size
COUNTING = counting_losses(DATA.train_ids.tolist(), DATA.validation_ids.tolist(), V)["unigram"]


@pytest.mark.parametrize(("loss", "passes"), [(7.5, True), (6.5, True), (7.51, False), (6.4, False)])
def test_a_start_within_half_a_nat_of_ln_v_passes(loss: float, passes: bool) -> None:
    check = sanity.starts_blind(loss, 7.0)
    assert check.passed is passes
    assert check.value == pytest.approx(abs(loss - 7.0))


@pytest.mark.parametrize(("last", "passes"), [(0.1, True), (0.11, False)])
def test_one_batch_is_judged_by_its_last_loss(last: float, passes: bool) -> None:
    assert sanity.learns_one_batch(pd.DataFrame({"batch_loss": [7.0, 0.01, last]})) == (passes, last, sanity.LEARNT)


@pytest.mark.parametrize(("apart", "passes"), [(0.0, True), (0.0009, True), (0.002, False)])
def test_the_same_text_is_judged_alike_if_no_evaluation_differs(apart: float, passes: bool) -> None:
    rows = pd.DataFrame({"train_loss": [7.0, 5.0, 3.0], "val_loss": [7.0, 5.0 + apart, 3.0]})
    check = sanity.judges_alike(rows)
    assert check.passed is passes
    assert check.value == pytest.approx(apart)


@pytest.mark.parametrize(("lowest", "passes"), [(5.9, True), (5.75, True), (5.69, False)])
def test_shuffled_targets_may_not_beat_counting_by_more_than_chance(lowest: float, passes: bool) -> None:
    check = sanity.learns_no_order(pd.DataFrame({"val_loss": [7.0, None, lowest, 6.5]}), 5.8)
    assert check == (passes, lowest, pytest.approx(5.7))


def test_each_check_is_a_run_of_the_class_preset_with_one_change() -> None:
    assert [plan.training.variant for plan in PLANS] == ["one-batch", "train-as-validation", "shuffled-targets"]
    for plan in PLANS:
        assert load(plan.name).plan == plan


def test_the_recorded_card_passes() -> None:
    one, alike, mixed = (load(plan.name).metrics for plan in (ONE_BATCH, TRAIN_AS_VALIDATION, SHUFFLED))
    assert sanity.learns_one_batch(one).passed
    assert sanity.judges_alike(alike[alike["train_loss"].notna()]) == (True, 0.0, sanity.SAME)
    assert sanity.learns_no_order(mixed, COUNTING).passed
    assert sanity.starts_blind(load(ONE_BATCH.name).untrained["train_loss"] or 0.0, uniform_loss(V)).passed


def test_a_run_with_its_targets_in_order_fails_the_check_for_shuffled_ones() -> None:
    """The check can fail: a run that learns goes below the counting line."""
    learnt = load("gallery-over-fitting").metrics
    assert not sanity.learns_no_order(learnt, COUNTING).passed
    assert not sanity.learns_one_batch(learnt.iloc[:50]).passed
    assert not sanity.judges_alike(learnt[learnt["train_loss"].notna()]).passed

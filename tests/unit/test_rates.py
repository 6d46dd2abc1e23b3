"""Which learning rate? The schedule of a range test, the rule by which it is read, and the sweep around it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from gptcore import rates
from gptcore.config import TRAIN_PRESETS, TrainConfig
from gptcore.rates import RANGE_TEST, RECORDED_SUGGESTION, best_of, read_range, smooth, sweep, to_two_digits
from gptcore.recordings import load, record
from gptcore.schedule import learning_rate


def test_the_rate_of_a_range_test_grows_by_one_factor_at_every_step_from_end_to_end() -> None:
    config, total = RANGE_TEST.training, rates.STEPS
    used = [learning_rate(step, total, config) for step in range(total)]
    assert (used[0], used[-1]) == (pytest.approx(config.range_from), pytest.approx(config.lr))
    factors = [later / earlier for earlier, later in pairwise(used)]
    assert factors == pytest.approx([factors[0]] * (total - 1))


def test_a_range_test_of_one_step_begins_where_it_should() -> None:
    assert learning_rate(0, 1, TrainConfig(lr=1.0, range_from=0.1)) == pytest.approx(0.1)


@pytest.mark.parametrize("start", [0.0, 5e-4, 1.0])
def test_a_range_has_to_rise(start: float) -> None:
    with pytest.raises(ValueError, match=rf"^range_from={start:g} is not between 0 and the peak, lr=0.0005$"):
        TrainConfig(range_from=start)


@pytest.mark.parametrize("changes", [{"warmup_steps": 3}, {"min_lr": 1e-5}])
def test_a_range_test_takes_no_other_schedule(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="has a schedule of its own"):
        TrainConfig(range_from=1e-5, **changes)  # type: ignore[arg-type]


def test_the_smoothed_loss_is_the_weighted_mean_of_all_so_far() -> None:
    losses = np.array([4.0, 2.0, 6.0, 1.0])
    weights = [rates.SMOOTHING**age for age in (3, 2, 1, 0)]
    assert smooth(losses)[-1] == pytest.approx(np.average(losses, weights=weights))
    assert smooth(np.full(9, 5.0)) == pytest.approx(np.full(9, 5.0))


def valley() -> pd.DataFrame:
    """Losses with one lowest point, at a rate of 0.01; each lasts until the smoothed loss agrees."""
    steps = 40
    exponents = np.linspace(-5, 0, 11)
    losses = [7.0, 7.0, 7.0, 6.9, 6.5, 5.8, 5.2, 5.6, 6.5, 9.0, 20.0]
    return pd.DataFrame({"lr": np.repeat(10**exponents, steps), "batch_loss": np.repeat(losses, steps)})


def test_the_rule_reads_a_valley_as_one_would() -> None:
    reading = read_range(valley())
    assert reading.lowest == pytest.approx(0.01)
    assert reading.steepest == pytest.approx(10**-2.5)
    assert reading.explodes == pytest.approx(10**-0.5)
    assert reading.suggestion == to_two_digits(0.01 / 3) == 0.0033


def test_a_loss_that_never_explodes_says_so_and_one_that_only_rises_suggests_from_its_beginning() -> None:
    calm = valley().iloc[:280]
    assert read_range(calm).explodes is None
    rising = pd.DataFrame({"lr": [0.1, 1.0, 10.0], "batch_loss": [5.0, 6.0, 9.0]})
    assert (read_range(rising).lowest, read_range(rising).steepest) == (0.1, 0.1)


def test_two_updates_are_no_range_test() -> None:
    with pytest.raises(ValueError, match="needs at least 3 updates, has 2"):
        read_range(valley().iloc[:2])


def test_a_sweep_tries_five_rates_around_the_suggestion_and_changes_nothing_else() -> None:
    plans = sweep(0.006)
    used = [plan.training.lr for plan in plans]
    assert used[2] == 0.006
    assert [later / earlier for earlier, later in pairwise(used)] == pytest.approx([3.0] * 4, rel=0.1)
    assert {replace(plan.training, lr=1.0, min_lr=None) for plan in plans} == {
        replace(TRAIN_PRESETS["class"], lr=1.0, min_lr=None, steps=100, sample_tokens=0)
    }
    assert [plan.training.min_lr for plan in plans] == pytest.approx([rate / rates.DECAY for rate in used], rel=0.05)


def test_the_best_rate_is_the_smaller_one_of_equals() -> None:
    assert best_of({0.1: 5.0, 0.01: 5.0, 0.001: 6.0}) == 0.01


def test_the_recorded_sweep_stands_around_what_the_recorded_range_test_says() -> None:
    assert read_range(load(RANGE_TEST.name).metrics).suggestion == RECORDED_SUGGESTION
    for plan in rates.PLANS:
        assert load(plan.name).plan == plan


def test_the_recorded_range_test_begins_as_it_would_today() -> None:
    kept = load(RANGE_TEST.name).metrics
    again = record(RANGE_TEST).metrics
    assert again["lr"].tolist() == pytest.approx(kept["lr"].tolist(), rel=1e-4, abs=1e-9)
    assert again["batch_loss"][:20].tolist() == pytest.approx(kept["batch_loss"][:20].tolist(), rel=1e-3)

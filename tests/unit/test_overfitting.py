"""The rules by which a run is read: the best step, where the curves part, and whether it has over-fitted."""

from __future__ import annotations

import math

import pytest

from gptcore.overfitting import RISE, UNTRAINED, Evaluation, best, evaluations, judge, parting, phase


def looks(*losses: tuple[float, float]) -> list[Evaluation]:
    """Evaluations of one reading each."""
    return [Evaluation(10 * index, index + 1, *pair) for index, pair in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "state"),
    [
        ([(5.0, 5.0)], "improving"),
        ([(5.0, 5.0), (4.0, 4.5), (3.0, 4.4)], "improving"),
        ([(5.0, 5.0), (3.0, 4.0), (1.0, 4.0 * (1 + RISE) - 1e-6)], "perhaps"),
        ([(5.0, 5.0), (3.0, 4.0), (1.0, 4.0 * (1 + RISE) + 1e-6)], "over-fitted"),
        ([(5.0, 5.0), (3.0, 4.0), (3.5, 6.0)], "unstable"),
        ([(5.0, 5.0), (1.0, 0.0), (1.0, 0.5)], "nothing left"),
    ],
)
def test_a_run_is_judged_by_the_stated_rule(losses: list[tuple[float, float]], state: str) -> None:
    judgement = judge(looks(*losses))
    assert judgement.state == state
    assert judgement.latest == looks(*losses)[-1]


def test_the_rise_is_a_share_of_the_best() -> None:
    assert judge(looks((5.0, 5.0), (3.0, 4.0), (1.0, 5.0))).rise == pytest.approx(0.25)


def test_the_best_is_the_first_of_equals_and_a_trained_state() -> None:
    assert best(looks((5.0, 5.0), (4.0, 4.0), (3.0, 4.0))).step == 10
    assert best([Evaluation(UNTRAINED, 1, 1.0, 1.0), Evaluation(0, 1, 2.0, 2.0)]).step == 0
    assert best([Evaluation(UNTRAINED, 1, 1.0, 1.0)]).step == UNTRAINED


def test_the_curves_part_in_a_second_reading_and_before_the_best_step() -> None:
    early = looks((5.0, 5.5), (4.0, 4.6), (3.0, 4.2), (2.0, 4.4))
    assert parting(early) == early[1]  # a gap in the first reading is chance
    assert parting(looks((5.0, 5.5), (4.5, 4.4), (3.0, 4.6))) is None
    assert parting(looks((5.0, 5.0))) is None


def test_rows_without_both_losses_are_no_evaluations() -> None:
    rows = [
        {"step": 0, "epoch": 0, "train_loss": 3.0, "val_loss": 4.0},
        {"step": 1, "epoch": 0, "train_loss": None, "val_loss": None},
        {"step": 2, "epoch": 0, "train_loss": 2.0, "val_loss": math.nan},
        {"step": 3, "epoch": 1},
        {"step": 4, "epoch": 1, "train_loss": 1.0, "val_loss": 5.0},
    ]
    found = evaluations(rows)
    assert [(look.step, look.epoch) for look in found] == [(0, 1), (4, 2)]
    assert found[1].gap == 4.0


LEVELS = [10.8, 6.4, 6.1]


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        (10.8, "guessing blindly"),
        (10.7, "learning which tokens are common"),
        (6.4, "learning which tokens are common"),
        (6.3, "learning which token follows which"),
        (6.0, "knowing more than pairs of tokens"),
    ],
)
def test_a_phase_is_told_by_the_lines_that_the_validation_loss_has_crossed(validation: float, expected: str) -> None:
    assert phase([Evaluation(0, 1, 5.0, validation)], LEVELS) == expected


def test_a_run_that_has_over_fitted_or_knows_its_text_by_heart_is_called_so() -> None:
    run = looks((6.0, 6.2), (4.0, 6.0), (2.0, 6.3))
    assert phase(run[:2], LEVELS) == "knowing more than pairs of tokens"
    assert phase(run, LEVELS) == "over-fitting"
    assert phase([*run, Evaluation(30, 4, 0.49, 7.0)], LEVELS) == "knowing the text by heart"


def test_a_phase_needs_no_line() -> None:
    assert phase([Evaluation(0, 1, 6.0, 6.2)], []) == "guessing blindly"

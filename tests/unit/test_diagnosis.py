"""Is this curve normal? Every rule at its limit, and the recorded curves of the gallery, each known by its own name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pytest

from gptcore import diagnosis, gallery
from gptcore.baselines import reference_lines
from gptcore.batches import prepare
from gptcore.corpora import OWN_STORY, load_text
from gptcore.diagnosis import Curve, Levels, Rule, examine, suspects
from gptcore.gallery import CASES, PREFIX, WITHOUT, ask, differences
from gptcore.recordings import Plan, load, record

LEVELS = Levels(blind=7.0, tokens=5.8, pairs=5.0)


@pytest.fixture(scope="module")
def levels() -> Levels:
    """Of our own story, as the gallery's runs see it."""
    data = prepare(load_text(OWN_STORY), gallery.MODEL, gallery.TRAINING)
    parts = data.train_ids.tolist(), data.validation_ids.tolist()
    return Levels(*reference_lines(*parts, data.tokenizer.vocab_size).values())


def recorded(plan: Plan, levels: Levels) -> Curve:
    found = load(plan.name)
    before = pd.DataFrame([{"step": -1, "epoch": 0, **found.untrained}])
    rows = pd.concat([before, found.metrics], ignore_index=True)
    return Curve(rows, levels, found.plan.model.drop_rate, found.reason)


def curve(
    train: Sequence[float],
    validation: Sequence[float] | None = None,
    gradient: Sequence[float] = (1.0,),
    drop_rate: float = 0.0,
    batches_above: float = 0.0,
) -> Curve:
    """An untrained model and an evaluation every tenth update, ten updates an epoch; batches a little above it."""
    first, *later = train
    unseen = list(validation or train)
    rows = [{"step": -1, "epoch": 0, "train_loss": first, "val_loss": unseen[0]}]
    for look, loss in enumerate(later):
        for update in range(10):
            step = look * 10 + update
            row: dict[str, float] = {"step": step, "epoch": look, "batch_loss": loss + batches_above}
            row["grad_norm"] = gradient[min(step * len(gradient) // (10 * len(later)), len(gradient) - 1)]
            rows.append(row | ({"train_loss": loss, "val_loss": unseen[look + 1]} if update == 9 else {}))
    return Curve(pd.DataFrame(rows), LEVELS, drop_rate)


FINE = [7.1, 6.5, 6.0, 5.7, 5.5]
UNSEEN = [7.1, 6.6, 6.2, 5.9, 5.7]


# ---------------------------------------------------------------------------------------------------------------- rules


def test_a_curve_that_falls_and_holds_is_healthy_and_nothing_is_found() -> None:
    assert suspects(curve(FINE, UNSEEN)) == ["healthy"]
    assert not any(finding.found for finding in examine(curve(FINE, UNSEEN)).values())


@pytest.mark.parametrize(
    ("rule", "ill", "value"),
    [
        ("start", curve([9.0, *FINE[1:]], UNSEEN), 2.0),
        ("diverged", curve([7.1, 6.0, 6.4, 8.5]), 8.5),
        ("same", curve(FINE), 0.0),
        ("leak", curve(FINE, [7.1, 6.0, 4.0, 2.4, 2.0]), 2.0),
        ("gradient", curve([7.0, 7.0, 6.99, 6.98], [7.0, 7.1, 7.1, 7.1], gradient=[0.001]), 0.001),
        ("stuck", curve([7.1, 7.09, 7.0, 6.8], [7.2] * 4), 0.3),
        ("pile", curve(FINE, UNSEEN, gradient=[0.5, 1.0, 3.0, 20.0]), 40.0),
        ("spikes", curve([7.1, 6.0, 6.8, 5.6], UNSEEN), 0.8),
        ("dropout", curve(FINE, UNSEEN, drop_rate=0.4, batches_above=0.02), 0.02),
        ("over-fitted", curve([7.1, 6.0, 5.0, 3.0], [7.1, 6.0, 5.0, 5.5]), 0.1),
        ("counting", curve(FINE, [7.1, 6.6, 6.2, 6.0, 5.9]), 5.9),
    ],
)
def test_each_rule_finds_what_it_is_for_and_says_what_it_measured(rule: Rule, ill: Curve, value: float) -> None:
    finding = examine(ill)[rule]
    assert finding.found
    assert finding.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("rule", "well"),
    [
        ("start", curve([7.5, *FINE[1:]], UNSEEN)),
        ("diverged", curve([7.1, 6.0, 6.4, 8.0])),
        ("same", curve(FINE, [loss + 0.002 for loss in FINE])),
        ("leak", curve(FINE, [7.1, 6.0, 4.0, 2.5, 2.5])),
        ("gradient", curve([7.0, 7.0, 6.99, 6.98], gradient=[0.02])),
        ("gradient", curve(FINE, UNSEEN, gradient=[0.001])),  # learnt all the same
        ("stuck", curve([7.1, 7.0, 6.8, 6.6])),
        ("pile", curve(FINE, UNSEEN, gradient=[0.5, 1.0, 3.0, 5.0])),
        ("spikes", curve([7.0, 6.0, 6.5, 5.6], UNSEEN)),
        ("dropout", curve(FINE, UNSEEN, drop_rate=0.4, batches_above=0.15)),
        ("over-fitted", curve([7.1, 6.0, 5.0, 3.0], [7.1, 6.0, 5.0, 5.05])),
        ("counting", curve(FINE, UNSEEN)),
    ],
)
def test_no_rule_finds_anything_on_the_other_side_of_its_limit(rule: Rule, well: Curve) -> None:
    assert not examine(well)[rule].found


def test_a_rule_that_cannot_be_applied_says_nothing() -> None:
    unseen = curve(FINE)
    bare = Curve(unseen.rows.assign(val_loss=math.nan).iloc[1:15], Levels(7.0))
    assert set(examine(bare)) == {"diverged"}
    assert suspects(bare) == ["healthy"]


def test_a_run_that_only_counts_is_unfinished_and_one_number_for_both_is_the_same_text() -> None:
    assert suspects(curve(FINE, [7.1, 6.6, 6.2, 6.0, 5.9])) == ["unfinished"]
    assert suspects(curve(FINE))[0] == "same-text"


def test_the_rules_are_applied_in_their_order() -> None:
    assert list(examine(curve(FINE, UNSEEN, drop_rate=0.5))) == list(diagnosis.RULES)


# -------------------------------------------------------------------------------------------------------------- gallery


@pytest.mark.parametrize("name", CASES)
def test_every_recorded_curve_of_the_gallery_is_known_by_its_own_name(name: str, levels: Levels) -> None:
    assert suspects(recorded(CASES[name].plan, levels))[0] == name


@pytest.mark.parametrize("name", WITHOUT)
def test_without_its_mistake_the_same_run_is_taken_for_another(name: str, levels: Levels) -> None:
    case, without = CASES[name].plan, WITHOUT[name]
    assert case.model == without.model
    assert without.training == replace(case.training, variant="none")
    assert name not in suspects(recorded(without, levels))


def test_every_mistake_has_a_recording_without_it_and_the_rest_changes_no_line() -> None:
    assert {name for name, case in CASES.items() if case.is_mistake} == set(WITHOUT)
    assert all((case.plan.training.variant != "none") == case.is_mistake for case in CASES.values())


def test_the_recorded_plans_are_those_that_a_student_starts() -> None:
    for plan in gallery.PLANS:
        assert plan.name.startswith(PREFIX)
        assert load(plan.name).plan == plan


@pytest.mark.parametrize("name", ["healthy", "no-mask", "no-zero-grad", "softmax-twice", "diverging"])
def test_a_recorded_curve_comes_out_again(name: str) -> None:
    """Its first updates; the last digits belong to the processor."""
    plan, few = CASES[name].plan, 4
    again = record(replace(plan, training=replace(plan.training, steps=few, min_lr=None, sample_tokens=0)))
    kept = load(plan.name)
    if plan.training.min_lr is None:
        assert again.metrics["batch_loss"].tolist() == pytest.approx(
            kept.metrics["batch_loss"][:few].tolist(), rel=1e-3
        )
    assert again.metrics["batch_loss"][:2].tolist() == pytest.approx(kept.metrics["batch_loss"][:2].tolist(), rel=1e-3)
    assert again.untrained == pytest.approx(kept.untrained, rel=1e-4)


def test_only_what_differs_from_the_class_preset_is_named() -> None:
    assert differences(CASES["over-fitting"].plan) == {}
    assert differences(CASES["healthy"].plan) == {"drop_rate": (0.0, 0.3), "steps": (300, 120)}


# ----------------------------------------------------------------------------------------------------------------- quiz


@pytest.mark.parametrize("seed", [0, 1, 9_999])
def test_a_seed_asks_every_curve_once_and_offers_the_answer_among_others(seed: int) -> None:
    questions = [ask(seed, number) for number in range(len(CASES))]
    assert sorted(question.answer for question in questions) == sorted(CASES)
    for question in questions:
        assert len(set(question.options)) == gallery.OPTIONS
        assert question.answer in question.options
    assert questions == [ask(seed, number) for number in range(len(CASES))]


def test_another_seed_gives_another_order_and_the_answer_has_no_fixed_place() -> None:
    orders = {tuple(ask(seed, number).answer for number in range(len(CASES))) for seed in range(5)}
    assert len(orders) == 5
    places = {question.options.index(question.answer) for question in (ask(1, number) for number in range(len(CASES)))}
    assert len(places) > 1

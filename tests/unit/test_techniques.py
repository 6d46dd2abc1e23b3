"""Quick ways against plain ones: the same numbers within what each technique says, and the race's losses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gptcore import techniques
from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, Precision
from gptcore.corpora import OWN_STORY, load_text
from gptcore.fast import fused_loss
from gptcore.race import race
from gptcore.records import StepRecord
from gptcore.techniques import TECHNIQUES, Gain, Technique
from gptcore.training import new_state, train

EXACT = [technique for technique in TECHNIQUES if technique.tolerance is not None]


@pytest.mark.parametrize("technique", EXACT, ids=lambda technique: technique.name)
def test_a_technique_changes_nothing_beyond_its_tolerance(technique: Technique) -> None:
    plain, quick = (action() for action in technique.pair())
    assert technique.tolerance is not None
    assert plain.shape == quick.shape
    assert float((plain - quick).double().norm()) <= technique.tolerance * float(plain.double().norm())


def test_evaluation_without_gradients_is_timed_beside_the_same_loss_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gradients: list[bool] = []

    def watched(*batch: Any) -> torch.Tensor:
        with_gradients.append(torch.is_grad_enabled())
        return fused_loss(*batch)

    monkeypatch.setattr(techniques.fast, "fused_loss", watched)
    technique = next(each for each in TECHNIQUES if each.name == "Evaluation without gradients")
    for action in technique.pair():
        action()
    assert with_gradients == [True, False]


def test_those_that_change_the_model_say_so() -> None:
    others = [technique for technique in TECHNIQUES if technique.tolerance is None]
    assert others
    assert all(technique.changes.startswith(("another model", "what the model learns")) for technique in others)


def test_a_gain_is_measured_in_turns_and_leaves_random_numbers_and_threads_alone() -> None:
    torch.manual_seed(5)
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    gain = techniques.measure(TECHNIQUES[2], rounds=1)
    assert gain.plain > 0
    assert gain.quick > 0
    assert gain.times == gain.plain / gain.quick
    assert torch.get_rng_state().equal(random)
    assert torch.get_num_threads() == threads


def test_the_recorded_table_names_every_technique_with_its_machine() -> None:
    date, about, gains = techniques.recorded()
    assert [(gain.name, gain.changes) for gain in gains] == [(each.name, each.changes) for each in TECHNIQUES]
    assert date
    assert {"processor", "torch"} <= about.keys()


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    gains = [Gain("one", "nothing", 3.0, 1.5)]
    techniques.save(gains, tmp_path / "table.json")
    assert techniques.recorded(tmp_path / "table.json").gains == tuple(gains)
    assert json.loads((tmp_path / "table.json").read_text())["versions"]["torch"]


def test_both_loops_of_the_race_learn_the_same() -> None:
    seen = race(updates=4, seconds=60)
    assert len(seen.plain) == len(seen.quick) == 4
    assert [lap.loss for lap in seen.quick] == pytest.approx([lap.loss for lap in seen.plain], rel=1e-5)
    assert seen.plain[-1].loss < seen.plain[0].loss


def test_the_race_ends_when_its_time_is_up_and_makes_one_update_all_the_same() -> None:
    seen = race(updates=1_000, seconds=0.0)
    assert len(seen.plain) == len(seen.quick) == 1


def validation_losses(precision: Precision) -> list[float]:
    model = MODEL_PRESETS["class"]
    config = replace(TRAIN_PRESETS["class"], steps=80, precision=precision, sample_tokens=0)
    records = train(new_state(model, config, prepare(load_text(OWN_STORY), model, config)))
    return [each.val_loss for each in records if isinstance(each, StepRecord) and each.val_loss is not None]


def test_a_bfloat16_runs_validation_curve_stays_within_one_percent_of_float32s() -> None:
    exact, rough = validation_losses("float32"), validation_losses("bfloat16")
    assert len(exact) == 9
    assert rough == pytest.approx(exact, rel=0.01)
    assert rough != exact

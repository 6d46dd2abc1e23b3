"""Recorded curves: what is kept of a run, and that it is the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.recordings import Plan, Recording, load, names, record, save
from gptcore.training import new_state, train

SHORT = replace(TRAIN_PRESETS["class"], steps=4, eval_every=2, eval_batches=1, sample_tokens=3)
PLAN = Plan("short", "A short run", OWN_STORY, MODEL_PRESETS["class"], SHORT)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(PLAN)


def test_a_recording_holds_what_the_loop_reports(recording: Recording) -> None:
    data = prepare(load_text(OWN_STORY), PLAN.model, PLAN.training)
    first, *steps = train(new_state(PLAN.model, PLAN.training, data))
    assert recording.untrained == {"train_loss": first.train_loss, "val_loss": first.val_loss}
    assert recording.metrics["batch_loss"].tolist() == [step.batch_loss for step in steps]
    assert recording.metrics["val_loss"].dropna().tolist() == [step.val_loss for step in steps if step.val_loss]
    assert [sample["step"] for sample in recording.samples] == [-1, 0, 2, 3]
    assert recording.reason is None


def test_a_file_gives_back_the_recording_to_the_digits_that_are_kept(recording: Recording, tmp_path: Path) -> None:
    assert save(recording, tmp_path).name == "short.json"
    assert names(tmp_path) == ["short"]
    found = load("short", tmp_path)
    assert (found.plan, found.untrained, found.samples) == (PLAN, recording.untrained, recording.samples)
    pd.testing.assert_frame_equal(found.metrics, recording.metrics, atol=1e-4, check_dtype=False)


def test_a_run_that_diverges_is_recorded_up_to_there(tmp_path: Path) -> None:
    wild = replace(PLAN, training=replace(SHORT, optimiser="sgd", lr=1e30))
    found = load(save(record(wild), tmp_path).stem, tmp_path)
    assert str(found.reason).startswith("diverged at step")
    assert len(found.metrics) < 4


@pytest.mark.parametrize("name", ["none", "../short", "/etc/passwd", ""])
def test_only_what_is_there_is_a_recording(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recording is called"):
        load(name, tmp_path)


def test_the_curves_that_come_with_the_program_can_be_read() -> None:
    assert names()
    for name in names():
        found = load(name)
        assert found.plan.name == name
        assert found.reason or len(found.metrics) > 1

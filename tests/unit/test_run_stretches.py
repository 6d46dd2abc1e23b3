"""A run whose end was moved: which settings held up to which update."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gptcore.runs import stretches
from gptcore.runs.store import Run
from gptcore.runs.stretches import Stretch
from gptcore.runs.worker import execute
from tests.tiny import SETTINGS, stop_at


def test_a_run_that_was_never_moved_is_one_stretch(run: Run) -> None:
    assert stretches.of(run.config) == [Stretch(None, SETTINGS)]


def test_each_stretch_ends_with_the_checkpoint_from_which_the_run_went_on(run: Run) -> None:
    assert execute(run, stop_at(6, run.ask_to_stop)) == "cancelled"
    run.reopen(steps=13)
    run.reopen(steps=16)  # before one update was made with 13
    assert execute(run) == "done"
    run.reopen(steps=20)
    assert stretches.of(run.config) == [
        Stretch(7, SETTINGS),
        Stretch(16, replace(SETTINGS, steps=16)),
        Stretch(None, replace(SETTINGS, steps=20)),
    ]


@pytest.mark.parametrize("changes", [{}, {"max_minutes": 5.0}, {"epochs": SETTINGS.epochs}], ids=str)
def test_what_changes_no_number_begins_no_stretch(changes: dict[str, float], run: Run) -> None:
    assert execute(run) == "done"
    run.reopen(**changes)
    assert [stretch.until for stretch in stretches.of(run.config)] == [None]


def test_a_run_that_kept_no_checkpoint_is_begun_anew_in_one_stretch(run: Run) -> None:
    run.reopen(steps=13)
    assert stretches.of(run.config) == [Stretch(None, replace(SETTINGS, steps=13))]


def test_a_run_that_goes_back_behind_a_moved_end_keeps_what_is_left_of_its_stretches(run: Run) -> None:
    assert execute(run, stop_at(6, run.ask_to_stop)) == "cancelled"
    run.reopen(steps=13)
    assert execute(run) == "done"
    run.reopen(steps=20)
    newest = run.folder / "checkpoints" / "step-000013.safetensors"
    newest.rename(newest.with_name("step-000004.safetensors"))  # as if no later one had been kept
    for older in newest.parent.glob("step-00000[5-9].safetensors"):
        older.unlink()
    run.reopen(steps=30)
    assert stretches.of(run.config) == [Stretch(4, SETTINGS), Stretch(None, replace(SETTINGS, steps=30))]

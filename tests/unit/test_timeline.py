"""A run as one looks back at it: every number comes from the run's folder, and survives a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gptcore import timeline
from gptcore.baselines import reference_lines
from gptcore.memorization import MIN_COPIED, CopyIndex
from gptcore.overfitting import evaluations
from gptcore.runs.store import Run
from gptcore.runs.worker import execute
from gptcore.timeline import MOST_BATCHES, MOST_MOMENTS, look_back
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text


@pytest.fixture
def done(run: Run) -> Run:
    assert execute(run) == "done"
    return run


@pytest.fixture
def long(done: Run) -> Callable[[int], Run]:
    """Makes the run's metrics so many steps long, each evaluated."""

    def write(steps: int) -> Run:
        row = done.metrics()[0][0]
        rows = [
            row | {"step": n, "train_loss": 9 - n / steps, "val_loss": 5 + abs(n - 77) / steps} for n in range(steps)
        ]
        (done.folder / "probes.jsonl").unlink()
        (done.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return done

    return write


def test_every_evaluation_is_a_moment_with_its_own_numbers(done: Run) -> None:
    moments = look_back(done).moments
    rows = [row for row in done.metrics()[0] if row["train_loss"] is not None]
    before, probes = done.status["untrained"], done.probes()
    assert [each.step for each in moments] == [-1, *(row["step"] for row in rows)]
    assert [each.train for each in moments] == [before["train_loss"], *(row["train_loss"] for row in rows)]
    assert [each.validation for each in moments] == [before["val_loss"], *(row["val_loss"] for row in rows)]
    assert [each.losses for each in moments] == [probe["losses"] for probe in probes]
    assert look_back(done).looks[1:] == evaluations(rows)


def test_a_moment_shows_what_was_last_said_and_which_of_it_was_copied(done: Run) -> None:
    tokenizer, said = load_tokenizer(), {row["step"]: row for row in done.samples()}
    index = CopyIndex(tokenizer.encode(split_text(done.text.text, done.train_config.train_fraction)[0]))
    for moment in look_back(done).moments:
        saying = moment.saying
        assert saying is not None
        assert saying.text == said[saying.step]["text"]
        assert saying.step == max(step for step in said if step <= moment.step)
        given, ids = tokenizer.encode(saying.prompt), tokenizer.encode(saying.text)
        assert saying.written == len(ids) - len(given)
        found = index.spans(ids[len(given) :], MIN_COPIED)
        assert [(span.start - len(given), span.length, span.place) for span in saying.spans] == [
            (span.start, span.length, span.place) for span in found
        ]


def test_the_lines_are_those_of_the_runs_own_vocabulary(done: Run) -> None:
    ids = [load_tokenizer().encode(part) for part in split_text(done.text.text, done.train_config.train_fraction)]
    vocabulary = len({token for part in ids for token in part})
    assert look_back(done).lines == reference_lines(ids[0], ids[1], vocabulary)


def test_what_is_said_after_the_last_evaluation_is_a_moment_of_its_own(done: Run) -> None:
    rows, _ = done.metrics()
    rows[-1] |= {"train_loss": None, "val_loss": None}
    (done.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    end = look_back(done).moments[-1]
    assert (end.step, end.train, end.validation) == (rows[-1]["step"], None, None)
    assert end.saying is not None
    assert end.saying.step == end.step


@pytest.mark.parametrize("steps", [MOST_MOMENTS, 1_000])
def test_a_long_run_has_few_moments_among_them_its_best_and_its_last(long: Callable[[int], Run], steps: int) -> None:
    found = look_back(long(steps))
    assert MOST_MOMENTS / 2 < len(found.moments) <= MOST_MOMENTS + 1  # and the untrained model
    assert {77, steps - 1} <= {each.step for each in found.moments}
    assert len(found.batches) <= MOST_BATCHES
    assert (found.batches[0][0], found.batches[-1][0]) == (0, steps - 1)


def test_of_a_long_run_those_evaluations_are_kept_that_were_probed(long: Callable[[int], Run]) -> None:
    run = long(1_000)
    probes = [{"step": step, "losses": [[1.0]], "next": []} for step in range(-1, 1_000, 9)]
    (run.folder / "probes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in probes), encoding="utf-8")
    without = [each.step for each in look_back(run).moments if not each.losses]
    assert set(without) <= {0, 77, 999}  # the first, the best and the last evaluation stay in any case


@pytest.mark.parametrize("name", ["train_loss", "val_loss", "batch_loss"])
def test_a_loss_that_is_no_number_is_left_out(done: Run, name: str) -> None:
    rows, _ = done.metrics()
    rows[0][name] = float("nan")
    (done.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = look_back(done)
    assert "NaN" not in json.dumps(asdict(found))
    missing: dict[str, Any] = {"train_loss": found.moments[1].train, "val_loss": found.moments[1].validation}
    assert missing.get(name) is None
    assert len(found.batches) == len(rows) - (name == "batch_loss")


def test_a_run_that_has_not_begun_has_no_moment(run: Run) -> None:
    assert look_back(run).moments == []


def test_a_file_gives_the_same_timeline_back(done: Run, tmp_path: Path) -> None:
    found = look_back(done)
    timeline.save(found, tmp_path / "mine.json")
    assert timeline.names(tmp_path) == ["mine"]
    assert timeline.load("mine", tmp_path) == found


@pytest.mark.parametrize("name", ["none", "../mine", ""])
def test_only_what_is_there_can_be_looked_back_at(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recorded run is called"):
        timeline.load(name, tmp_path)

"""Runs when the clock jumps, and runs of so many steps that nobody could hold or draw each of them."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from gptcore.figures.curves import learning_curves, thin
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.files import cut_after, read_lines
from gptcore.runs.queue import look, turns
from gptcore.runs.store import RunStore
from gptcore.runs.worker import execute
from tests.faults.processes import begin, begun, expect_undisturbed_losses, work_until
from tests.tiny import MODEL, SETTINGS, STORY, losses, stop_at

HOUR = 3_600.0
MANY = 1_000_000
MOST = 2_000  # points of one chart


# ------------------------------------------------------------------------------------------------------ the clock jumps


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is added to the time of day: the first and only entry."""
    offset, true_time = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + offset[0])
    return offset


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_run_counts_its_seconds_evenly_when_the_clock_jumps(jump: float, store: RunStore, clock: list[float]) -> None:
    run = store.create(STORY, MODEL, SETTINGS)

    def set_clock() -> None:
        clock[0] = jump

    before = time.monotonic()
    assert execute(run, stop_at(4, set_clock)) == "done"
    seconds = [row["seconds"] for row in run.metrics()[0]]
    assert len(losses(run)) == len(seconds)
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < seconds[-1] <= time.monotonic() - before
    assert run.status["seconds"] == seconds[-1]


def test_the_order_of_the_queue_does_not_follow_the_clock(store: RunStore, clock: list[float]) -> None:
    runs = []
    for jump in (0.0, -HOUR, HOUR, -24 * HOUR):
        clock[0] = jump
        runs.append(store.create(STORY, MODEL, SETTINGS))
    assert list(store) == runs
    assert [ticket.run for ticket in turns([look(run) for run in store])] == runs


def test_a_dispatcher_whose_clock_jumps_loses_no_run_and_starts_none_twice(
    store: RunStore, dispatcher: Dispatcher, clock: list[float]
) -> None:
    run = begun(store)
    begin(dispatcher, run)
    for clock[0] in (-HOUR, HOUR):
        begin(dispatcher, run)
    run.ask_to_stop()
    work_until(dispatcher, lambda: run.has_ended)
    assert (run.status["state"], run.status["attempt"], run.status.get("deaths", 0)) == ("cancelled", 2, 0)
    expect_undisturbed_losses(run)


# ------------------------------------------------------------------------------------------------------ a million lines


def test_a_million_lines_are_read_once_and_an_unfinished_one_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in range(MANY)) + '{"step": 10', encoding="utf-8")
    rows, offset = read_lines(path)
    assert (len(rows), rows[0], rows[-1]) == (MANY, {"step": 0}, {"step": MANY - 1})
    assert read_lines(path, offset) == ([], offset)
    with path.open("ab") as file:
        file.write(b"00000}\n")
    assert read_lines(path, offset) == ([{"step": MANY}], path.stat().st_size)


def test_a_run_that_goes_on_does_not_hold_its_past_in_memory(tmp_path: Path) -> None:
    """What it holds counts against what was set aside for it."""
    path = tmp_path / "metrics.jsonl"
    line = json.dumps({"step": 1, "told": "x" * 10_000}).encode() + b"\n"
    path.write_bytes(line * 2_000 + line[:-5])
    tracemalloc.start()
    cut_after(path, 2)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size == 2_000 * len(line)
    assert most < path.stat().st_size / 10


def long_metrics(**columns: Any) -> pd.DataFrame:
    """Rows as a page has them, each of them evaluated; one batch and one evaluation stand out, up and down."""
    steps = np.arange(MANY)
    noise = np.random.default_rng(123).uniform(2.0, 3.0, (3, MANY))
    noise[0, [123_457, 765_432]] = 9.0, 0.5
    noise[1, [223_457, 665_432]] = 8.0, 0.4
    noise[2, [323_457, 565_432]] = 7.0, 0.3
    names = ("batch_loss", "train_loss", "val_loss")
    frame = {"step": steps, "tokens_seen": 32 * (steps + 1), "epochs_read": (steps + 1) / 5}
    return pd.DataFrame(frame | dict(zip(names, noise, strict=True)) | columns)


def drawn(figure: go.Figure) -> dict[str, np.ndarray[Any, Any]]:
    """The levels of each line, by name."""
    return {trace.name: np.array(trace.y, dtype=float) for trace in figure.data if trace.name}


@pytest.mark.parametrize("axis", ["step", "tokens_seen", "epochs_read"])
def test_curves_of_a_million_steps_have_2000_points_and_keep_every_extreme(axis: Any) -> None:
    lines = drawn(learning_curves(long_metrics(), {"a blind guess": 10.0}, axis, best_step=565_432))
    assert sum(map(len, lines.values())) <= MOST
    extremes = {name: (levels.min(), levels.max()) for name, levels in lines.items()}
    assert extremes == {
        "each batch": (0.5, 9.0),
        "training": (0.4, 8.0),
        "validation": (0.3, 7.0),
        "best validation": (0.3, 0.3),
    }


@pytest.mark.parametrize("missing", [slice(500_000, 500_000), slice(400_000, 499_999), slice(0, MANY)], ids=str)
def test_a_loss_that_is_no_number_is_drawn_as_a_gap_however_much_is_thinned(missing: slice) -> None:
    frame = long_metrics()
    frame.loc[missing, "batch_loss"] = np.nan
    kept = thin(frame, "batch_loss")
    assert len(kept) <= MOST // 4
    gaps = kept[kept["batch_loss"].isna()]
    assert len(gaps) > 0
    assert gaps["step"].between(missing.start, missing.stop).all()
    assert kept["step"].is_monotonic_increasing
    figure = learning_curves(frame, {})
    assert not figure.data[0].connectgaps
    assert np.isnan(drawn(figure)["each batch"]).any()


def test_metrics_that_hold_nan_are_read_and_drawn(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    row = '{{"step": {0}, "tokens_seen": {0}, "batch_loss": {1}, "train_loss": {1}, "val_loss": null}}\n'
    lines = [row.format(step, loss) for step, loss in enumerate(("3.0", "NaN", "2.0", "Infinity", "1.0"))]
    path.write_text("".join(lines), encoding="utf-8")
    rows, _ = read_lines(path)
    figure = learning_curves(pd.DataFrame(rows), {"a blind guess": 10.0})
    assert [str(level) for level in drawn(figure)["each batch"]] == ["3.0", "nan", "2.0", "inf", "1.0"]
    assert "NaN" not in figure.to_json()

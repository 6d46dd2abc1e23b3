"""A sweep: what is tried, in which order, within its budget; and what came of it, by hand."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock

from gptcore import sweeps
from gptcore.runs import sweeping
from gptcore.runs.requests import MOST_WAITING, QueueError
from gptcore.runs.store import Run, RunStore, create_run
from gptcore.runs.sweeping import advance, begin
from gptcore.runs.worker import execute
from gptcore.sweep_results import expected, importance, promised, table
from gptcore.sweeps import Axis, Sweep, Trial, following
from tests.tiny import MODEL, PATIENCE_SECONDS, SETTINGS, STORY, until
from tests.tiny import losses as losses_of

SHORT = replace(SETTINGS, steps=3, eval_every=1, sample_tokens=0)
AXES = (Axis("lr", (0.001, 0.01, 0.1)), Axis("emb_dim", (8, 16)))
SWEEP = Sweep(MODEL, SHORT, AXES, budget=1e6)


def speed() -> float:
    return 1e9


def trial(values: dict[str, float], loss: float | None, state: str = "done", **about: Any) -> Trial:
    return Trial("run", values, state, loss, **({"core_seconds": 1.0, "estimate": 1.0} | about))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def finish(store: RunStore) -> None:
    """Train what is queued, as the dispatcher would."""
    for run in store:
        if run.status["state"] == "queued":
            execute(run)


# ------------------------------------------------------------------------------------------------------- what is tried


def test_a_grid_tries_every_combination_once_in_an_order_drawn_by_the_seed() -> None:
    tried: list[Trial] = []
    while (values := following(SWEEP, tried)) is not None:
        tried.append(trial(values, 1.0))
    seen = [(each.values["lr"], each.values["emb_dim"]) for each in tried]
    assert sorted(seen) == sorted((lr, width) for lr in (0.001, 0.01, 0.1) for width in (8, 16))
    other = [following(replace(SWEEP, seed=5), tried[:count]) for count in range(len(tried))]
    assert other != [each.values for each in tried]


def test_a_study_proposes_values_within_the_axes_and_the_same_after_the_same_results() -> None:
    pytest.importorskip("optuna", reason="studies need requirements-sweep.txt")
    study = replace(SWEEP, method="study", most_trials=8)
    tried: list[Trial] = []
    while (values := following(study, tried)) is not None:
        assert following(study, tried) == values
        assert 0.001 <= values["lr"] <= 0.1
        assert values["emb_dim"] in (8, 16)
        tried.append(trial(values, abs(math.log10(values["lr"]) + 2) if len(tried) != 3 else math.inf))
    assert len(tried) == 8
    assert len({each.values["lr"] for each in tried}) > 3, "a study looks between the values"


def test_without_optuna_a_study_says_what_to_install_and_a_grid_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RuntimeError, match=r"pip install -r requirements-sweep\.txt, or take a grid"):
        following(replace(SWEEP, method="study"), [])
    assert following(SWEEP, []) is not None


def test_a_cosine_ends_at_the_same_fraction_of_each_peak() -> None:
    shape, training = replace(SWEEP, training=replace(SHORT, lr=0.01, min_lr=0.001)).plan({"lr": 0.1, "emb_dim": 8})
    assert (shape.emb_dim, training.lr, training.min_lr) == (8, 0.1, 0.01)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Axis.read("lr=one"), r"'lr=one' is no list of values: write lr=1,2,3"),
        (lambda: Axis.read("magic=1,2"), r"'magic' can't be swept; these can: lr, "),
        (lambda: Axis.read("lr=1,1"), r"lr needs at least two different values"),
        (lambda: Sweep(MODEL, SHORT, (), 1.0), r"a sweep needs one axis or more"),
        (lambda: replace(SWEEP, budget=0.0), r"budget=0 core-seconds"),
        (lambda: replace(SWEEP, training=replace(SHORT, steps=None)), r"give their updates as steps"),
        (lambda: replace(SWEEP, axes=(Axis("emb_dim", (8, 9)),)), r"emb_dim=9 is not divisible by n_heads=2"),
        (lambda: replace(SWEEP, axes=(Axis("lr", tuple(n / 300 for n in range(1, 202))),)), r"201 trials are not 1 to"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_a_sentence(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_sweep_survives_the_way_through_its_file() -> None:
    assert sweeps.from_plain(sweeps.to_plain(SWEEP)) == SWEEP


# ------------------------------------------------------------------------------------------------------ what came of it


def test_the_table_has_the_best_first_and_leaves_out_what_is_under_way() -> None:
    values = {"lr": 0.1, "emb_dim": 8}
    tried = [trial(values, 2.0), trial(values, 1.0), trial(values, 0.5, "running"), trial(values, math.inf, "failed")]
    assert table(SWEEP, tried)["loss"].tolist() == [1.0, 2.0, math.inf]


def test_importance_is_the_share_of_the_variance_between_an_axis_values() -> None:
    """Losses 0, 0, 2, 2 by the first axis, and plus or minus 1 by the second: variances 1 and 1 of 2 in all."""
    axes = (Axis("lr", (1.0, 2.0)), Axis("emb_dim", (8, 16)))
    rows = pd.DataFrame(
        {"lr": [1.0, 1.0, 2.0, 2.0], "emb_dim": [8, 16, 8, 16], "loss": [-1.0, 1.0, 1.0, 3.0], "run": "r"}
    )
    shares = importance(replace(SWEEP, axes=axes), rows)
    assert dict(zip(shares["axis"], shares["share"], strict=True)) == {"lr": 0.5, "emb_dim": 0.5}


def test_what_two_axes_do_only_together_neither_explains_alone() -> None:
    rows = pd.DataFrame({"lr": [0.1, 0.1, 0.01, 0.01], "emb_dim": [8, 16, 8, 16], "loss": [0.0, 1.0, 1.0, 0.0]})
    assert importance(SWEEP, rows)["share"].tolist() == [0.0, 0.0]
    assert importance(SWEEP, rows[:2]).empty


# ------------------------------------------------------------------------------------------------------------ the queue


def test_trials_are_begun_a_few_at_a_time_until_all_is_tried_and_the_best_is_reproduced_alone(
    store: RunStore, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "cores", lambda: 2)
    mine = begin(store, STORY, SWEEP, "somebody")
    standing = advance(mine, speed)
    assert (len(standing.trials), standing.over, standing.goes_on) == (2, None, True)
    while (standing := advance(mine, speed)).goes_on:
        finish(store)
    assert standing.over == "all is tried"
    assert len(standing.trials) == 6
    assert {run.config["owner"] for run in mine.runs()} == {"somebody"}
    best = Run(store.root / table(SWEEP, standing.trials)["run"].iloc[0])
    folder = tmp_path_factory.mktemp("alone") / "run"
    again = create_run(folder, best.text, best.model_config, best.train_config)
    execute(again)
    assert losses_of(again) == losses_of(best)
    assert again.status["best"] == best.status["best"]


def test_no_trial_begins_that_would_go_beyond_the_budget(store: RunStore) -> None:
    """Each is expected to take what the formula says, so a budget of two and a half of the dearer ones allows two."""
    same = replace(SWEEP, axes=(Axis("lr", (0.001, 0.01, 0.1)),))
    once = sweeping._core_seconds(replace(same, model=replace(MODEL, vocab_size=20)), {"lr": 0.1}, speed())
    mine = begin(store, STORY, replace(same, budget=2.5 * once))
    started = len(advance(mine, speed).trials)
    assert 1 <= started <= 2
    finish(store)
    while (standing := advance(mine, speed)).goes_on:
        finish(store)
    assert standing.over in ("the budget is used", "all is tried")
    assert begin(store, STORY, replace(same, budget=0.1 * once))
    nothing = advance(begin(store, STORY, replace(same, budget=0.1 * once)), speed)
    assert (nothing.trials, nothing.over) == ([], "the budget is used")


def test_estimates_learn_from_the_trials_that_are_done() -> None:
    done = [trial({}, 1.0, core_seconds=3.0, estimate=1.0), trial({}, 1.0, "failed", core_seconds=99.0)]
    assert expected(done, 2.0) == 6.0
    waiting = trial({}, None, "queued", core_seconds=0.0, estimate=2.0)
    assert promised([*done, waiting]) == 3.0 + 99.0 + 6.0


def test_a_sweep_that_was_interrupted_goes_on_where_it_stood(store: RunStore) -> None:
    mine = begin(store, STORY, SWEEP)
    advance(mine, speed)
    finish(store)
    before = [each.values for each in sweeping.trials(mine)]
    later = sweeping.Sweeping(RunStore(store.root), mine.id)  # as another process finds it
    while advance(later, speed).goes_on:
        finish(store)
    after = [each.values for each in sweeping.trials(later)]
    assert after[: len(before)] == before
    assert len(after) == 6


def test_a_stopped_sweep_begins_nothing_and_can_go_on(store: RunStore) -> None:
    mine = begin(store, STORY, SWEEP, "somebody")
    advance(mine, speed)
    with pytest.raises(PermissionError, match="somebody else's"):
        mine.stop(["another"])
    mine.stop(["somebody"])
    finish(store)
    standing = advance(mine, speed)
    assert (standing.over, standing.goes_on) == ("stopped", False)
    assert {each.state for each in standing.trials} == {"cancelled"}
    mine.go_on(["somebody"])
    assert advance(mine, speed).goes_on


def test_a_trial_that_diverges_counts_as_infinitely_bad(store: RunStore) -> None:
    mine = begin(store, STORY, replace(SWEEP, axes=(Axis("lr", (0.01, 1e30)),)))
    while advance(mine, speed).goes_on:
        finish(store)
    assert table(mine.sweep, sweeping.trials(mine))["loss"].iloc[-1] == math.inf


def test_a_sweep_waits_while_its_owner_has_as_many_runs_waiting_as_one_may(store: RunStore) -> None:
    for _ in range(MOST_WAITING):
        store.create(STORY, MODEL, SHORT, owner="somebody")
    standing = advance(begin(store, STORY, SWEEP, "somebody"), speed)
    assert (standing.trials, standing.goes_on) == ([], True)


def test_two_who_advance_a_sweep_at_once_begin_no_trial_twice(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PATIENCE_SECONDS", 0.05)
    mine = begin(store, STORY, SWEEP)
    with FileLock(mine.folder / "lock"):
        for ask in (lambda: advance(mine, speed), lambda: mine.stop([mine.owner or ""])):
            with pytest.raises(QueueError, match=r"^trials of this sweep are being begun at this moment: press again$"):
                ask()
    assert sweeping.trials(mine) == []
    assert mine.is_stopped, "whoever holds the lock begins no further trial"


def ended(run: Run) -> None:
    """As a run of ten core-seconds ends."""
    run.update_status(state="done", step=2, seconds=10.0, best={"step": 2, "val_loss": run.train_config.lr})


def test_a_trial_whose_run_was_deleted_stays_tried_and_paid_for(store: RunStore) -> None:
    mine = begin(store, STORY, replace(SWEEP, axes=(Axis("lr", (0.001, 0.01, 0.1)),), budget=25.0), "somebody")
    seen = []
    while (standing := advance(mine, lambda: 1e13)).goes_on:
        for run in mine.runs():
            if not run.has_ended:
                seen.append(run.train_config.lr)
                ended(run)
                if len(seen) == 1:  # the first, unseen until now, and after the next look one that was seen
                    store.delete(run)
    before = sum(trial.core_seconds for trial in standing.trials)
    for run in mine.runs():
        store.delete(run)
    after = advance(mine, lambda: 1e13)
    assert (after.over, after.goes_on, mine.runs()) == (standing.over, False, [])
    assert len(set(seen)) == len(seen) == len(after.trials)
    assert [trial.values["lr"] for trial in after.trials] == seen
    assert sum(trial.core_seconds for trial in after.trials) == before
    assert table(mine.sweep, after.trials).empty, "what was deleted is nobody's best run"


def test_a_trial_that_was_listed_and_never_came_to_be_is_tried_after_all(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = begin(store, STORY, SWEEP)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no space is left")

    with monkeypatch.context() as full:
        full.setattr(sweeping.requests, "submit", refuse)
        with pytest.raises(OSError, match="no space"):
            advance(mine, speed)
    assert sweeping.trials(mine) == []
    while advance(mine, speed).goes_on:
        finish(store)
    tried = sweeping.trials(mine)
    assert len({tuple(trial.values.items()) for trial in tried}) == len(tried) == 6


@pytest.mark.parametrize("written", ["", "[{}]", None], ids=["cut", "of another form", "missing"])
def test_a_damaged_list_is_made_anew_from_what_the_runs_say(written: str | None, store: RunStore) -> None:
    mine = begin(store, STORY, SWEEP)
    advance(mine, speed)
    finish(store)
    before = sweeping.trials(mine)
    path = mine.folder / "trials.json"
    path.unlink() if written is None else path.write_text(written, encoding="utf-8")
    assert sweeping.trials(mine) == before
    assert {run.id for run in mine.runs()} == {trial.run for trial in before}


def test_who_stops_a_sweep_while_a_trial_is_being_begun_stops_that_one_too(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = begin(store, STORY, SWEEP, "somebody")
    submit = sweeping.requests.submit

    def slowly(*arguments: Any, **about: Any) -> Run:
        """Another tab's button is pressed in the midst of it."""
        stopping.start()
        until(lambda: mine.is_stopped)
        return submit(*arguments, **about)

    stopping = threading.Thread(target=mine.stop, args=(["somebody"],))
    monkeypatch.setattr(sweeping.requests, "submit", slowly)
    standing = advance(mine, speed)
    stopping.join(PATIENCE_SECONDS)
    assert standing.over == "stopped"
    assert [store.find(trial.run).was_asked_to_stop for trial in standing.trials] == [True]  # type: ignore[union-attr]


def test_a_context_longer_than_the_text_is_refused_before_anything_is_written(store: RunStore) -> None:
    with pytest.raises(ValueError, match="a context of 4096 needs at least"):
        begin(store, STORY, replace(SWEEP, axes=(Axis("context_length", (8, 4096)),)))
    assert sweeping.all_of(store, ["somebody"]) == []


def test_the_words_at_the_end_name_the_best_run_and_what_mattered(store: RunStore) -> None:
    mine = begin(store, STORY, SWEEP)
    while (standing := advance(mine, speed)).goes_on:
        finish(store)
    words = sweeping.in_words(mine, standing)
    best = table(SWEEP, standing.trials)["run"].iloc[0]
    assert words.startswith("all is tried: 6 of 6 trials, ")
    assert words.endswith(f"best: {store.root / best}")
    assert "alone explains" in words

"""The loop: what it records and when, that watching changes nothing, and what it does when numbers run away."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptcore import training
from gptcore.batches import TrainingData, epoch_order, prepare
from gptcore.config import GPTConfig, SamplingConfig, TrainConfig
from gptcore.records import DivergedError, Sample, StepRecord, StoppedError, UntrainedRecord
from gptcore.sampling import generate
from gptcore.training import (
    TrainingState,
    evaluate,
    learning_rate,
    make_optimiser,
    new_state,
    next_batch,
    say,
    train,
    untrained,
    update,
)
from tests import tiny
from tests.tiny import MODEL, STORY

SETTINGS = replace(tiny.SETTINGS, seed=5)
DATA = prepare(STORY, MODEL, SETTINGS)


def begin(model: GPTConfig = MODEL, data: TrainingData = DATA, **changes: Any) -> TrainingState:
    """A new run; a reference run takes the small vocabulary here, too, for the sake of speed."""
    if changes.get("reference"):
        changes["compact_vocab"] = False
    return new_state(model, replace(SETTINGS, **changes), data)


def steps(state: TrainingState) -> list[StepRecord]:
    return [record for record in train(state) if isinstance(record, StepRecord)]


def losses(state: TrainingState) -> list[float]:
    return [record.batch_loss for record in steps(state)]


# ----------------------------------------------------------------------------------------------------- what is recorded


def test_a_run_is_one_untrained_record_and_one_record_a_step() -> None:
    state = begin()
    assert (state.batches_per_epoch, state.total_steps) == (5, 10)
    first, *rest = train(state)
    assert isinstance(first, UntrainedRecord)
    assert first.sample.step == -1
    assert [record.step for record in rest if isinstance(record, StepRecord)] == list(range(10))
    assert state.step == 10


def test_step_n_is_the_state_after_update_n_plus_one() -> None:
    state = begin(steps=6)
    records = steps(state)
    assert [record.step for record in records] == [0, 1, 2, 3, 4, 5]
    assert [record.tokens_seen for record in records] == [4 * 8 * (n + 1) for n in range(6)]
    assert [record.epoch for record in records] == [0, 0, 0, 0, 0, 1]


def test_ten_epochs_of_the_book_have_seen_46080_tokens() -> None:
    assert 10 * 9 * 2 * 256 == 46_080
    data = TrainingData(DATA.tokenizer, torch.zeros(4_612, dtype=torch.int64), torch.zeros(534, dtype=torch.int64), "")
    state = begin(GPTConfig(context_length=256, emb_dim=2, n_heads=1, n_layers=1), data, batch_size=2, epochs=10)
    assert (state.batches_per_epoch, state.total_steps) == (9, 90)
    assert state.total_steps * 2 * 256 == 46_080


@pytest.mark.parametrize(
    ("changes", "evaluated"),
    [
        ({}, [0, 3, 6, 9]),
        ({"eval_every": 4}, [0, 4, 8, 9]),  # the last step always
        ({"eval_every": 4, "reference": True}, [0, 4, 8]),  # but as the book does it in a reference run
        ({"eval_every": 100}, [0, 9]),
        ({"steps": 1}, [0]),
    ],
)
def test_evaluations_come_when_they_are_due(changes: dict[str, Any], evaluated: list[int]) -> None:
    records = steps(begin(**changes))
    assert [record.step for record in records if record.train_loss is not None] == evaluated
    assert [record.step for record in records if record.val_loss is not None] == evaluated


@pytest.mark.parametrize(
    ("changes", "sampled"),
    [
        ({}, [4, 9]),
        ({"sample_at": "evaluation"}, [0, 3, 6, 9]),
        ({"steps": 7}, [4, 6]),
        ({"sample_at": "evaluation", "eval_every": 100, "steps": 7}, [0, 6]),
    ],
)
def test_samples_come_when_they_are_due_and_after_the_last_step(changes: dict[str, Any], sampled: list[int]) -> None:
    records = steps(begin(**changes))
    assert [record.step for record in records if record.sample is not None] == sampled
    assert [record.sample.step for record in records if record.sample is not None] == sampled


def test_a_sample_goes_on_with_the_prompt_greedily() -> None:
    state = begin(steps=1)
    (record,) = steps(state)
    assert record.sample is not None
    prompt = DATA.tokenizer.encode("The lamp")
    drawn = [d.token_id for d in generate(state.model, prompt, SamplingConfig(temperature=0), 4)]
    assert record.sample.text == DATA.tokenizer.decode(prompt + drawn)
    assert record.sample.prompt == "The lamp"


def test_time_only_goes_forward_and_the_rate_is_told() -> None:
    records = steps(begin(warmup_steps=2))
    assert all(a.seconds < b.seconds for a, b in pairwise(records))
    assert [record.lr for record in records[:3]] == [0.005, 0.01, 0.01]


def test_steps_replace_epochs() -> None:
    assert begin(steps=3, epochs=50).total_steps == 3


def test_nothing_happens_until_somebody_asks() -> None:
    state = begin()
    before = copy.deepcopy(state.model.state_dict())
    stream = train(state)
    assert state.step == 0
    next(stream)
    next(stream)
    assert state.step == 1
    assert any(not torch.equal(before[name], tensor) for name, tensor in state.model.state_dict().items())


# ------------------------------------------------------------------------------------------------------- does it learn?


@pytest.mark.parametrize("changes", [{}, {"optimiser": "sgd", "lr": 0.05}, {"reference": True}], ids=str)
def test_a_short_text_is_learnt_by_heart(changes: dict[str, Any]) -> None:
    state = begin(replace(MODEL, drop_rate=0.0), steps=80, eval_every=79, **changes)
    first, *_, last = steps(state)
    assert first.batch_loss > 2.5
    assert last.batch_loss < 0.9


@pytest.mark.parametrize("tied", [True, False])
def test_an_untrained_model_is_as_good_as_a_blind_guess(tied: bool) -> None:
    shape = replace(MODEL, emb_dim=64, n_heads=4, tie_weights=tied)
    record = untrained(begin(shape))
    assert abs(record.train_loss - math.log(DATA.tokenizer.vocab_size)) < 0.3


def test_bfloat16_takes_nearly_the_same_steps() -> None:
    exact, rough = losses(begin()), losses(begin(precision="bfloat16"))
    assert rough == pytest.approx(exact, rel=0.05)
    assert rough != exact


# --------------------------------------------------------------------------------------- the same seed, the same losses


@pytest.mark.parametrize("reference", [True, False])
def test_the_same_seed_gives_the_same_run_and_another_seed_another(reference: bool) -> None:
    first, again = (steps(begin(reference=reference)) for _ in range(2))
    assert [replace(r, seconds=0) for r in first] == [replace(r, seconds=0) for r in again]
    assert losses(begin(reference=reference, seed=6)) != [r.batch_loss for r in first]


@pytest.mark.parametrize(
    "changes",
    [
        {"eval_every": 1},
        {"eval_every": 10_000},
        {"eval_batches": 1},
        {"eval_batches": 50},
        {"sample_at": "evaluation", "eval_every": 1, "sample_tokens": 20},
        {"sample_tokens": 0},
        {"sample_prompt": "The clock struck"},
    ],
    ids=str,
)
def test_evaluating_and_sampling_never_change_a_fast_runs_losses(changes: dict[str, Any]) -> None:
    assert losses(begin(**changes)) == losses(begin())


def test_being_watched_never_changes_a_fast_runs_losses() -> None:
    state = begin()
    seen = []
    for record in train(state):
        evaluate(state)
        untrained(state)
        list(generate(state.model, [1, 2], SamplingConfig(temperature=2.0), 5))
        state.model.eval()
        seen += [record.batch_loss] if isinstance(record, StepRecord) else []
    assert seen == losses(begin())


def test_the_number_of_evaluations_moves_a_reference_runs_losses_as_in_the_book() -> None:
    """Each new loader draws from the global generator, and with it all later dropout masks move."""
    often, rarely = (losses(begin(reference=True, eval_every=n)) for n in (2, 5))
    assert often[0] == rarely[0]
    assert often[1:] != rarely[1:]
    assert losses(begin(reference=True, eval_every=2)) == often


def test_sampling_moves_nothing_even_in_a_reference_run() -> None:
    assert losses(begin(reference=True, sample_tokens=0)) == losses(begin(reference=True, sample_tokens=9))


@pytest.mark.parametrize("reference", [True, False])
def test_every_epoch_meets_every_window_of_its_batches_once(reference: bool) -> None:
    state = begin(reference=reference)
    inputs, targets = state.windows(DATA.train_ids)
    rows = {tuple(window): n for n, window in enumerate(torch.cat([inputs, targets], dim=1).tolist())}
    orders = []
    for _ in range(3):
        met: list[int] = []
        for _ in range(5):
            batch = torch.cat(next_batch(state), dim=1).tolist()
            assert len(batch) == 4
            met += [rows[tuple(window)] for window in batch]
            state.step += 1
        assert state.order is not None
        assert len(set(met)) == len(met)
        assert met == [rows[tuple(torch.cat([inputs[i], targets[i]]).tolist())] for i in state.order[:20].tolist()]
        orders.append(met)
    assert orders[0] != orders[1] != orders[2]


def test_a_fast_runs_order_is_that_of_seed_and_epoch() -> None:
    state = begin()
    state.step = 7  # the third batch of the second epoch, met by nobody before
    inputs, _ = next_batch(state)
    windows, _ = state.windows(DATA.train_ids)
    assert torch.equal(inputs, windows[epoch_order(23, 5, 1)[8:12]])


# ----------------------------------------------------------------------------------------------------------- evaluation


def mean_by_hand(state: TrainingState, ids: Tensor, windows: list[int]) -> float:
    inputs, targets = state.windows(ids)
    state.model.eval()
    with torch.no_grad():
        means = [
            F.cross_entropy(state.model(inputs[chosen]).flatten(0, 1), targets[chosen].flatten()).item()
            for chosen in torch.tensor(windows).split(state.config.batch_size)
        ]
    return sum(means) / len(means)


def test_a_fast_evaluation_looks_at_windows_spread_over_the_text_always_the_same() -> None:
    state = begin()
    train_loss, val_loss = evaluate(state)
    assert train_loss == pytest.approx(mean_by_hand(state, DATA.train_ids, [0, 3, 6, 9, 13, 16, 19, 22]), rel=1e-5)
    assert val_loss == pytest.approx(mean_by_hand(state, DATA.validation_ids, [0, 1]), rel=1e-5)
    assert evaluate(state) == (train_loss, val_loss)


def test_an_evaluation_covers_everything_when_it_may() -> None:
    train_loss, _ = evaluate(state := begin(eval_batches=50))
    assert train_loss == pytest.approx(mean_by_hand(state, DATA.train_ids, list(range(23))), rel=1e-5)


@pytest.mark.parametrize("reference", [True, False])
def test_the_untrained_losses_draw_no_random_number(reference: bool) -> None:
    state = begin(reference=reference)
    before = torch.get_rng_state()
    record = untrained(state)
    assert torch.equal(torch.get_rng_state(), before)
    if reference:  # over the whole loaders
        assert record.train_loss == pytest.approx(mean_by_hand(state, DATA.train_ids, list(range(23))), rel=1e-5)


def test_a_fast_evaluation_draws_no_random_number_and_a_reference_one_three() -> None:
    state = begin()
    before = torch.get_rng_state()
    evaluate(state)
    assert torch.equal(torch.get_rng_state(), before)
    evaluate(begin(reference=True))
    after = torch.get_rng_state()
    begin(reference=True)
    for _ in range(3):
        torch.empty((), dtype=torch.int64).random_()
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("reference", [True, False])
def test_a_validation_part_shorter_than_a_window_gives_no_validation_loss_and_no_nan(reference: bool) -> None:
    short = replace(DATA, validation_ids=DATA.validation_ids[:8])
    records = list(train(begin(data=short, reference=reference)))
    assert {record.val_loss for record in records} == {None}
    assert isinstance(records[0], UntrainedRecord)
    assert math.isfinite(records[0].train_loss)


# ----------------------------------------------------------------------------------------------------------- one update


def test_an_update_takes_the_step_of_the_plain_loop() -> None:
    state = begin(replace(MODEL, drop_rate=0.0), optimiser="sgd", lr=0.1)
    twin = copy.deepcopy(state.model)
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    inputs, targets = next_batch(state)
    for _ in range(3):
        loss, grad_norm = update(state, inputs, targets)
        optimiser.zero_grad()
        plain = F.cross_entropy(twin(inputs).flatten(0, 1), targets.flatten())
        plain.backward()  # type: ignore[no-untyped-call]
        gradients = torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None])
        optimiser.step()
        assert loss == pytest.approx(plain.item(), rel=1e-5)
        assert grad_norm == pytest.approx(gradients.norm().item(), rel=1e-4)
    for a, b in zip(state.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_an_update_is_made_with_dropout_whatever_mode_the_model_was_in() -> None:
    state = begin()
    evaluate(state)
    assert not state.model.training
    before = torch.get_rng_state()
    update(state, *next_batch(state))
    assert state.model.training
    assert not torch.equal(torch.get_rng_state(), before)


def test_long_gradients_are_shortened_and_their_length_is_told_as_it_was() -> None:
    state, clipped = begin(optimiser="sgd", lr=1.0, weight_decay=0.0), begin(optimiser="sgd", lr=1.0, grad_clip=0.01)
    inputs, targets = next_batch(state)
    torch.manual_seed(0)
    _, length = update(state, inputs, targets)
    torch.manual_seed(0)
    _, told = update(clipped, inputs, targets)
    assert told == pytest.approx(length)
    assert length > 0.01
    gradients = torch.cat([p.grad.flatten() for p in clipped.model.parameters() if p.grad is not None])
    assert gradients.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_optimisers_are_what_the_settings_say() -> None:
    model = nn.Linear(2, 2)
    reference = make_optimiser(model, TrainConfig(reference=True, lr=3e-4, weight_decay=0.2))
    fast = make_optimiser(model, TrainConfig(lr=3e-4, weight_decay=0.2))
    sgd = make_optimiser(model, TrainConfig(optimiser="sgd", lr=3e-4, weight_decay=0.2))
    assert isinstance(reference, torch.optim.AdamW)
    assert not reference.defaults["fused"]
    assert isinstance(fast, torch.optim.AdamW)
    assert fast.defaults["fused"]
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.9
    for optimiser in (reference, fast, sgd):
        assert (optimiser.defaults["lr"], optimiser.defaults["weight_decay"]) == (3e-4, 0.2)


# -------------------------------------------------------------------------------------------------------------- stopped


class Stop:
    """Asked now and then whether to stop: says so at the n-th time, or from when it is told to."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.at is not None and self.asked >= self.at


@pytest.mark.parametrize("reference", [True, False])
def test_a_run_that_is_stopped_between_updates_ends_after_its_step_and_goes_on_as_if_never_stopped(
    reference: bool,
) -> None:
    state, stop = begin(reference=reference), Stop()
    records: list[StepRecord] = []
    for record in train(state, stop):
        if isinstance(record, StepRecord):
            records.append(record)
            stop.at = 0 if record.step == 3 else None
    assert [record.step for record in records] == [0, 1, 2, 3]
    assert records[-1].val_loss is not None
    assert state.step == 4
    assert [record.batch_loss for record in records] + losses(state) == losses(begin(reference=reference))


def test_being_asked_whether_to_stop_changes_nothing_and_happens_all_the_time() -> None:
    stop = Stop()
    records = [record for record in train(begin(), stop) if isinstance(record, StepRecord)]
    assert [record.batch_loss for record in records] == losses(begin())
    assert stop.asked > 10 + 4 * 3 + 2 * 4  # updates, batches of evaluations, tokens of samples


@pytest.mark.parametrize("measured", [0, 1, 2, 3])
def test_an_evaluation_stops_between_two_batches(measured: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    batch_loss = training.batch_loss

    def count(state: TrainingState, inputs: Tensor, targets: Tensor) -> Tensor:
        read.append(len(inputs))
        return batch_loss(state, inputs, targets)

    monkeypatch.setattr(training, "batch_loss", count)
    with pytest.raises(StoppedError):
        evaluate(begin(eval_batches=50), Stop(at=measured + 1))
    assert read == [4] * measured


@pytest.mark.parametrize("said", [0, 1, 2])
def test_a_sample_stops_between_two_tokens(said: int) -> None:
    state = begin()
    prompt = DATA.tokenizer.encode("The lamp")
    drawn = [d.token_id for d in generate(state.model, prompt, SamplingConfig(temperature=0), 4)]
    stop = Stop(at=said + 1)
    sample = say(state, 7, stop)
    assert (sample.step, sample.text) == (7, DATA.tokenizer.decode(prompt + drawn[:said]))
    assert stop.asked == said + 1


@pytest.mark.parametrize("reference", [True, False])
def test_a_run_that_is_stopped_before_its_first_update_has_done_nothing(reference: bool) -> None:
    state = begin(reference=reference)
    with pytest.raises(StoppedError):
        next(train(state, Stop(at=2)))
    assert state.step == 0
    assert losses(state) == losses(begin(reference=reference))


@pytest.fixture
def stop_inside(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Says so once the evaluation after step 3 has measured one batch."""
    stop = Stop()

    def evaluate_in_part(state: TrainingState, asked: Callable[[], bool]) -> tuple[float | None, float | None]:
        if state.step == 3:
            stop.at = stop.asked + 2
        return evaluate(state, asked)

    monkeypatch.setattr(training, "evaluate", evaluate_in_part)
    return stop


def test_a_reference_run_that_is_stopped_inside_an_evaluation_says_that_its_state_is_not_whole(
    stop_inside: Stop,
) -> None:
    state = begin(reference=True)
    with pytest.raises(StoppedError):
        list(train(state, stop_inside))
    assert state.step == 3


def test_a_fast_run_that_is_stopped_inside_an_evaluation_reports_its_update_and_goes_on_to_the_same_losses(
    stop_inside: Stop,
) -> None:
    state = begin()
    records = [record for record in train(state, stop_inside) if isinstance(record, StepRecord)]
    assert [record.step for record in records] == [0, 1, 2, 3]
    last = records[-1]
    assert (last.train_loss, last.val_loss, last.sample) == (None, None, None)
    assert state.step == 4
    assert [record.batch_loss for record in records] + losses(state) == losses(begin())


def test_a_run_that_is_stopped_inside_a_sample_keeps_what_was_said_and_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, stop = begin(), Stop()

    def say_in_part(state: TrainingState, step: int, stop: Stop) -> Sample:
        if step == 9:
            stop.at = stop.asked + 2
        return say(state, step, stop)

    monkeypatch.setattr(training, "say", say_in_part)
    last = [record for record in train(state, stop) if isinstance(record, StepRecord)][-1]
    assert (last.step, state.step) == (9, 10)
    assert last.val_loss is not None
    assert last.sample is not None
    assert last.sample.text.startswith("The lamp")


# -------------------------------------------------------------------------------------------------------- learning rate


def test_a_warm_up_is_a_line_and_a_cosine_ends_at_the_minimum() -> None:
    config = TrainConfig(lr=1e-4, warmup_steps=2_000, min_lr=1e-5)
    rates = [learning_rate(step, 10_000, config) for step in range(10_000)]
    assert rates[:3] == pytest.approx([5e-8, 1e-7, 1.5e-7])
    assert rates[1_999] == rates[2_000] == max(rates) == 1e-4
    assert rates[-1] == min(rates[2_000:]) == pytest.approx(1e-5)
    assert rates[(2_000 + 9_999) // 2] == pytest.approx((1e-4 + 1e-5) / 2, rel=1e-3)
    assert all(a >= b for a, b in pairwise(rates[1_999:]))


def test_without_a_minimum_the_rate_stays() -> None:
    assert {learning_rate(step, 50, TrainConfig(lr=3e-4)) for step in range(50)} == {3e-4}


@pytest.mark.parametrize("total", [1, 2, 3, 5])
def test_a_warm_up_longer_than_the_run_gives_finite_rates(total: int) -> None:
    config = TrainConfig(lr=1.0, warmup_steps=3, min_lr=0.5)
    assert all(0 < learning_rate(step, total, config) <= 1 for step in range(total))


def test_a_minimum_above_the_peak_makes_the_rate_rise() -> None:
    """The published slip: it is followed as it stands, and the app warns."""
    config = TrainConfig(lr=1e-4, min_lr=5e-4)
    assert [learning_rate(step, 100, config) for step in (0, 99)] == pytest.approx([1e-4, 5e-4])


# ------------------------------------------------------------------------------------------------ numbers that run away


def test_a_rate_of_zero_changes_no_weight() -> None:
    state = begin(lr=0.0)
    before = copy.deepcopy(state.model.state_dict())
    records = steps(state)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.model.state_dict().items())
    assert len({record.train_loss for record in records if record.train_loss is not None}) == 1


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_an_update_that_diverges_leaves_the_weights_as_they_were(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = begin(lr=10.0)
    state.step = 40
    before = copy.deepcopy(state.model.state_dict())

    def bad(state: TrainingState, inputs: Tensor, targets: Tensor) -> Tensor:
        weight = state.model.head.weight
        # The square root of 0 is a finite loss with an infinite slope.
        return weight.sum() * math.nan if broken == "loss" else (weight - weight.detach()).abs().sum().sqrt()

    monkeypatch.setattr(training, "batch_loss", bad)
    with pytest.raises(DivergedError, match=r"^diverged at step 40; learning rate 10: choose a smaller one$"):
        update(state, *next_batch(state))
    assert all(torch.equal(before[name], tensor) for name, tensor in state.model.state_dict().items())


def finite(record: UntrainedRecord | StepRecord) -> bool:
    numbers = [record.train_loss, record.val_loss]
    numbers += [record.batch_loss, record.grad_norm] if isinstance(record, StepRecord) else []
    return all(number is None or math.isfinite(number) for number in numbers)


@pytest.mark.parametrize("lr", [1e5, 1e30])
@pytest.mark.parametrize("changes", [{}, {"eval_every": 1}, {"eval_every": 1, "sample_at": "evaluation"}], ids=str)
def test_a_run_that_diverges_ends_with_that_error_and_no_record_holds_a_nan(lr: float, changes: dict[str, Any]) -> None:
    """Whatever meets the bad weights first: the next batch, an evaluation, or a sample."""
    records = []
    with pytest.raises(DivergedError, match=rf"diverged at step \d+; learning rate {re.escape(f'{lr:g}')}"):
        records += train(begin(lr=lr, epochs=20, **changes))
    assert all(map(finite, records))

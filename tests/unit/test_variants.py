"""Runs that differ on purpose: each variant changes what it says, and nothing else."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gptcore import __main__ as cli
from gptcore import config, one_step
from gptcore.batches import prepare
from gptcore.checkpoint import load_state, load_weights, save_state, save_weights
from gptcore.config import GPTConfig, TrainConfig, from_json, to_json
from gptcore.corpora import OWN_STORY
from gptcore.records import StepRecord
from gptcore.runs.store import Run, create_run
from gptcore.runs.worker import execute
from gptcore.training import TrainingState, batch_loss, evaluate, new_state, next_batch, say, train
from gptcore.variants import VARIANTS, UnmaskedSelfAttention
from tests import tiny
from tests.tiny import MODEL, STORY, losses, stop_at

SETTINGS = replace(tiny.SETTINGS, seed=5)
DATA = prepare(STORY, MODEL, SETTINGS)
CHANGING = [variant for variant in get_args(config.Variant) if variant != "none"]
# What each run of MODEL reported before there were variants.
PLAIN_LOSSES = [
    record.batch_loss for record in train(new_state(MODEL, SETTINGS, DATA)) if isinstance(record, StepRecord)
]


def begin(variant: str, model: GPTConfig = MODEL, **changes: Any) -> TrainingState:
    return new_state(model, replace(SETTINGS, variant=variant, **changes), DATA)


def steps(state: TrainingState) -> list[StepRecord]:
    return [record for record in train(state) if isinstance(record, StepRecord)]


def weights(state: TrainingState) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in state.model.named_parameters()}


# ------------------------------------------------------------------------------------------------------------- settings


def test_every_variant_that_may_be_chosen_is_there() -> None:
    assert tuple(VARIANTS) == get_args(config.Variant)


def test_settings_of_a_run_that_knows_no_variants_can_be_read() -> None:
    old = {name: value for name, value in to_json(SETTINGS).items() if name not in ("variant", "range_from")}
    assert from_json(TrainConfig, old) == SETTINGS
    assert SETTINGS.variant == "none"


@pytest.mark.parametrize("variant", CHANGING)
def test_a_reference_run_takes_no_variant(variant: str) -> None:
    with pytest.raises(ValueError, match=f"it takes no variant, and variant={variant}$"):
        TrainConfig(reference=True, variant=variant)  # type: ignore[arg-type]


def test_a_variant_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="variant='no-brain' is not one of none, no-mask"):
        TrainConfig(variant="no-brain")  # type: ignore[arg-type]


def test_dropout_left_on_needs_dropout() -> None:
    with pytest.raises(ValueError, match="changes nothing at drop_rate=0: choose a dropout above 0"):
        begin("dropout-left-on", replace(MODEL, drop_rate=0.0))


@pytest.mark.parametrize("variant", CHANGING)
def test_one_update_is_looked_into_without_variants_only(variant: str) -> None:
    with pytest.raises(ValueError, match=f"variant={variant} changes the lines of an update"):
        one_step.begin(STORY, MODEL, replace(SETTINGS, variant=variant))


# ------------------------------------------------------------------------------------------------- nothing else changes


@pytest.mark.parametrize("variant", CHANGING)
def test_every_variant_starts_from_the_same_weights_under_the_same_names(variant: str) -> None:
    plain, changed = weights(begin("none")), weights(begin(variant))
    assert list(plain) == list(changed)
    assert all(torch.equal(plain[name], changed[name]) for name in plain)
    begin("none")
    before = torch.get_rng_state()
    begin(variant)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_batch_loss_differs_only_where_the_loss_or_its_targets_do() -> None:
    first = {variant: next(iter(steps(begin(variant, steps=1)))).batch_loss for variant in get_args(config.Variant)}
    same = {"none", "no-zero-grad", "one-batch", "train-as-validation"}
    assert {variant for variant, loss in first.items() if loss == first["none"]} == same


def test_validating_on_the_training_text_never_changes_what_is_learnt() -> None:
    judged, plain = steps(begin("train-as-validation")), steps(begin("none"))
    assert [step.batch_loss for step in judged] == [step.batch_loss for step in plain]


# ------------------------------------------------------------------------------------------------------------- mistakes


def logits_with_another_last_token(state: TrainingState) -> tuple[Tensor, Tensor]:
    ids = next_batch(state)[0][:1]
    other = ids.clone()
    other[0, -1] = (other[0, -1] + 1) % DATA.tokenizer.vocab_size
    model = state.model.eval()
    with torch.no_grad():
        return model(ids)[0, :-1], model(other)[0, :-1]


def test_without_the_mask_earlier_logits_depend_on_a_later_token() -> None:
    torch.testing.assert_close(*logits_with_another_last_token(begin("none")), rtol=0, atol=0)
    one, other = logits_with_another_last_token(begin("no-mask"))
    assert (one - other).abs().max() > 1e-3


def test_attention_without_a_mask_is_attention_where_nothing_is_masked() -> None:
    """The last token may see all of the others anyway: with one layer its logits are those of the masked model."""
    masked, unmasked = begin("none"), begin("no-mask")
    assert all(isinstance(block.attention, UnmaskedSelfAttention) for block in unmasked.model.blocks)
    ids = next_batch(masked)[0]
    with torch.no_grad():
        expected, found = (state.model.eval()(ids)[:, -1] for state in (masked, unmasked))
    torch.testing.assert_close(found, expected)


def test_targets_that_are_not_shifted_are_the_inputs() -> None:
    state = begin("not-shifted")
    inputs, targets = next_batch(state)
    assert torch.equal(inputs, targets)
    assert torch.equal(inputs, next_batch(begin("none"))[0])
    assert torch.equal(*state.windows(DATA.validation_ids))


def test_to_repeat_is_learnt_sooner_than_to_guess() -> None:
    model = replace(MODEL, drop_rate=0.0)
    repeated, guessed = (steps(begin(variant, model, steps=80)) for variant in ("not-shifted", "none"))
    assert repeated[-1].batch_loss < 0.05
    below = [next(step.step for step in run if step.batch_loss < 1.0) for run in (repeated, guessed)]
    assert below[0] < below[1]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_without_zero_grad_each_update_follows_the_sum_of_all_gradients(optimiser: str) -> None:
    model = replace(MODEL, drop_rate=0.0)
    state, twin = (begin(variant, model, optimiser=optimiser, lr=0.0) for variant in ("no-zero-grad", "none"))
    total = None
    for _ in range(3):  # at a rate of 0 the weights stay, so that both see the same gradients
        batch = next_batch(twin)
        twin.optimiser.zero_grad()
        batch_loss(twin, *batch).backward()  # type: ignore[no-untyped-call]
        gradient = torch.cat([p.grad.flatten() for p in twin.model.parameters() if p.grad is not None])
        total = gradient if total is None else total + gradient
        state.step = twin.step
        state.model.train()
        state.optimiser.zero_grad()
        batch_loss(state, *batch).backward()  # type: ignore[no-untyped-call]
        state.optimiser.step()
        twin.step += 1
    assert total is not None
    piled = torch.cat([p.grad.flatten() for p in state.model.parameters() if p.grad is not None])
    torch.testing.assert_close(piled, total)


def test_a_second_softmax_bounds_the_loss_from_below() -> None:
    V = DATA.tokenizer.vocab_size
    floor = math.log(math.e + V - 1) - 1
    state = begin("softmax-twice", steps=60)
    inputs, targets = next_batch(state)
    scores = new_state(MODEL, SETTINGS, DATA).model.eval()(inputs)
    state.model.eval()
    plain = F.cross_entropy(torch.softmax(scores, -1).flatten(0, 1), targets.flatten())
    assert batch_loss(state, inputs, targets).item() == pytest.approx(plain.item(), rel=1e-6)
    assert all(floor <= step.batch_loss <= math.log(V) + 1 for step in steps(state))


def test_with_dropout_left_on_two_evaluations_differ_and_draw_random_numbers() -> None:
    state = begin("dropout-left-on")
    before = torch.get_rng_state()
    assert evaluate(state) != evaluate(state)
    assert not torch.equal(torch.get_rng_state(), before)
    plain = begin("none")
    assert evaluate(plain) == evaluate(plain)


# --------------------------------------------------------------------------------------------------------------- checks


def test_one_batch_is_met_at_every_update_and_learnt_by_heart() -> None:
    state = begin("one-batch", replace(MODEL, drop_rate=0.0), steps=60)
    first = next_batch(state)
    for step in (1, 7, 59):
        state.step = step
        assert all(torch.equal(a, b) for a, b in zip(next_batch(state), first, strict=True))
    state.step = 0
    assert steps(state)[-1].batch_loss < 0.1


def test_the_training_text_as_validation_text_gives_the_training_loss_to_the_last_bit() -> None:
    looks = [step for step in steps(begin("train-as-validation")) if step.train_loss is not None]
    assert len(looks) > 1
    assert [step.val_loss for step in looks] == [step.train_loss for step in looks]


def test_shuffled_targets_are_the_same_tokens_in_another_order_at_each_update() -> None:
    plain, state = begin("none"), begin("shuffled-targets")
    orders = []
    for step in (0, 1):
        plain.step = state.step = step
        (inputs, targets), (same, mixed) = next_batch(plain), next_batch(state)
        assert torch.equal(inputs, same)
        assert not torch.equal(targets, mixed)
        assert torch.equal(targets.flatten().sort().values, mixed.flatten().sort().values)
        orders.append(mixed)
    again = begin("shuffled-targets")
    again.step = 1
    assert torch.equal(next_batch(again)[1], orders[1])


def test_shuffled_targets_leave_nothing_to_learn_but_how_often_each_token_occurs() -> None:
    model, changes = replace(MODEL, drop_rate=0.0), {"steps": 80, "eval_every": 79}
    mixed, plain = (steps(begin(variant, model, **changes))[-1] for variant in ("shuffled-targets", "none"))
    counts = torch.bincount(DATA.train_ids).float()
    shares = counts[counts > 0] / counts.sum()
    entropy = -(shares * shares.log()).sum().item()
    assert mixed.train_loss is not None
    assert plain.train_loss is not None
    assert mixed.train_loss > entropy - 0.2 > plain.train_loss


# ----------------------------------------------------------------------------------------------- to stop, and to go on


@pytest.mark.parametrize("variant", get_args(config.Variant))
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_run_goes_on_from_its_checkpoint_with_the_same_losses(variant: str, optimiser: str, tmp_path: Path) -> None:
    whole = steps(begin(variant, optimiser=optimiser))
    state, path = begin(variant, optimiser=optimiser), tmp_path / "state.safetensors"
    records = train(state)
    for _ in range(5):  # the untrained record, and four updates
        next(records)
    save_state(path, state)
    rest = steps(load_state(path, DATA))
    assert [replace(step, seconds=0.0) for step in rest] == [replace(step, seconds=0.0) for step in whole[4:]]


def test_a_queued_run_of_a_variant_is_stopped_and_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    settings = replace(SETTINGS, variant="no-zero-grad")
    whole, halved = (create_run(tmp_path / name, STORY, MODEL, settings) for name in ("whole", "halved"))
    assert execute(whole) == "done"
    assert execute(halved, stop_at(3, halved.ask_to_stop)) == "cancelled"
    halved.reopen()
    assert execute(halved) == "done"
    assert losses(halved) == losses(whole)


def test_a_prompt_is_answered_by_every_variant_and_its_weights_can_be_kept(tmp_path: Path) -> None:
    for variant in get_args(config.Variant):
        state = begin(variant, steps=1)
        steps(state)
        assert say(state, 0).text.startswith("The lamp")
        save_weights(tmp_path / "weights.safetensors", state.model, DATA.tokenizer)
        model, _ = load_weights(tmp_path / "weights.safetensors")
        kept = copy.deepcopy(weights(state))
        assert all(torch.equal(weight, kept[name]) for name, weight in model.named_parameters())


def test_the_command_line_trains_a_variant_and_refuses_one_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--steps", "2", "--sample-tokens", "0"]
    out = tmp_path / "run"
    assert cli.main(["train", "--text", OWN_STORY, "--out", str(out), "--variant", "no-mask", *few]) == 0
    assert Run(out).train_config.variant == "no-mask"
    assert cli.main(["train", "--text", OWN_STORY, "--out", str(tmp_path / "none"), "--variant", "odd", *few]) == 2
    assert "variant='odd' is not one of none, no-mask" in capsys.readouterr().err
    assert cli.main(["train", "--resume", str(out), "--variant", "none"]) == 2
    assert "variant can't be changed with --resume" in capsys.readouterr().err

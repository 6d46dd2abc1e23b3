"""One step: the update is the run's own to the last bit, every number shown adds up, and nothing is left moved."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from gptcore import training
from gptcore.batches import epoch_order
from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import TextError
from gptcore.descent import loss_along_gradient
from gptcore.gradients import gradient_norms, part_of
from gptcore.line_by_line import source_lines
from gptcore.loss import mean_loss
from gptcore.one_step import Session, Update, begin, one_parameter, one_update
from gptcore.parameters import count_parameters
from gptcore.records import DivergedError, StepRecord
from tests import tiny
from tests.tiny import MODEL, STORY

SETTINGS = replace(tiny.SETTINGS, seed=5)
CALM = replace(MODEL, drop_rate=0.0)
TIED = replace(MODEL, tie_weights=True, qkv_bias=True)
REFERENCE = {"compact_vocab": False, "reference": True, "batch_size": 2}
VARIANTS: dict[str, tuple[GPTConfig, dict[str, Any]]] = {
    "as it comes, with dropout": (MODEL, {}),
    "without dropout": (CALM, {}),
    "tied, as GPT-2 is": (TIED, {}),
    "SGD with momentum": (MODEL, {"optimiser": "sgd", "lr": 0.1}),
    "short gradients": (MODEL, {"grad_clip": 0.05}),
    "warm-up and cosine": (MODEL, {"warmup_steps": 3, "min_lr": 1e-4}),
    "bfloat16": (MODEL, {"precision": "bfloat16"}),
    "the book's digits": (replace(MODEL, emb_dim=4), REFERENCE),
}


@pytest.fixture(autouse=True)
def _one_core() -> None:
    """Sums over several cores round in another order; a session uses one, and so does the run beside it."""
    torch.set_num_threads(1)


def session(model: GPTConfig = MODEL, **changes: Any) -> Session:
    return begin(STORY, model, replace(SETTINGS, **changes))


def run_beside(model: GPTConfig, config: TrainConfig, steps: int) -> tuple[list[StepRecord], training.TrainingState]:
    """The first updates of a run with the same settings, made by the training loop itself."""
    state = training.new_state(model, config, begin(STORY, model, config).state.data)
    records: list[StepRecord] = []
    for record in training.train(state):
        if isinstance(record, StepRecord):
            records.append(record)
        if len(records) == steps:
            break
    return records, state


def weights(one: Session) -> dict[str, torch.Tensor]:
    return copy.deepcopy(one.state.model.state_dict())


def updated(times: int = 1, model: GPTConfig = MODEL, **changes: Any) -> tuple[Session, Update]:
    one = session(model, **changes)
    return one, [one_update(one) for _ in range(times)][-1]


# ------------------------------------------------------------------------------------------------------ the run's own


@pytest.mark.parametrize(("model", "changes"), VARIANTS.values(), ids=VARIANTS)
def test_updates_are_those_of_a_run_to_the_last_bit(model: GPTConfig, changes: dict[str, Any]) -> None:
    """Seven updates, past the end of an epoch and past evaluations, and other random numbers drawn in between."""
    one = session(model, **changes)
    seen = []
    for _ in range(7):
        torch.rand(3)
        seen.append(one_update(one))
        loss_along_gradient(one, [0.5, 1.0])
    records, state = run_beside(model, one.state.config, 7)
    assert [update.step for update in seen] == [record.step for record in records]
    assert [update.loss for update in seen] == [record.batch_loss for record in records]
    assert [update.grad_norm for update in seen] == [record.grad_norm for record in records]
    assert [update.lr for update in seen] == [record.lr for record in records]
    beside = state.model.state_dict()
    assert all(torch.equal(weight, beside[name]) for name, weight in weights(one).items())


def test_the_random_numbers_and_threads_of_others_stay_as_they_were() -> None:
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    one, _ = updated(model=MODEL)
    loss_along_gradient(one, [1.0])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 2


def test_two_students_do_not_disturb_each_other() -> None:
    alone = [one_update(one).loss for one in [session()] for _ in range(4)]
    mine, other = session(), session(seed=6)
    together = []
    for _ in range(4):
        together.append(one_update(mine).loss)
        one_update(other)
    assert together == alone


def test_a_batch_is_the_one_that_the_run_meets_then() -> None:
    one, _ = updated(times=2)
    inputs, _ = one.state.windows(one.state.data.train_ids)
    assert torch.equal(one.look_back().inputs, inputs[epoch_order(len(inputs), 5, 0)[4:8]])


def test_the_lines_on_screen_are_the_lines_that_ran() -> None:
    assert list(source_lines()) == [
        "optimiser.zero_grad()",
        "hidden = forward(state, inputs)",
        "loss = head_loss(state, hidden, targets)",
        "loss.backward()",
        "length = clip_grad_norm_(model.parameters(), longest)",
        "optimiser.step()",
        "loss_now = loss_without_dropout(state, inputs, targets)",
    ]


def test_a_text_that_is_too_short_is_refused_in_the_runs_own_words() -> None:
    with pytest.raises(TextError, match="needs at least"):
        begin(replace(STORY, text="The lamp."), MODEL, SETTINGS)


def test_a_run_that_takes_a_part_of_its_head_in_each_update_is_refused() -> None:
    with pytest.raises(ValueError, match="sampled_vocab=8 takes a part of the head in each update"):
        session(compact_vocab=False, sampled_vocab=8)


@pytest.mark.parametrize("lr", [1e5, 1e30])
def test_a_session_diverges_in_the_words_of_a_run(lr: float) -> None:
    one = session(lr=lr)
    with pytest.raises(DivergedError) as mine:
        [one_update(one) for _ in range(50)]
    with pytest.raises(DivergedError) as the_runs:
        list(training.train(run_beside(MODEL, replace(one.state.config, epochs=20), 0)[1]))
    cut = slice(str(mine.value).index(";"), None)
    assert str(mine.value)[cut] == str(the_runs.value)[cut]
    assert str(mine.value).startswith(f"diverged at step {one.state.step};")


def test_after_a_refused_update_there_is_nothing_to_look_back_at() -> None:
    one, _ = updated()
    for group in one.state.optimiser.param_groups:
        group["lr"] = 0.0
    with torch.no_grad():
        one.state.model.head.weight.fill_(math.nan)
    with pytest.raises(DivergedError):
        one_update(one)
    for look in (lambda: loss_along_gradient(one, [1.0]), lambda: one_parameter(one, "head.weight")):
        with pytest.raises(ValueError, match="no update to look back at"):
            look()


# --------------------------------------------------------------------------------------------------- what it reports


def test_without_dropout_the_loss_before_is_the_runs_and_the_loss_after_is_the_same_batchs() -> None:
    one, update = updated(model=CALM)
    before = one.look_back()
    assert update.loss_before == pytest.approx(update.loss, abs=1e-6)
    with torch.no_grad():
        again = mean_loss(one.state.model.eval()(before.inputs), before.targets)
    assert update.loss_after == pytest.approx(again.item(), abs=1e-6)
    assert update.loss_after < update.loss_before


def test_shapes_and_counts_are_the_models() -> None:
    one, update = updated()
    assert update.hidden_shape == (4, 8, 16)
    assert update.vocab_size == one.state.data.tokenizer.vocab_size
    assert update.parameters == count_parameters(replace(MODEL, vocab_size=update.vocab_size))


def test_what_has_not_changed_is_not_counted() -> None:
    assert updated(lr=0.0)[1].changed == 0
    one, update = updated(weight_decay=0.0)
    unread = update.vocab_size - len(one.look_back().inputs.unique())
    assert unread > 0
    assert update.changed <= update.parameters - 16 * unread  # the embeddings of tokens that the batch lacks


@pytest.mark.parametrize("model", [MODEL, TIED, replace(MODEL, n_layers=3)], ids=["untied", "tied", "deep"])
def test_the_parts_of_the_gradient_make_the_whole(model: GPTConfig) -> None:
    one, update = updated(model=model, grad_clip=0.01)
    assert (update.norms["norm"] ** 2).sum() == pytest.approx(update.grad_norm**2, rel=1e-5)
    parts = list(update.norms["part"])
    assert parts[:3] == ["token embedding", "position embedding", "block 1: attention"]
    assert ("output head" in parts) is not model.tie_weights
    assert len(parts) == 4 + 3 * model.n_layers - model.tie_weights
    whole = math.sqrt((gradient_norms(one.state.model)["norm"] ** 2).sum())
    assert whole == pytest.approx(0.01, rel=1e-3)  # what the optimiser saw; the update tells what was before it


def test_every_tensor_of_a_model_belongs_to_a_part() -> None:
    assert {part_of(name) for name, _ in session().state.model.named_parameters()} == {
        "token embedding",
        "position embedding",
        "block 1: attention",
        "block 1: feed-forward",
        "block 1: norms",
        "final norm",
        "output head",
    }


def test_the_guess_is_the_models_own_for_the_first_windows_last_position() -> None:
    one = session()
    untrained = copy.deepcopy(one.state.model).eval()
    update = one_update(one)
    guess, before = update.guess, one.look_back()
    window, target = before.inputs[:1], before.targets[0, -1]
    with torch.no_grad():
        then, now = (torch.softmax(model(window)[0, -1], dim=0) for model in (untrained, one.state.model.eval()))
    tokenizer = one.state.data.tokenizer
    assert "".join(guess.given) + guess.target == tokenizer.decode([*window[0].tolist(), int(target)])
    assert (guess.before, guess.after) == pytest.approx((then[target].item(), now[target].item()), rel=1e-4)
    assert guess.after > guess.before
    assert guess.table["is_target"].tolist() == [True] + [False] * (len(guess.table) - 1)
    for moment, probabilities in (("before", then), ("after", now)):
        five = guess.table.nlargest(5, moment)[moment].tolist()
        assert five == pytest.approx(probabilities.topk(5).values.tolist(), rel=1e-4)


# ------------------------------------------------------------------------------------------------------- one parameter


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("changes", [{}, {"optimiser": "sgd", "lr": 0.1}, {"grad_clip": 0.05}, REFERENCE], ids=str)
def test_the_formula_gives_what_the_optimiser_did(changes: dict[str, Any], times: int) -> None:
    one, update = updated(times, replace(MODEL, emb_dim=4) if changes == REFERENCE else MODEL, **changes)
    for name, weight in one.state.model.named_parameters():
        for index in {0, weight.numel() // 2, weight.numel() - 1, None}:
            step = one_parameter(one, name, index)
            assert step.by_formula == pytest.approx(step.after, abs=1e-7 * max(1.0, abs(step.before)))
            assert step.plain == step.before - update.lr * step.gradient
            assert step.lr == update.lr


def test_a_number_is_found_at_its_place() -> None:
    one, _ = updated()
    weight = dict(one.state.model.named_parameters())["head.weight"]
    step = one_parameter(one, "head.weight", 16 * 3 + 5)
    assert step.place == (3, 5)
    assert step.after == weight[3, 5].item()
    assert step.before == one.look_back().weights["head.weight"][3, 5].item()
    assert weight.grad is not None
    assert step.gradient == weight.grad[3, 5].item()
    assert abs(one_parameter(one, "head.weight").gradient) == weight.grad.abs().max().item()


def test_adamw_moves_every_number_by_the_whole_rate_at_first() -> None:
    one, update = updated()
    step = one_parameter(one, "head.weight")
    assert step.remembered["m"] == pytest.approx(0.1 * step.gradient, rel=1e-5)
    assert step.remembered["v"] == pytest.approx(0.001 * step.gradient**2, rel=1e-5)
    assert step.remembered["m_hat"] == pytest.approx(step.gradient, rel=1e-5)
    assert step.move == pytest.approx(math.copysign(update.lr, step.gradient), rel=1e-5)


def test_sgd_without_decay_makes_a_plain_step_at_first() -> None:
    one, _ = updated(optimiser="sgd", lr=0.1, weight_decay=0.0)
    step = one_parameter(one, "head.weight")
    assert step.after == pytest.approx(step.plain, abs=1e-7)


@pytest.mark.parametrize(("name", "index"), [("head.weight", -1), ("head.weight", 10**6), ("tail.weight", None)])
def test_a_number_that_is_not_there_is_refused(name: str, index: int | None) -> None:
    one, _ = updated()
    with pytest.raises(ValueError, match=name):
        one_parameter(one, name, index)


# ----------------------------------------------------------------------------------------------- other learning rates


@pytest.mark.parametrize("changes", [{}, {"optimiser": "sgd", "lr": 0.1}, {"grad_clip": 0.05}], ids=str)
@pytest.mark.parametrize("model", [MODEL, TIED], ids=["untied", "tied"])
def test_at_the_rate_that_was_taken_the_own_line_has_the_loss_that_came(
    model: GPTConfig, changes: dict[str, Any]
) -> None:
    one, update = updated(2, model, **changes)
    line = loss_along_gradient(one, [1e-6, 1.0])
    assert line["optimiser"].tolist() == pytest.approx([update.loss_before, update.loss_after], abs=1e-4)
    assert line["gradient"][0] == pytest.approx(update.loss_before, abs=1e-4)
    assert line["rate"].tolist() == [1e-6 * update.lr, update.lr]


def test_along_the_gradient_is_plain_descent() -> None:
    one, update = updated(2)
    twin = copy.deepcopy(one.state.model).eval()
    with torch.no_grad():
        for (name, moved), weight in zip(twin.named_parameters(), one.state.model.parameters(), strict=True):
            assert weight.grad is not None
            moved.copy_(one.look_back().weights[name] - 20 * update.lr * weight.grad)
        loss = mean_loss(twin(one.look_back().inputs), one.look_back().targets)
    line = loss_along_gradient(one, [20.0])
    assert line["gradient"][0] == pytest.approx(loss.item(), abs=1e-5)
    assert line["gradient"][0] < update.loss_before


def test_walking_along_the_lines_leaves_every_weight_as_it_was() -> None:
    one, _ = updated(2)
    before, random = weights(one), one.random.clone()
    loss_along_gradient(one, [0.01, 1.0, 100.0, 1e4])
    assert all(torch.equal(weight, before[name]) for name, weight in weights(one).items())
    assert torch.equal(one.random, random)


def test_weights_come_back_even_where_the_walk_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = updated()
    before = weights(one)
    monkeypatch.setattr("gptcore.descent.loss_without_dropout", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loss_along_gradient(one, [1.0])
    assert all(torch.equal(weight, before[name]) for name, weight in weights(one).items())


def test_a_line_ends_where_the_loss_has_climbed_far() -> None:
    one, update = updated()
    line = loss_along_gradient(one, [1.0, 1e3, 1e6, 1e9])
    own = line["optimiser"]
    assert own.notna().tolist() == [True, True, False, False]
    assert own[1] > update.loss_before + 2

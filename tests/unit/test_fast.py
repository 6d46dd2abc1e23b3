"""The fast pieces against the plain code that they stand for, within the tolerances that fast.py states."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gptcore import fast
from gptcore.config import GPT2_VOCAB_SIZE, GPTConfig
from gptcore.model import GPTModel

Problem = tuple[Tensor, Tensor, Tensor]
Result = tuple[Tensor, Tensor, Tensor]


def problem(N: int, C: int, V: int, seed: int = 0) -> Problem:
    """Hidden states as a norm leaves them, a head as GPT-2 starts it, and targets."""
    g = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(N, C, generator=g), 0.02 * torch.randn(V, C, generator=g)
    return hidden.requires_grad_(), weight.requires_grad_(), torch.randint(V, (N,), generator=g)


def with_gradients(loss: Tensor, hidden: Tensor, weight: Tensor) -> Result:
    d_hidden, d_weight = torch.autograd.grad(loss, (hidden, weight))
    return loss.detach(), d_hidden, d_weight


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> Result:
    return with_gradients(F.cross_entropy(F.linear(hidden, weight), targets), hidden, weight)


def fused(hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype = torch.float32) -> Result:
    return with_gradients(fast.fused_cross_entropy(hidden, weight, targets, dtype), hidden, weight)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def model_and_batch(tie_weights: bool, drop_rate: float = 0.0) -> tuple[GPTModel, Tensor, Tensor]:
    config = GPTConfig(
        vocab_size=301,
        context_length=8,
        emb_dim=16,
        n_heads=2,
        n_layers=2,
        drop_rate=drop_rate,
        tie_weights=tie_weights,
    )
    torch.manual_seed(0)
    ids = torch.randint(301, (3, 9))
    return GPTModel(config), ids[:, :-1], ids[:, 1:]


def gradients_of(model: GPTModel) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("N", "C", "V"), [(64, 16, 101), (1, 16, 101), (1, 1, 1), (7, 8, GPT2_VOCAB_SIZE), (61, 16, GPT2_VOCAB_SIZE)]
)
def test_float32_loss_and_gradients_are_those_of_the_plain_form(N: int, C: int, V: int) -> None:
    arguments = problem(N, C, V)
    for found, expected in zip(fused(*arguments), plain(*arguments), strict=True):
        # 4e-8 is the promise for a batch; the fewer tokens share the mean, the larger the gradients and their errors.
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=4e-8 * max(1, 64 / N))


@pytest.mark.parametrize("rows", [1, 7, 10, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunk_size_does_not_change_the_result(rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = problem(20, 16, 101)
    whole = fused(*arguments, dtype)
    monkeypatch.setattr(fast, "chunk_rows", lambda *_: rows)
    monkeypatch.setattr(fast, "SLAB", 16 * 30)  # slabs of 30 rows: 101 = 3 x 30 + 11
    for found, expected in zip(fused(*arguments, dtype), whole, strict=True):
        assert relative(found, expected) < (1e-6 if dtype == torch.float32 else 4e-3)


@pytest.mark.parametrize(("N", "C", "V"), [(64, 16, 101), (1, 16, 101), (61, 16, GPT2_VOCAB_SIZE), (300, 64, 301)])
def test_bfloat16_stays_within_its_tolerance(N: int, C: int, V: int) -> None:
    arguments = problem(N, C, V)
    (loss, *gradients), (plain_loss, *plain_gradients) = fused(*arguments, torch.bfloat16), plain(*arguments)
    assert relative(loss, plain_loss) < 2e-3
    for found, expected in zip(gradients, plain_gradients, strict=True):
        assert relative(found, expected) < (4e-3 if N > 1 else 1e-2)  # one token's roundings do not average out
        assert found.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_target_whose_probability_underflows_keeps_its_true_loss(dtype: torch.dtype) -> None:
    hidden, weight = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [128.0], [-128.0]])
    loss = fast.fused_cross_entropy(hidden, weight, torch.tensor([2, 0]), dtype)
    assert loss.item() == pytest.approx((256 + 1.0986) / 2, rel=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_memorised_target_keeps_its_small_loss_and_gradient(dtype: torch.dtype) -> None:
    logits = torch.tensor([[10.0, 0.0, 1.0, 2.0], [0.0, 8.0, 1.0, 0.5]])  # exact in bfloat16, where p rounds to 1
    arguments = torch.eye(2).requires_grad_(), logits.t().contiguous().requires_grad_(), torch.tensor([0, 1])
    for found, expected in zip(fused(*arguments, dtype), plain(*arguments), strict=True):
        assert relative(found, expected) < (5e-5 if dtype == torch.float32 else 4e-3)


def test_nan_in_the_hidden_state_shows_in_the_loss() -> None:
    hidden, weight, targets = problem(4, 8, 11)
    hidden.data[2, 3] = torch.nan
    assert fast.fused_cross_entropy(hidden, weight, targets).isnan()


@pytest.mark.parametrize("scale", [0.0, 1.0, 0.25])
def test_gradients_are_multiplied_by_grad_output(scale: float) -> None:
    hidden, weight, targets = problem(5, 8, 11)
    _, d_hidden, d_weight = plain(hidden, weight, targets)
    torch.autograd.backward(scale * fast.fused_cross_entropy(hidden, weight, targets))
    torch.testing.assert_close(hidden.grad, scale * d_hidden)
    torch.testing.assert_close(weight.grad, scale * d_weight)


def test_weight_gradient_becomes_grad_without_a_copy() -> None:
    hidden, weight, targets = problem(5, 8, 11)
    loss = fast.fused_cross_entropy(hidden, weight, targets)
    assert isinstance(loss.grad_fn, torch.autograd.graph.Node)
    made_in_forward = loss.grad_fn.gradients[1].data_ptr()  # type: ignore[attr-defined]
    torch.autograd.backward(loss)
    assert weight.grad is not None
    assert weight.grad.data_ptr() == made_in_forward


def test_second_backward_is_refused_in_a_sentence() -> None:
    hidden, weight, targets = problem(5, 8, 11)
    loss = fast.fused_cross_entropy(hidden, weight, targets)
    torch.autograd.backward(loss, retain_graph=True)
    with pytest.raises(RuntimeError, match="goes backward once"):
        torch.autograd.backward(loss)


def test_nothing_but_the_loss_is_made_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a weight gradient was made")

    monkeypatch.setattr(fast, "_add_weight_gradient", refuse)
    hidden, weight, targets = problem(5, 8, 11)
    with torch.no_grad():
        loss = fast.fused_cross_entropy(hidden, weight, targets)
    assert not loss.requires_grad


@pytest.mark.parametrize("target", [-100, 11, 63])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_target_outside_the_vocabulary_is_refused(target: int, dtype: torch.dtype) -> None:
    hidden, weight, targets = problem(5, 8, 11)
    targets[3] = target  # 63 is a row that exists only in the aligned copy
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        fast.fused_cross_entropy(hidden, weight, targets, dtype)


def test_shapes_that_do_not_belong_together_are_named() -> None:
    hidden, weight, targets = problem(5, 8, 11)
    with pytest.raises(ValueError, match=r"\[\(5, 8\), \(11, 7\), \(5,\)\]"):
        fast.fused_cross_entropy(hidden, weight[:, :7], targets)
    with pytest.raises(ValueError, match="N > 0"):
        fast.fused_cross_entropy(hidden[:0], weight, targets[:0])


@pytest.mark.parametrize("tie_weights", [True, False])
def test_fused_loss_trains_every_parameter_as_the_plain_loss_does(tie_weights: bool) -> None:
    model, inputs, targets = model_and_batch(tie_weights)
    expected_loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    torch.autograd.backward(expected_loss)
    expected = gradients_of(model)
    model.zero_grad()
    loss = fast.fused_loss(model, inputs, targets)
    torch.autograd.backward(loss)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-6, atol=0)
    found = gradients_of(model)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("tie_weights", [True, False])
def test_gradients_of_two_batches_add_up(tie_weights: bool) -> None:
    model, inputs, targets = model_and_batch(tie_weights)
    torch.autograd.backward(fast.fused_loss(model, inputs, targets))
    once = gradients_of(model)
    torch.autograd.backward(fast.fused_loss(model, inputs, targets))
    for name, gradient in gradients_of(model).items():
        torch.testing.assert_close(gradient, 2 * once[name], msg=name)


def test_bfloat16_loss_of_a_model_is_close_and_its_gradients_are_float32() -> None:
    model, inputs, targets = model_and_batch(tie_weights=True)
    exact = fast.fused_loss(model, inputs, targets)
    rough = fast.fused_loss(model, inputs, targets, "bfloat16")
    torch.autograd.backward(rough)
    assert rough.item() == pytest.approx(exact.item(), rel=2e-3)
    assert rough.item() != exact.item()
    assert {gradient.dtype for gradient in gradients_of(model).values()} == {torch.float32}


def test_no_global_random_number_is_drawn() -> None:
    model, inputs, targets = model_and_batch(tie_weights=True)
    before = torch.get_rng_state()
    torch.autograd.backward(fast.fused_loss(model, inputs, targets, "bfloat16"))
    assert torch.equal(before, torch.get_rng_state())


def test_fused_adamw_takes_the_steps_of_plain_adamw() -> None:
    model, inputs, targets = model_and_batch(tie_weights=True)
    twin = GPTModel(model.config)
    twin.load_state_dict(model.state_dict())
    ours = fast.fused_adamw(model.parameters(), lr=1e-3, weight_decay=0.1)
    plain_adamw = torch.optim.AdamW(twin.parameters(), lr=1e-3, weight_decay=0.1)
    for each, optimiser in ((model, ours), (twin, plain_adamw)):
        for _ in range(3):
            optimiser.zero_grad()
            torch.autograd.backward(F.cross_entropy(each(inputs).flatten(0, 1), targets.flatten()))
            optimiser.step()
    assert ours.defaults["fused"]
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, twin.get_parameter(name), rtol=1e-5, atol=1e-6)

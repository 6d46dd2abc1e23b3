"""The forward pass in slow motion: every stage is the fast path's, and what is made of the stages holds together."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gptcore import forward
from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.forward import Trace, block_stages, lens_table, logit_lens, settled, stages_of, trace
from gptcore.library import new_model
from gptcore.model import Block, GPTModel

CONFIG = GPTConfig(vocab_size=61, context_length=12, emb_dim=24, n_heads=3, n_layers=3, drop_rate=0.2)
CONFIGS = st.builds(
    lambda heads, width, layers, bias, tied: replace(
        CONFIG, emb_dim=heads * width, n_heads=heads, n_layers=layers, qkv_bias=bias, tie_weights=tied
    ),
    st.integers(1, 4),
    st.integers(1, 16),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)


def stirred(config: GPTConfig = CONFIG, seed: int = 0) -> GPTModel:
    """A model in which norms and biases, too, are not what they start as."""
    model = new_model(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    return model


def some_ids(tokens: int, seed: int = 1) -> list[int]:
    return torch.randint(CONFIG.vocab_size, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def fast_stages(model: GPTModel, ids: list[int]) -> dict[str, Tensor]:
    """What each module of the fast path gave, by its name, for one prompt."""
    seen: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda module, args, out, name=name: seen.__setitem__(name, out[0]))
        for name, module in model.named_modules()
        if name and not isinstance(module, nn.ModuleList)
    ]
    with torch.no_grad():
        seen["logits"] = model(torch.tensor([ids]))[0, -1]
    for hook in hooks:
        hook.remove()
    return seen


def assert_twins(model: GPTModel, ids: list[int]) -> None:
    """Every stage of the slow pass beside the module of the fast one that makes it."""
    slow, fast = trace(model, ids), fast_stages(model, ids)
    assert_same(slow.token + slow.position, fast["dropout"])  # in evaluation mode it drops nothing
    for layer in range(model.config.n_layers):
        stages, name = stages_of(model, slow, layer), f"blocks.{layer}"
        q, k, v = fast[f"{name}.attention.qkv"].chunk(3, dim=-1)
        for found, whole in ((stages.q, q), (stages.k, k), (stages.v, v)):
            assert_same(found.transpose(0, 1).flatten(1), whole)
        assert_same(stages.norm1, fast[f"{name}.norm1"])
        assert_same(stages.attention, fast[f"{name}.attention"])
        assert_same(stages.norm2, fast[f"{name}.norm2"])
        assert_same(stages.feed_forward, fast[f"{name}.feed_forward"])
        assert_same(stages.between, slow.stream[layer] + fast[f"{name}.attention"])
        assert_same(stages.left, fast[name])
        assert_same(slow.stream[layer + 1], fast[name])
        assert torch.equal(stages.weights, slow.weights[layer])
    assert_same(slow.normed, fast["final_norm"])
    assert_same(slow.logits, fast["logits"])


@given(CONFIGS, st.integers(1, 12), st.integers(0, 99))
def test_every_stage_is_that_of_the_fast_path(config: GPTConfig, tokens: int, seed: int) -> None:
    assert_twins(stirred(config, seed), some_ids(tokens, seed))


def test_every_stage_is_that_of_the_fast_path_in_the_width_of_gpt2() -> None:
    config = replace(MODEL_PRESETS["gpt2-small"], vocab_size=CONFIG.vocab_size, context_length=16)
    assert_twins(new_model(config, 0), some_ids(9))


def test_gelu_leaves_what_the_fast_path_leaves() -> None:
    model = stirred()
    stages = stages_of(model, trace(model, some_ids(7)), 1)
    with torch.no_grad():
        assert_same(model.blocks[1].feed_forward.down(stages.wide), stages.feed_forward)
        assert_same(stages.wide, nn.functional.gelu(model.blocks[1].feed_forward.up(stages.norm2), approximate="tanh"))


def test_attention_is_the_weighted_values_of_the_heads_side_by_side() -> None:
    model = stirred()
    stages = stages_of(model, trace(model, some_ids(7)), 0)
    by_head = [weights @ values for weights, values in zip(stages.weights, stages.v, strict=True)]
    assert_same(stages.joined, torch.cat(by_head, dim=1))


@given(CONFIGS, st.integers(1, 12))
def test_every_row_of_weights_sums_to_1_and_sees_no_later_token(config: GPTConfig, tokens: int) -> None:
    weights = trace(stirred(config), some_ids(tokens)).weights
    assert weights.shape == (config.n_layers, config.n_heads, tokens, tokens)
    assert_same(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
    assert torch.equal(weights, weights.tril())


def test_a_weight_is_the_softmax_of_its_rows_scaled_scores() -> None:
    seen = trace(stirred(), some_ids(8))
    q, k = seen.q[1, 2, 5], seen.k[1, 2, :6]
    assert_same(seen.weights[1, 2, 5, :6], torch.softmax(k @ q / CONFIG.head_dim**0.5, dim=0))


def test_a_block_only_adds_to_the_stream() -> None:
    stages = block_stages(Block(CONFIG).eval(), torch.randn(5, 24, generator=torch.Generator().manual_seed(0)))
    assert_same(stages.left, stages.entered + stages.attention + stages.feed_forward)


def test_nothing_of_the_model_is_changed_by_a_pass() -> None:
    model = stirred().train()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    seen = trace(model, some_ids(5))
    assert model.training
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert not any(getattr(seen, name).requires_grad for name in TENSORS)
    seen.position.zero_()
    assert torch.equal(model.position_embedding.weight, before["position_embedding.weight"])


TENSORS = [field.name for field in fields(Trace) if field.name != "ids"]


@pytest.mark.parametrize("tokens", [1, 2, 12])
def test_what_a_pass_holds_is_what_was_foretold(tokens: int) -> None:
    seen = trace(stirred(), some_ids(tokens))
    assert forward.trace_bytes(CONFIG, tokens) == sum(getattr(seen, name).nbytes for name in TENSORS)


@pytest.mark.parametrize(
    ("tokens", "sentence"), [(0, "the prompt holds no token"), (13, "13 tokens exceed context_length=12")]
)
def test_no_token_and_too_many_are_refused_in_a_sentence(tokens: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        trace(stirred(), some_ids(tokens))


# ----------------------------------------------------------------------------------------------------------------- lens


@given(CONFIGS, st.integers(0, 5))
def test_the_last_row_of_the_lens_is_the_models_own_answer(config: GPTConfig, at: int) -> None:
    model, ids = stirred(config).double(), some_ids(6)  # a norm of two numbers may make much of a rounding error
    with torch.no_grad():
        assert_same(logit_lens(model, trace(model, ids), at)[-1], model(torch.tensor([ids]))[0, at])


def test_an_earlier_row_of_the_lens_is_the_answer_of_a_model_that_ends_there() -> None:
    model, ids = stirred(), some_ids(6)
    rows = logit_lens(model, trace(model, ids), 3)
    for layers in range(CONFIG.n_layers + 1):
        shorter = stirred()
        shorter.blocks = shorter.blocks[:layers]
        with torch.no_grad():
            assert_same(rows[layers], shorter(torch.tensor([ids]))[0, 3])


def test_the_table_of_the_lens_says_who_is_first_and_where_the_winner_stands() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0], [0.0, 1.0, 4.0]])
    table = lens_table(logits)
    shares = torch.softmax(logits.double(), dim=-1)
    assert table["layer"].tolist() == [0, 1, 2]
    assert table["token_id"].tolist() == [1, 0, 2]
    assert table["final_rank"].tolist() == [2, 2, 1]
    assert table["probability"].tolist() == pytest.approx(shares.max(dim=-1).values.tolist())
    assert table["final_probability"].tolist() == pytest.approx(shares[:, 2].tolist())


@pytest.mark.parametrize(("choices", "depth"), [([4], 0), ([1, 1, 1], 0), ([2, 1, 1], 1), ([1, 2, 1], 2)])
def test_a_choice_is_settled_from_where_it_never_changes_again(choices: list[int], depth: int) -> None:
    table = lens_table(10 * nn.functional.one_hot(torch.tensor(choices), 5).float())
    assert settled(table) == depth

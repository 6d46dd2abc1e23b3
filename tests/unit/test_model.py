"""The GPT: its twin in slow motion, its blindness to the future, its cache, and how it starts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.model import (
    Block,
    CausalSelfAttention,
    FeedForward,
    GPTModel,
    KVCache,
    LayerNorm,
    attention_step_by_step,
)

CONFIG = GPTConfig(vocab_size=61, context_length=12, emb_dim=24, n_heads=3, n_layers=2, drop_rate=0.2)
SMALL = st.integers(1, 6)


def new_model(config: GPTConfig = CONFIG, seed: int = 0) -> GPTModel:
    torch.manual_seed(seed)
    return GPTModel(config).eval()


def some_ids(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(CONFIG.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------------ attention


@given(B=SMALL, H=SMALL, T=st.integers(1, 20), D=st.integers(1, 16), seed=st.integers(0, 9))
def test_attention_step_by_step_is_the_fused_call(B: int, H: int, T: int, D: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(B, H, T, D, generator=generator) for _ in range(3))
    mixed, _ = attention_step_by_step(q, k, v)
    fused = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(mixed, fused, atol=1e-5, rtol=0)


def test_attention_weights_are_shares_of_the_past_alone() -> None:
    q, k, v = torch.randn(3, 2, 2, 7, 4, generator=torch.Generator().manual_seed(0))
    mixed, weights = attention_step_by_step(q, k, v)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 7))
    assert torch.equal(weights, weights.tril())
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights @ v, mixed)
    assert torch.equal(weights[..., 0, 0], torch.ones(2, 2))  # the first token has only itself


def test_queries_fewer_than_keys_belong_to_the_last_tokens() -> None:
    q, k, v = torch.randn(3, 1, 2, 7, 4, generator=torch.Generator().manual_seed(0))
    whole, whole_weights = attention_step_by_step(q, k, v)
    last, last_weights = attention_step_by_step(q[:, :, -3:], k, v)
    torch.testing.assert_close(last, whole[:, :, -3:])
    torch.testing.assert_close(last_weights, whole_weights[:, :, -3:])


def test_attention_by_hand() -> None:
    """Two tokens, one head of width 1: scores 2 and 6 (scaled by 1), so the second token mixes 1 : e^4."""
    q, k, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), torch.tensor([10.0, 20.0])
    mixed, weights = attention_step_by_step(*(x.view(1, 1, 2, 1) for x in (q, k, v)))
    share = math.exp(6) / (math.exp(2) + math.exp(6))
    torch.testing.assert_close(weights[0, 0], torch.tensor([[1.0, 0.0], [1 - share, share]]))
    torch.testing.assert_close(mixed.flatten(), torch.tensor([10.0, 10 * (1 - share) + 20 * share]))


def test_scores_are_divided_by_the_root_of_the_heads_width() -> None:
    q = torch.ones(1, 1, 2, 16)
    k = torch.cat([torch.zeros(1, 1, 1, 16), torch.ones(1, 1, 1, 16)], dim=2)
    _, weights = attention_step_by_step(q, k, torch.ones(1, 1, 2, 16))
    assert weights[0, 0, 1, 1].item() == pytest.approx(math.exp(4) / (1 + math.exp(4)))  # 16 / sqrt(16) = 4


def test_heads_are_split_as_three_layers_one_after_the_other_would_be() -> None:
    attention = CausalSelfAttention(CONFIG)
    x = torch.randn(2, 5, CONFIG.emb_dim, generator=torch.Generator().manual_seed(0))
    for found, weight in zip(attention.split_heads(x), attention.qkv.weight.chunk(3), strict=True):
        assert found.shape == (2, CONFIG.n_heads, 5, CONFIG.head_dim)
        torch.testing.assert_close(found, (x @ weight.T).view(2, 5, CONFIG.n_heads, CONFIG.head_dim).transpose(1, 2))


# ---------------------------------------------------------------------------------------------------------- other parts


def test_layer_norm_is_torchs_with_gpt2s_epsilon() -> None:
    ours, theirs = LayerNorm(7), nn.LayerNorm(7, eps=1e-5)
    x = 1e-2 * torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(x), theirs(x))
    with torch.no_grad():
        ours.weight.fill_(3.0)
        ours.bias.fill_(-1.0)
    torch.testing.assert_close(ours(x), 3 * theirs(x) - 1)


def test_layer_norm_of_equal_numbers_is_zero_and_no_nan() -> None:
    assert torch.equal(LayerNorm(4)(torch.full((2, 4), 7.0)), torch.zeros(2, 4))


def test_feed_forward_is_gpt2s_with_gelu_in_its_tanh_form() -> None:
    layer = FeedForward(CONFIG)
    x = torch.randn(2, 5, CONFIG.emb_dim, generator=torch.Generator().manual_seed(0))
    wide = layer.up(x)
    assert wide.shape == (2, 5, 4 * CONFIG.emb_dim)
    gelu = 0.5 * wide * (1 + torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    torch.testing.assert_close(layer(x), layer.down(gelu))


def test_a_block_only_adds_to_the_stream() -> None:
    block = Block(CONFIG).eval()
    for layer in (block.attention.out_proj, block.feed_forward.down):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.randn(2, 5, CONFIG.emb_dim, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x)


# ------------------------------------------------------------------------------------------------------------ the whole


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_ids_give_one_score_for_each_token_of_the_vocabulary(tied: bool, bias: bool) -> None:
    model = new_model(replace(CONFIG, tie_weights=tied, qkv_bias=bias))
    logits = model(some_ids(3, 5))
    assert logits.shape == (3, 5, CONFIG.vocab_size)
    assert logits.dtype == torch.float32
    assert (model.blocks[0].attention.qkv.bias is not None) is bias
    assert (model.head.weight is model.token_embedding.weight) is tied
    assert model.head.bias is None


@given(st.integers(1, 11), st.integers(0, 99))
def test_a_later_token_never_changes_earlier_logits(position: int, seed: int) -> None:
    model = new_model()
    ids = some_ids(1, 12, seed=seed)
    other = ids.clone()
    other[0, position:] = some_ids(12 - position, seed=seed + 1)
    with torch.no_grad():
        torch.testing.assert_close(model(ids)[:, :position], model(other)[:, :position], atol=1e-6, rtol=0)


def test_an_earlier_token_does_change_later_logits() -> None:
    model = new_model()
    ids = some_ids(1, 12)
    other = ids.clone()
    other[0, 0] = (ids[0, 0] + 1) % CONFIG.vocab_size
    with torch.no_grad():
        changed = (model(ids) - model(other)).abs().amax(dim=-1)[0]
    assert bool((changed > 1e-4).all())


def test_gradients_flow_from_no_position_to_a_later_one() -> None:
    model = new_model()
    stream: list[Tensor] = []
    model.dropout.register_forward_hook(lambda module, args, out: stream.append(out.requires_grad_()))
    logits = model(some_ids(1, 8))
    gradient = torch.autograd.grad(logits[0, 3].sum(), stream[0])[0][0]
    assert torch.equal(gradient[4:], torch.zeros(4, CONFIG.emb_dim))
    assert bool((gradient[:4].abs().sum(dim=-1) > 0).all())


def test_texts_of_a_batch_do_not_see_each_other() -> None:
    model = new_model()
    ids = some_ids(4, 9)
    with torch.no_grad():
        together = model(ids)
        for row, alone in zip(together, ids.split(1), strict=True):
            torch.testing.assert_close(model(alone)[0], row, atol=1e-6, rtol=1e-5)


def test_the_same_token_scores_differently_at_another_position() -> None:
    model = new_model()
    with torch.no_grad():
        logits = model(torch.full((1, 4), 7))[0]
    assert not torch.allclose(logits[0], logits[1])


def test_more_tokens_than_the_context_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="13 tokens exceed context_length=12"):
        new_model()(some_ids(1, 13))


# -------------------------------------------------------------------------------------------------------------- dropout


def test_dropout_acts_in_training_alone() -> None:
    model = new_model()
    ids = some_ids(2, 9)
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.allclose(model(ids), model(ids))


def test_without_dropout_training_and_evaluation_give_the_same_logits() -> None:
    model = new_model(replace(CONFIG, drop_rate=0.0))
    ids = some_ids(2, 9)
    before = torch.get_rng_state()
    torch.testing.assert_close(model.train()(ids), model.eval()(ids))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_stands_in_the_books_four_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the embeddings, on the attention weights, after the attention, after the feed-forward."""
    on_weights: list[float] = []
    fused = F.scaled_dot_product_attention

    def spy(*args: Tensor, dropout_p: float = 0.0, **kwargs: bool) -> Tensor:
        on_weights.append(dropout_p)
        return fused(*args, dropout_p=dropout_p, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    model = new_model()
    elsewhere: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            assert module.p == CONFIG.drop_rate
            module.register_forward_hook(lambda module, args, out, name=name: elsewhere.append(name))
    model.train()(some_ids(1, 4))
    assert on_weights == [0.2] * CONFIG.n_layers
    assert elsewhere == ["dropout", *(f"blocks.{layer}.dropout" for layer in (0, 0, 1, 1))]
    on_weights.clear()
    model.eval()(some_ids(1, 4))
    assert on_weights == [0.0] * CONFIG.n_layers


# ---------------------------------------------------------------------------------------------------------------- cache


def read_in_pieces(model: GPTModel, ids: Tensor, pieces: list[int]) -> Tensor:
    """The logits of all positions, from a cache that is fed piece by piece."""
    cache = KVCache(model.config, batch=ids.size(0))
    with torch.no_grad():
        hidden = torch.cat([model.hidden(piece, cache) for piece in ids.split(pieces, dim=1)], dim=1)
        assert cache.length == ids.size(1)
        return model.head(hidden)


@given(
    pieces=st.lists(st.integers(1, 5), min_size=1, max_size=6).filter(lambda p: sum(p) <= 12), batch=st.integers(1, 3)
)
def test_the_cache_changes_nothing_however_the_text_arrives(pieces: list[int], batch: int) -> None:
    model = new_model()
    ids = some_ids(batch, sum(pieces))
    with torch.no_grad():
        torch.testing.assert_close(read_in_pieces(model, ids, pieces), model(ids), atol=1e-5, rtol=0)


def test_a_full_cache_refuses_one_more_token_and_stays_as_it_was() -> None:
    model = new_model()
    cache = KVCache(CONFIG)
    with torch.no_grad():
        model.hidden(some_ids(1, 12), cache)
        with pytest.raises(ValueError, match="13 tokens exceed context_length=12"):
            model.hidden(some_ids(1, 1), cache)
    assert cache.length == 12


def test_the_cache_holds_keys_and_values_of_every_layer_head_and_token() -> None:
    cache = KVCache(CONFIG, batch=2, dtype=torch.float16)
    assert cache.keys.shape == cache.values.shape == (2, 2, 3, 12, 8)  # L, B, H, T, D
    assert cache.keys.dtype == torch.float16
    assert cache.length == 0


# ------------------------------------------------------------------------------------------------------- initialisation


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("vocab_size", [97, 5_000])
def test_the_first_loss_is_that_of_a_blind_guess(tied: bool, vocab_size: int) -> None:
    config = replace(MODEL_PRESETS["book-124m"], vocab_size=vocab_size, n_layers=3, context_length=64, tie_weights=tied)
    model = new_model(config, seed=123)
    ids = torch.randint(vocab_size, (4, 65), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert abs(loss.item() - math.log(vocab_size)) < 0.3


@pytest.mark.parametrize("preset", ["harry-potter", "julius-caesar"])
def test_the_first_loss_of_a_full_size_preset_is_near_ln_v(preset: str) -> None:
    config = replace(MODEL_PRESETS[preset], n_layers=1)
    model = new_model(config, seed=123)
    ids = torch.randint(config.vocab_size, (1, 33), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert abs(loss.item() - math.log(50_257)) < 0.3


def test_an_untied_model_starts_from_pytorchs_defaults_in_the_books_order() -> None:
    model = new_model(seed=123)
    torch.manual_seed(123)
    C, V = CONFIG.emb_dim, CONFIG.vocab_size
    expected = [nn.Embedding(V, C).weight, nn.Embedding(CONFIG.context_length, C).weight]
    for _ in range(CONFIG.n_layers):
        expected.append(torch.cat([nn.Linear(C, C, bias=False).weight for _ in range(3)]))  # query, key, value
        for layer in (nn.Linear(C, C), nn.Linear(C, 4 * C), nn.Linear(4 * C, C)):
            expected += [layer.weight, layer.bias]
    expected.append(nn.Linear(C, V, bias=False).weight)
    found = [p for name, p in model.named_parameters() if "norm" not in name]
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_tied_model_starts_like_gpt2() -> None:
    config = GPTConfig(
        vocab_size=2_000, context_length=64, emb_dim=128, n_heads=4, n_layers=8, qkv_bias=True, tie_weights=True
    )
    for name, parameter in new_model(config).named_parameters():
        if name.endswith("bias"):
            assert torch.equal(parameter, torch.zeros_like(parameter)), name
        elif "norm" in name:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        else:
            quiet = name.endswith(("out_proj.weight", "down.weight"))
            assert parameter.std().item() == pytest.approx(0.02 / (4 if quiet else 1), rel=0.05), name  # sqrt(2 x 8)
            assert abs(parameter.mean().item()) < 1e-3, name

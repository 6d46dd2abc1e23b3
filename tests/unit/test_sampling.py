"""From scores to a token: exact cuts, exact ties, the published draws, and generation with and without a cache."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gptcore import likeliest, sampling
from gptcore.config import GPTConfig, SamplingConfig
from gptcore.draws import draw_many
from gptcore.model import GPTModel
from gptcore.published import NINE_WORDS
from gptcore.sampling import (
    choose,
    cut_top_k,
    cut_top_p,
    draw,
    fall,
    generate,
    generate_together,
    next_logits,
    next_token_table,
)
from gptcore.tokenizer import CompactTokenizer, load_tokenizer

# Raschka, section 5.3: the book's nine words and their logits.
WORDS, NINE, DRAWS = NINE_WORDS.words, torch.tensor(NINE_WORDS.logits), NINE_WORDS.draws

CONFIG = GPTConfig(vocab_size=61, context_length=10, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.3)

# Few different values, so that many are equal; -inf is a token that can never be drawn.
LOGITS = st.lists(st.sampled_from([-math.inf, -2.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=12).map(torch.tensor)
DRAWABLE = LOGITS.filter(lambda logits: bool(torch.isfinite(logits).any()))
TEMPERATURES = st.sampled_from([1e-320, 1e-3, 0.1, 1.0, 5.0, 1e9])


def new_model(config: GPTConfig = CONFIG) -> GPTModel:
    torch.manual_seed(0)
    return GPTModel(config)


def probabilities(logits: Tensor, **config: Any) -> list[float]:
    return choose(logits, SamplingConfig(**config)).probability.tolist()


def counts_of_the_book(logits: Tensor, temperature: float) -> dict[str, int]:
    """Drawn as the book draws, by a call of PyTorch's for each."""
    probability = choose(logits, SamplingConfig(temperature=temperature)).probability
    generator = torch.Generator().manual_seed(123)
    drawn = [WORDS[int(torch.multinomial(probability, 1, generator=generator))] for _ in range(DRAWS)]
    return {word: drawn.count(word) for word in WORDS}


# ------------------------------------------------------------------------------------------------ the book's nine words


def test_the_probabilities_of_the_nine_words() -> None:
    by_word = dict(zip(WORDS, probabilities(NINE), strict=True))
    assert by_word["forward"] == pytest.approx(0.572, abs=5e-4)
    assert by_word["toward"] == pytest.approx(0.358, abs=5e-4)
    assert by_word["closer"] == pytest.approx(0.061, abs=5e-4)
    assert sum(by_word.values()) == pytest.approx(1.0)


def test_pizza_at_temperature_5_has_4_3_percent() -> None:
    assert probabilities(NINE, temperature=5)[WORDS.index("pizza")] == pytest.approx(0.043, abs=5e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 5.0])
def test_a_thousand_draws_lie_within_the_sampling_error_and_the_books_are_the_published_ones(
    temperature: float,
) -> None:
    """With the book's seed and its way of drawing even the counts are its own."""
    published, book = NINE_WORDS.counts[temperature], counts_of_the_book(NINE, temperature)
    assert {word: book[word] for word in published} == published
    probability = choose(NINE, SamplingConfig(temperature=temperature)).probability
    ours = np.bincount(draw_many(probability.numpy(), DRAWS, 123), minlength=9)
    for word, count, p in zip(WORDS, ours, probability.tolist(), strict=True):
        error = math.sqrt(DRAWS * p * (1 - p))
        assert abs(count - DRAWS * p) < 4 * error + 1, word
        assert abs(book[word] - DRAWS * p) < 4 * error + 1, word


# ---------------------------------------------------------------------------------------------------------------- top-k


@given(LOGITS, st.integers(1, 15))
def test_top_k_keeps_exactly_k_the_largest_and_of_equals_the_lowest_ids(logits: Tensor, k: int) -> None:
    by_size_then_id = sorted(range(len(logits)), key=lambda i: (-logits[i].item(), i))
    assert set(cut_top_k(logits, k).nonzero().flatten().tolist()) == set(by_size_then_id[:k])


def test_top_k_keeps_exactly_k_when_all_logits_tie() -> None:
    for k in (1, 7, 50_256):
        kept = cut_top_k(torch.zeros(50_257), k)
        assert int(kept.sum()) == k
        assert bool(kept[:k].all())


@pytest.mark.parametrize("k", [9, 10, 50_257, 2**62])
def test_top_k_above_the_vocabulary_keeps_all(k: int) -> None:
    assert probabilities(NINE, top_k=k) == probabilities(NINE)


def test_top_k_never_lets_in_what_can_never_be_drawn() -> None:
    logits = torch.tensor([-math.inf, 1.0, -math.inf, 0.0])
    choice = choose(logits, SamplingConfig(top_k=3))
    assert choice.kept.tolist() == [False, True, False, True]


# ---------------------------------------------------------------------------------------------------------------- top-p


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12).filter(any), st.floats(0.01, 1.0))
def test_top_p_keeps_the_fewest_likeliest_tokens_that_reach_p(weights: list[int], p: float) -> None:
    probability = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    kept = cut_top_p(probability, p)
    order = sorted(range(len(weights)), key=lambda i: (-weights[i], i))
    n = int(kept.sum())
    assert n >= 1
    assert set(kept.nonzero().flatten().tolist()) == set(order[:n])  # the likeliest; of equals the lowest ids
    assert probability[kept].sum() >= p - 1e-9
    if p < 1:
        assert probability[order[: n - 1]].sum() < p + 1e-9


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        (0.49, [True, False, False, False]),
        (0.5, [True, False, False, False]),
        (0.51, [True, True, False, False]),
        (0.75, [True, True, False, False]),
        (0.8, [True, True, True, False]),
        (1.0, [True, True, True, True]),
        (1e-9, [True, False, False, False]),
    ],
)
def test_top_p_by_hand(p: float, kept: list[bool]) -> None:
    assert cut_top_p(torch.tensor([0.5, 0.25, 0.125, 0.125]), p).tolist() == kept


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.999999])
@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0])
def test_top_p_of_a_large_vocabulary_is_that_of_sorting_it_all(
    p: float, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = (spread * torch.randn(3_000, generator=torch.Generator().manual_seed(0))).round(decimals=1)  # many tie
    probability = torch.softmax(logits.double(), 0)
    among_few = cut_top_p(probability, p)
    monkeypatch.setattr(likeliest, "FEW", len(probability))
    assert among_few.equal(cut_top_p(probability, p))


def test_top_p_1_keeps_even_what_has_no_chance() -> None:
    assert cut_top_p(torch.tensor([1.0, 0.0]), 1.0).tolist() == [True, True]


# ------------------------------------------------------------------------------------------------------- the whole rule


@given(
    DRAWABLE,
    TEMPERATURES | st.just(0.0),
    st.none() | st.integers(1, 15),
    st.none() | st.floats(0.01, 1.0),
    st.booleans(),
)
def test_every_choice_is_a_distribution_over_what_is_kept(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, first: bool
) -> None:
    before = logits.clone()
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, top_p_first=first)
    choice = choose(logits, config)
    assert torch.equal(logits, before)  # not masked in place
    assert bool(torch.isfinite(choice.probability).all())
    assert bool((choice.probability >= 0).all())
    assert choice.probability.sum().item() == pytest.approx(1.0)
    assert bool((choice.probability[~choice.kept] == 0).all())
    assert not bool(choice.kept[logits == -math.inf].any())
    assert not bool(torch.isnan(choice.scaled).any())
    assert choice.kept.sum() <= min(top_k or len(logits), 1 if temperature == 0 else len(logits))
    assert bool(choice.kept[int(logits.argmax())])  # the likeliest is never cut


def test_temperature_0_takes_the_first_of_equals_and_divides_nothing() -> None:
    choice = choose(torch.tensor([1.0, 3.0, 3.0, 2.0]), SamplingConfig(temperature=0, top_k=3, top_p=0.9))
    assert choice.probability.tolist() == [0, 1, 0, 0]
    assert choice.kept.tolist() == [False, True, False, False]
    assert choice.scaled.tolist() == [1, 3, 3, 2]


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 1e-3])
def test_a_tiny_temperature_gives_the_greedy_choice_and_shares_ties(temperature: float) -> None:
    assert probabilities(torch.tensor([1.0, 3.0, 3.0, 2.0]), temperature=temperature) == [0, 0.5, 0.5, 0]


def test_a_huge_temperature_makes_all_alike() -> None:
    assert probabilities(NINE, temperature=1e9) == pytest.approx([1 / 9] * 9)


def test_temperature_is_division_of_the_logits() -> None:
    choice = choose(NINE, SamplingConfig(temperature=2.5))
    torch.testing.assert_close(choice.scaled, NINE.double() / 2.5)
    torch.testing.assert_close(choice.probability, torch.softmax(NINE.double() / 2.5, dim=0))


def test_top_k_and_temperature_commute() -> None:
    hot = choose(NINE, SamplingConfig(temperature=5, top_k=3)).kept
    assert torch.equal(hot, choose(NINE, SamplingConfig(temperature=0.2, top_k=3)).kept)
    kept = torch.softmax((NINE.double() / 5)[hot], dim=0)
    assert probabilities(NINE, temperature=5, top_k=3) == pytest.approx(
        torch.zeros(9).double().masked_scatter(hot, kept).tolist()
    )


def test_top_p_and_temperature_do_not_commute_and_the_order_can_be_switched() -> None:
    after = choose(NINE, SamplingConfig(temperature=5, top_p=0.9))
    before = choose(NINE, SamplingConfig(temperature=5, top_p=0.9, top_p_first=True))
    assert int(before.kept.sum()) == 2  # forward and toward reach 0.93 at temperature 1
    assert int(after.kept.sum()) == 7
    at_1 = choose(NINE, SamplingConfig(top_p=0.9))
    assert torch.equal(before.kept, at_1.kept)


def test_top_p_looks_at_what_top_k_left() -> None:
    logits = torch.log(torch.tensor([0.3, 0.3, 0.2, 0.2]))
    assert choose(logits, SamplingConfig(top_p=0.5)).kept.tolist() == [True, True, False, False]
    # Of the two left by top-k each has a half: the first alone reaches 0.5.
    assert choose(logits, SamplingConfig(top_k=2, top_p=0.45)).kept.tolist() == [True, False, False, False]


def test_no_setting_that_is_not_set_changes_anything() -> None:
    plain = probabilities(NINE)
    assert plain == pytest.approx(torch.softmax(NINE.double(), 0).tolist())
    assert probabilities(NINE, top_p=1.0) == plain
    assert probabilities(NINE, top_p_first=True) == plain
    assert probabilities(NINE, seed=5) == plain


@pytest.mark.parametrize(
    "logits", [[math.nan, 1.0], [math.nan, math.nan], [-math.inf, -math.inf], [math.inf, 1.0], [math.nan, -math.inf]]
)
@pytest.mark.parametrize("config", [{}, {"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.5}], ids=str)
def test_scores_that_are_no_numbers_are_refused_in_words(logits: list[float], config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="scores hold NaN or infinity, so no token can be chosen"):
        choose(torch.tensor(logits), SamplingConfig(**config))


@given(
    st.lists(st.lists(st.sampled_from([-2.0, 0.0, 0.5, 3.0]), min_size=6, max_size=6), min_size=2, max_size=4),
    TEMPERATURES | st.just(0.0),
    st.none() | st.integers(1, 7),
    st.none() | st.floats(0.01, 1.0),
    st.booleans(),
)
def test_several_choices_at_once_are_the_choices_one_by_one(
    rows: list[list[float]], temperature: float, top_k: int | None, top_p: float | None, first: bool
) -> None:
    logits = torch.tensor(rows)
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, top_p_first=first)
    together = choose(logits, config)
    for place, row in enumerate(logits):
        alone = choose(row, config)
        assert torch.equal(together.kept[place], alone.kept)
        torch.testing.assert_close(together.probability[place], alone.probability)
        torch.testing.assert_close(together.softmax[place], alone.softmax)


def test_one_choice_without_a_usable_score_spoils_the_batch_in_words() -> None:
    with pytest.raises(ValueError, match="scores hold NaN or infinity"):
        choose(torch.tensor([[1.0, 2.0], [-math.inf, -math.inf]]), SamplingConfig())


def test_a_number_that_stays_moves_down_the_list_as_it_gets_hotter() -> None:
    order = NINE.argsort(descending=True).tolist()
    number = torch.tensor([0.8], dtype=torch.float64)
    temperatures = [0.1, 0.5, 1, 2, 3, 5, 50]
    drawn = [int(fall(choose(NINE, SamplingConfig(temperature=t)).probability, number)) for t in temperatures]
    places = [order.index(token) for token in drawn]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] > 3


def test_what_has_no_chance_is_never_drawn_even_at_the_ends_of_the_ruler() -> None:
    probability = torch.tensor([0.0, 0.5, 0.0, 0.5], dtype=torch.float64)
    ends = torch.tensor([0.0, 0.5, 1 - 2**-53, 1.0], dtype=torch.float64)
    assert fall(probability, ends).tolist() == [1, 3, 3, 3]


# ------------------------------------------------------------------------------------------------------------ the table


def test_the_table_has_all_50257_tokens_in_the_order_of_their_ids_and_sums_to_one() -> None:
    logits = torch.randn(50_257, generator=torch.Generator().manual_seed(0))
    table = next_token_table(logits, load_tokenizer(), SamplingConfig(temperature=2.0, top_k=40))
    assert table.columns.tolist() == ["token_id", "token", "logit", "scaled_logit", "kept", "probability"]
    assert table["token_id"].tolist() == list(range(50_257))
    assert table["probability"].sum() == pytest.approx(1.0)
    assert table["kept"].sum() == 40
    assert (table.loc[~table["kept"], "probability"] == 0).all()
    assert table.loc[345, "token"] == " you"
    assert table.loc[50_256, "token"] == "<|endoftext|>"
    np.testing.assert_allclose(table["scaled_logit"], table["logit"] / 2)


def test_softmax_runs_over_the_whole_vocabulary_and_not_over_the_first_few() -> None:
    """At a high temperature a softmax over the first 50 alone would give each about 2 %."""
    logits = torch.linspace(5, -5, 50_257)
    table = next_token_table(logits, load_tokenizer(), SamplingConfig(temperature=1e6))
    assert table["probability"].max() == pytest.approx(1 / 50_257, rel=1e-3)


def test_the_table_of_a_compact_vocabulary_shows_its_own_tokens() -> None:
    full = load_tokenizer()
    table = next_token_table(
        torch.zeros(3), CompactTokenizer(full, full.encode("Every effort moves")), SamplingConfig()
    )
    assert table["token"].tolist() == [" effort", " moves", "Every"]  # in the order of GPT-2's ids
    assert table["probability"].tolist() == pytest.approx([1 / 3] * 3)


# ----------------------------------------------------------------------------------------------------------- generation


@torch.no_grad()
def without_cache(model: GPTModel, ids: list[int], config: SamplingConfig, n: int) -> list[tuple[int, float]]:
    """The whole text is read anew for every token."""
    model.eval()
    generator = torch.Generator().manual_seed(config.seed)
    out = []
    for _ in range(n):
        probability = choose(model(torch.tensor([ids[-model.config.context_length :]]))[0, -1], config).probability
        token = draw(probability, generator)
        out.append((token, probability[token].item()))
        ids = [*ids, token]
    return out


@pytest.mark.parametrize("n_prompt", [1, 4, 9, 10, 11, 25])
@pytest.mark.parametrize(
    "config",
    [SamplingConfig(temperature=0), SamplingConfig(temperature=1.3, top_k=20), SamplingConfig(top_p=0.9, seed=7)],
    ids=["greedy", "top-k", "top-p"],
)
def test_generation_with_the_cache_is_generation_without_and_goes_on_beyond_the_context(
    n_prompt: int, config: SamplingConfig
) -> None:
    model = new_model()
    prompt = [(7 * i) % 61 for i in range(n_prompt)]
    drawn = [(d.token_id, d.probability) for d in generate(model, prompt, config, 15)]
    expected = without_cache(model, prompt, config, 15)
    assert [token for token, _ in drawn] == [token for token, _ in expected]
    assert [p for _, p in drawn] == pytest.approx([p for _, p in expected], abs=1e-5)


def test_only_the_last_context_length_tokens_of_a_long_prompt_are_read() -> None:
    model = new_model()
    prompt = [(5 * i) % 61 for i in range(30)]
    config = SamplingConfig(seed=3)
    assert list(generate(model, prompt, config, 8)) == list(generate(model, prompt[-10:], config, 8))


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    model = new_model()

    def say(seed: int) -> list[int]:
        return [d.token_id for d in generate(model, [1, 2], SamplingConfig(temperature=3.0, seed=seed), 20)]

    assert say(5) == say(5)
    assert say(5) != say(6)


def test_generation_moves_no_global_random_number_and_is_not_moved_by_any() -> None:
    model = new_model()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = list(generate(model, [1], SamplingConfig(), 9))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert list(generate(model, [1], SamplingConfig(), 9)) == first


@pytest.mark.parametrize("training", [True, False])
def test_generation_is_without_dropout_and_leaves_the_model_as_it_was(training: bool) -> None:
    model = new_model().train(training)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    greedy = SamplingConfig(temperature=0)
    stream = generate(model, [1, 2], greedy, 12)
    next(stream)
    assert model.training is training  # in between, too
    tokens = [d.token_id for d in stream]
    assert model.training is training
    assert tokens == [token for token, _ in without_cache(new_model(), [1, 2], greedy, 12)][1:]
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_the_model_is_back_in_its_mode_after_an_error() -> None:
    model = new_model().train()
    with pytest.raises(IndexError):
        list(generate(model, [61], SamplingConfig(), 1))
    assert model.training


def test_a_greedy_token_was_certain() -> None:
    assert {d.probability for d in generate(new_model(), [1], SamplingConfig(temperature=0), 5)} == {1.0}


def test_the_prompt_is_not_changed() -> None:
    prompt = [1, 2, 3]
    list(generate(new_model(), prompt, SamplingConfig(), 5))
    assert prompt == [1, 2, 3]


def test_the_model_runs_once_a_token_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    scores = sampling._scores

    def spy(model: GPTModel, new_ids: list[list[int]], cache: Any) -> Tensor:
        runs.append(len(new_ids[0]))
        return scores(model, new_ids, cache)

    monkeypatch.setattr(sampling, "_scores", spy)
    stream = generate(new_model(), [1, 2, 3], SamplingConfig(), 4_096)
    assert runs == []
    next(stream)
    assert runs == [3]
    next(stream)
    next(stream)
    assert runs == [3, 1, 1]  # whoever stops asking has stopped the model


def test_ways_side_by_side_are_those_that_each_would_go_alone_and_share_the_models_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, prompt = new_model(), [1, 2, 3]
    ways = [SamplingConfig(temperature=0), SamplingConfig(seed=9), SamplingConfig(temperature=2.0, top_k=5, seed=9)]
    alone = [[drawn.token_id for drawn in generate(model, prompt, way, 14)] for way in ways]
    runs: list[int] = []
    scores = sampling._scores
    monkeypatch.setattr(sampling, "_scores", lambda *given: runs.append(1) or scores(*given))
    together = list(generate_together(model, prompt, ways, 14))
    assert [[step[way].token_id for step in together] for way in range(3)] == alone
    assert len(runs) == 14


def test_a_drawn_token_carries_what_the_model_itself_gives_it() -> None:
    model = new_model()
    (drawn,) = generate(model, [1, 2], SamplingConfig(temperature=0.3, top_k=4, seed=5), 1)
    plain = torch.log_softmax(next_logits(model, [1, 2]).double(), 0)
    assert drawn.log_probability == pytest.approx(float(plain[drawn.token_id]))
    assert math.log(drawn.probability) != pytest.approx(drawn.log_probability)


def test_the_first_of_many_draws_is_the_first_token_that_is_generated_and_the_next_follow() -> None:
    """Taking the drawn token each time writes what going on would write."""
    model, config, ids = new_model(), SamplingConfig(temperature=1.7, seed=11), [1, 2]
    expected = [drawn.token_id for drawn in generate(model, ids, config, 6)]
    for step, token in enumerate(expected):
        probability = choose(next_logits(model, ids), config).probability
        assert draw_many(probability.numpy(), 1, config.seed, skip=step).tolist() == [token]
        ids = [*ids, token]


def test_next_logits_are_the_models_last_row_in_evaluation_mode() -> None:
    model = new_model().train()
    ids = list(range(25))
    logits = next_logits(model, ids)
    with torch.no_grad():
        torch.testing.assert_close(logits, model.eval()(torch.tensor([ids[-10:]]))[0, -1])
    assert logits.shape == (61,)


def test_no_token_asked_for_gives_none() -> None:
    assert list(generate(new_model(), [1], SamplingConfig(), 0)) == []


def test_an_empty_prompt_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="the prompt holds no token"):
        generate(new_model(), [], SamplingConfig(), 5)


@pytest.mark.parametrize("n", [-1, 4_097, 10**9])
def test_a_number_of_tokens_out_of_range_is_refused_at_once_with_both_figures(n: int) -> None:
    with pytest.raises(ValueError, match=f"max_new_tokens={n:,} is outside 0 to 4,096"):
        generate(new_model(), [1], SamplingConfig(), n)


def test_a_diverged_model_is_told_of_and_draws_nothing() -> None:
    model = new_model()
    nn.init.constant_(model.final_norm.weight, math.nan)
    with pytest.raises(ValueError, match="its training diverged"):
        next(generate(model, [1], SamplingConfig(), 5))


def test_tied_models_generate_alike_with_and_without_cache() -> None:
    model = new_model(replace(CONFIG, tie_weights=True, qkv_bias=True))
    config = SamplingConfig(temperature=0.8, seed=9)
    tokens = [d.token_id for d in generate(model, [3, 1], config, 14)]
    assert tokens == [token for token, _ in without_cache(model, [3, 1], config, 14)]

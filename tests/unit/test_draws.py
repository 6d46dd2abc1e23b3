"""How wide a choice is, many draws beside theory, and what a drawn text repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gptcore.config import SamplingConfig
from gptcore.draws import distinct_share, draw_counts, draw_many, nucleus_size, repeated_share, spread
from gptcore.nine_words import NineWords, logits
from gptcore.sampling import choose, next_token_table

NINE = logits()


def test_without_a_cut_all_of_the_mass_is_kept_and_both_orders_agree() -> None:
    wide = spread(NINE, SamplingConfig(temperature=5))
    assert (wide.kept, wide.other_order) == (9, 9)
    assert wide.mass == pytest.approx(1)
    assert wide.effective == pytest.approx(math.exp(wide.entropy))


def test_the_mass_that_top_k_keeps_is_measured_before_it_cuts() -> None:
    whole = choose(NINE, SamplingConfig(temperature=2)).probability
    cut = spread(NINE, SamplingConfig(temperature=2, top_k=3))
    assert cut.kept == 3
    assert cut.mass == pytest.approx(float(whole.topk(3).values.sum()))


def test_the_other_order_of_top_p_and_temperature_keeps_others() -> None:
    both = spread(NINE, SamplingConfig(temperature=5, top_p=0.9))
    assert (both.kept, both.other_order) == (7, 2)
    turned = spread(NINE, SamplingConfig(temperature=5, top_p=0.9, top_p_first=True))
    assert (turned.kept, turned.other_order) == (2, 7)


def test_at_temperature_0_one_token_holds_everything() -> None:
    greedy = spread(NINE, SamplingConfig(temperature=0))
    assert (greedy.kept, greedy.mass, greedy.entropy, greedy.effective) == (1, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(("share", "size"), [(0.57, 1), (0.58, 2), (0.9, 2), (0.95, 3), (1.0, 9)])
def test_how_many_tokens_hold_a_share_of_the_nine_words(share: float, size: int) -> None:
    assert nucleus_size(choose(NINE, SamplingConfig()).probability.numpy(), share) == size


def test_many_draws_are_the_same_for_a_seed_others_for_another_and_more_go_on_where_few_ended() -> None:
    probability = choose(NINE, SamplingConfig(temperature=3)).probability
    draws = draw_many(probability.numpy(), 1_000, 5)
    assert np.array_equal(draws, draw_many(probability.numpy(), 1_000, 5))
    assert not np.array_equal(draws, draw_many(probability.numpy(), 1_000, 6))
    assert np.array_equal(draws[:100], draw_many(probability.numpy(), 100, 5))
    assert np.array_equal(draws[40:], draw_many(probability.numpy(), 960, 5, skip=40))


def test_drawing_moves_no_global_random_number() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    draw_many(choose(NINE, SamplingConfig()).probability.numpy(), 10, 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_counts_stand_beside_what_is_expected_and_its_error() -> None:
    config = SamplingConfig(temperature=5)
    table = next_token_table(NINE, NineWords(), config)
    drawn = draw_many(choose(NINE, config).probability.numpy(), 1_000, 123)
    counts = draw_counts(table, drawn)
    assert counts["drawn"].sum() == 1_000
    assert counts["expected"].sum() == pytest.approx(1_000)
    assert counts["token"].tolist()[:2] == ["forward", "toward"]
    pizza = counts.set_index("token").loc["pizza"]
    assert pizza["expected"] == pytest.approx(43.0, abs=0.5)
    assert pizza["error"] == pytest.approx(math.sqrt(43 * 0.957), abs=0.05)
    assert (drawn == 6).sum() == pizza["drawn"]


def test_tokens_that_will_hardly_ever_be_drawn_are_left_out_of_the_counts_unless_they_were() -> None:
    table = next_token_table(NINE, NineWords(), SamplingConfig(temperature=0.3))
    counts = draw_counts(table, np.array([3, 3, 7, 2]))
    assert counts["token"].tolist() == ["forward", "toward", "effort"]


def test_a_text_is_measured_by_its_different_tokens_and_its_repeated_passages() -> None:
    assert distinct_share([]) == 1
    assert distinct_share([1, 1, 1, 1]) == 0.25
    assert repeated_share([1, 2, 3]) == 0
    assert repeated_share([1] * 12) == pytest.approx(8 / 9)
    assert repeated_share(range(50)) == 0

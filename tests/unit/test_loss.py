"""The loss of a guess, what it means, and what mere counting achieves."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptcore.baselines import counting_losses, uniform_loss
from gptcore.loss import batch_logits, bits_per_byte, loss_table, mean_loss, perplexity, window_logits

COLUMNS = ["position", "target", "target_logit", "probability", "loss", "running_mean", "rank"]


def logits_and_targets(T: int, V: int, seed: int, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(T, V, generator=generator), torch.randint(V, (T,), generator=generator)


# -------------------------------------------------------------------------------------------- one guess, and their mean


@given(st.integers(1, 30), st.integers(1, 80), st.integers(0, 999))
def test_step_by_step_and_in_one_call_are_the_same(T: int, V: int, seed: int) -> None:
    logits, targets = logits_and_targets(T, V, seed)
    table = loss_table(logits, targets)
    assert table["loss"].mean() == pytest.approx(mean_loss(logits, targets).item(), abs=1e-5)
    alone = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    assert table["loss"].tolist() == pytest.approx(alone.tolist(), abs=1e-5)


def test_a_guess_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    table = loss_table(logits, torch.tensor([1, 2]))
    assert table.columns.tolist() == COLUMNS
    assert table["probability"].tolist() == pytest.approx([0.25, 0.8])
    assert table["loss"].tolist() == pytest.approx([math.log(4), math.log(1.25)])
    assert table["running_mean"].tolist() == pytest.approx([math.log(4), (math.log(4) + math.log(1.25)) / 2])
    assert table["rank"].tolist() == [2, 1]
    assert table["target_logit"].tolist() == pytest.approx([math.log(0.25), math.log(0.8)])


def test_the_books_example_of_three_tokens() -> None:
    """Raschka, section 5.1.2: the untrained model's probabilities for the two texts' targets, and their mean."""
    probabilities = torch.tensor([7.4541e-05, 3.1061e-05, 1.1563e-05, 1.0337e-05, 5.6776e-05, 4.7559e-06])
    logits = torch.stack([torch.log(probabilities), torch.log1p(-probabilities)], dim=1)
    loss = mean_loss(logits, torch.zeros(6, dtype=torch.int64)).item()
    assert loss == pytest.approx(10.7940, abs=1e-4)
    assert perplexity(loss) == pytest.approx(48_725, abs=5)


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e4])
def test_adding_a_constant_to_all_logits_changes_no_loss(shift: float) -> None:
    logits, targets = logits_and_targets(5, 11, 0)
    assert loss_table(logits + shift, targets)["loss"].tolist() == pytest.approx(
        loss_table(logits, targets)["loss"].tolist(), abs=1e-2
    )


def test_a_hopeless_guess_has_a_large_loss_and_not_an_infinite_one() -> None:
    """Its probability is too small for any float; the loss is a plain number all the same."""
    logits, targets = torch.tensor([[1_000.0, 0.0], [0.0, 0.0]]), torch.tensor([1, 1])
    assert mean_loss(logits, targets).item() == pytest.approx((1_000 + math.log(2)) / 2)
    assert loss_table(logits, targets)["loss"].tolist() == pytest.approx([1_000, math.log(2)])


def test_the_rank_counts_the_tokens_that_score_higher() -> None:
    logits = torch.tensor([[1.0, 5.0, 3.0, 3.0]])
    assert [int(loss_table(logits, torch.tensor([t]))["rank"].iloc[0]) for t in range(4)] == [4, 1, 2, 2]


def test_the_mean_runs_over_all_guesses_alike() -> None:
    logits, targets = logits_and_targets(12, 9, 4)
    assert mean_loss(logits.view(3, 4, 9), targets.view(3, 4)).item() == pytest.approx(
        float(loss_table(logits, targets)["loss"].mean())
    )


def test_bfloat16_logits_are_summed_in_float32() -> None:
    logits, targets = logits_and_targets(6, 1_000, 1)
    rounded = logits.bfloat16()
    assert mean_loss(rounded, targets).dtype == torch.float32
    assert mean_loss(rounded, targets).item() == pytest.approx(mean_loss(rounded.float(), targets).item())


# ------------------------------------------------------------------------------------------------ what the number means


def test_a_blind_guess_costs_ln_v() -> None:
    assert uniform_loss(50_257) == pytest.approx(10.825, abs=5e-4)
    assert mean_loss(torch.zeros(3, 50_257), torch.tensor([0, 9, 50_256])).item() == pytest.approx(uniform_loss(50_257))
    assert perplexity(uniform_loss(50_257)) == pytest.approx(50_257)


def test_perplexity_is_e_to_the_mean_and_not_the_mean_of_the_perplexities() -> None:
    assert perplexity((1.0 + 3.0) / 2) == pytest.approx(math.e**2)
    assert perplexity((1.0 + 3.0) / 2) < (perplexity(1.0) + perplexity(3.0)) / 2


@pytest.mark.parametrize(("loss", "expected"), [(3.754748503367106, 42.72), (3.559617757797241, 35.15), (0.0, 1.0)])
def test_the_perplexities_of_gpt2_on_the_verdict(loss: float, expected: float) -> None:
    assert round(perplexity(loss), 2) == expected


@pytest.mark.parametrize("loss", [710.0, 1e9, math.inf])
def test_a_loss_too_large_for_its_perplexity_gives_infinity_and_no_error(loss: float) -> None:
    assert perplexity(loss) == math.inf


def test_a_loss_that_is_no_number_has_no_perplexity() -> None:
    assert math.isnan(perplexity(math.nan))


def test_bits_per_byte_do_not_depend_on_how_a_text_is_cut() -> None:
    """The same probability for the same six bytes, in one token or in three."""
    whole, pieces = [math.log(64)], [math.log(4)] * 3
    assert bits_per_byte(sum(whole), 6) == pytest.approx(1.0)
    assert bits_per_byte(sum(pieces), 6) == pytest.approx(1.0)
    assert perplexity(sum(whole) / 1) != pytest.approx(perplexity(sum(pieces) / 3))


# ------------------------------------------------------------------------------------------------------ what is guessed


class Echo(torch.nn.Module):
    """A model whose logits say which tokens it was given."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(ids, 10).float()


def test_of_each_window_all_but_the_last_are_read_and_all_but_the_first_are_guessed() -> None:
    logits, targets = batch_logits(Echo(), [[1, 2, 3], [4, 5, 6]])
    assert (tuple(logits.shape), tuple(targets.shape)) == ((2, 2, 10), (2, 2))
    assert logits.argmax(-1).tolist() == [[1, 2], [4, 5]]
    assert targets.tolist() == [[2, 3], [5, 6]]


def test_a_window_alone_is_a_batch_of_one_laid_flat() -> None:
    logits, targets = window_logits(Echo(), [1, 2, 3])
    assert (logits.argmax(-1).tolist(), targets.tolist()) == ([1, 2], [2, 3])


def test_one_token_alone_leaves_nothing_to_guess() -> None:
    with pytest.raises(ValueError, match="at least 2 tokens, has 1"):
        window_logits(Echo(), [1])


# -------------------------------------------------------------------------------------------------------- mere counting

IDS = st.lists(st.integers(0, 6), min_size=1, max_size=30)


@given(IDS, st.integers(7, 20), st.integers(0, 6))
def test_counted_probabilities_sum_to_one(train: list[int], vocab_size: int, before: int) -> None:
    each = [counting_losses(train, [before, token], vocab_size) for token in range(vocab_size)]
    for line in ("unigram", "bigram"):
        assert math.fsum(math.exp(-losses[line]) for losses in each) == pytest.approx(1.0)


def test_counting_by_hand() -> None:
    """The text 0 1 0 1 0 2: of its 6 tokens 3 are zeros; zero was followed by 1, 1, 2, so by two different tokens."""
    losses = counting_losses([0, 1, 0, 1, 0, 2], [0, 1], vocab_size=10)
    one = (2 + 3 / 10) / (6 + 3)
    assert losses["unigram"] == pytest.approx(-math.log(one))
    assert losses["bigram"] == pytest.approx(-math.log((2 + 2 * one) / (3 + 2)))


def test_after_an_unseen_token_the_bigram_falls_back_to_the_unigram() -> None:
    losses = counting_losses([0, 1, 2], [9, 1], vocab_size=10)
    assert losses["bigram"] == pytest.approx(losses["unigram"])
    last = counting_losses([0, 1, 2], [2, 1], vocab_size=10)  # 2 was seen, yet nothing was seen after it
    assert last["bigram"] == pytest.approx(last["unigram"])


def test_the_first_validation_token_is_read_and_not_predicted() -> None:
    assert counting_losses([0, 1, 1], [5, 1], 10)["unigram"] == counting_losses([0, 1, 1], [6, 1], 10)["unigram"]


@given(IDS, st.lists(st.integers(0, 6), min_size=2, max_size=20))
def test_no_counted_loss_is_below_zero_or_infinite(train: list[int], validation: list[int]) -> None:
    for loss in counting_losses(train, validation, 50_257).values():
        assert 0 < loss < math.inf


def test_on_its_own_text_the_unigram_is_near_the_entropy_of_the_counts() -> None:
    text = [0] * 500 + [1] * 300 + [2] * 200
    entropy = -sum(n / 1_000 * math.log(n / 1_000) for n in Counter(text).values())
    assert counting_losses(text, text, 3)["unigram"] == pytest.approx(entropy, abs=0.01)


def test_knowing_what_follows_beats_knowing_what_is_frequent() -> None:
    text = [0, 1, 2, 3] * 50
    losses = counting_losses(text, text, 50_257)
    assert losses["bigram"] < 0.2 < losses["unigram"]


@pytest.mark.parametrize(("train", "validation"), [([], [1, 2]), ([1], [1]), ([1], [])])
def test_counting_nothing_is_refused_with_the_numbers(train: list[int], validation: list[int]) -> None:
    with pytest.raises(ValueError, match=f"has {len(train)} and {len(validation)}$"):
        counting_losses(train, validation, 10)

"""Models against each other: every measure by hand, on the book's windows, and honest about vocabularies."""

from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
import torch

from gptcore import against
from gptcore.against import Expectation, affordable_windows, judge, judged, kl_divergence, kl_table
from gptcore.config import GPTConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.library import load_model, new_model
from gptcore.loss import mean_loss, window_logits
from gptcore.paths import RECORDED
from gptcore.sampling import next_logits
from gptcore.tokenizer import CompactTokenizer, load_tokenizer
from gptcore.windows import make_windows

GPT2 = load_tokenizer()
TINY = GPTConfig(context_length=8, emb_dim=16, n_heads=2, n_layers=1, drop_rate=0.0)
IDS = GPT2.encode(load_text(OWN_STORY).text[:400])
COMPACT = CompactTokenizer(GPT2, IDS)


def random_logits(seed: int, size: int = 50) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------- one passage


def test_every_token_but_the_first_is_guessed_once_and_in_order() -> None:
    model = new_model(TINY, seed=1)
    windows = list(judge(model, IDS[:20], window=8))
    assert [len(losses) for losses in windows] == [8, 8, 3]
    for start, losses in zip(range(0, 20, 8), windows, strict=True):
        logits, targets = window_logits(model, IDS[:20][start : start + 9])
        expected = -torch.log_softmax(logits.double(), dim=-1)[range(len(targets)), targets]
        np.testing.assert_allclose(losses, expected.numpy(), rtol=1e-5)


def test_whole_windows_have_the_mean_that_a_training_run_computes() -> None:
    model = new_model(TINY, seed=1)
    ids = IDS[:17]
    inputs, targets = make_windows(torch.tensor(ids), 8, 8)
    with torch.no_grad():
        expected = mean_loss(model(inputs), targets).item()
    read = judged(model, GPT2, ids, judge(model, ids, 8))
    assert read.loss == pytest.approx(expected, abs=1e-5)
    assert read.perplexity == pytest.approx(math.exp(expected), rel=1e-5)
    assert read.window == 8


def test_bits_per_byte_spread_the_price_over_the_bytes_that_were_guessed() -> None:
    model = new_model(TINY, seed=1)
    read = judged(model, GPT2, IDS[:17], judge(model, IDS[:17], 8))
    assert read.size == len(GPT2.decode(IDS[1:17]).encode())
    assert read.bits_per_byte == pytest.approx(read.losses.sum() / math.log(2) / read.size)
    assert read.so_far[0] == read.losses[0]
    assert read.so_far[-1] == pytest.approx(read.loss)


def test_a_passage_of_one_token_is_refused_with_its_length() -> None:
    with pytest.raises(ValueError, match="at least 2 tokens, has 1"):
        list(judge(new_model(TINY, seed=1), IDS[:1], 8))


def test_no_model_reads_more_at_once_than_its_context_or_the_book() -> None:
    assert against.window_of(new_model(TINY, seed=1)) == 8
    wide = GPTConfig(context_length=1_024, emb_dim=16, n_heads=2, n_layers=1)
    assert against.window_of(new_model(wide, seed=1)) == 256


def test_the_books_model_and_gpt2_may_read_all_that_the_books_judge_reads() -> None:
    assert affordable_windows(162_419_712) == affordable_windows(124_439_808) == 2
    assert affordable_windows(10**12) == 1
    assert affordable_windows(7_259_008) > 8


def test_the_best_model_is_upset_where_another_beats_it_most() -> None:
    best, other, worst = np.array([1.0, 2.0, 5.0]), np.array([2.0, 1.5, 6.0]), np.array([9.0, 9.0, 4.0])
    assert against.upset([best, other, worst]) == 2


# -------------------------------------------------------------------------------------------------------- one prompt


def test_divergence_is_the_sum_of_p_ln_p_over_q() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.1, 0.8])
    by_hand = sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))
    assert kl_divergence(p.log(), q.log()) == pytest.approx(by_hand, rel=1e-6)
    assert kl_divergence(q.log(), p.log()) != pytest.approx(by_hand, rel=1e-2)


def test_divergence_is_zero_for_equals_whatever_is_added_to_all_scores() -> None:
    p = random_logits(1)
    assert kl_divergence(p, p + 100) == pytest.approx(0.0, abs=1e-9)
    assert kl_divergence(p, p) >= 0.0


def test_other_numbers_of_tokens_have_no_divergence() -> None:
    with pytest.raises(ValueError, match="50 tokens can't be compared with 51"):
        kl_divergence(random_logits(1), random_logits(1, 51))


def test_a_token_that_both_rule_out_adds_nothing_and_one_that_only_q_rules_out_costs_everything() -> None:
    none = -math.inf
    p, q = torch.tensor([0.0, 1.0, none]), torch.tensor([3.0, 0.0, none])
    assert kl_divergence(p, q) == pytest.approx(kl_divergence(p[:2], q[:2]), rel=1e-12)
    assert kl_divergence(p, torch.tensor([3.0, none, none])) == math.inf
    assert kl_divergence(torch.tensor([0.0, -800.0]), torch.tensor([0.0, none])) == 0.0, "e^-800 is 0 in a float"


@pytest.mark.parametrize("wrong", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]])
def test_scores_without_a_highest_number_have_no_divergence(wrong: list[float]) -> None:
    for pair in ((wrong, [0.0, 1.0]), ([0.0, 1.0], wrong)):
        with pytest.raises(ValueError, match="the highest of 2 scores is"):
            kl_divergence(*map(torch.tensor, pair))


def test_the_table_leaves_out_pairs_that_choose_among_other_tokens() -> None:
    V = GPT2.vocab_size
    same_size = CompactTokenizer(GPT2, range(COMPACT.vocab_size))  # as many tokens, but others
    table = kl_table(
        {
            "a": Expectation(random_logits(1, V), GPT2),
            "b": Expectation(random_logits(2, V), GPT2),
            "compact": Expectation(random_logits(3, COMPACT.vocab_size), COMPACT),
            "others": Expectation(random_logits(4, COMPACT.vocab_size), same_size),
        }
    )
    assert table.loc["a", "b"] == kl_divergence(random_logits(1, V), random_logits(2, V))
    assert table.loc["b", "a"] == kl_divergence(random_logits(2, V), random_logits(1, V))
    assert table.loc["compact", "compact"] == 0.0
    assert table.loc[["compact"], ["a", "b", "others"]].isna().all(axis=None)
    assert table.loc[["a", "b", "others"], ["compact"]].isna().all(axis=None)


def test_all_favourites_stand_in_one_table_under_gpt2s_numbers() -> None:
    full, compact = random_logits(1, GPT2.vocab_size), random_logits(2, COMPACT.vocab_size)
    tokens, given = against.next_tokens_together(
        {"full": Expectation(full, GPT2), "compact": Expectation(compact, COMPACT)}, count=3
    )
    by_full, by_compact = full.topk(3).indices.tolist(), [COMPACT.kept[i] for i in compact.topk(3).indices.tolist()]
    assert set(tokens["token_id"]) == {*by_full, *by_compact}
    assert tokens["token"].tolist() == [GPT2.decode([i]) for i in tokens["token_id"]]
    chances = torch.softmax(full.double(), dim=-1)
    assert given["full"].tolist() == pytest.approx([float(chances[i]) for i in tokens["token_id"]])
    small = dict(zip(COMPACT.kept, torch.softmax(compact.double(), dim=-1).tolist(), strict=True))
    for i, chance in zip(tokens["token_id"], given["compact"], strict=True):
        assert (pd.isna(chance) and i not in small) or chance == pytest.approx(small[i])
    assert given.max(axis=1).is_monotonic_decreasing


def test_more_tokens_can_be_asked_for() -> None:
    full = {"full": Expectation(random_logits(1, GPT2.vocab_size), GPT2)}
    tokens, given = against.next_tokens_together(full, 1, {7: 0.9, 8: 0.8})
    assert tokens["token_id"].tolist()[:2] == [7, 8], "first those to which anybody gives most"
    assert given["full"].iloc[0] == pytest.approx(float(torch.softmax(full["full"].logits.double(), dim=-1)[7]))


def test_a_share_on_favourites_is_their_summed_probability() -> None:
    p, q = random_logits(1, GPT2.vocab_size), random_logits(2, GPT2.vocab_size)
    favoured = torch.softmax(p.double(), dim=-1)[q.topk(5).indices].sum()
    share = against.share_on_favourites(Expectation(p, GPT2), Expectation(q, GPT2), 5)
    assert share == pytest.approx(float(favoured))


def test_the_recorded_run_and_another_model_are_compared_by_their_common_tokens() -> None:
    model, tokenizer = load_model(RECORDED / "the-glass-clock-class", "last")
    other = new_model(TINY, seed=1)
    prompt = "The starling knew every hour"
    tokens, given = against.next_tokens_together(
        {
            "recorded": Expectation(next_logits(model, tokenizer.encode(prompt)), tokenizer),
            "untrained": Expectation(next_logits(other, GPT2.encode(prompt)), GPT2),
        },
        count=5,
    )
    assert tokens["token"].iloc[int(given["recorded"].argmax())] == " by"  # "knew every hour by heart": it recites
    assert given["recorded"].isna().any(), "an untrained model's favourites are hardly among a story's tokens"
    assert given["untrained"].notna().all()


# -------------------------------------------------------------------------------------------------------------- speed


def test_only_the_steps_are_timed_and_not_what_happens_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 12.0, 20.0])  # before and after each step, and before the end is found
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert list(against.timed(iter(["quick", "slow"]))) == [("quick", 1.0), ("slow", 2.0)]

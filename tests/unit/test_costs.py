"""How long and what cost: published figures as they were published, all else worked out."""

from __future__ import annotations

import math

import pytest

from gptcore.costs import ONE_PASS, Training, book_run_here, duration, how_long, llama_2_dollars, published_trainings
from gptcore.published import THE_VERDICT_TOKENS


def test_the_books_run_reads_46080_tokens() -> None:
    assert THE_VERDICT_TOKENS == 46_080


def test_the_published_figures_are_those_of_the_sources() -> None:
    rows = {row.run: row for row in published_trainings()}
    assert [row.seconds for row in list(rows.values())[:3]] == [300, 396, 11]
    assert rows["GPT-2 124M, llm.c, eight A100"].dollars == 20
    llama = rows["Llama 2 7B, GPU hours added up"]
    assert llama.seconds == 184_320 * 3_600
    assert llama.tokens == 2 * 10**12


def test_llama_2_cost_about_690000_dollars() -> None:
    assert llama_2_dollars() == 691_200
    assert round(llama_2_dollars(), -4) == 690_000


@pytest.mark.parametrize(("seconds", "said"), [(300, "2.1 years"), (396, "2.7 years"), (11, "28 days")])
def test_one_pass_over_10_billion_tokens_takes_years_on_a_laptop(seconds: float, said: str) -> None:
    table = how_long([Training("a run", THE_VERDICT_TOKENS, seconds, None, "published", "")])
    assert duration(table["one_pass"].iloc[0]) == said


def test_what_nobody_said_stays_missing() -> None:
    row = how_long([Training("a run", 5, None, None, "published", "")]).iloc[0]
    assert math.isnan(row["seconds"])
    assert math.isnan(row["one_pass"])
    assert math.isnan(row["dollars"])


def test_twice_the_speed_takes_about_half_the_time() -> None:
    slow, fast = (book_run_here(speed).seconds or 0.0 for speed in (1e10, 2e10))
    assert fast == pytest.approx(slow / 2, rel=0.05)
    assert book_run_here(1e10).tokens == 46_080


def test_one_pass_is_a_plain_quotient() -> None:
    row = how_long([Training("a run", 1_000, 10.0, None, "measured", "")]).iloc[0]
    assert (row["tokens_per_second"], row["one_pass"]) == (100, ONE_PASS / 100)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.25, "0.2 seconds"), (11, "11 seconds"), (90, "1.5 minutes"), (3_600, "60 minutes")]
)
def test_a_time_is_said_in_its_largest_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said

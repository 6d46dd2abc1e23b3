"""The made language: its entropy is exact, its text is the same everywhere, and its tokens are GPT-2's."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import pytest

from gptcore.corpora import CATALOGUE, LANGUAGE, load_text
from gptcore.language import (
    BEGINNING,
    GROUP_OF,
    LENGTH,
    TOKENS,
    Language,
    entropy,
    floor_line,
    make_language,
    the_entropies,
    the_language,
    the_text,
    tokens_of,
)
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text

# After two equal tokens the next is likely the same; after two different ones nobody knows.
TINY = Language(
    {
        ("a", "a"): {"a": 3, "b": 1},
        ("a", "b"): {"a": 1, "b": 1},
        ("b", "a"): {"a": 1, "b": 1},
        ("b", "b"): {"a": 1, "b": 3},
    }
)


def test_the_entropies_of_a_tiny_language_are_those_worked_out_by_hand() -> None:
    # By symmetry aa = bb = s and ab = ba = d; what enters aa is 3/4 aa + 1/2 ba, so s = 2 d, and 2 s + 2 d = 1.
    shares = TINY.shares()
    assert shares == pytest.approx({("a", "a"): 1 / 3, ("a", "b"): 1 / 6, ("b", "a"): 1 / 6, ("b", "b"): 1 / 3})
    sure = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    after_one = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    found = TINY.entropies()
    assert found.floor == pytest.approx(2 / 3 * sure + 1 / 3 * math.log(2))
    assert found.one == pytest.approx(after_one)
    assert found.none == pytest.approx(math.log(2))


def test_a_language_without_chance_has_a_floor_of_zero() -> None:
    turning = Language({("a", "b"): {"c": 1}, ("b", "c"): {"a": 1}, ("c", "a"): {"b": 1}})
    assert turning.entropies() == pytest.approx((math.log(3), 0.0, 0.0))
    assert list(islice(turning.write(seed=1), 7)) == list("abcabca")


def test_tokens_cost_minus_the_logarithm_of_their_true_probability() -> None:
    assert TINY.costs(list("aaab")) == pytest.approx([-math.log(0.75), -math.log(0.25)])
    assert TINY.score(list("aaab")) == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
    assert TINY.chances("a", "a") == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize("language", [TINY, the_language()], ids=["tiny", "bundled"])
def test_a_long_text_scores_its_languages_floor(language: Language) -> None:
    misses = []
    for length in (2_000, 200_000):
        tokens = list(islice(language.write(seed=5), length))
        costs = language.costs(tokens)
        mean = math.fsum(costs) / len(costs)
        spread = math.sqrt(math.fsum((cost - mean) ** 2 for cost in costs) / len(costs))
        misses.append(abs(mean - language.entropies().floor))
        assert misses[-1] < 4 * spread / math.sqrt(length)
    assert misses[1] < 0.01


def test_how_often_pairs_occur_is_how_often_they_are_written() -> None:
    tokens = list(islice(the_language().write(seed=9), 200_000))
    shares = the_language().shares()
    assert math.fsum(shares.values()) == pytest.approx(1)
    written = sum(pair == BEGINNING for pair in pairwise(tokens)) / len(tokens)
    assert written == pytest.approx(shares[BEGINNING], rel=0.05)


def test_the_less_is_settled_and_the_less_is_seen_the_more_a_token_costs() -> None:
    floors = [make_language(strength=strength).entropies().floor for strength in (4.0, 2.0, 1.0, 0.0)]
    assert floors == sorted(floors)
    found = the_entropies()
    assert found.floor + 0.4 < found.one < found.none < math.log(len(TOKENS))


def test_at_strength_0_all_that_the_grammar_allows_is_equally_likely() -> None:
    for row in make_language(strength=0.0).odds.values():
        assert len(set(row.values())) == 1


def test_what_follows_the_depends_on_the_token_before_it() -> None:
    language = the_language()
    assert {GROUP_OF[token] for token in language.chances(" Then", " that")} == {"how", "being"}
    assert {GROUP_OF[token] for token in language.chances(" took", " that")} == {"what", "thing"}


def test_each_token_is_one_of_gpt2s_and_any_text_is_read_back_as_it_was_written() -> None:
    tokenizer = load_tokenizer()
    ids = {token: tokenizer.encode(token) for token in TOKENS}
    assert all(len(found) == 1 and len(token) == 5 for token, found in ids.items())
    tokens = tokens_of(the_text())
    assert len(tokens) == LENGTH
    assert set(tokens) == set(TOKENS)
    assert tokenizer.encode(the_text()) == [ids[token][0] for token in tokens]


@pytest.mark.parametrize(("fraction", "share"), [(0.9, 1.0), (0.96, 0.02), (0.96, 0.3), (0.9, 0.1)])
def test_a_cut_at_a_whole_percent_cuts_no_token(fraction: float, share: float) -> None:
    for part in split_text(the_text(), fraction, share):
        assert set(tokens_of(part)) <= set(TOKENS)


def test_the_text_is_the_same_at_every_call_and_has_the_hash_that_the_catalogue_names() -> None:
    again = "".join(islice(make_language().write(seed=7), LENGTH))
    text = load_text(LANGUAGE)
    assert text.text == again == the_text()
    assert text.sha256 == CATALOGUE[LANGUAGE].sha256
    assert text.text.startswith(text.prompt)


def test_another_seed_is_another_language_and_another_text() -> None:
    assert make_language(seed=8).odds != the_language().odds
    first, second = (list(islice(the_language().write(seed), 50)) for seed in (1, 2))
    assert first != second


def test_only_the_bundled_text_has_a_floor_that_is_known() -> None:
    assert floor_line(the_text()) == {"the floor, H:": the_entropies().floor}
    assert floor_line(the_text()[:-1]) == {}
    assert floor_line("x" * len(the_text())) == {}


def test_what_can_not_stand_in_the_language_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"' Then king' never occurs"):
        the_language().chances(" Then", " king")
    with pytest.raises(ValueError, match=r"' lamp' never follows ' Then that'"):
        the_language().costs([" Then", " that", " lamp"])
    with pytest.raises(ValueError, match="a score needs at least 3 tokens, has 2"):
        the_language().score([" Then", " that"])


def test_entropy_reads_odds_as_shares() -> None:
    assert entropy([3, 1]) == pytest.approx(entropy([0.75, 0.25]))
    assert entropy([1, 0]) == 0

"""Figures of others: as they were published, and in the tokens that this program's tokenizer makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gptcore.published import GPT2_NEXT_TOKENS
from gptcore.tokenizer import load_tokenizer, show_token

LIKELIEST = 20


def test_the_next_tokens_are_those_of_the_source(shared_data: Path) -> None:
    source = json.loads((shared_data / "gpt2_next_token.json").read_text(encoding="utf-8"))["prompts"]
    assert list(GPT2_NEXT_TOKENS) == [entry["prompt"] for entry in source]
    for entry in source:
        rows = [(token["id"], token["text"], token["prob"]) for token in entry["top20"]]
        assert GPT2_NEXT_TOKENS[entry["prompt"]] == rows


@pytest.mark.parametrize("prompt", GPT2_NEXT_TOKENS)
def test_published_tokens_fall_in_order_and_leave_room_for_the_rest(prompt: str) -> None:
    probabilities = [row.probability for row in GPT2_NEXT_TOKENS[prompt]]
    assert len(probabilities) == LIKELIEST
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0.2 < sum(probabilities) < 1.0


@pytest.mark.parametrize("prompt", GPT2_NEXT_TOKENS)
def test_each_published_token_is_what_our_tokenizer_makes_of_its_id(prompt: str) -> None:
    tokenizer = load_tokenizer()
    assert [row.token for row in GPT2_NEXT_TOKENS[prompt]] == [
        show_token(tokenizer.token_bytes(row.token_id)) for row in GPT2_NEXT_TOKENS[prompt]
    ]

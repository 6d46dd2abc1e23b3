"""Texts at several temperatures, and a loss that none of them moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from gptcore.batches import prepare
from gptcore.config import GPTConfig, SamplingConfig
from gptcore.library import load_model, new_model
from gptcore.memorization import CopyIndex
from gptcore.paths import RECORDED
from gptcore.recitation import by_temperature
from gptcore.runs.store import Run
from gptcore.temperatures import TEMPERATURES, validation_loss, write
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text

SMALL = RECORDED / "the-glass-clock-class"


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(SMALL)


def texts_of(run: Run, seed: int, tokens: int = 27) -> dict[float, str]:
    model, tokenizer = load_model(run.folder, "last")
    prompt = tokenizer.encode(run.text.prompt)
    rules = SamplingConfig(seed=seed)
    return {t: write(model, tokenizer, prompt, replace(rules, temperature=t), tokens).text for t in TEMPERATURES}


def test_the_same_seed_gives_the_same_table_and_another_seed_another_one(run: Run) -> None:
    index = CopyIndex(load_tokenizer().encode(split_text(run.text.text, 0.9)[0]))
    first, again, other = (by_temperature(texts_of(run, seed), run.text.prompt, index, 5) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    assert first["temperature"].tolist() == list(TEMPERATURES)
    assert first["share"].iloc[0] == 1.0  # within its context it recites
    assert first["share"].iloc[0] == other["share"].iloc[0]  # no seed moves temperature 0
    assert first["share"].iloc[-1] < 0.5


def test_a_text_begins_with_its_prompt_and_says_how_much_was_drawn(run: Run) -> None:
    model, tokenizer = load_model(run.folder, "last")
    prompt = tokenizer.encode(run.text.prompt)
    whole = write(model, tokenizer, prompt, SamplingConfig(), 9)
    assert whole.text.startswith(run.text.prompt)
    assert whole.drawn == 9


def test_a_text_that_is_stopped_is_the_beginning_of_the_whole(run: Run) -> None:
    model, tokenizer = load_model(run.folder, "last")
    prompt = tokenizer.encode(run.text.prompt)
    calls = count()
    whole = write(model, tokenizer, prompt, SamplingConfig(), 20)
    stopped = write(model, tokenizer, prompt, SamplingConfig(), 20, lambda: next(calls) >= 4)
    assert stopped.drawn == 4
    assert whole.text.startswith(stopped.text)


@pytest.mark.parametrize("weights", ["best", "last"])
def test_the_loss_is_the_one_that_the_run_reported(run: Run, weights: str) -> None:
    model, _ = load_model(run.folder, weights)
    ids = prepare(run.text, run.model_config, run.train_config).validation_ids
    rows = [row["val_loss"] for row in run.metrics()[0] if row["val_loss"] is not None]
    assert validation_loss(model, ids, most_windows=40) == pytest.approx(
        min(rows) if weights == "best" else rows[-1], abs=1e-4
    )


def test_a_text_without_a_window_has_no_loss(tmp_path: Path) -> None:
    config = GPTConfig(vocab_size=5, context_length=6, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.0)
    assert validation_loss(new_model(config, 0), torch.zeros(6).long(), 9) is None
    assert validation_loss(new_model(config, 0), torch.zeros(7).long(), 9) is not None

"""The book's model at full size, digit for digit: 162,419,712 numbers from one seed, and what they say untrained.

Slow, so kept small: the model is made once, ten tokens are drawn, one loader is measured. With ``GLASSBOX_SLOW=1`` the
training loader is measured too, and six updates of the reference run are made (a minute or two).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gptcore import training
from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, SamplingConfig
from gptcore.corpora import BOOK_PROMPT, Text
from gptcore.records import StepRecord, never
from gptcore.sampling import generate
from gptcore.training import TrainingState, new_state, train

SLOW = pytest.mark.skipif(os.environ.get("GLASSBOX_SLOW") != "1", reason="GLASSBOX_SLOW=1 asks for the slow checks")

# Published: the untrained model's greedy words, with the Arabic letter meem (U+0645) inside "wasn".
UNTRAINED = "Every effort moves you rentingetic wasn\u0645 refres RexMeCHicular stren"
SETTINGS = replace(TRAIN_PRESETS["book-124m"], reference=True, steps=6)


@pytest.fixture(scope="module")
def state(shared_data: Path) -> TrainingState:
    """The reference run before its first update; the tests that train come last."""
    text = (shared_data / "texts" / "the-verdict.txt").read_text(encoding="utf-8")
    shape = MODEL_PRESETS["book-124m"]
    return new_state(shape, SETTINGS, prepare(Text("the-verdict", "The Verdict", text, BOOK_PROMPT), shape, SETTINGS))


def test_the_untrained_model_says_the_published_words(state: TrainingState) -> None:
    tokenizer = state.data.tokenizer
    ids = tokenizer.encode(BOOK_PROMPT)
    ids += [drawn.token_id for drawn in generate(state.model, ids, SamplingConfig(temperature=0.0), 10)]
    assert tokenizer.decode(ids) == UNTRAINED


def test_the_untrained_model_has_the_published_validation_loss(state: TrainingState) -> None:
    before = torch.get_rng_state()
    loss = training._mean_over_batches(state, state.data.validation_ids, torch.arange(2), None, never)
    assert loss == pytest.approx(10.98111, abs=1e-4)
    assert torch.equal(torch.get_rng_state(), before)  # or all later digits would move


@SLOW
def test_the_untrained_model_has_the_published_training_loss(state: TrainingState) -> None:
    loss = training._mean_over_batches(state, state.data.train_ids, torch.arange(18), None)
    assert loss == pytest.approx(10.98758, abs=1e-4)


@SLOW
@pytest.mark.timeout(1_800)  # two minutes on an idle machine
def test_six_reference_updates_give_the_published_losses(state: TrainingState) -> None:
    records = {record.step: record for record in train(state) if isinstance(record, StepRecord)}
    assert list(records) == [0, 1, 2, 3, 4, 5]
    digits = {step: (r.train_loss, r.val_loss) for step, r in records.items() if r.train_loss is not None}
    assert digits.keys() == {0, 5}
    assert digits[0] == pytest.approx((9.781, 9.933), abs=6e-4)
    assert digits[5] == pytest.approx((8.111, 8.339), abs=6e-4)

"""Where a run is computed, how quick it is there, and what is said about it."""

from __future__ import annotations

import pytest
import torch

from gptcore import device
from gptcore.config import GPTConfig, TrainConfig
from gptcore.device import CPU, Pace, choose, how_fast, share_of_peak
from gptcore.estimate import step_operations
from gptcore.records import StepRecord

SHAPE = GPTConfig(vocab_size=50, context_length=8, emb_dim=16, n_heads=2, n_layers=1)


def there(*names: str) -> dict[str, bool]:
    return {name: name in names for name in ("cpu", "cuda", "mps")}


def after(step: int, seconds: float, evaluated: bool = False) -> StepRecord:
    loss = 1.0 if evaluated else None
    return StepRecord(step, 0, 0, 1.0, 1.0, 1e-3, seconds, train_loss=loss)


def test_the_quickest_device_is_taken_and_a_reference_run_stays_on_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "is_there", there("cpu", "mps").__getitem__)
    assert choose() == torch.device("mps")
    assert choose("cpu") == CPU
    assert choose(reference=True) == CPU
    monkeypatch.setattr(device, "is_there", there("cpu").__getitem__)
    assert choose() == CPU


def test_a_device_that_is_not_there_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "is_there", there("cpu").__getitem__)
    with pytest.raises(ValueError, match="--device cuda: this machine has none; leave it out, or choose cpu"):
        choose("cuda")


def test_the_pace_is_the_median_of_updates_without_an_evaluation() -> None:
    pace = Pace()
    seconds = 0.0
    for step, (took, evaluated) in enumerate([(9, True), (1, False), (50, True), (2, False), (3, False)]):
        seconds += took
        pace.see(after(step, seconds, evaluated), SHAPE)
    assert pace.step_seconds == 2


def test_the_share_of_the_peak_is_the_operations_of_an_update_by_time_and_speed() -> None:
    assert share_of_peak(SHAPE, 4, 0.5, 1e9) == pytest.approx(step_operations(SHAPE, 4) / 0.5 / 1e9)


def test_the_sentence_says_tokens_a_second_and_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace()
    assert how_fast(pace, TrainConfig(), CPU) == "too few updates to tell how fast they were"
    for step in range(3):
        pace.see(after(step, float(step)), SHAPE)
    monkeypatch.setattr(device, "peak", lambda *_: 4.0 * step_operations(SHAPE, 8))
    sentence = how_fast(pace, TrainConfig(batch_size=8), CPU, processes=2)
    assert sentence.startswith("64 tokens/s, 12% of what one large product of matrices reaches on the processor (")


def test_the_peak_is_measured_and_plausible() -> None:
    assert 1e8 < device.peak(CPU, "float32") < 1e14

"""Numbers that are wrong, extreme or run away: refused with the value, or exact; never a NaN, never a crash.

Rows of FAULTS.md, "Numbers", as far as ``gptcore`` answers for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gptcore import __main__ as cli
from gptcore import machine
from gptcore.batches import prepare
from gptcore.checkpoint import load_state, load_weights, save_state
from gptcore.config import MODEL_PRESETS, GPTConfig, SamplingConfig, TrainConfig, from_json
from gptcore.machine import check_memory, memory_limit
from gptcore.model import GPTModel
from gptcore.parameters import count_parameters, parameter_table, training_memory
from gptcore.records import DivergedError, Record, StepRecord
from gptcore.runs import journal
from gptcore.runs.store import Run, create_run
from gptcore.runs.worker import execute
from gptcore.sampling import choose, generate
from gptcore.training import TrainingState, new_state, train
from tests.tiny import MODEL, SETTINGS, STORY

DATA = prepare(STORY, MODEL, SETTINGS)


def begin(**changes: Any) -> TrainingState:
    return new_state(MODEL, replace(SETTINGS, **changes), DATA)


def plain_json(run: Run) -> None:
    """Fail if a file of the run holds NaN or Infinity, which JSON does not have."""

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    for name in ("metrics.jsonl", "samples.jsonl"):
        path = run.folder / name
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():  # none before a first line
            json.loads(line, parse_constant=no_constant)
    json.loads((run.folder / "status.json").read_text(encoding="utf-8"), parse_constant=no_constant)


# ---------------------------------------------------------------------------------------------------- impossible shapes


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{"emb_dim": 770}', "emb_dim=770 is not divisible by n_heads=12"),
        ('{"emb_dim": 0}', "emb_dim=0 is outside 1 to 65,536"),
        ('{"n_heads": 0}', "n_heads=0 is outside 1 to 65,536"),
        ('{"n_layers": -3}', "n_layers=-3 is outside 1 to 1,000"),
        ('{"emb_dim": NaN}', "emb_dim=nan is not a whole number"),
        ('{"emb_dim": 1e400}', "emb_dim=inf is not a whole number"),
        ('{"emb_dim": 1e9}', "emb_dim=1000000000.0 is not a whole number"),
        ('{"emb_dim": 1000000000}', "emb_dim=1,000,000,000 is outside 1 to 65,536"),
        ('{"context_length": 1000000000}', "context_length=1,000,000,000 is outside 1 to 131,072"),
        ('{"drop_rate": NaN}', "drop_rate=nan is not a finite number"),
        ('{"drop_rate": -1e400}', "drop_rate=-inf is not a finite number"),
        ('{"vocab_size": null}', "vocab_size=None is not a whole number"),
    ],
)
def test_a_shape_from_a_link_or_a_file_is_refused_with_its_values(written: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole message is compared)
        from_json(GPTConfig, json.loads(written))
    assert str(caught.value) == message


def test_a_number_of_hundreds_of_digits_is_refused_like_any_other() -> None:
    for config, name in ((GPTConfig, "drop_rate"), (TrainConfig, "lr"), (SamplingConfig, "temperature")):
        with pytest.raises(ValueError, match=f"^{name}="):
            from_json(config, {name: json.loads("1" + "0" * 400)})


@pytest.mark.parametrize(
    ("option", "value"), [("--lr", "-1"), ("--lr", "inf"), ("--batch-size", "0"), ("--stride", "-4")]
)
def test_the_command_line_refuses_in_the_same_words(
    option: str, value: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = option.removeprefix("--").replace("-", "_")
    with pytest.raises(ValueError, match=rf"^{name}=") as caught:
        TrainConfig(**{name: type(getattr(TrainConfig(), name) or 0)(float(value))})
    arguments = ["train", "--text", "the-glass-clock", "--out", str(tmp_path / "out"), f"{option}={value}"]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == f"gptcore: {caught.value}\n"


# --------------------------------------------------------------------------------------------------- larger than memory


def test_a_run_that_does_not_fit_is_refused_with_the_sum_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object) -> None:
        pytest.fail("a model was made before the memory was counted")

    monkeypatch.setattr(GPTModel, "__init__", never)
    monkeypatch.setattr(machine, "memory_limit", lambda: 2 * 2**30)
    settings = replace(SETTINGS, batch_size=2, compact_vocab=False)
    run = create_run(tmp_path / "run", STORY, replace(MODEL_PRESETS["gpt2-xl"], context_length=8), settings)
    assert execute(run) == "failed"
    needed = sum(training_memory(run.model_config, settings).values())
    reason = run.status["reason"]
    assert f"{needed // 2**20:,} MiB of 2,048 MiB" in reason
    assert "choose a smaller model" in reason


def test_a_run_that_just_fits_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = replace(MODEL, vocab_size=DATA.tokenizer.vocab_size)
    needed = sum(training_memory(shape, SETTINGS).values())
    monkeypatch.setattr(machine, "memory_limit", lambda: needed)
    assert execute(create_run(tmp_path / "a", STORY, MODEL, SETTINGS)) == "done"
    monkeypatch.setattr(machine, "memory_limit", lambda: needed - 1)
    assert execute(create_run(tmp_path / "b", STORY, MODEL, SETTINGS)) == "failed"


def test_the_ledger_of_a_model_that_fits_nowhere_works() -> None:
    giant = GPTConfig(vocab_size=1_000_000, context_length=131_072, emb_dim=65_536, n_heads=64, n_layers=1_000)
    assert int(parameter_table(giant)["count"].sum()) == count_parameters(giant) > 5 * 10**13


@pytest.mark.parametrize(
    ("written", "limit"), [("1073741824\n", 2**30), ("max\n", None), ("", None), ("99999999999999999999\n", None)]
)
def test_a_containers_limit_counts_and_else_the_memory_there_is(
    written: str, limit: int | None, tmp_path: Path
) -> None:
    file = tmp_path / "memory.max"
    file.write_text(written, encoding="ascii")
    everything = memory_limit(tmp_path / "nothing")
    assert everything > 2**30
    assert memory_limit(file) == (limit or everything)


def test_what_needs_exactly_the_limit_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_limit", lambda: 5 * 2**20)
    check_memory(5 * 2**20, "this run")
    with pytest.raises(MemoryError, match=r"^this run needs 6 MiB of 5 MiB: choose a smaller model"):
        check_memory(6 * 2**20, "this run")


# ------------------------------------------------------------------------------------------------------ rules of a draw

EXTREMES = st.sampled_from([-math.inf, -3e38, -1e30, -1.0, -1e-30, 0.0, 1e-30, 1.0, 88.0, 1e30, 3e38])


@given(
    st.lists(EXTREMES, min_size=1, max_size=8).filter(lambda values: any(map(math.isfinite, values))),
    st.sampled_from([0.0, 5e-324, 1e-300, 1e-9, 1.0, 1e9, 1e308]),
    st.none() | st.sampled_from([1, 2, 8, 50_257, 2**62]),
    st.none() | st.sampled_from([5e-324, 1e-9, 0.5, 1 - 1e-16, 1.0]),
    st.booleans(),
)
def test_no_allowed_setting_ever_gives_a_nan(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None, first: bool
) -> None:
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, top_p_first=first)
    choice = choose(torch.tensor(logits), config)
    assert bool(torch.isfinite(choice.probability).all())
    assert not bool(choice.scaled.isnan().any())
    assert choice.probability.sum().item() == pytest.approx(1.0)
    assert 1 <= int(choice.kept.sum()) <= (top_k or len(logits))


@pytest.mark.parametrize("setting", [{"temperature": -1e-9}, {"temperature": math.nan}, {"top_k": 0}, {"top_p": 0}])
def test_settings_that_cannot_be_are_refused_by_name_and_value(setting: dict[str, float]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=rf"^{name}={value:g}"):
        SamplingConfig(**setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-math.inf, math.nan])
@pytest.mark.parametrize("temperature", [0.0, 1e-9, 1.0])
def test_scores_that_are_all_lost_are_told_in_words(value: float, temperature: float) -> None:
    with pytest.raises(ValueError, match="no token can be chosen; its training diverged"):
        choose(torch.full((5,), value), SamplingConfig(temperature=temperature))


# ------------------------------------------------------------------------------------------------ numbers that run away


def test_a_learning_rate_of_zero_runs_to_its_end_and_learns_nothing(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, lr=0.0))
    assert execute(run) == "done"
    assert len({row["val_loss"] for row in run.metrics()[0] if row["val_loss"] is not None}) == 1


def test_weights_that_break_stop_the_run_at_that_step_with_its_rate() -> None:
    state = begin(eval_every=1_000, sample_at="evaluation", epochs=20)
    records = []

    def poison_after(step: int) -> None:
        for record in train(state):
            records.append(record)
            if isinstance(record, StepRecord) and record.step == step:
                nn.init.constant_(state.model.final_norm.bias, math.inf)

    with pytest.raises(DivergedError, match=r"^diverged at step 40; learning rate 0\.01: choose a smaller one$"):
        poison_after(39)
    assert isinstance(records[-1], StepRecord)
    assert records[-1].step == 39
    assert state.step == 40


@pytest.mark.parametrize("sample_at", ["epoch", "evaluation"])
@pytest.mark.parametrize("lr", [1e5, 1e30])
def test_a_huge_learning_rate_ends_the_run_with_step_and_rate_and_no_file_holds_a_nan(
    lr: float, sample_at: str, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, lr=lr, epochs=20, eval_every=1, sample_at=sample_at)  # type: ignore[arg-type]
    run = create_run(tmp_path / "run", STORY, MODEL, settings)
    assert execute(run) == "failed"
    assert f"; learning rate {lr:g}" in run.status["reason"]
    assert run.status["reason"].startswith("diverged at step ")
    plain_json(run)


def test_the_checkpoint_before_a_divergence_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", (-1.0, -1.0))  # after every record
    run = create_run(tmp_path / "run", STORY, MODEL, replace(SETTINGS, eval_every=1_000, sample_at="evaluation"))

    def poison(record: object, state: TrainingState) -> None:
        if state.step == 5:
            save = journal.save_checkpoint
            monkeypatch.setattr(journal, "save_checkpoint", lambda run, state: None)
            save(run, state)
            nn.init.constant_(state.model.head.weight, math.nan)

    assert execute(run, poison) == "failed"
    assert run.status["reason"].startswith("diverged at step 5")
    last = run.weights("last")
    assert last is not None
    model, _ = load_weights(last)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


# -------------------------------------------------------------------------------------------------- how many new tokens


@pytest.fixture(scope="module")
def model() -> GPTModel:
    torch.manual_seed(0)
    return GPTModel(MODEL).eval()


def test_no_new_token_is_fine(model: GPTModel) -> None:
    assert list(generate(model, [1], SamplingConfig(), 0)) == []


@pytest.mark.parametrize("n", [10**9, 4_097, -1])
def test_too_many_new_tokens_are_refused_at_once_with_both_figures(n: int, model: GPTModel) -> None:
    with pytest.raises(ValueError, match=f"max_new_tokens={n:,} is outside 0 to 4,096"):
        generate(model, [1], SamplingConfig(), n)


def test_whoever_stops_asking_stops_the_model_within_one_token(model: GPTModel) -> None:
    read = []
    handle = model.final_norm.register_forward_hook(lambda module, args, out: read.append(1))
    try:
        for asked, _ in enumerate(generate(model, [1], SamplingConfig(), 4_096), start=1):
            if asked == 5:
                break
    finally:
        handle.remove()
    assert len(read) == 5


# ---------------------------------------------------------------------------------------------- the same seed, the same


def test_the_same_seed_gives_the_same_tokens_twice_and_while_a_run_trains(model: GPTModel) -> None:
    config = SamplingConfig(temperature=2.0, seed=7)
    alone = [drawn.token_id for drawn in generate(model, [1, 2], config, 10)]
    beside = [drawn.token_id for drawn, _ in zip(generate(model, [1, 2], config, 10), train(begin()), strict=False)]
    assert beside == alone


def test_the_same_seed_gives_the_same_losses_twice_and_while_somebody_samples_and_after_a_resume(
    model: GPTModel, tmp_path: Path
) -> None:
    def losses(stream: Iterable[Record]) -> list[float]:
        return [record.batch_loss for record in stream if isinstance(record, StepRecord)]

    whole = losses(train(begin()))
    assert losses(train(begin())) == whole
    state = begin()
    stream = train(state)
    sampler = generate(model, [1], SamplingConfig(temperature=2.0), 4)
    first = losses(next(stream) for _ in sampler)
    save_state(tmp_path / "s.safetensors", state)
    torch.manual_seed(1)
    assert first + losses(train(load_state(tmp_path / "s.safetensors", DATA))) == whole

"""Models and runs on disk: the same bits back, going on as if nothing had happened, and damage always found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from gptcore import checkpoint, durable
from gptcore.batches import prepare
from gptcore.checkpoint import (
    CheckpointError,
    is_ours,
    load_state,
    load_weights,
    save_state,
    save_weights,
)
from gptcore.config import GPTConfig
from gptcore.library import load_model, new_model
from gptcore.model import GPTModel
from gptcore.pretrained import WeightsError, save_gpt2
from gptcore.records import StepRecord
from gptcore.tokenizer import CompactTokenizer, load_tokenizer
from gptcore.training import TrainingState, new_state, train
from tests import tiny
from tests.tiny import MODEL, STORY

SETTINGS = replace(tiny.SETTINGS, seed=5)
DATA = prepare(STORY, MODEL, SETTINGS)
WAYS = {
    "fast, AdamW": {},
    "fast, SGD": {"optimiser": "sgd"},
    "reference": {"reference": True, "compact_vocab": False},
    "schedule": {"warmup_steps": 3, "min_lr": 1e-4, "grad_clip": 0.5},
}


def begin(**changes: Any) -> TrainingState:
    return new_state(MODEL, replace(SETTINGS, **changes), DATA)


def model_and_tokenizer(config: GPTConfig = MODEL) -> tuple[GPTModel, CompactTokenizer]:
    torch.manual_seed(0)
    return GPTModel(config), CompactTokenizer(load_tokenizer(), range(100, 100 + config.vocab_size))


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------- weights to talk with


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_comes_back_bit_for_bit_with_its_shape_and_its_tokenizer(tmp_path: Path, tied: bool) -> None:
    model, tokenizer = model_and_tokenizer(replace(MODEL, tie_weights=tied, qkv_bias=tied))
    save_weights(tmp_path / "m.safetensors", model.train(), tokenizer)
    again, words = load_weights(tmp_path / "m.safetensors")
    assert again.config == model.config
    assert not again.training
    assert isinstance(words, CompactTokenizer)
    assert words.kept == tokenizer.kept
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert (again.head.weight is again.token_embedding.weight) is tied
    assert listing(tmp_path) == ["m.safetensors"]  # and no draft beside it


def test_a_model_of_the_full_vocabulary_gets_the_full_tokenizer(tmp_path: Path) -> None:
    model = GPTModel(replace(MODEL, vocab_size=50_257, emb_dim=2))
    save_weights(tmp_path / "m.safetensors", model, load_tokenizer())
    assert load_weights(tmp_path / "m.safetensors")[1] is load_tokenizer()


def test_a_tied_head_is_stored_once(tmp_path: Path) -> None:
    save_weights(tmp_path / "m.safetensors", *model_and_tokenizer(replace(MODEL, tie_weights=True)))
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        assert "head.weight" not in file.keys()  # noqa: SIM118  (not a dict)


def test_bfloat16_halves_the_file_and_comes_back_as_float32_with_three_digits(tmp_path: Path) -> None:
    model, tokenizer = model_and_tokenizer(replace(MODEL, emb_dim=128))
    save_weights(tmp_path / "full.safetensors", model, tokenizer)
    save_weights(tmp_path / "half.safetensors", model, tokenizer, dtype=torch.bfloat16)
    full, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.51 * full
    again, _ = load_weights(tmp_path / "half.safetensors")
    for name, parameter in again.named_parameters():
        assert parameter.dtype == torch.float32
        torch.testing.assert_close(parameter, model.get_parameter(name), rtol=2**-8, atol=0)


def test_the_config_can_be_read_in_the_header_by_anyone(tmp_path: Path) -> None:
    save_weights(tmp_path / "m.safetensors", *model_and_tokenizer())
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        header = file.metadata()
    assert header["format"] == "glassbox-gpt 1"
    assert json.loads(header["meta"])["model"]["emb_dim"] == 16


def test_saving_again_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model, tokenizer = model_and_tokenizer()
    save_weights(path, model, tokenizer)
    with torch.no_grad():
        model.head.weight.fill_(7.0)
    save_weights(path, model, tokenizer)
    assert bool((load_weights(path)[0].head.weight == 7.0).all())


def test_loading_weights_draws_no_random_number(tmp_path: Path) -> None:
    """Whoever loads the best weights to try them while a run goes on must not move its dropout."""
    save_weights(tmp_path / "m.safetensors", *model_and_tokenizer())
    before = torch.get_rng_state()
    load_weights(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_can_be_loaded_from_a_whole_state(tmp_path: Path) -> None:
    state = begin()
    save_state(tmp_path / "s.safetensors", state)
    model, tokenizer = load_weights(tmp_path / "s.safetensors")
    assert tokenizer.vocab_size == DATA.tokenizer.vocab_size
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


# -------------------------------------------------------------------------------------------------- going on with a run


def told(record: Any) -> Any:
    """A record without what the clock says."""
    return replace(record, seconds=0.0) if isinstance(record, StepRecord) else record


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stopped_after", [1, 3, 5, 7])
def test_a_run_that_goes_on_is_one_that_was_never_stopped(way: str, stopped_after: int, tmp_path: Path) -> None:
    """Losses, gradients, evaluations and samples, to the last bit, from within an epoch (3, 7) and between two (5)."""
    whole = [told(record) for record in train(begin(**WAYS[way]))]
    state = begin(**WAYS[way])
    stream = train(state)
    first = [told(next(stream)) for _ in range(1 + stopped_after)]
    save_state(tmp_path / "s.safetensors", state)
    torch.manual_seed(99)  # another process would stand anywhere
    again = load_state(tmp_path / "s.safetensors", DATA)
    assert (again.step, again.config) == (stopped_after, state.config)
    rest = [told(record) for record in train(again)]
    assert first + rest == whole
    assert type(again.optimiser) is type(state.optimiser)


def test_a_run_that_is_saved_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    state = begin()
    seen = []
    for record in train(state):
        seen.append(told(record))
        save_state(tmp_path / "s.safetensors", state)
    assert seen == [told(record) for record in train(begin())]


def test_a_run_that_is_done_stays_done(tmp_path: Path) -> None:
    state = begin()
    list(train(state))
    save_state(tmp_path / "s.safetensors", state)
    again = load_state(tmp_path / "s.safetensors", DATA)
    assert list(train(again)) == []
    assert again.seconds == state.seconds


def test_a_new_run_can_be_saved_before_its_first_step(tmp_path: Path) -> None:
    save_state(tmp_path / "s.safetensors", begin())
    again = load_state(tmp_path / "s.safetensors", DATA)
    assert [told(r) for r in train(again)] == [told(r) for r in train(begin())]


def test_a_run_may_go_on_with_another_end(tmp_path: Path) -> None:
    """A finished run of one epoch that gets a second has the losses of a run of two."""
    whole = [record.batch_loss for record in train(begin()) if isinstance(record, StepRecord)]
    state = begin(epochs=1)
    first = [record.batch_loss for record in train(state) if isinstance(record, StepRecord)]
    save_state(tmp_path / "s.safetensors", state)
    again = load_state(tmp_path / "s.safetensors", DATA, replace(state.config, epochs=2))
    rest = [record.batch_loss for record in train(again) if isinstance(record, StepRecord)]
    assert (first, rest) == (whole[:5], whole[5:])


def test_time_goes_on_where_it_stood(tmp_path: Path) -> None:
    state = begin()
    state.step, state.seconds = 4, 1_000.0
    save_state(tmp_path / "s.safetensors", state)
    record = next(train(load_state(tmp_path / "s.safetensors", DATA)))
    assert isinstance(record, StepRecord)
    assert 1_000.0 < record.seconds < 1_100.0


# ---------------------------------------------------------------------------------------- files that are something else


@pytest.mark.parametrize("load", [load_weights, lambda path: load_state(path, DATA)], ids=["weights", "state"])
@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"\x80\x04pickle", b"\x08\0\0\0\0\0\0\0{}      ", b"<html>" * 99])
def test_a_file_of_another_kind_is_refused_by_its_name(load: Callable[[Path], Any], raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw)
    assert not is_ours(path)
    with pytest.raises(CheckpointError, match=r"m\.safetensors (can't be read|was not written by this program)"):
        load(path)


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    assert not is_ours(tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors can't be read"):
        load_weights(tmp_path / "nothing.safetensors")


def test_somebody_elses_weights_are_told_apart_from_ours(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    assert not is_ours(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="was not written by this program"):
        load_weights(tmp_path / "a.safetensors")
    save_weights(tmp_path / "b.safetensors", *model_and_tokenizer())
    assert is_ours(tmp_path / "b.safetensors")


def test_a_run_cannot_go_on_from_weights_alone(tmp_path: Path) -> None:
    save_weights(tmp_path / "m.safetensors", *model_and_tokenizer())
    with pytest.raises(CheckpointError, match=r"m\.safetensors holds weights alone; a run can't go on from it"):
        load_state(tmp_path / "m.safetensors", DATA)


# --------------------------------------------------------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's state in the middle of an epoch."""
    path = tmp_path_factory.mktemp("saved") / "s.safetensors"
    state = begin()
    stream = train(state)
    for _ in range(4):
        next(stream)
    save_state(path, state)
    return path


def header_length(raw: bytes) -> int:
    return 8 + int.from_bytes(raw[:8], "little")


def assert_refused_or_unharmed(raw: bytes, saved: Path) -> None:
    path = saved.with_name("damaged.safetensors")
    path.write_bytes(raw)
    whole = load_state(saved, DATA)
    try:
        found = load_state(path, DATA)
    except CheckpointError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  (a flip may also do no harm)
        return
    assert (found.step, found.seconds, found.config) == (whole.step, whole.seconds, whole.config)
    assert found.model.config == whole.model.config
    assert all(torch.equal(t, found.model.state_dict()[name]) for name, t in whole.model.state_dict().items())


FEW = settings(max_examples=50, phases=[Phase.generate], report_multiple_bugs=False)


@FEW
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_among_the_numbers_is_always_found(saved: Path, where: float, bit: int) -> None:
    raw = bytearray(saved.read_bytes())
    start = header_length(raw)
    raw[start + int(where * (len(raw) - start))] ^= 1 << bit
    path = saved.with_name("flipped.safetensors")
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match="is damaged: its numbers don't match their hash"):
        load_state(path, DATA)


@settings(FEW, max_examples=100)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_header_is_found_or_does_no_harm(saved: Path, where: float, bit: int) -> None:
    raw = bytearray(saved.read_bytes())
    raw[int(where * header_length(raw))] ^= 1 << bit
    assert_refused_or_unharmed(bytes(raw), saved)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b'step\\": 3', b'step\\": 2'),
        (b'lr\\": 0.01', b'lr\\": 0.09'),
        (b'step\\": 3', b'stop\\": 3'),
        (b'n_layers\\": 1', b'n_layers\\": 2'),
    ],
    ids=["another step", "another rate", "no step", "another shape"],
)
def test_a_changed_setting_in_the_header_is_found(there: bytes, instead: bytes, saved: Path) -> None:
    raw = saved.read_bytes()
    assert raw.count(there) == 1
    path = saved.with_name("changed.safetensors")
    path.write_bytes(raw.replace(there, instead))
    with pytest.raises(CheckpointError, match=r"changed\.safetensors"):
        load_state(path, DATA)


@FEW
@given(where=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_is_found_wherever_it_was_cut(saved: Path, where: float) -> None:
    raw = saved.read_bytes()
    path = saved.with_name("cut.safetensors")
    path.write_bytes(raw[: int(where * len(raw))])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors can't be read"):
        load_state(path, DATA)


def test_bytes_after_the_end_are_found(saved: Path) -> None:
    path = saved.with_name("longer.safetensors")
    path.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match=r"longer\.safetensors can't be read"):
        load_state(path, DATA)


# -------------------------------------------------------------------------------------------------- interrupted writing


@pytest.mark.parametrize("fails_at", ["checkpoint.save_file", "durable.fsync"])
def test_a_save_that_fails_leaves_the_former_file_and_no_draft(
    fails_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    save_weights(path, *model_and_tokenizer())
    before = path.read_bytes()

    def disk_full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"gptcore.{fails_at}", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(path, *model_and_tokenizer(replace(MODEL, n_layers=2)))
    assert path.read_bytes() == before
    assert listing(tmp_path) == ["m.safetensors"]


def test_a_file_is_on_the_disk_before_it_gets_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write, flush the file, rename, flush the folder: in this order a power cut loses nothing."""
    seen: list[tuple[str, bool]] = []
    path = tmp_path / "m.safetensors"
    flush = durable.fsync

    def spy(flushed: Path) -> None:
        seen.append(("folder" if flushed.is_dir() else "draft", path.exists()))
        flush(flushed)

    monkeypatch.setattr(durable, "fsync", spy)
    save_weights(path, *model_and_tokenizer())
    assert seen == [("draft", False), ("folder", True)]


# ------------------------------------------------------------------------------------------------ any model, one loader


def test_the_library_loads_ours_and_gpt2s_alike(tmp_path: Path) -> None:
    tokenizer = load_tokenizer()
    model = new_model(replace(MODEL, qkv_bias=True, vocab_size=tokenizer.vocab_size), 1)
    save_weights(tmp_path / "ours.safetensors", model, tokenizer)
    save_gpt2(model, tmp_path / "theirs")
    ids = torch.tensor([[1, 2, 3]])
    ours, words = load_model(tmp_path / "ours.safetensors")
    theirs, full = load_model(tmp_path / "theirs")
    torch.testing.assert_close(ours(ids), theirs(ids))
    assert words is full is tokenizer


def test_gpt2_weights_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    save_gpt2(new_model(replace(MODEL, qkv_bias=True, vocab_size=101), 1), tmp_path / "theirs")
    with pytest.raises(WeightsError, match=r"theirs knows 101 tokens, GPT-2's vocabulary has 50,257"):
        load_model(tmp_path / "theirs")


def test_the_library_says_that_a_path_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere does not exist: there are no weights to load"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "meta",
    [
        "{}",
        "[]",
        "nothing",
        '{"model": {}, "vocabulary": null}',
        '{"model": {"emb_dim": 65536, "n_layers": 1000}, "vocabulary": null}',
        '{"model": {"emb_dim": 4, "n_heads": 2}, "vocabulary": [-1]}',
        '{"model": 3, "vocabulary": null}',
    ],
)
def test_a_file_that_lies_about_its_model_is_refused_before_a_model_is_built(
    tmp_path: Path, meta: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"token_embedding.weight": torch.zeros(4, 4)}
    header = {"format": checkpoint.FORMAT, "sha256": checkpoint._digest(tensors, meta), "meta": meta}
    save_file(tensors, tmp_path / "liar.safetensors", metadata=header)
    monkeypatch.setattr(checkpoint, "GPTModel", None)
    with pytest.raises(CheckpointError, match=r"liar\.safetensors (does not describe its model|is damaged)"):
        load_weights(tmp_path / "liar.safetensors")

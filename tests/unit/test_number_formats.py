"""GPT-2 in bfloat16, the sum before loading, and a tick for each tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gptcore import footprint
from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.footprint import check_fits
from gptcore.gpt2_names import mapping_rows
from gptcore.library import bytes_held, new_model
from gptcore.pretrained import Placed, WeightsError, load_gpt2, save_gpt2, shape_of, to_gpt2

TINY = GPTConfig(
    vocab_size=9_000, context_length=16, emb_dim=64, n_heads=1, n_layers=2, drop_rate=0.0, qkv_bias=True,
    tie_weights=True,
)  # fmt: skip
IDS = torch.tensor([[1, 2, 3, 8_999]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_gpt2(new_model(TINY, 0), tmp_path).parent


def test_bfloat16_holds_half_and_speaks_in_float32(folder: Path) -> None:
    whole, half = load_gpt2(folder), load_gpt2(folder, precision="bfloat16")
    assert bytes_held(half) * 2 == bytes_held(whole)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    for name, tensor in whole.state_dict().items():
        assert torch.equal(half.state_dict()[name], tensor.bfloat16()), name
    with torch.inference_mode():
        assert half(IDS).dtype == torch.float32
        torch.testing.assert_close(half(IDS), whole(IDS), atol=0.05, rtol=0)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read_in_pieces_as_the_library_would(tmp_path: Path, stored: torch.dtype) -> None:
    tensors = {name: tensor.to(stored) for name, tensor in to_gpt2(new_model(TINY, 0)).items()}
    save_file(tensors, tmp_path / "model.safetensors")
    model = load_gpt2(tmp_path)
    assert torch.equal(model.token_embedding.weight, tensors["wte.weight"].float())
    assert torch.equal(model.blocks[1].attention.qkv.weight, tensors["h.1.attn.c_attn.weight"].float().T)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused_in_bfloat16_too(tmp_path: Path, value: float) -> None:
    tensors = to_gpt2(new_model(TINY, 0))
    tensors["wte.weight"] = tensors["wte.weight"].clone()
    tensors["wte.weight"][8_888, 3] = value
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"NaN or infinite values: wte\.weight"):
        load_gpt2(tmp_path, precision="bfloat16")


@pytest.mark.parametrize(("precision", "mapped"), [("float32", True), ("bfloat16", False)])
def test_each_tensor_is_told_once_in_the_order_of_the_table(folder: Path, precision: str, mapped: bool) -> None:
    placed: list[Placed] = []
    load_gpt2(folder, precision=precision, watch=placed.append)  # type: ignore[arg-type]
    table = mapping_rows(TINY)
    assert [each.gpt2_name for each in placed] == table["gpt2_name"].tolist()
    assert [each.our_name for each in placed] == table["our_name"].tolist()
    assert [each.transposed for each in placed] == table["transposed"].tolist()
    assert {each.mapped for each in placed} == {mapped}
    assert [each.seconds for each in placed] == sorted(each.seconds for each in placed)


def test_a_model_that_cannot_fit_is_refused_with_the_sum_before_a_number_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "spare_memory", lambda: 1_000_000)
    with pytest.raises(
        WeightsError, match=r"in float32 needs \d+ MiB \(\d+ of weights, \d+ to compute with\) and 0 MiB"
    ):
        load_gpt2(folder)
    assert shape_of(folder) == TINY


def test_a_refusal_names_what_would_fit() -> None:
    xl = MODEL_PRESETS["gpt2-xl"]
    with pytest.raises(WeightsError, match=r"this one in bfloat16 \(3,"):
        check_fits(xl, "float32", "GPT-2 XL", spare=4 * 2**30)
    with pytest.raises(WeightsError, match="GPT-2 medium in bfloat16, GPT-2 small in float32"):
        check_fits(xl, "bfloat16", "GPT-2 XL", spare=2**30)
    with pytest.raises(WeightsError, match="would fit: the bundled model"):
        check_fits(replace(xl), "bfloat16", "GPT-2 XL", spare=2**20)

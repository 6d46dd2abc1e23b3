"""Weights from strangers: each bad file is refused in one line that says why, before memory is spent.

A row of FAULTS.md, "Weights", is a test here. The files are crafted byte by byte, a few kilobytes each.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gptcore import pretrained
from gptcore.config import GPTConfig
from gptcore.model import GPTModel
from gptcore.pretrained import WeightsError, load_gpt2, to_gpt2
from gptcore.safetensors_file import MAX_HEADER_BYTES, MAX_TENSORS, read_header

CONFIG = GPTConfig(
    vocab_size=11, context_length=6, emb_dim=4, n_heads=2, n_layers=2, drop_rate=0.0, qkv_bias=True, tie_weights=True
)
NAMES = {torch.float32: "F32", torch.float16: "F16", torch.int8: "I8", torch.float64: "F64"}


@pytest.fixture(scope="module")
def good() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return to_gpt2(GPTModel(CONFIG))


def layout(tensors: dict[str, Tensor]) -> tuple[dict[str, Any], bytes]:
    """The header and the data that a safetensors file of these tensors has."""
    header: dict[str, Any] = {}
    data = b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        data += raw
    return header, data


def write(folder: Path, header: object, data: bytes, padding: int = 0) -> Path:
    """A file of these parts, right or wrong; a header in bytes is taken as it is."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw += b" " * padding
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return file


def refusal(file: Path, n_heads: int | None = 2) -> WeightsError:
    """The error of a file that must be refused; it is one line of at most 1,500 characters, always."""
    with pytest.raises(WeightsError) as caught:
        load_gpt2(file, n_heads)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 1_500
    return caught.value


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test in which a single number of the file is opened."""

    def never(*args: object, **kwargs: object) -> None:
        pytest.fail("the numbers were opened before all checks were done")

    monkeypatch.setattr(pretrained, "safe_open", never)
    monkeypatch.setattr(pretrained, "GPTModel", never)


def test_the_crafted_file_is_good_before_it_is_spoiled(tmp_path: Path, good: dict[str, Tensor]) -> None:
    model = load_gpt2(write(tmp_path, *layout(good)), n_heads=2)
    assert model.config == CONFIG
    assert torch.equal(model.token_embedding.weight, good["wte.weight"])


# -------------------------------------------------------------------------------------------- files of another kind


class Bomb:
    """A pickle of this runs code when it is opened: it makes a folder named after the second word."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.with_name("exploded"))))


def an_old_torch_file(path: Path) -> None:
    torch.save({"wte.weight": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)


def a_torch_file(path: Path) -> None:
    torch.save({"wte.weight": torch.zeros(3)}, path)


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.safetensors", b"")


def an_empty_zip(path: Path) -> None:
    zipfile.ZipFile(path, "w").close()


def bytes_of(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


OTHER_KINDS = {
    "pickle": (a_pickle, "is a pickle"),
    "old torch file": (an_old_torch_file, "is a pickle"),
    "torch file": (a_torch_file, "is a zip archive"),
    "zip": (a_zip, "is a zip archive"),
    "empty zip": (an_empty_zip, "is a zip archive"),
    "gguf": (bytes_of(b"GGUF\x03\0\0\0" + bytes(100)), "is a GGUF file"),
    "web page": (bytes_of(b"<!DOCTYPE html><title>404</title>"), "is a web page"),
    "web page after a mark": (bytes_of(b"\xef\xbb\xbf\r\n  <html>502 Bad Gateway</html>"), "is a web page"),
    "lfs pointer": (bytes_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:16\n"), "is a git-lfs pointer"),
    "hdf5": (bytes_of(b"\x89HDF\r\n\x1a\n" + bytes(100)), "is an HDF5 file"),
    "gzip": (bytes_of(gzip.compress(b"weights" * 20)), "is a gzip archive"),
    "png": (bytes_of(b"\x89PNG\r\n\x1a\n" + bytes(100)), "is not a safetensors file"),
    "json": (bytes_of(b'{"error": "Repository not found"}'), "is not a safetensors file"),
    "text": (bytes_of(b"Every effort moves you" * 9), "is not a safetensors file"),
    "zeros": (bytes_of(bytes(100)), "is not a safetensors file"),
}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "gpt2.pt", "model.safetensors"])
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_file_of_another_kind_is_refused_by_its_first_bytes(tmp_path: Path, kind: str, name: str) -> None:
    make, reason = OTHER_KINDS[kind]
    make(tmp_path / name)
    message = str(refusal(tmp_path / name))
    assert reason in message
    assert "convert it to safetensors" in message
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<Q", 2)])
def test_a_file_too_short_to_be_anything_is_refused_with_its_size(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert f"it holds only {len(content)} bytes" in str(refusal(tmp_path))


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path: Path, good: dict[str, Tensor]) -> None:
    """0x..80 as a length is as good as any: one file in 32 begins so."""
    header, data = layout(good)
    length = len(json.dumps(header))
    padding = (0x280 - length) % 0x100
    file = write(tmp_path, header, data, padding)
    assert file.read_bytes()[0] == 0x80
    assert load_gpt2(file, n_heads=2).config == CONFIG


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "there is no file" in str(refusal(tmp_path))  # a folder without model.safetensors
    assert "there is no file" in str(refusal(tmp_path / "nowhere.safetensors"))
    os.mkfifo(tmp_path / "pipe.safetensors")  # opening it would wait for ever
    assert "there is no file" in str(refusal(tmp_path / "pipe.safetensors"))


# ------------------------------------------------------------------------------------------------ damaged headers


@pytest.mark.usefixtures("nothing_is_read")
class TestHeader:
    def test_a_header_over_one_megabyte_is_refused(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        file = write(tmp_path, *layout(good), padding=MAX_HEADER_BYTES)
        assert "at most 1,000,000 are read" in str(refusal(file))

    def test_more_than_five_thousand_tensors_are_refused(self, tmp_path: Path) -> None:
        entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        file = write(tmp_path, {f"x{n}": entry for n in range(MAX_TENSORS + 1)}, b"")
        assert "has 5,001 tensors; at most 5,000 are read" in str(refusal(file))

    def test_a_name_given_twice_is_refused(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        header, data = layout(good)
        raw = json.dumps(header).encode()
        again = json.dumps(header["wte.weight"]).encode()
        file = write(tmp_path, b'{"wte.weight": ' + again + b", " + raw[1:], data)
        assert "names wte.weight twice" in str(refusal(file))

    def test_a_hole_between_tensors_is_refused(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        header, data = layout(good)
        last = header["ln_f.bias"]["data_offsets"]
        header["ln_f.bias"]["data_offsets"] = [last[0] + 4, last[1] + 4]
        assert "a hole of 4 bytes before ln_f.bias" in str(refusal(write(tmp_path, header, data + bytes(4))))

    def test_overlapping_tensors_are_refused(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        header, data = layout(good)
        header["ln_f.bias"]["data_offsets"] = header["ln_f.weight"]["data_offsets"]
        assert "overlaps another tensor by 16 bytes" in str(refusal(write(tmp_path, header, data[:-16])))

    @pytest.mark.parametrize("lost", [1, 500])
    def test_a_download_cut_short_is_refused(self, tmp_path: Path, good: dict[str, Tensor], lost: int) -> None:
        header, data = layout(good)
        message = str(refusal(write(tmp_path, header, data[:-lost])))
        assert f"is cut short: {lost} of its {len(data):,} bytes are missing" in message

    def test_a_download_cut_within_its_header_is_refused(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        file = write(tmp_path, *layout(good))
        file.write_bytes(file.read_bytes()[:200])
        assert "is cut short: 200 bytes" in str(refusal(file))

    def test_trailing_bytes_are_refused(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        header, data = layout(good)
        assert "3 trailing bytes" in str(refusal(write(tmp_path, header, data + b"abc")))

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            ({"dtype": "F7", "shape": [1], "data_offsets": [0, 4]}, "the unknown dtype F7"),
            ({"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}, "the unknown dtype"),
            ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "needs 8 bytes and claims 4"),
            ({"dtype": "F32", "shape": [2**52, 2**52], "data_offsets": [0, 4]}, "and claims 4"),
            ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "the shape of x is [-1]"),
            ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "the shape of x is [True]"),
            ({"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}, "the shape of x is [1.0]"),
            ({"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]}, "the shape of x is"),
            ({"dtype": "F32", "shape": None, "data_offsets": [0, 4]}, "the shape of x is None"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "claims -4"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "the data_offsets of x"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [0]}, "the data_offsets of x"),
            ({"dtype": "F32", "shape": [1]}, "x needs exactly dtype, shape and data_offsets"),
            ([1, 2], "x needs exactly dtype, shape and data_offsets"),
        ],
    )
    def test_an_entry_that_contradicts_itself_is_refused(self, tmp_path: Path, entry: object, reason: str) -> None:
        assert reason in str(refusal(write(tmp_path, {"x": entry}, bytes(4))))

    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            (b"{} {}", "not readable JSON"),
            (b'{"x": \xff}', "not readable JSON"),
            (b'{"x": ' + b"[" * 100_000, "not readable JSON"),
            (b'{"x": ' + b"9" * 10_000 + b"}", "not readable JSON"),
            (b'{"__metadata__": {"format": 1}}', "its metadata must hold text only"),
            (b'{"__metadata__": []}', "its metadata must hold text only"),
            (b"[1, 2, 3]", "its header is not a JSON object"),
        ],
    )
    def test_a_header_that_is_no_proper_json_is_refused(self, tmp_path: Path, header: bytes, reason: str) -> None:
        assert reason in str(refusal(write(tmp_path, header, b"")))


@given(place=st.integers(0, 3_000), value=st.integers(0, 255), lost=st.sampled_from([0, 0, 1, 100]))
def test_no_flipped_byte_gets_past_without_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, good: dict[str, Tensor], place: int, value: int, lost: int
) -> None:
    file = write(tmp_path_factory.getbasetemp(), *layout(good))
    content = bytearray(file.read_bytes())
    content[place] = value
    file.write_bytes(content[: len(content) - lost])
    try:
        broken = [name for name, tensor in load_gpt2(file, n_heads=2).named_parameters() if not tensor.isfinite().all()]
        message = ""
    except WeightsError as error:
        broken, message = [], str(error)
    assert broken == []
    assert message.isprintable()
    assert message or not lost


# ---------------------------------------------------------------------------------------- names, shapes and formats


@pytest.mark.usefixtures("nothing_is_read")
class TestNames:
    def test_all_that_does_not_fit_is_listed_at_once(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        tensors = dict(good)
        del tensors["ln_f.bias"], tensors["h.1.mlp.c_fc.weight"]
        tensors["h.0.attn.c_attn.weight"] = good["h.0.attn.c_attn.weight"].T  # as nn.Linear would keep it
        tensors["h.0.attn.q.weight"] = torch.zeros(4, 4)
        error = refusal(write(tmp_path, *layout(tensors)))
        assert error.missing == ["h.1.mlp.c_fc.weight", "ln_f.bias"]
        assert error.unexpected == ["h.0.attn.q.weight"]
        assert error.misshaped == ["h.0.attn.c_attn.weight"]
        assert "2 missing, 1 unexpected, 1 mis-shaped" in str(error)
        assert "h.0.attn.c_attn.weight [12, 4] instead of [4, 12]" in str(error)

    @pytest.mark.parametrize("odd", ["wte.weight", "wpe.weight", "h.0.ln_1.bias", "h.1.mlp.c_proj.weight"])
    def test_one_odd_tensor_does_not_put_the_others_in_the_wrong(
        self, tmp_path: Path, good: dict[str, Tensor], odd: str
    ) -> None:
        wider = torch.cat([good[odd], good[odd]], dim=-1)
        error = refusal(write(tmp_path, *layout(good | {odd: wider})))
        assert (error.missing, error.unexpected, error.misshaped) == ([], [], [odd])

    def test_a_tensor_with_a_dimension_too_few_is_mis_shaped(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        error = refusal(write(tmp_path, *layout(good | {"wte.weight": good["wte.weight"].flatten()})))
        assert error.misshaped == ["wte.weight"]
        assert "wte.weight [44] instead of V C" in str(error)

    def test_names_of_a_prefixed_file_are_reported_as_they_stand_there(
        self, tmp_path: Path, good: dict[str, Tensor]
    ) -> None:
        tensors = {f"transformer.{name}": tensor for name, tensor in good.items() if name != "wpe.weight"}
        error = refusal(write(tmp_path, *layout(tensors | {"wpe.weight": good["wpe.weight"]})))
        assert error.missing == ["transformer.wpe.weight"]
        assert error.unexpected == ["wpe.weight"]

    def test_a_missing_block_is_missed_by_name(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        error = refusal(write(tmp_path, *layout({n: t for n, t in good.items() if not n.startswith("h.0.")})))
        assert len(error.missing) == 12
        assert all(name.startswith("h.0.") for name in error.missing)

    def test_a_file_of_another_model_is_refused(self, tmp_path: Path) -> None:
        error = refusal(write(tmp_path, *layout({"model.layers.0.mlp.up_proj.weight": torch.zeros(2, 2)})))
        assert error.unexpected == ["model.layers.0.mlp.up_proj.weight"]
        assert len(error.missing) == 16

    def test_a_file_without_tensors_is_refused(self, tmp_path: Path) -> None:
        assert len(refusal(write(tmp_path, {}, b"")).missing) == 16

    def test_thousands_of_hostile_names_make_one_short_line_and_full_lists(
        self, tmp_path: Path, good: dict[str, Tensor]
    ) -> None:
        header, data = layout(good)
        entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        hostile = [
            "<script>alert(1)</script>",
            "a\nb",
            "\u202egpj.exe",
            "\ud800",
            "../../etc/passwd",
            "\0",
            "x" * 5_000,
        ]
        hostile += [f"h.{10**30}.ln_1.weight", "h.-1.ln_1.weight", *(f"junk{n}" for n in range(3_000))]
        error = refusal(write(tmp_path, header | dict.fromkeys(hostile, entry), data))
        assert error.unexpected == hostile
        assert "3,009 unexpected" in str(error)
        assert r"a\nb" in str(error)
        assert r"\u202egpj.exe" in str(error)
        assert "x" * 79 + "…" in str(error)
        assert "x" * 80 not in str(error)
        assert "junk0" in str(error)
        assert "junk1" not in str(error)
        assert "and 2,999 more" in str(error)

    def test_the_counts_survive_when_the_lists_must_be_cut(self, tmp_path: Path) -> None:
        entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        error = refusal(write(tmp_path, {f"h.99.{'y' * 100}{n}": entry for n in range(20)}, b""))
        assert "1,204 missing, 20 unexpected, 0 mis-shaped" in str(error)
        assert len(error.missing) == 100 * 12 + 4

    @pytest.mark.parametrize("dtype", [torch.float64, torch.int8])
    def test_a_number_format_that_gpt2_never_had_is_refused(
        self, tmp_path: Path, good: dict[str, Tensor], dtype: torch.dtype
    ) -> None:
        tensors = good | {"ln_f.bias": good["ln_f.bias"].to(dtype)}
        message = str(refusal(write(tmp_path, *layout(tensors))))
        assert f"1 tensors that are not F32, F16, BF16: ln_f.bias ({NAMES[dtype]})" in message

    def test_heads_that_do_not_divide_the_width_are_refused_with_both(
        self, tmp_path: Path, good: dict[str, Tensor]
    ) -> None:
        file = write(tmp_path, *layout(good))
        assert "emb_dim=4 is not divisible by n_heads=3" in str(refusal(file, n_heads=3))
        assert "n_heads=0 is outside" in str(refusal(file, n_heads=0))
        assert "is 4 wide, no multiple of 64: give n_heads" in str(refusal(file, n_heads=None))

    def test_a_vocabulary_of_nothing_is_refused(self, tmp_path: Path, good: dict[str, Tensor]) -> None:
        message = str(refusal(write(tmp_path, *layout(good | {"wte.weight": torch.zeros(0, 4)}))))
        assert "vocab_size=0 is outside" in message

    @pytest.mark.parametrize(
        ("config", "reason"),
        [
            ('{"n_head": 3}', "emb_dim=4 is not divisible by n_heads=3"),
            ('{"n_head": "2"}', "n_heads='2' is not a whole number"),
            ('{"n_head": 2, "n_layer": 12}', "config.json says n_layer=12, but model.safetensors has 2"),
            ('{"n_head": 2, "model_type": "llama"}', "config.json says model_type='llama'"),
            ('{"n_head": 2, "activation_function": "gelu"}', "config.json says activation_function='gelu'"),
            ('{"n_head": 2, "layer_norm_epsilon": 0.1}', "config.json says layer_norm_epsilon=0.1"),
            ('{"n_head": 2, "resid_pdrop": NaN}', "drop_rate=nan is not a finite number"),
            ('{"n_head": 2, "n_head": 4}', "config.json beside model.safetensors names n_head twice"),
            ("[]", "it is not a JSON object"),
            ("<html>", "it is not readable JSON"),
            ("[" * 100_000, "it is not readable JSON"),
        ],
    )
    def test_a_config_json_that_contradicts_the_file_or_our_model_is_refused(
        self, tmp_path: Path, good: dict[str, Tensor], config: str, reason: str
    ) -> None:
        file = write(tmp_path, *layout(good))
        file.with_name("config.json").write_text(config)
        assert reason in str(refusal(file, n_heads=None))


# ------------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_value_that_is_not_finite_is_refused_with_its_tensor(
    tmp_path: Path, good: dict[str, Tensor], value: float, dtype: torch.dtype
) -> None:
    broken = good["h.1.mlp.c_fc.weight"].clone()
    broken[3, 15] = value
    tensors = {name: tensor.to(dtype) for name, tensor in (good | {"h.1.mlp.c_fc.weight": broken}).items()}
    message = str(refusal(write(tmp_path, *layout(tensors))))
    assert "1 tensors hold NaN or infinite values: h.1.mlp.c_fc.weight" in message


def test_opposite_infinities_do_not_cancel_out(tmp_path: Path, good: dict[str, Tensor]) -> None:
    broken = torch.tensor([torch.inf, -torch.inf, 0.0, 0.0])
    assert "ln_f.bias" in str(refusal(write(tmp_path, *layout(good | {"ln_f.bias": broken}))))


def test_huge_values_whose_sum_overflows_are_still_finite(tmp_path: Path, good: dict[str, Tensor]) -> None:
    huge = torch.full((4,), torch.finfo(torch.float32).max)
    model = load_gpt2(write(tmp_path, *layout(good | {"ln_f.bias": huge})), n_heads=2)
    assert torch.equal(model.final_norm.bias, huge)


def test_a_file_that_changes_after_its_header_was_checked_is_refused(
    tmp_path: Path, good: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, *layout(good))

    def read_and_spoil(path: Path) -> object:
        header = read_header(path)
        path.write_bytes(b"gone")
        return header

    monkeypatch.setattr(pretrained, "read_header", read_and_spoil)
    assert "cannot be read" in str(refusal(file))

"""GPT-2's published weights in our model, and our model under GPT-2's names.

How to read it: ``GPT2_NAMES`` (in ``gpt2_names``) says which of their tensors is which of ours. ``load_gpt2`` holds
a file to that table, builds a model that has shapes but no memory, and puts the file's own numbers in their
places. ``to_gpt2`` and ``save_gpt2`` go the way back.

What is left out: the file format (``safetensors_file``), downloads (``hub``), our own checkpoints (``checkpoint``).
Nothing here opens a pickle, which can run code. The weights: Radford et al. 2019; Raschka, section 5.5.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gptcore.config import GPTConfig, Precision
from gptcore.footprint import check_fits
from gptcore.gpt2_names import GPT2_NAMES, HEAD, check_names, mapping_rows, prefix_of, rows, sizes_of
from gptcore.model import GPTModel, LayerNorm
from gptcore.number_formats import FORMATS, PRECISIONS, all_finite, converted
from gptcore.safetensors_file import MAX_HEADER_BYTES, Header, WeightsError, listed, parse_json, read_header, shown

__all__ = ["GPT2_NAMES", "Placed", "WeightsError", "load_gpt2", "mapping_rows", "save_gpt2", "to_gpt2"]

WEIGHTS_FILE = "model.safetensors"  # what both libraries look for in a folder
CONFIG_FILE = "config.json"
HEAD_DIM = 64  # the width of a head in all four sizes of GPT-2
END_OF_TEXT = 50_256

# What a config.json may say besides the sizes. Anything else is a model that ours would get wrong without a word.
CONFIG_SIZES = {"vocab_size": "V", "n_positions": "T", "n_embd": "C", "n_layer": "L"}
CONFIG_FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "layer_norm_epsilon": (LayerNorm.eps,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}


@dataclass(frozen=True, slots=True)
class Placed:
    """One tensor that has found its place.

    Attributes:
        gpt2_name: As it stands in the file.
        our_name: Where it went.
        transposed: Whether it was turned on the way.
        mapped: Whether its numbers are the file's own pages; others were read and converted.
        seconds: Since the file was opened.
    """

    gpt2_name: str
    our_name: str
    transposed: bool
    mapped: bool
    seconds: float


Watch = Callable[[Placed], object]


def load_gpt2(
    path: str | os.PathLike[str],
    n_heads: int | None = None,
    precision: Precision = "float32",
    watch: Watch | None = None,
) -> GPTModel:
    """GPT-2's weights as a ``GPTModel`` in eval mode, for any size of GPT-2.

    All is checked before memory is spent. Weights that the file holds in the wanted precision are then not copied: the
    model's numbers are the file's own pages, mapped into memory, and training writes to private copies of them. So the
    file may be deleted or replaced by a rename while the model lives, but must not be written to in place. Others are
    converted on the way, a MiB at a time.

    Args:
        path: A safetensors file, with a config.json beside it or without; or a folder with model.safetensors.
        n_heads: Attention heads, which no tensor shows. Without it config.json decides, and then C / 64.
        precision: "float32", or "bfloat16" for half the memory; the scores then leave the head in float32 all the same.
        watch: Told of each tensor once it has been placed.

    Returns:
        The model; its head is tied if the file has no lm_head.weight of its own.

    Raises:
        WeightsError: The file is of another kind, damaged, not a GPT-2, or too large; the message says which.
    """
    file, header, prefix, config = _checked(path, n_heads)
    check_fits(config, precision, shown(file.name))
    weights = _read(file, header, prefix, config, PRECISIONS[precision], watch)
    if not config.tie_weights and torch.equal(weights["head.weight"], weights["token_embedding.weight"]):
        config = replace(config, tie_weights=True)
    return _assemble(config, weights).eval()


def shape_of(path: str | os.PathLike[str], n_heads: int | None = None) -> GPTConfig:
    """The shape of the model in these weights, after all checks that need no number.

    Args and errors are those of ``load_gpt2``.
    """
    return _checked(path, n_heads)[-1]


def _checked(path: str | os.PathLike[str], n_heads: int | None) -> tuple[Path, Header, str, GPTConfig]:
    """The file, its header, what stands before its names, and its shape; all but the numbers has been checked."""
    file = Path(path)
    file = file / WEIGHTS_FILE if file.is_dir() else file
    header = read_header(file)
    prefix = prefix_of(header.tensors)
    sizes = sizes_of(header.tensors, prefix)
    check_names(shown(file.name), header.tensors, prefix, sizes)
    return file, header, prefix, _config(file, sizes, n_heads, tie_weights=HEAD not in header.tensors)


def _config(file: Path, sizes: Mapping[str, int], n_heads: int | None, tie_weights: bool) -> GPTConfig:
    """The config: sizes from the tensors, the heads from the caller, config.json or GPT-2's habit of C / 64."""
    beside = _config_beside(file, sizes)
    if n_heads is None:
        n_heads = beside.get("n_head")
    if n_heads is None and sizes["C"] % HEAD_DIM:
        raise WeightsError(f"{shown(file.name)} is {sizes['C']:,} wide, no multiple of {HEAD_DIM}: give n_heads")
    try:
        return GPTConfig(
            vocab_size=sizes["V"],
            context_length=sizes["T"],
            emb_dim=sizes["C"],
            n_heads=sizes["C"] // HEAD_DIM if n_heads is None else n_heads,
            n_layers=sizes["L"],
            drop_rate=beside.get("resid_pdrop", 0.0),
            qkv_bias=True,
            tie_weights=tie_weights,
        )
    except ValueError as error:
        raise WeightsError(f"{shown(file.name)}: {error}") from error


def _config_beside(file: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The config.json in the file's folder, or nothing; refused where the file or our model contradicts it."""
    path = file.with_name(CONFIG_FILE)
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as opened:
            said = parse_json(opened.read(MAX_HEADER_BYTES), "it")
    except (OSError, WeightsError) as error:
        raise WeightsError(f"{CONFIG_FILE} beside {shown(file.name)} {error}") from error
    for name, letter in CONFIG_SIZES.items():
        if said.get(name, sizes[letter]) != sizes[letter]:
            raise WeightsError(
                f"{CONFIG_FILE} says {name}={shown(repr(said[name]))}, but {shown(file.name)} has {sizes[letter]:,}"
            )
    for name, accepted in CONFIG_FIXED.items():
        if name in said and said[name] not in accepted:
            choices = " or ".join(repr(value) for value in accepted)
            raise WeightsError(f"{CONFIG_FILE} says {name}={shown(repr(said[name]))}; GPT-2 as published has {choices}")
    return said


def _read(
    file: Path, header: Header, prefix: str, config: GPTConfig, precision: torch.dtype, watch: Watch | None
) -> dict[str, Tensor]:
    """The tensors under our names, each a view of the mapped file where it has the wanted precision there."""
    weights: dict[str, Tensor] = {}
    broken = []
    began = time.perf_counter()
    try:
        with safe_open(file, framework="pt") as mapped, file.open("rb") as read:
            for name, our_name, row in rows(config.n_layers, prefix):
                if name == HEAD and config.tie_weights:
                    continue
                entry = header.tensors[name]
                as_it_is = FORMATS[entry.dtype] == precision
                tensor = mapped.get_tensor(name) if as_it_is else converted(read, header.begin, entry, precision)
                if not all_finite(tensor):
                    broken.append(name)
                weights[our_name] = tensor.T if row.transposed else tensor
                if watch is not None:
                    watch(Placed(name, our_name, row.transposed, as_it_is, time.perf_counter() - began))
    except (OSError, SafetensorError) as error:  # the file has changed since its header was checked
        raise WeightsError(f"{shown(file.name)} cannot be read: {error}") from error
    if broken:
        raise WeightsError(f"{shown(file.name)}: {len(broken):,} tensors hold NaN or infinite values: {listed(broken)}")
    return weights


class _SkipInit(TorchFunctionMode):
    """Within this context nothing in ``torch.nn.init`` runs. It holds for this thread alone: others may go on."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _assemble(config: GPTConfig, weights: dict[str, Tensor]) -> GPTModel:
    """A model around tensors that exist already: no memory for a second set, no time for random numbers."""
    with torch.device("meta"), _SkipInit():  # "meta" alone still calls the init functions, at a cost of 0.8 s
        model = GPTModel(config)
    if config.tie_weights:
        weights["head.weight"] = weights["token_embedding.weight"]
    model.load_state_dict(weights, assign=True)
    if config.tie_weights:
        model.head.weight = model.token_embedding.weight  # assign=True has made two parameters of one tensor
    if model.head.weight.dtype != torch.float32:  # three digits are too few to tell 50,257 scores apart further on
        model.head.register_forward_hook(lambda _head, _given, scores: scores.float())
    return model


def to_gpt2(model: GPTModel) -> dict[str, Tensor]:
    """The model's weights under GPT-2's names and in its layout.

    Args:
        model: Any ``GPTModel``. Without a bias for queries, keys and values it gets zeros there, which change nothing.

    Returns:
        Contiguous tensors, some of them views of the model's own; no lm_head.weight where the head is tied.
    """
    ours = model.state_dict()
    tied = model.head.weight is model.token_embedding.weight
    weights = {}
    for name, our_name, row in rows(model.config.n_layers):
        if our_name in ours and not (name == HEAD and tied):
            weights[name] = (ours[our_name].T if row.transposed else ours[our_name]).contiguous()
        elif name != HEAD:
            weights[name] = ours["final_norm.bias"].new_zeros(3 * model.config.emb_dim)
    return weights


def save_gpt2(model: GPTModel, path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
    """Write the model so that ``transformers.GPT2LMHeadModel.from_pretrained(folder)`` reads it.

    Each file appears whole or not at all. A config.json already in the folder is replaced.

    Args:
        model: Any ``GPTModel``.
        path: A folder, which then holds model.safetensors and config.json; or the name of the .safetensors file.
        dtype: What the numbers are rounded to; bfloat16 halves the file. None leaves them as they are.

    Returns:
        The safetensors file.

    Raises:
        OSError: The folder cannot be written.
    """
    file = Path(path)
    file = file if file.suffix == ".safetensors" else file / WEIGHTS_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_gpt2_config(model), indent=2) + "\n"
    weights = {name: weight.to(dtype or weight.dtype) for name, weight in to_gpt2(model).items()}
    _write_whole(file, lambda part: save_file(weights, part, metadata={"format": "pt"}))
    _write_whole(file.with_name(CONFIG_FILE), lambda part: part.write_text(text, encoding="utf-8"))
    return file


def _gpt2_config(model: GPTModel) -> dict[str, Any]:
    """The model's config in the words of transformers."""
    config = model.config
    end_of_text = END_OF_TEXT if config.vocab_size > END_OF_TEXT else None
    sizes = {"V": config.vocab_size, "T": config.context_length, "C": config.emb_dim, "L": config.n_layers}
    return {
        "architectures": ["GPT2LMHeadModel"],
        **{name: accepted[0] for name, accepted in CONFIG_FIXED.items()},
        **{name: sizes[letter] for name, letter in CONFIG_SIZES.items()},
        "n_head": config.n_heads,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), config.drop_rate),
        "tie_word_embeddings": model.head.weight is model.token_embedding.weight,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
    }


def _write_whole(file: Path, write: Callable[[Path], Any]) -> None:
    """Write under another name, and rename once all of it is on the disk."""
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        write(part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)

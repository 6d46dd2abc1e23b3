"""Our models on disk: weights to talk with, and whole runs to go on with.

Files are safetensors: a header in JSON and plain numbers, so that loading one can never run someone's code. The
configuration travels in the header, with a hash of the numbers. A file appears under its name only when it is whole:
it is written beside, flushed to the disk, and renamed.

How to read it: ``save_weights`` and ``load_weights`` first; the two for a run's state add the optimiser's memory, the
random state and the place in the epoch, which is all it takes to go on as if nothing had happened.

What is left out: GPT-2's own files (``pretrained``), and when to save (``runs``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gptcore.batches import TrainingData
from gptcore.config import GPTConfig, TrainConfig, from_json, to_json
from gptcore.durable import publish
from gptcore.model import GPTModel
from gptcore.parameters import leaves
from gptcore.tokenizer import END_OF_TEXT_ID, CompactTokenizer, Tokenizer, load_tokenizer
from gptcore.training import TrainingState, make_optimiser

FORMAT = "glassbox-gpt 1"


class CheckpointError(ValueError):
    """A file that is not a whole checkpoint of this program; the message says why."""


def _digest(tensors: Mapping[str, Tensor], meta: str) -> str:
    """SHA-256 over names, types, shapes and numbers, in the order of the names."""
    digest = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    described = json.dumps(meta)
    header = {"format": FORMAT, "sha256": _digest(tensors, described), "meta": described}
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, draft, metadata=header)
        publish(draft, path)
    except SafetensorError as error:  # its way to say that the disk is full or can't be written
        raise OSError(f"{path.name} can't be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise CheckpointError(f"{path.name} was not written by this program")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} can't be read: {error}") from error
    if _digest(tensors, header.get("meta", "")) != header.get("sha256"):
        raise CheckpointError(f"{path.name} is damaged: its numbers don't match their hash")
    try:
        return tensors, dict(json.loads(header["meta"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name} does not describe its model: {error}") from error


def is_ours(path: Path) -> bool:
    """Whether a file says that this program wrote it."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def _weights(model: GPTModel) -> dict[str, Tensor]:
    """The learned tensors by name; a tied head is the token embedding and is not stored twice."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _model_meta(model: GPTModel, tokenizer: Tokenizer) -> dict[str, Any]:
    vocabulary = list(tokenizer.kept) if isinstance(tokenizer, CompactTokenizer) else None
    return {"model": to_json(model.config), "vocabulary": vocabulary}


def _described(name: str, meta: dict[str, Any], weights: dict[str, Tensor]) -> GPTConfig:
    """The shape that a file claims, held to the tensors it brings before any memory is spent on a model."""
    try:
        config = from_json(GPTConfig, meta["model"])
        expected = {leaf.part: leaf.shape for leaf in leaves(config) if not leaf.shared}
        kept = meta["vocabulary"]
        sized = kept is None or (config.vocab_size == len(set(kept)) and min(kept) >= 0 and max(kept) <= END_OF_TEXT_ID)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{name} does not describe its model: {error}") from error
    if not sized or expected != {part: tuple(tensor.shape) for part, tensor in weights.items()}:
        raise CheckpointError(f"{name} is damaged: its tensors are not those of the model it describes")
    return config


def _build(name: str, meta: dict[str, Any], weights: dict[str, Tensor]) -> tuple[GPTModel, Tokenizer]:
    config = _described(name, meta, weights)
    full = load_tokenizer()
    tokenizer: Tokenizer = full if meta["vocabulary"] is None else CompactTokenizer(full, meta["vocabulary"])
    with torch.random.fork_rng(devices=[]):  # the weights are overwritten: their random numbers must not be missed
        model = GPTModel(config)
    if model.config.tie_weights:
        weights = weights | {"head.weight": weights["token_embedding.weight"]}
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model, tokenizer


def save_weights(path: Path, model: GPTModel, tokenizer: Tokenizer, dtype: torch.dtype = torch.float32) -> None:
    """Write a model to talk with: its weights, its shape and its vocabulary.

    Args:
        path: Where; the folder exists.
        model: Any GPT.
        tokenizer: The tokenizer it was trained with.
        dtype: bfloat16 halves the file; the weights lose all but three digits.
    """
    _save(path, {name: w.to(dtype) for name, w in _weights(model).items()}, _model_meta(model, tokenizer))


def load_weights(path: Path) -> tuple[GPTModel, Tokenizer]:
    """A model that this program wrote, in evaluation mode and float32, and its tokenizer.

    Raises:
        CheckpointError: Not a file of this program, unreadable, or damaged.
    """
    tensors, meta = _load(path)
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if not name.startswith("state.")}
    model, tokenizer = _build(path.name, meta, weights)
    return model.eval(), tokenizer


def save_state(path: Path, state: TrainingState) -> None:
    """Write everything that a run needs to go on, PyTorch's global random state included."""
    tensors = {f"model.{name}": tensor for name, tensor in _weights(state.model).items()}
    tensors["state.random"] = torch.get_rng_state()
    if state.order is not None:
        tensors["state.order"] = state.order
    for index, memory in state.optimiser.state_dict()["state"].items():
        for key, value in memory.items():
            tensors[f"state.optimiser.{index}.{key}"] = value
    meta = _model_meta(state.model, state.data.tokenizer)
    meta |= {"training": to_json(state.config), "step": state.step, "seconds": state.seconds}
    _save(path, tensors, meta)


def load_state(path: Path, data: TrainingData, config: TrainConfig | None = None) -> TrainingState:
    """A run as it was saved. Sets PyTorch's global random state.

    Args:
        path: A file of ``save_state``.
        data: The same text, prepared with the same settings.
        config: Settings to go on with, where they are to differ from the saved ones (more epochs, say).

    Raises:
        CheckpointError: Not such a file, unreadable, or damaged.
    """
    tensors, meta = _load(path)
    if "training" not in meta:
        raise CheckpointError(f"{path.name} holds weights alone; a run can't go on from it")
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    model, _ = _build(path.name, meta, weights)
    config = config or from_json(TrainConfig, meta["training"])
    optimiser = make_optimiser(model, config)
    memory: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("state.optimiser."):
            _, _, index, key = name.split(".")
            memory.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": memory, "param_groups": optimiser.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["state.random"])
    return TrainingState(model, optimiser, config, data, meta["step"], tensors.get("state.order"), meta["seconds"])

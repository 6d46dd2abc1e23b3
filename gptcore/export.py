"""Our weights for others: a folder, or one zip archive, that ``transformers`` reads as a GPT-2.

How to read it: ``export`` writes the files of ``pretrained.save_gpt2``; a model of a compact vocabulary brings a list
of its tokens along, because its token 7 is another one than GPT-2's. What is left out: a tokenizer; GPT-2's own serves.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch

from gptcore.model import GPTModel
from gptcore.pretrained import save_gpt2
from gptcore.tokenizer import CompactTokenizer, Tokenizer

TOKENS_FILE = "tokens.json"  # GPT-2's id of each of the model's own ids, where the vocabulary is compact


def export(model: GPTModel, tokenizer: Tokenizer, path: Path, dtype: torch.dtype | None = None) -> list[Path]:
    """Write a model under GPT-2's names.

    Args:
        model: Any, with a tied head or one of its own, with or without biases for queries, keys and values.
        tokenizer: Its own.
        path: A folder, or the name of the .safetensors file.
        dtype: As for ``save_gpt2``.

    Returns:
        The files: weights, config.json, and for a compact vocabulary tokens.json.

    Raises:
        OSError: The folder can't be written.
    """
    weights = save_gpt2(model, path, dtype)
    files = [weights, weights.with_name("config.json")]
    if isinstance(tokenizer, CompactTokenizer):
        files.append(weights.with_name(TOKENS_FILE))
        files[-1].write_text(json.dumps(tokenizer.kept), encoding="utf-8")
    return files


def archive(model: GPTModel, tokenizer: Tokenizer) -> BinaryIO:
    """The same files in one zip archive, not compressed: weights are noise to a packer.

    Returns:
        An open file, at its beginning, which is gone once it is closed.
    """
    packed = tempfile.TemporaryFile()  # noqa: SIM115  (whoever gets it closes it)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as into:
        for file in export(model, tokenizer, Path(folder)):
            into.write(file, file.name)
    packed.seek(0)
    return packed

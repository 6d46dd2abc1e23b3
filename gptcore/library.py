"""One way to load any model this program can talk with, wherever its weights lie.

A run's folder, a file of this program, a file or folder of GPT-2's shape: the caller need not know which.
"""

from __future__ import annotations

from pathlib import Path

import torch

from gptcore.checkpoint import is_ours, load_weights
from gptcore.config import GPTConfig, Precision
from gptcore.model import GPTModel
from gptcore.pretrained import Watch, WeightsError, load_gpt2
from gptcore.tokenizer import Tokenizer, load_tokenizer


def load_model(
    path: Path, weights: str = "best", precision: Precision = "float32", watch: Watch | None = None
) -> tuple[GPTModel, Tokenizer]:
    """A model in evaluation mode, and the tokenizer that belongs to it.

    Args:
        path: A run's folder, a weights file of this program, or GPT-2 weights (file or folder).
        weights: For a run's folder, the "best" weights by validation loss or the "last"; the other ones serve where
            these are missing.
        precision: For GPT-2 weights, the number format in which they are kept.
        watch: For GPT-2 weights, told of each tensor that has found its place.

    Raises:
        ValueError: Nothing there that can be loaded; the message says why.
    """
    if (path / "config.json").is_file() and (path / "text.txt").is_file():
        other = "last" if weights == "best" else "best"
        found = [path / f"{which}.safetensors" for which in (weights, other)]
        path = next((file for file in found if file.is_file()), found[0])
    if not path.exists():
        raise ValueError(f"{path} does not exist: there are no weights to load")
    if path.is_file() and is_ours(path):
        return load_weights(path)
    model, tokenizer = load_gpt2(path, precision=precision, watch=watch), load_tokenizer()
    if model.config.vocab_size != tokenizer.vocab_size:
        raise WeightsError(
            f"{path.name} knows {model.config.vocab_size:,} tokens, GPT-2's vocabulary has {tokenizer.vocab_size:,}: "
            "its ids can't be told apart here"
        )
    return model, tokenizer


def new_model(config: GPTConfig, seed: int) -> GPTModel:
    """A model before its first update, in evaluation mode; PyTorch's global random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTModel(config).eval()


def bytes_held(model: GPTModel) -> int:
    """Bytes of a model's weights; a tied head counts once.

    >>> bytes_held(new_model(GPTConfig(vocab_size=5, context_length=2, emb_dim=2, n_heads=1, n_layers=1), 0))
    384
    """
    return sum(parameter.nbytes for parameter in model.parameters())


def take_one_core() -> None:
    """Have this process compute on one core from now on, in every thread that begins later.

    A small model gains nothing from two. Beside other work the second core is waited for at every line: a token then
    costs ten times as much.
    """
    torch.set_num_threads(1)

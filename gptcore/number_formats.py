"""A file's numbers in the format that a model wants them in: float32 as published, or bfloat16 in half the memory.

How to read it: ``converted`` reads one tensor piece by piece, so that the file's own format never lies in memory
whole; ``all_finite`` is the last thing that is asked of numbers from a stranger.

What is left out: numbers that are wanted as they stand in the file. Those are mapped, not read (``pretrained``).
"""

from __future__ import annotations

from math import prod
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from gptcore.config import Precision
from gptcore.safetensors_file import TensorEntry

FORMATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
PRECISIONS: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PIECE = 2**18  # numbers: a MiB of float32 stays in the processor's cache between reading, converting and checking


def converted(file: BinaryIO, begin: int, entry: TensorEntry, precision: torch.dtype) -> Tensor:
    """Read one tensor into memory of its own, in another number format.

    Args:
        file: The safetensors file.
        begin: Where its numbers begin.
        entry: The tensor's line in the header.
        precision: The format it shall have.

    Returns:
        A tensor of the entry's shape.

    Raises:
        OSError: The file ends within the tensor: it was cut while it was read.
    """
    source = FORMATS[entry.dtype]
    whole = torch.empty(prod(entry.shape), dtype=precision)
    buffer = bytearray(PIECE * source.itemsize)
    file.seek(begin + entry.start)
    for piece in torch.split(whole, PIECE):
        wanted = piece.numel() * source.itemsize
        if file.readinto(memoryview(buffer)[:wanted]) != wanted:  # type: ignore[attr-defined]  # of all binary files
            raise OSError("it ends early")
        piece.copy_(torch.frombuffer(buffer, dtype=source, count=piece.numel()))
    return whole.view(entry.shape)


def all_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite: a finite sum proves it in one reading; huge values need the long way.

    >>> all_finite(torch.tensor([1.0, 2.0])), all_finite(torch.tensor([1.0, torch.inf], dtype=torch.bfloat16))
    (True, False)
    """
    if tensor.dtype == torch.float32:
        return _piece_finite(tensor)
    return all(_piece_finite(piece.float()) for piece in torch.split(tensor.reshape(-1), PIECE))


def _piece_finite(tensor: Tensor) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        total = tensor.numpy().sum()  # NumPy: one thread, as fast as memory gives, and never waits for a busy core
    return bool(np.isfinite(total)) or bool(tensor.isfinite().all())

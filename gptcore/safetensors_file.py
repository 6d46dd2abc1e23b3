"""A safetensors file, understood from its first bytes and checked before any number in it is read.

The format, whole: 8 bytes with the length N of a header (little-endian), N bytes of JSON, then the raw numbers:

    {"wte.weight": {"dtype": "F32", "shape": [50257, 768], "data_offsets": [0, 154389504]}, ...}

How to read it: ``read_header`` is the one entrance; each function below it checks one thing. A weights file
comes from a stranger. JSON and numbers run no code, and here they are held to their word as well: every byte
of the file belongs to exactly one tensor.

What is left out: the numbers themselves (``safetensors.safe_open`` maps them into memory), and what the names
mean (``pretrained``, ``checkpoint``). The format: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MAX_HEADER_BYTES = 1_000_000  # GPT-2 XL needs 60,000
MAX_TENSORS = 5_000  # GPT-2 XL has 580
MAX_DIMENSIONS = 8
MAX_MESSAGE = 1_500  # characters of one error
MAX_NAME = 80  # characters of one name in it
NAMES_SHOWN = 10  # names of each kind in it

DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip

# What people upload instead, by the first bytes, whatever the file is called.
OTHER_KINDS = (
    (b"PK", "a zip archive, as PyTorch saves .pt and .bin files"),
    (b"\x80", "a pickle, which can run code on the machine that opens it"),
    (b"GGUF", "a GGUF file, the format of llama.cpp"),
    (b"<", "a web page, perhaps the error page of a download"),
    (b"version https://git-lfs", "a git-lfs pointer, a note of where the real file is"),
    (b"\x89HDF", "an HDF5 file, as Keras saves weights"),
    (b"\x1f\x8b", "a gzip archive"),
)


class WeightsError(ValueError):
    """Weights that cannot be used, said in one line; the full lists of names are attributes.

    Args:
        sentence: What is wrong; line breaks and unprintable characters in it are escaped.
        missing: Names that should be in the file and are not.
        unexpected: Names in the file that nothing asks for.
        misshaped: Names whose shape is another than it must be.
    """

    def __init__(
        self,
        sentence: str,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        misshaped: Sequence[str] = (),
    ) -> None:
        super().__init__(shown(sentence, MAX_MESSAGE))
        self.missing = list(missing)
        self.unexpected = list(unexpected)
        self.misshaped = list(misshaped)


def shown(text: str, limit: int = MAX_NAME) -> str:
    r"""A stranger's text, safe to print: one line, unprintable characters escaped, cut at ``limit``.

    >>> shown("wte\n.weight"), shown("x" * 100, limit=5)
    ('wte\\n.weight', 'xxxx…')
    """
    printable = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    line = "".join(printable)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def listed(names: Sequence[str]) -> str:
    """The first names of a list and how many more there are.

    >>> listed(["a", "b"])
    'a, b'
    """
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One line of the header: how to read one tensor, and which bytes behind the header are its own."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """All that a safetensors file says before its numbers begin."""

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    begin: int  # the file's first byte behind the header, from which start and end count


def read_header(path: Path, size: int | None = None) -> Header:
    """Read and check the header of a safetensors file; no number behind it is touched.

    Args:
        path: The file.
        size: How many bytes it will have, where it is still arriving; None takes those that it has.

    Returns:
        Its tensors, in the file's order, and its metadata.

    Raises:
        WeightsError: Not a readable safetensors file, or one that contradicts itself.
    """
    if not path.is_file():  # a pipe would keep us waiting
        raise WeightsError(f"there is no file {shown(str(path), 300)}")
    try:
        with path.open("rb") as file:
            return _parse(file, os.fstat(file.fileno()).st_size if size is None else size)
    except OSError as error:
        raise WeightsError(f"{shown(path.name)} cannot be read: {error.strerror}") from error
    except WeightsError as error:
        raise WeightsError(f"{shown(path.name)} {error}") from error


def _parse(file: BinaryIO, size: int) -> Header:
    first = file.read(64)
    length = int.from_bytes(first[:8], "little")
    # A true header may be 0x280 bytes long and so begin like a pickle: look for other kinds only if it is none.
    if length > MAX_HEADER_BYTES or first[8:9] != b"{":
        _refuse_other_kinds(first, length)
    if 8 + length > size:
        raise WeightsError(f"is cut short: {size:,} bytes, and its header alone needs {8 + length:,}")
    file.seek(8)
    values = parse_json(file.read(length), "the header")
    metadata = _metadata(values.pop("__metadata__", {}))
    if len(values) > MAX_TENSORS:
        raise WeightsError(f"has {len(values):,} tensors; at most {MAX_TENSORS:,} are read")
    tensors = {name: _entry(name, value) for name, value in values.items()}
    _check_every_byte(tensors, size - 8 - length)
    return Header(tensors, metadata, 8 + length)


def _refuse_other_kinds(first: bytes, length: int) -> None:
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip()  # a page may begin with a byte-order mark or blank lines
    for beginning, kind in OTHER_KINDS:
        if first.startswith(beginning) or text.startswith(beginning):
            raise WeightsError(f"is {kind}: convert it to safetensors, or download the safetensors file itself")
    if len(first) < 9:
        raise WeightsError(f"is not a safetensors file: it holds only {len(first)} bytes; download it again")
    if length > MAX_HEADER_BYTES:
        raise WeightsError(
            f"is not a safetensors file, or its header is too long: {length:,} bytes, at most "
            f"{MAX_HEADER_BYTES:,} are read; if it is of another kind, convert it to safetensors"
        )
    raise WeightsError("is not a safetensors file: its header is not a JSON object; convert it to safetensors")


def parse_json(raw: bytes, what: str) -> dict[str, Any]:
    """A JSON object from a stranger; a name given twice is refused, as one of its two values would be lost.

    Raises:
        WeightsError: Not UTF-8, not JSON, not an object, nested too deeply, or a name given twice.
    """
    try:
        values = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except WeightsError:
        raise
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"is damaged: {what} is not readable JSON ({error})") from error
    if not isinstance(values, dict):
        raise WeightsError(f"is damaged: {what} is not a JSON object")
    return values


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise WeightsError(f"names {shown(name)} twice")
        values[name] = value
    return values


def _metadata(values: Any) -> dict[str, str]:
    if not isinstance(values, dict) or not all(isinstance(text, str) for text in values.values()):
        raise WeightsError("is damaged: its metadata must hold text only")
    return values


def _entry(name: str, value: Any) -> TensorEntry:
    """One tensor's line, with the size of its numbers held against the bytes it claims."""
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"is damaged: {shown(name)} needs exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise WeightsError(f"gives {shown(name)} the unknown dtype {shown(str(dtype))}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise WeightsError(f"is damaged: the shape of {shown(name)} is {shown(str(shape))}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise WeightsError(f"is damaged: the data_offsets of {shown(name)} are {shown(str(offsets))}")
    start, end = offsets
    needed = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - start != needed:
        raise WeightsError(f"is damaged: {shown(name)} needs {needed:,} bytes and claims {end - start:,}")
    return TensorEntry(dtype, tuple(shape), start, end)


def _are_sizes(values: Any) -> bool:
    """Whether this is a list of whole numbers that a file can mean: not negative, and below 2**53."""
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**53 for n in values)


def _check_every_byte(tensors: Mapping[str, TensorEntry], size: int) -> None:
    """Hold the tensors against the ``size`` bytes behind the header: no hole, no overlap, nothing over."""
    position = 0
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start > position:
            raise WeightsError(f"is damaged: a hole of {entry.start - position:,} bytes before {shown(name)}")
        if entry.start < position:
            raise WeightsError(f"is damaged: {shown(name)} overlaps another tensor by {position - entry.start:,} bytes")
        position = entry.end
    if size < position:
        raise WeightsError(
            f"is cut short: {position - size:,} of its {position:,} bytes are missing; download it again"
        )
    if size > position:
        raise WeightsError(f"is damaged: {size - position:,} trailing bytes belong to no tensor")

"""Which of GPT-2's tensors is which of ours, and whether a file holds them all.

How to read it: ``GPT2_NAMES`` is the whole knowledge, as data; the page about GPT-2 shows the same table, written
out by ``mapping_rows``. ``sizes_of`` reads the size of a model off its tensors; ``check_names`` holds a file to it.

What is left out: the numbers. They are read and written in ``pretrained``. Nothing here needs PyTorch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gptcore.config import GPTConfig
from gptcore.safetensors_file import TensorEntry, WeightsError, listed, shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class NameRow:
    """One line of the table; ``.N.`` stands for the number of a block, a shape is in the letters of ``model``."""

    gpt2: str
    ours: str
    shape: str  # GPT-2's
    transposed: bool = False
    note: str = ""


# GPT-2 was written with "Conv1D" layers, which keep [in, out]; nn.Linear keeps [out, in]. Hence "transposed".
GPT2_NAMES = (
    NameRow("wte.weight", "token_embedding.weight", "V C", note="one row a token"),
    NameRow("wpe.weight", "position_embedding.weight", "T C", note="one row a position"),
    NameRow("h.N.ln_1.weight", "blocks.N.norm1.weight", "C"),
    NameRow("h.N.ln_1.bias", "blocks.N.norm1.bias", "C"),
    NameRow("h.N.attn.c_attn.weight", "blocks.N.attention.qkv.weight", "C 3C", True, "q, k and v joined"),
    NameRow("h.N.attn.c_attn.bias", "blocks.N.attention.qkv.bias", "3C", note="q, k and v joined"),
    NameRow("h.N.attn.c_proj.weight", "blocks.N.attention.out_proj.weight", "C C", True),
    NameRow("h.N.attn.c_proj.bias", "blocks.N.attention.out_proj.bias", "C"),
    NameRow("h.N.ln_2.weight", "blocks.N.norm2.weight", "C"),
    NameRow("h.N.ln_2.bias", "blocks.N.norm2.bias", "C"),
    NameRow("h.N.mlp.c_fc.weight", "blocks.N.feed_forward.up.weight", "C 4C", True),
    NameRow("h.N.mlp.c_fc.bias", "blocks.N.feed_forward.up.bias", "4C"),
    NameRow("h.N.mlp.c_proj.weight", "blocks.N.feed_forward.down.weight", "4C C", True),
    NameRow("h.N.mlp.c_proj.bias", "blocks.N.feed_forward.down.bias", "C"),
    NameRow("ln_f.weight", "final_norm.weight", "C"),
    NameRow("ln_f.bias", "final_norm.bias", "C"),
    NameRow("lm_head.weight", "head.weight", "V C", note="left out where the token embedding serves as the head"),
)
HEAD = "lm_head.weight"
PREFIX = "transformer."  # before every name but lm_head's where the model was saved together with its head
BLOCK = re.compile(r"h\.([0-9]{1,3})\.")  # three digits: a hostile number makes no long table
IGNORED = re.compile(r"h\.[0-9]+\.attn\.(bias|masked_bias)")  # the causal mask, which we compute
DTYPES = ("F32", "F16", "BF16")


def rows(n_layers: int, prefix: str = "") -> Iterator[tuple[str, str, NameRow]]:
    """GPT-2's name, our name and the line of the table, for every tensor, block after block."""
    for in_block, group in groupby(GPT2_NAMES, key=lambda row: ".N." in row.gpt2):
        lines = list(group)
        for n in range(n_layers if in_block else 1):
            for row in lines:
                name = row.gpt2 if row.gpt2 == HEAD else prefix + row.gpt2
                yield name.replace(".N.", f".{n}."), row.ours.replace(".N.", f".{n}."), row


def _shape(pattern: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A shape in letters as numbers.

    >>> _shape("C 3C", {"C": 768})
    (768, 2304)
    """
    return tuple(int(size[:-1] or 1) * sizes[size[-1]] for size in pattern.split())


def mapping_rows(config: GPTConfig) -> pd.DataFrame:
    """The table written out for one shape of model: 148 tensors for GPT-2 small.

    Args:
        config: The shape. With a tied head there is no row for the head; the token embedding's note says so.

    Returns:
        A frame with gpt2_name, gpt2_shape, our_name, our_shape, transposed and note, block after block. Where our
        model has no bias for queries, keys and values, our_name and our_shape are empty.

    >>> len(mapping_rows(GPTConfig(qkv_bias=True, tie_weights=True)))
    148
    """
    import pandas as pd  # 65 MiB that loading weights does not need

    sizes = {"V": config.vocab_size, "T": config.context_length, "C": config.emb_dim}
    records = []
    for gpt2_name, our_name, row in rows(config.n_layers):
        shape = _shape(row.shape, sizes)
        record: dict[str, Any] = {"gpt2_name": gpt2_name, "gpt2_shape": shape, "our_name": our_name}
        record |= {"our_shape": shape[::-1] if row.transposed else shape, "transposed": row.transposed}
        record |= {"note": row.note}
        if our_name == "token_embedding.weight" and config.tie_weights:
            record |= {"note": f"{row.note}; tied: it is head.weight too"}
        if our_name.endswith("qkv.bias") and not config.qkv_bias:
            record |= {"our_name": "", "our_shape": (), "note": "zeros: this model has no such bias"}
        if not (gpt2_name == HEAD and config.tie_weights):
            records.append(record)
    return pd.DataFrame(records)


def prefix_of(names: Iterable[str]) -> str:
    """What stands before the names of a file: "transformer." or nothing, as most of them have it."""
    votes = Counter(PREFIX if name.startswith(PREFIX) else "" for name in names)
    return PREFIX if votes[PREFIX] > votes[""] else ""


def sizes_of(entries: Mapping[str, TensorEntry], prefix: str) -> dict[str, int]:
    """V, T, C and L as most of the tensors have them, so that one odd tensor does not put all others in the wrong."""
    numbers = (BLOCK.match(name.removeprefix(prefix)) for name in entries)
    n_layers = 1 + max((int(number[1]) for number in numbers if number), default=0)
    votes: dict[str, Counter[int]] = {"V": Counter(), "T": Counter(), "C": Counter()}
    for name, _, row in rows(n_layers, prefix):
        pattern = row.shape.split()
        shape = entries[name].shape if name in entries else ()
        for letter, size in zip(pattern, shape, strict=False):
            if letter in votes and len(shape) == len(pattern):
                votes[letter][size] += 1
    most = {letter: sizes.most_common(1)[0][0] if sizes else 0 for letter, sizes in votes.items()}
    return most | {"L": n_layers}


def check_names(label: str, entries: Mapping[str, TensorEntry], prefix: str, sizes: Mapping[str, int]) -> None:
    """Hold names, shapes and number formats against the table; all that does not fit is said at once."""
    letters = {name: row.shape for name, _, row in rows(sizes["L"], prefix)}
    table = {name: list(_shape(pattern, sizes)) for name, pattern in letters.items()}
    missing = [name for name in table if name not in entries and name != HEAD]
    unexpected = [name for name in entries if name not in table and not IGNORED.fullmatch(name.removeprefix(prefix))]
    found = {name: list(entries[name].shape) for name in table if name in entries}
    misshaped = [name for name, shape in found.items() if shape != table[name]]
    # A size that no tensor tells is 0: then the letters say more.
    wanted = {name: table[name] if all(table[name]) else letters[name] for name in misshaped}
    kinds = {
        "missing": [shown(name) for name in missing],
        "unexpected": [shown(name) for name in unexpected],
        "mis-shaped": [f"{shown(name)} {found[name]} instead of {wanted[name]}" for name in misshaped],
    }
    if any(kinds.values()):
        counts = ", ".join(f"{len(names):,} {kind}" for kind, names in kinds.items())
        lists = "; ".join(f"{kind}: {listed(names)}" for kind, names in kinds.items() if names)
        raise WeightsError(f"{label} does not fit GPT-2's names: {counts}. {lists}", missing, unexpected, misshaped)
    if odd := [f"{name} ({entries[name].dtype})" for name in found if entries[name].dtype not in DTYPES]:
        raise WeightsError(f"{label} holds {len(odd):,} tensors that are not {', '.join(DTYPES)}: {listed(odd)}")

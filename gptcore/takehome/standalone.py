"""What a notebook needs on top of gptcore's functions to train a run again where gptcore is not.

How to read it: ``run_again`` trains, ``compare`` lays the losses beside the recorded ones, ``read_weights`` brings the
weights of the run itself. None of it is called here: ``source`` copies these functions into notebooks, and the tests
run them there.

What is left out: resuming. A notebook starts from the first update.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tiktoken
import torch
from torch import Tensor

from gptcore.batches import prepare
from gptcore.config import GPTConfig, SamplingConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.model import GPTModel
from gptcore.records import Record, StepRecord
from gptcore.sampling import generate
from gptcore.training import TrainingState, new_state, train

Losses = tuple[float, float | None, float | None]  # of the batch; of both parts of the text, where they were measured
LINES = 12  # of a comparison that are printed
NUMBERS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def gpt2_encoding() -> tiktoken.Encoding:
    """GPT-2's tokens. tiktoken fetches their file once; it looks first into the folder $TIKTOKEN_CACHE_DIR.

    "r50k_base" is the encoding that tiktoken also calls "gpt2": the same 50,257 tokens, in one file instead of two.
    """
    return tiktoken.get_encoding("r50k_base")


def fetch(url: str, sha256: str) -> str:
    """A text from a fixed address, held to its hash: another text would give other numbers."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  (an address that stands in this notebook)
        raw: bytes = answer.read()
    if (found := hashlib.sha256(raw).hexdigest()) != sha256:
        raise ValueError(f"{url} is not the text of this run: SHA-256 {found[:12]}..., not {sha256[:12]}...")
    return raw.decode("utf-8")


def run_again(
    text: Text,
    shape: GPTConfig,
    settings: TrainConfig,
    most: int | None = None,
    earlier: Sequence[tuple[int, TrainConfig]] = (),
) -> tuple[TrainingState, list[StepRecord]]:
    """Train a run from its first update, and say how it goes.

    Args:
        text: What to learn from.
        shape: The model.
        settings: The run's settings.
        most: Updates after which to stop; None goes to the end.
        earlier: Where the run's end was moved: how many updates were done then, and the settings up to there.

    Returns:
        The state at the end, with the model in it, and a record for each update.
    """
    if settings.threads is not None:  # other threads add in another order, and round otherwise
        torch.set_num_threads(min(settings.threads, os.cpu_count() or 1))
    state = new_state(shape, settings, prepare(text, shape, settings))
    records: list[StepRecord] = []
    for record in in_stretches(state, [*earlier, (None, settings)]):
        step = record.step if isinstance(record, StepRecord) else -1
        if record.train_loss is not None:
            validation = "-" if record.val_loss is None else f"{record.val_loss:.4f}"
            print(f"step {step:>6,}: train {record.train_loss:.4f}, validation {validation}")
        if isinstance(record, StepRecord):
            records.append(record)
        if most is not None and state.step >= most:
            break
    return state, records


def in_stretches(state: TrainingState, stretches: Sequence[tuple[int | None, TrainConfig]]) -> Iterator[Record]:
    """Train one stretch after the other, each to the update at which the run's end was moved, the last to its end."""
    for until, settings in stretches:
        state.config = settings
        for record in train(state):
            yield record
            if state.step == until:
                break


def compare(records: Sequence[StepRecord], recorded: Mapping[int, Losses]) -> float:
    """Lay the losses of this run beside the recorded ones.

    Returns:
        The largest difference of two losses, in nats a token; 0 where there was nothing to compare.
    """
    largest, compared, printed = 0.0, 0, 0
    for record in records:
        here = (record.batch_loss, record.train_loss, record.val_loss)
        pairs = [
            (one, other)
            for one, other in zip(here, recorded.get(record.step, ()), strict=False)
            if one is not None and other is not None
        ]
        largest = max([largest, *(abs(one - other) for one, other in pairs)])
        compared += bool(pairs)
        if len(pairs) > 1 and printed < LINES:
            printed += 1
            print(f"step {record.step:>6,}: " + ", ".join(f"{one:.6f} (recorded {other:.6f})" for one, other in pairs))
    print(f"{compared:,} updates compared; the largest difference is {largest:.2e} nats.")
    return largest


def go_on(state: TrainingState, prompt: str, config: SamplingConfig, tokens: int = 50) -> str:
    """What the model makes of a beginning, by the rules of a draw."""
    ids = state.data.tokenizer.encode(prompt)
    return state.data.tokenizer.decode(ids + [new.token_id for new in generate(state.model, ids, config, tokens)])


def read_weights(path: str) -> dict[str, Tensor]:
    """The numbers of a safetensors file: the length of its table in eight bytes, the table in JSON, the numbers."""
    raw = Path(path).read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    weights = {}
    for name, about in json.loads(raw[8:begin]).items():
        if name != "__metadata__":
            first, end = (begin + place for place in about["data_offsets"])
            numbers = torch.frombuffer(bytearray(raw[first:end]), dtype=NUMBERS[about["dtype"]])
            weights[name] = numbers.reshape(about["shape"]).float()
    return weights


def take_weights(model: GPTModel, path: str) -> None:
    """Give a model the weights of a file, in place."""
    weights = read_weights(path)
    if model.config.tie_weights:
        weights["head.weight"] = weights["token_embedding.weight"]
    model.load_state_dict(weights)

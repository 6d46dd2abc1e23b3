"""The book's whole run, three times: by the book's package, by ours in float32, by ours in bfloat16. Not run unasked.

Each takes minutes (the book's the most), so each is a part of its own: ``python -m benchmarks verdict-book``,
``verdict-float32``, ``verdict-bfloat16``. What it measured is kept in ``var/benchmarks``, and the rows are made of all
that is there. Two questions: how many times quicker is a whole run, evaluations and samples included, and does the
validation curve in bfloat16 stay within 1 % of that in float32 at every evaluation?

The text is The Verdict where it is at hand, else the program's own story, which is about as long.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import torch
from torch.nn import functional as F

from benchmarks import peers
from benchmarks.results import Row
from benchmarks.timing import one_thread
from gptcore.batches import TrainingData, prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, Precision
from gptcore.corpora import OWN_STORY, is_at_hand, load_text
from gptcore.paths import home
from gptcore.records import StepRecord
from gptcore.training import new_state, train
from gptcore.windows import make_windows

SHAPE, SETTINGS = MODEL_PRESETS["book-124m"], TRAIN_PRESETS["book-124m"]
CURVE_GOAL = 0.01
LIMIT = "its steps are those of shape A like for like: step-a says what they are made of"


class Kept(TypedDict):
    """One run: core-seconds, and the validation losses of its evaluations."""

    seconds: float
    losses: list[float]


def _file(name: str) -> Path:
    return home() / "benchmarks" / f"verdict-{name}.json"


def _data() -> TrainingData:
    return prepare(load_text("the-verdict" if is_at_hand("the-verdict") else OWN_STORY), SHAPE, SETTINGS)


def ours(precision: Precision) -> list[float]:
    """Train as any run here is trained; the validation losses."""
    records = train(new_state(SHAPE, replace(SETTINGS, precision=precision), _data()))
    return [each.val_loss for each in records if isinstance(each, StepRecord) and each.val_loss is not None]


def the_book() -> list[float]:
    """The loop of the book's section 5.2 around the book's model: its evaluations and its samples, too."""
    from llms_from_scratch.ch04 import generate_text_simple

    torch.manual_seed(SETTINGS.seed)
    data, model = _data(), peers.book_model(SHAPE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=SETTINGS.lr, weight_decay=SETTINGS.weight_decay)
    parts = [
        make_windows(ids, SHAPE.context_length, SHAPE.context_length) for ids in (data.train_ids, data.validation_ids)
    ]
    prompt, losses, step = torch.tensor([data.tokenizer.encode(data.prompt)]), [], 0

    def loss(part: int, chosen: torch.Tensor) -> torch.Tensor:
        inputs, targets = (each[chosen] for each in parts[part])
        return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def evaluate() -> float:
        model.eval()
        for part in (0, 1):  # training losses cost time, and are not kept
            batches = torch.arange(len(parts[part][0])).split(SETTINGS.batch_size)[: SETTINGS.eval_batches]
            mean = sum(loss(part, chosen).item() for chosen in batches) / len(batches)
        model.train()
        return mean

    for _ in range(SETTINGS.epochs):
        order = torch.randperm(len(parts[0][0]))
        for chosen in order[: len(order) // SETTINGS.batch_size * SETTINGS.batch_size].split(SETTINGS.batch_size):
            optimiser.zero_grad()
            loss(0, chosen).backward()
            optimiser.step()
            if step % SETTINGS.eval_every == 0:
                losses.append(evaluate())
            step += 1
        model.eval()
        generate_text_simple(model, prompt, SETTINGS.sample_tokens, SHAPE.context_length)
        model.train()
    return losses


def measure(name: str) -> list[Row]:
    """Make one of the three runs; the rows of all that were made."""
    one_thread()
    if name == peers.BOOK and (lack := peers.missing(peers.BOOK)):
        return [Row("the whole run, the book's package", None, "s", limit=lack)]
    began = time.process_time()
    losses = the_book() if name == peers.BOOK else ours("bfloat16" if name == "bfloat16" else "float32")
    kept = Kept(seconds=time.process_time() - began, losses=losses)
    _file(name).parent.mkdir(parents=True, exist_ok=True)
    _file(name).write_text(json.dumps(kept), encoding="utf-8")
    return _rows()


def _rows() -> list[Row]:
    runs: dict[str, Kept] = {
        name: json.loads(_file(name).read_text(encoding="utf-8"))
        for name in (peers.BOOK, "float32", "bfloat16")
        if _file(name).is_file()
    }
    book = runs[peers.BOOK]["seconds"] if peers.BOOK in runs else None
    rows = [
        Row(
            f"the whole run, 10 epochs, {name}",
            run["seconds"],
            "s",
            book,
            peers.BOOK,
            2.45 if book else None,
            limit=LIMIT,
        )
        for name, run in runs.items()
        if name != peers.BOOK
    ]
    if {"float32", "bfloat16"} <= runs.keys():
        pairs = zip(runs["bfloat16"]["losses"], runs["float32"]["losses"], strict=True)
        apart = max(abs(rough / exact - 1) for rough, exact in pairs)
        rows.append(Row("bf16's validation curve off float32's, at most", 100 * apart, "%", most=100 * CURVE_GOAL))
    return rows

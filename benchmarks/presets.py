"""How long a student waits for a curve with a minimum, and for a model that knows its text by heart; in core-seconds.

The class preset, on the program's own story, is trained as any run is, with its evaluations and samples. Beside it a
character model of about 209,000 parameters: 4 layers, 4 heads, C 64, T 64, 65 characters, 2,000 updates, for which a
known lesson in a browser, with a graphics card, gives about nine minutes. That lesson's page does not say how large its
batch is; 12 windows are what nanoGPT's own settings for a processor take with that context.
"""

from __future__ import annotations

import statistics
import time

import torch

from benchmarks.results import Row
from benchmarks.timing import core_seconds, one_thread
from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.fast import fused_adamw, fused_loss
from gptcore.library import new_model
from gptcore.parameters import count_parameters
from gptcore.records import StepRecord
from gptcore.training import new_state, train

ROUNDS = 3
BY_HEART = 0.5  # nats a token on the training text
LETTERS = GPTConfig(
    vocab_size=65, context_length=64, emb_dim=64, n_heads=4, n_layers=4, drop_rate=0.0, qkv_bias=True, tie_weights=True
)
LETTERS_BATCH, LETTERS_STEPS, LESSON_SECONDS = 12, 2_000, 540


def class_run() -> tuple[float, float]:
    """Core-seconds of one run until its lowest validation loss, and until it knows its text by heart."""
    model, settings = MODEL_PRESETS["class"], TRAIN_PRESETS["class"]
    began = time.process_time()
    records = train(new_state(model, settings, prepare(load_text(OWN_STORY), model, settings)))
    timed = ((time.process_time() - began, record) for record in records)
    seen = [(seconds, each) for seconds, each in timed if isinstance(each, StepRecord) and each.val_loss is not None]
    lowest = min(seen, key=lambda each: each[1].val_loss or 0.0)[0]
    by_heart = next((seconds for seconds, record in seen if (record.train_loss or 9.0) < BY_HEART), float("inf"))
    return lowest, by_heart


def letters_run() -> None:
    """The character model's updates, each on other windows of the story."""
    text = load_text(OWN_STORY).text
    known = {letter: number for number, letter in enumerate(sorted(set(text))[: LETTERS.vocab_size])}
    ids = torch.tensor([known.get(letter, 0) for letter in text])
    model, T = new_model(LETTERS, 0).train(), LETTERS.context_length
    optimiser = fused_adamw(model.parameters(), lr=1e-3, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(LETTERS_STEPS):
        starts = torch.randint(len(ids) - T, (LETTERS_BATCH, 1), generator=generator)
        windows = ids[starts + torch.arange(T + 1)]
        optimiser.zero_grad()
        torch.autograd.backward(fused_loss(model, windows[:, :-1], windows[:, 1:]))
        optimiser.step()


def measure() -> list[Row]:
    """The rows of both."""
    one_thread()
    runs = [class_run() for _ in range(ROUNDS)]
    lowest, by_heart = (statistics.median(times) for times in zip(*runs, strict=True))
    letters = f"character model, {count_parameters(LETTERS):,} parameters, {LETTERS_STEPS:,} steps"
    return [
        Row("class preset, to its lowest validation loss", lowest, "s", most=1.0),
        Row("class preset, to its text by heart (train loss < 0.5)", by_heart, "s", most=6.0),
        Row(letters, core_seconds(letters_run), "s", LESSON_SECONDS, "WebGPU lesson", most=90.0),
    ]

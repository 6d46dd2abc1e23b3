"""The controls of a training run: what a preset says, changed where the student changes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st

from gptcore.config import TRAIN_PRESETS, GPTConfig, TrainConfig, help_for
from pages._ui import resources, thread

LABELS = {
    "steps": "Steps",
    "lr": "Learning rate",
    "batch_size": "Batch size",
    "eval_every": "Eval every",
    "seed": "Seed",
    "compact_vocab": "Compact vocabulary",
    "reference": "The book's digits",
}


def controls(name: str, model: GPTConfig) -> TrainConfig:
    """The settings in sight and those behind "More", starting from a preset's.

    Raises:
        ValueError: Settings that can't be used; the message says why.
    """
    base = TRAIN_PRESETS[name]
    counts = resources.text_counts(thread.text().text, model.context_length, base)
    said: dict[str, Any] = {
        "steps": _number(
            "steps", name, 1, 100_000, base.steps or min(max(1, base.epochs * counts.train.batches), 1_000)
        ),
        "lr": _number("lr", name, 0.0, 10.0, base.lr, step=1e-4, format="%.5f"),
    }
    with st.expander("More"):
        for field, low, high in (("batch_size", 1, 512), ("eval_every", 1, 10_000), ("seed", 0, 2**31)):
            said[field] = _number(field, name, low, high, getattr(base, field))
        for field in ("compact_vocab", "reference"):
            said[field] = st.toggle(
                LABELS[field],
                getattr(base, field),
                key=f"training_{field}_{name}",
                help=help_for(TrainConfig, field),
                persist_state="session",
            )
    if base.min_lr is not None:  # the cosine ends at or below its peak, wherever the peak is put
        said["min_lr"] = min(base.min_lr, said["lr"])
    return dataclasses.replace(base, **said)


def _number(field: str, name: str, low: float, high: float, value: float, **options: Any) -> Any:
    return st.number_input(
        LABELS[field],
        low,
        high,
        value,
        key=f"training_{field}_{name}",
        help=help_for(TrainConfig, field),
        persist_state="session",
        **options,
    )

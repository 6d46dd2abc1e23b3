"""Curves of real runs that come with the program: each can be made again with one command, and started by a student.

How to read it: a ``Plan`` is what a run is asked to be; ``record`` trains it here and now, with the loop that every run
goes through, and keeps what it reported as a ``Recording``; ``save`` and ``load`` are its file, a few kilobytes.

What is left out: weights (see ``runs`` for whole runs), and which curves there are: each lesson's module names its own
plans, and ``python -m gptcore record`` makes them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from gptcore.config import GPTConfig, TrainConfig, from_json, to_json
from gptcore.corpora import load_text
from gptcore.machine import versions
from gptcore.paths import RECORDED

CURVES = RECORDED / "curves"
COLUMNS = {  # of metrics, each with the digits after the point that are kept
    "step": 0,
    "epoch": 0,
    "tokens_seen": 0,
    "batch_loss": 4,
    "grad_norm": 4,
    "lr": 9,
    "train_loss": 6,
    "val_loss": 6,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A run to be recorded.

    Attributes:
        name: Of its file.
        title: On screen.
        text: A key of ``corpora.CATALOGUE``.
    """

    name: str
    title: str
    text: str
    model: GPTConfig
    training: TrainConfig


@dataclass(frozen=True, slots=True)
class Recording:
    """What a run reported.

    Attributes:
        versions: Of Python and PyTorch, and the machine (``machine.versions``).
        untrained: train_loss and val_loss before any update, nats a token.
        metrics: A row for each update, with the columns of ``COLUMNS``; losses only where it was evaluated.
        samples: Rows of step, prompt, text.
        reason: Why it ended before its time; None where it did not.
    """

    plan: Plan
    versions: dict[str, str]
    untrained: dict[str, float | None]
    metrics: pd.DataFrame
    samples: list[dict[str, Any]]
    reason: str | None = None


def record(plan: Plan) -> Recording:
    """Train a plan in this process, on one core, and keep what it reports.

    A run that diverges is recorded up to there: that is what it is recorded for.
    """
    import torch

    from gptcore.batches import prepare
    from gptcore.records import DivergedError, UntrainedRecord
    from gptcore.training import new_state, train

    torch.set_num_threads(1)
    data = prepare(load_text(plan.text), plan.model, plan.training)
    rows, samples, untrained, reason = [], [], {}, None
    try:
        for each in train(new_state(plan.model, plan.training, data)):
            row = asdict(each)
            if (sample := row.pop("sample")) is not None:
                samples.append(sample)
            if isinstance(each, UntrainedRecord):
                untrained = row
            else:
                rows.append(row)
    except DivergedError as error:
        reason = str(error)
    return Recording(plan, versions(), untrained, pd.DataFrame(rows, columns=list(COLUMNS)), samples, reason)


def save(recording: Recording, folder: Path = CURVES) -> Path:
    """Write a recording, column by column, each number with as many digits as anybody looks at; its file."""
    plan = recording.plan
    columns = {
        name: [None if pd.isna(value) else round(float(value), digits) if digits else int(value) for value in values]
        for (name, digits), values in zip(COLUMNS.items(), (recording.metrics[name] for name in COLUMNS), strict=True)
    }
    content = {
        "title": plan.title,
        "text": plan.text,
        "model": to_json(plan.model),
        "training": to_json(plan.training),
        "versions": recording.versions,
        "untrained": recording.untrained,
        "metrics": columns,
        "samples": recording.samples,
        "reason": recording.reason,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.name}.json"
    lines = (f'"{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in content.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")
    return path


@cache
def load(name: str, folder: Path = CURVES) -> Recording:
    """A recording by its name; read once, to be looked at and not changed.

    Raises:
        ValueError: No recording is called so.
    """
    path = folder / f"{name}.json"
    if name not in names(folder):
        raise ValueError(f"no recording is called {name[:40]!r}")
    content = json.loads(path.read_text(encoding="utf-8"))
    model, training = from_json(GPTConfig, content["model"]), from_json(TrainConfig, content["training"])
    plan = Plan(name, content["title"], content["text"], model, training)
    types = {column: float if digits else "int64" for column, digits in COLUMNS.items()}
    metrics = pd.DataFrame(content["metrics"]).astype(types)
    return Recording(plan, content["versions"], content["untrained"], metrics, content["samples"], content["reason"])


def names(folder: Path = CURVES) -> list[str]:
    """The recordings that there are."""
    return sorted(path.stem for path in folder.glob("*.json"))

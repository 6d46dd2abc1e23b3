"""A run as one looks back at it: its evaluations one after the other, each with all that the model did there.

How to read it: ``look_back`` gathers what a run's folder holds into a ``Timeline``; ``save`` and ``load`` are the file
of a recorded one, which can be looked at without the text it was trained on.

What is left out: the drawing (``assets/components/time_machine.js``), and the sentences around it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gptcore.baselines import reference_lines
from gptcore.language import floor_line
from gptcore.memorization import MIN_COPIED, CopiedSpan, CopyIndex, copied_tokens
from gptcore.overfitting import UNTRAINED, Evaluation, best, evaluations
from gptcore.parameters import count_parameters
from gptcore.paths import RECORDED
from gptcore.recitation import written_tokens
from gptcore.runs.store import Run
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import open_parts, seal_text

TIMELINES = RECORDED / "timelines"
MOST_MOMENTS = 120  # drawn; a slider has no more places than that
MOST_BATCHES = 500  # points of the line of single batches


@dataclass(frozen=True, slots=True)
class Saying:
    """What the model wrote when asked.

    Attributes:
        step: When it was asked.
        text: The prompt and what it made of it.
        written: GPT-2 tokens after the prompt.
        spans: Passages that stand in the training text; positions are GPT-2 tokens of ``text``.
    """

    step: int
    prompt: str
    text: str
    written: int
    spans: list[CopiedSpan]

    @property
    def copied(self) -> int:
        """How many of its tokens lie in a copied passage."""
        return copied_tokens(self.spans)


@dataclass(frozen=True, slots=True)
class Moment:
    """One evaluation, or the run's end; losses in nats a token, None where they were not measured.

    Attributes:
        saying: What it last said by then.
        losses: Of each passage, what each of its tokens but the first cost.
        following: Of each passage, what was expected at its end: tokens with their probabilities, the likeliest first.
    """

    step: int
    epoch: int
    train: float | None
    validation: float | None
    saying: Saying | None
    losses: list[list[float]]
    following: list[list[tuple[str, float]]]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run to look back at.

    Attributes:
        title: Of the text.
        about: What config.json says of the text, the model, the training and the versions.
        parameters: Of the model as it was trained.
        lines: Levels to measure by, name to nats a token.
        passages: Rows of part ("training" or "validation") and tokens; the last token is what was to be expected.
        batches: Rows of step and batch loss, thinned.
        moments: In order.
    """

    title: str
    about: dict[str, Any]
    parameters: int
    lines: dict[str, float]
    passages: list[dict[str, Any]]
    batches: list[tuple[int, float]]
    moments: list[Moment]

    @property
    def looks(self) -> list[Evaluation]:
        """The moments at which both losses were measured."""
        return [
            Evaluation(each.step, each.epoch, each.train, each.validation)
            for each in self.moments
            if each.train is not None and each.validation is not None
        ]


def _evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of so many places, evenly spread, both ends among them.

    >>> _evenly(7, 3)
    [0, 3, 6]
    """
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def _number(value: float | None) -> float | None:
    """A loss that can be drawn; None for what is missing or no number."""
    return value if value is not None and math.isfinite(value) else None


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    drawn = (rows[place] for place in _evenly(len(rows), MOST_BATCHES))
    return [row for row in drawn if _number(row["batch_loss"]) is not None]


def _kept(rows: list[dict[str, Any]], probed: Mapping[int, Any]) -> list[dict[str, Any]]:
    """Which evaluations are shown: those that were probed, if any was; the best and the last one always."""
    if len(rows) <= MOST_MOMENTS:
        return rows
    looks = evaluations(rows)
    special = {rows[0]["step"], rows[-1]["step"], best(looks).step if looks else 0}
    usual = [row for row in rows if row["step"] in probed] or rows
    kept = {usual[place]["step"] for place in _evenly(len(usual), MOST_MOMENTS - len(special))} | special
    return [row for row in rows if row["step"] in kept]


def look_back(run: Run) -> Timeline:
    """Gather what a run's folder holds.

    Raises:
        OSError: The folder is gone.
    """
    config, training = run.config, run.train_config
    text, tokenizer = run.text, load_tokenizer()
    train_ids, validation_ids = (tokenizer.encode(part) for part in open_parts(text.text, training))
    sealed_ids = tokenizer.encode(seal_text(text.text, training.sealed_fraction)[1])
    vocab_size = len({*train_ids, *validation_ids, *sealed_ids}) if training.compact_vocab else tokenizer.vocab_size
    index, sayings = CopyIndex(train_ids), []
    for row in run.samples():
        written = written_tokens(row["text"], row["prompt"])
        given = len(tokenizer.encode(row["text"])) - len(written)
        shifted = [replace(span, start=span.start + given) for span in index.spans(written, MIN_COPIED)]
        sayings.append(Saying(row["step"], row["prompt"], row["text"], len(written), shifted))
    rows, _ = run.metrics()
    probes = run.probes()
    by_step = {probe["step"]: probe for probe in probes}
    return Timeline(
        title=text.title,
        about={name: config[name] for name in ("text", "model", "training", "versions")},
        parameters=count_parameters(replace(run.model_config, vocab_size=vocab_size)),
        lines=reference_lines(train_ids, validation_ids, vocab_size) | floor_line(text.text),
        passages=probes[0].get("passages", []) if probes else [],
        batches=[(row["step"], round(row["batch_loss"], 4)) for row in _thinned(rows)],
        moments=[_moment(row, sayings, by_step) for row in _kept(_looked_at(run, rows, sayings), by_step)],
    )


def _looked_at(run: Run, rows: list[dict[str, Any]], sayings: list[Saying]) -> list[dict[str, Any]]:
    """The rows to look back at: the untrained model, each evaluation, and the end if something was said there."""
    before = run.status.get("untrained")
    looked_at = [{"step": UNTRAINED, "epoch": 0, **before}] if before else []
    looked_at += [row for row in rows if row["train_loss"] is not None]
    if looked_at and sayings and sayings[-1].step == rows[-1]["step"] != looked_at[-1]["step"]:
        looked_at.append(rows[-1])
    return looked_at


def _moment(row: Mapping[str, Any], sayings: list[Saying], probes: Mapping[int, Mapping[str, Any]]) -> Moment:
    step = row["step"]
    probe = probes.get(step, {})
    said = [saying for saying in sayings if saying.step <= step]
    following = [[(token, p) for token, p in bars] for bars in probe.get("next", [])]
    return Moment(
        step,
        row["epoch"] + 1,
        _number(row["train_loss"]),
        _number(row["val_loss"]),
        said[-1] if said else None,
        probe.get("losses", []),
        following,
    )


def save(timeline: Timeline, path: Path) -> None:
    """Write a timeline as JSON, a line each moment."""
    content = asdict(timeline)
    moments = ",\n".join(json.dumps(moment, ensure_ascii=False) for moment in content.pop("moments"))
    head = json.dumps(content, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head[:-1]}, "moments": [\n{moments}\n]}}\n', encoding="utf-8", newline="\n")


def load(name: str, folder: Path = TIMELINES) -> Timeline:
    """A recorded timeline by its name.

    Raises:
        ValueError: No recorded run is called so.
    """
    if name not in names(folder):
        raise ValueError(f"no recorded run is called {name[:40]!r}")
    content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    content["batches"] = [(step, loss) for step, loss in content["batches"]]
    content["moments"] = [_read_moment(moment) for moment in content["moments"]]
    return Timeline(**content)


def _read_moment(row: dict[str, Any]) -> Moment:
    saying = row.pop("saying")
    if saying is not None:
        saying = Saying(**{**saying, "spans": [CopiedSpan(**span) for span in saying["spans"]]})
    following = [[(token, p) for token, p in bars] for bars in row.pop("following")]
    return Moment(**row, saying=saying, following=following)


def names(folder: Path = TIMELINES) -> list[str]:
    """The recorded runs that can be looked back at."""
    return sorted(path.stem for path in folder.glob("*.json"))

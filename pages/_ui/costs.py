"""What a model costs to train: operations by rule of thumb and exactly, and one table of times and prices."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import streamlit as st

from gptcore import costs
from gptcore.config import GPTConfig, TrainConfig
from gptcore.costs import Training
from gptcore.estimate import machine_speed, rule_of_thumb, run_seconds, step_operations
from gptcore.parameters import count_parameters
from gptcore.runs.store import Run
from pages._ui import resources, thread
from pages._ui.kept import kept
from pages._ui.resources import TextCounts

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def updates(counts: TextCounts, training: TrainConfig) -> int:
    """How many updates a preset's run of the thread's text comes to."""
    return training.steps or training.epochs * counts.train.batches


def operations(config: GPTConfig, training: TrainConfig) -> None:
    """The arithmetic of a token, an update and a run: as people guess it, and counted."""
    counts = resources.text_counts(thread.text().text, config.context_length, training)
    tokens = training.batch_size * config.context_length
    total, exact = count_parameters(config), step_operations(config, training.batch_size)
    steps = updates(counts, training)
    spans = {"a token": 1, "an update": tokens, f"this run, {steps:,} updates": steps * tokens}
    st.markdown(
        f"**Arithmetic.** A training token costs about 6 N = 6 × {total:,} operations; counted matrix by matrix it is "
        f"{exact / tokens / (6 * total) - 1:+.0%}.".replace("-", "−")
    )
    st.dataframe(
        pd.DataFrame(
            {
                "for": spans.keys(),
                "6 N D": [_power(rule_of_thumb(total, span)) for span in spans.values()],
                "counted": [_power(exact // tokens * span) for span in spans.values()],
            }
        ),
        hide_index=True,
        key="parameters_operations",
    )
    st.caption(
        "The rule counts looked-up embeddings as if they were multiplied and leaves out attention's own products; the "
        "count does neither. Operations are multiplications and additions, three passes: one forward, two backward."
    )


def _power(operations: int) -> str:
    """A count of operations as a power of ten.

    >>> _power(393_985_916_928)
    '3.94 × 10¹¹'
    """
    digits, power = f"{operations:.2e}".split("e+")
    return f"{digits} × 10{str(int(power)).translate(RAISED)}"


def _timed(run: Run, name: str, kind: costs.Kind) -> list[Training]:
    """A run of this program as its own clock has it; nothing where it has not come far enough to be timed."""
    rows = resources.metrics(run)
    if len(rows) < 2:
        return []
    seconds, tokens = float(rows["seconds"].iloc[-1]), int(rows["tokens_seen"].iloc[-1])
    source = f"{count_parameters(resources.run_model_config(run)):,} parameters, {len(rows):,} updates, all included"
    return [Training(name, tokens, seconds, None, kind, source)]


class _Trainings(NamedTuple):
    """A table of trainings as it is shown, and how long a pass takes here and on one graphics card, in words."""

    shown: pd.DataFrame
    here: str
    card: str


@kept(64)
def _trainings(rows: tuple[Training, ...]) -> _Trainings:
    table = costs.how_long(rows)
    passes = table.set_index("run")["one_pass"]
    shown = {
        "training": table["run"],
        "time": table["seconds"].map(_said),
        "tokens": table["tokens"],
        "a second": table["tokens_per_second"].map(_counted),
        "10 billion tokens": table["one_pass"].map(_said),
        "dollars": table["dollars"].map(_counted),
        "figures are": table["kind"],
        "source": table["source"],
    }
    return _Trainings(pd.DataFrame(shown), costs.duration(passes[costs.HERE]), costs.duration(passes.iloc[2]))


def how_long(config: GPTConfig, training: TrainConfig) -> None:
    """One table: how long, what cost."""
    speed, text = machine_speed(), thread.text()
    counts = resources.text_counts(text.text, config.context_length, training)
    steps = updates(counts, training)
    tokens = steps * training.batch_size * config.context_length
    rows = costs.published_trainings()
    here = [
        costs.book_run_here(speed),
        *_timed(Run(thread.RECORDED_RUN), "the recorded run of this program", "recorded"),
    ]
    if not thread.is_recorded(thread.run()):
        here += _timed(thread.run(), "your run, this machine", "measured")
    if tokens:
        source = f"{steps:,} updates of {training.batch_size} windows, at the same measured speed"
        seconds = run_seconds(config, training, steps, speed)
        here.append(Training("the model above on your text", tokens, seconds, None, "computed", source))
    table = _trainings((*rows[:3], *here, *rows[3:]))
    st.markdown(
        f"**How long, and what cost?** At the speed of this machine one pass over 10 billion tokens with the book's "
        f"model would take {table.here}; with one graphics card at its published speed "
        f"{table.card}. That is why the book goes on with OpenAI's weights."
    )
    st.dataframe(
        table.shown,
        hide_index=True,
        column_config={
            "tokens": st.column_config.NumberColumn(format="compact", width=60),
            "source": st.column_config.TextColumn(width="large"),
        },
        key="parameters_costs",
    )
    st.caption(
        "The times of whole runs include their evaluations and samples. A pass is the same speed kept up: it asks "
        "nothing of how good the model would be. The dollars are rents."
    )


def _said(seconds: float) -> str:
    return "" if math.isnan(seconds) else costs.duration(seconds)


def _counted(number: float) -> str:
    return "" if math.isnan(number) else f"{number:,.0f}"

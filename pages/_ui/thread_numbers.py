"""The thread in numbers: this student's text, model and run, for sentences that stand on more than one page."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from gptcore import overfitting
from gptcore.overfitting import Evaluation
from gptcore.parameters import count_parameters
from gptcore.runs.store import Run
from pages._ui import replay, resources, thread


class Looked(NamedTuple):
    """A run and how it went.

    Attributes:
        run: The student's; the recorded one until that has an evaluation.
        whose: For sentences: "your run" or "the recorded run".
        rows: Of its metrics.
        looks: Its evaluations.
    """

    run: Run
    whose: str
    rows: pd.DataFrame
    looks: list[Evaluation]

    @property
    def best(self) -> Evaluation:
        """Where the validation loss is lowest."""
        return overfitting.best(self.looks)


def evaluated_run() -> Looked:
    """The thread's run; the recorded one takes the place of a run that has no evaluation yet."""
    mine = thread.run()
    looked = look(mine)
    return looked if looked.looks else look(Run(thread.RECORDED_RUN))


def look(run: Run) -> Looked:
    """A run with its rows; it may have no evaluation yet."""
    rows = resources.metrics(run)
    whose = "the recorded run" if thread.is_recorded(run) else "your run"
    return Looked(run, whose, rows, replay.points(rows))


class Numbers(NamedTuple):
    """The thread from end to end; the names are those that prose may use."""

    title: str
    characters: int
    tokens: int
    train_tokens: int
    windows: int
    train_windows: int
    batches: int
    context: int
    batch: int
    parameters: int
    vocabulary: int
    whose: str
    updates: int
    best: float
    best_step: int
    last_train: float
    last: float

    def words(self) -> dict[str, str]:
        """Each number as a sentence writes it."""
        return {name: _word(value) for name, value in self._asdict().items()}


def _word(value: float | str) -> str:
    """A number as a sentence writes it.

    >>> _word(5145), _word(6.1339), _word("The Glass Clock")
    ('5,145', '6.13', 'The Glass Clock')
    """
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def now() -> Numbers:
    """As it stands."""
    text, shape, looked = thread.text(), thread.model(), evaluated_run()
    config = thread.training()
    counts = resources.text_counts(text.text, shape.context_length, config)
    return Numbers(
        title=text.title,
        characters=len(text.text),
        tokens=counts.tokens,
        train_tokens=counts.train_tokens,
        windows=counts.windows,
        train_windows=counts.train.windows,
        batches=counts.train.batches,
        context=shape.context_length,
        batch=config.batch_size,
        parameters=count_parameters(shape),
        vocabulary=shape.vocab_size,
        whose=looked.whose,
        updates=len(looked.rows),
        best=looked.best.validation,
        best_step=looked.best.step,
        last_train=looked.looks[-1].train,
        last=looked.looks[-1].validation,
    )

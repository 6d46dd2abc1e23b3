"""What people may ask of the queue: to train, to stop, to go on, to forget. Each is granted, or refused in a sentence.

How to read it: ``submit`` is the way in; the other three hold a run to its owner: anybody may watch a run whose address
they know, and only its owner may change it. What is left out: whose turn it is (``queue``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from filelock import Timeout

from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.machine import check_memory, cores
from gptcore.runs.locks import held
from gptcore.runs.queue import PROCESS_BYTES, WAITING, look, needs
from gptcore.runs.store import Run, RunStore
from gptcore.windows import window_counts

CROWDED = "so many runs are being submitted at this moment: press again"
HELD = "a process still holds this run: press again in a moment"
MOST_WAITING = 5  # runs of one owner: as many as a sweep of learning rates needs


class QueueError(ValueError):
    """A run that the queue does not take; the message says why."""


def submit(
    store: RunStore, text: Text, model: GPTConfig, training: TrainConfig, owner: str | None = None, **about: Any
) -> Run:
    """Check everything that can be checked beforehand, then queue a run.

    Args:
        store: Where the run is to lie.
        text: What to learn from.
        model: The model's shape; a compact vocabulary gets the size that the text gives it.
        training: The settings; a missing number of threads becomes all cores, so that the run's record says it.
        owner: Who owns it (``owner_of``); None for nobody.
        about: What else config.json is to hold, and perhaps a ``run_id`` (``RunStore.create``).

    Raises:
        QueueError: The owner has as many runs waiting as one may, or too many people submit in this instant.
        ValueError: The text or the settings can't be used.
        MemoryError: It can't fit this machine; the message holds the sum.
        OSError: The data folder can't be written.
    """
    from gptcore.batches import prepare  # brings PyTorch, which the dispatcher does without

    data = prepare(text, model, training)
    need = needs(replace(model, vocab_size=data.tokenizer.vocab_size), training)
    check_memory(need.memory + PROCESS_BYTES, "this run")
    T = model.context_length
    counts = window_counts(len(data.train_ids), T, training.stride or T, training.batch_size, drop_last=True)
    settings = replace(training, threads=training.threads or cores())
    plan = {**need._asdict(), "steps": training.steps or training.epochs * counts.batches}
    try:
        return store.create(text, model, settings, lambda: _check_turn(store, owner), owner=owner, plan=plan, **about)
    except Timeout as error:
        raise QueueError(CROWDED) from error
    except OSError as error:
        raise OSError(f"the run can't be stored: {error.strerror or error}") from error


def _check_turn(store: RunStore, owner: str | None) -> None:
    """Refuse one run too many; asked while nobody else can add one, as six tabs may submit in the same instant."""
    if owner is not None and sum(map(_waits, store.whole(owner=owner))) >= MOST_WAITING:
        raise QueueError(f"{MOST_WAITING} of your runs are waiting already: cancel one, or wait until one has started")


def _waits(run: Run) -> bool:
    """Whether a run waits for its turn."""
    try:
        return look(run).state in WAITING and not run.was_asked_to_stop
    except (OSError, ValueError):
        return False


def is_of(run: Run, owners: Collection[str]) -> bool:
    """Whether a run belongs to someone who goes by these names."""
    return run.config.get("owner") in owners


def _check_owner(run: Run, owners: Collection[str]) -> None:
    if not is_of(run, owners):
        raise PermissionError("this run is somebody else's: it can be watched, not changed")


def cancel(run: Run, owners: Collection[str]) -> None:
    """Ask a run to stop, on behalf of someone who goes by these names.

    Raises:
        PermissionError: It is somebody else's.
    """
    _check_owner(run, owners)
    run.ask_to_stop()


def go_on(store: RunStore, run: Run, owners: Collection[str], most_minutes: float | None = None) -> None:
    """Queue an ended run again, to go on from its last checkpoint, with as much time again as it was begun with.

    Args:
        store: Where the run lies.
        run: Of one's own.
        owners: The names that somebody goes by.
        most_minutes: Of training that may come together in all, where a teacher set a limit.

    Raises:
        PermissionError: It is somebody else's.
        QueueError: It has trained for as long as it may, as many runs wait as one may have, or a process holds it.
    """
    _check_owner(run, owners)
    used = run.status.get("seconds", 0.0) / 60
    if most_minutes is not None and used >= most_minutes:
        raise QueueError(
            f"this run has trained for {used:.3g} minutes, and in this class at most {most_minutes:g} are allowed"
        )
    first = run.config.get("first_minutes", run.train_config.max_minutes)  # as it was before it was moved
    limits = [] if first is None else [used + first]
    limits += [] if most_minutes is None else [most_minutes]
    with held(store.lock, QueueError(CROWDED)):
        _check_turn(store, run.config["owner"])
        try:
            run.reopen(max_minutes=min(limits, default=None))
        except Timeout as error:
            raise QueueError(HELD) from error


def remove(store: RunStore, run: Run, owners: Collection[str]) -> None:
    """Delete a run for good.

    Raises:
        PermissionError: It is somebody else's.
        QueueError: A process holds it.
    """
    _check_owner(run, owners)
    try:
        store.delete(run)
    except Timeout as error:
        raise QueueError(HELD) from error

"""The command that sweeps: trials of several settings through the queue, until all is tried or the budget is used."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

from tqdm import tqdm

from gptcore.config import MODEL_PRESETS, PRESET, TRAIN_PRESETS
from gptcore.corpora import Text, find_text
from gptcore.paths import runs_home
from gptcore.runs import sweeping
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.store import RunStore
from gptcore.sweep_results import keep
from gptcore.sweeps import Axis, Sweep

LOOK_SECONDS = 0.5
BEGINNING = ("text", "preset", "vary", "budget", "steps", "study")  # what a sweep that goes on has already


def sweep(arguments: argparse.Namespace) -> int:
    """Train the trials of a sweep through the queue, here or wherever its dispatcher is; then say which was best."""
    store = RunStore(runs_home())
    if arguments.resume is not None and (said := [name for name in BEGINNING if getattr(arguments, name) is not None]):
        raise ValueError(f"a sweep goes on as it began: {', '.join(said)} can't be changed with --resume")
    if arguments.resume is None:
        tried = sweeping.begin(store, *_sweep_of(arguments))
    elif (tried := sweeping.Sweeping(store, arguments.resume)).exists:
        tried.go_on([tried.owner or ""])
    else:
        raise ValueError(f"{arguments.resume} is no sweep in {store.root}")
    print(f"go on with --resume {tried.id}", file=sys.stderr)
    dispatcher = Dispatcher(store.root)  # stands by where the web server has one
    dispatcher.start()
    try:
        with tqdm(total=tried.sweep.planned, unit="trial", dynamic_ncols=True, disable=None) as bar:
            while (standing := sweeping.advance(tried)).goes_on:
                bar.update(sum(trial.is_over for trial in standing.trials) - bar.n)
                time.sleep(LOOK_SECONDS)
    finally:
        dispatcher.close()
    print(sweeping.in_words(tried, standing))
    if arguments.keep is not None:
        keep(arguments.keep, tried.sweep, standing.trials)
    return 0


def _sweep_of(arguments: argparse.Namespace) -> tuple[Text, Sweep]:
    """The text and the sweep that were described on the command line."""
    if arguments.text is None or not arguments.vary or arguments.budget is None:
        raise ValueError("sweep needs --text, --vary and --budget, or --resume")
    preset, study = arguments.preset or PRESET, arguments.study
    base = TRAIN_PRESETS[preset]
    return find_text(arguments.text), Sweep(
        model=MODEL_PRESETS[preset],
        training=replace(base, steps=base.steps if arguments.steps is None else arguments.steps),
        axes=tuple(Axis.read(said) for said in arguments.vary),
        budget=arguments.budget,
        method="grid" if study is None else "study",
        most_trials=1 if study is None else study,
    )

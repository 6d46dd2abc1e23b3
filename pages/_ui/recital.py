"""What a run says, held to the text it learnt from: which run, which of its states, and every number about its text.

How to read it: ``choose_run`` and ``choose_state`` are the controls; ``speak`` makes the text, drawn now where
there are weights and taken from the record where there are none; ``measure`` holds it to other texts.

Models run here, in the page, one at a time and on one core. Each text and each test ends after ``SECONDS`` of that core
with what it has by then, and says so: what a busy machine does to a clock on the wall changes no number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from gptcore import overfitting, recitation, temperatures
from gptcore.batches import TrainingData, prepare
from gptcore.config import SamplingConfig
from gptcore.memorization import CopyIndex
from gptcore.one_step import alone
from gptcore.paths import POCKET_MODEL
from gptcore.recitation import Copying
from gptcore.runs.store import Run
from gptcore.temperatures import Written
from gptcore.windows import open_parts
from pages._ui import replay, resources, thread
from pages._ui.control import among
from pages._ui.kept import kept
from pages._ui.resources import Voice

SECONDS = 2.0  # of a core, for one text or one test: thirty students share the server
DRAWN = 200  # tokens of a text; one at each of five temperatures makes 1,000
PARTS = {"training": 0, "validation": 1}  # of a text, as open_parts returns them
STATES = {"best": "with its best weights", "last": "with its last weights"}
STRANGER = Voice("pocket model", POCKET_MODEL)
UNREAD_BY_STRANGER = ("the-glass-clock", "the-verdict")  # as the model's card says; of other texts nobody knows


class Rules(NamedTuple):
    """How a text is drawn."""

    temperature: float
    seed: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text and where it comes from.

    Attributes:
        text: The prompt included.
        rules: As it was drawn.
        how: A sentence for the screen.
    """

    prompt: str
    text: str
    rules: Rules
    how: str


@dataclass(frozen=True, slots=True)
class Measures:
    """One text, held to the training text and to the validation text; and a stranger's, held to the training text."""

    training: Copying
    validation: Copying
    stranger: Copying | None


def patience() -> Callable[[], bool]:
    """Says whether the time for one text or test, counted from now, is over; for the thread that asked."""
    end = time.thread_time() + SECONDS
    return lambda: time.thread_time() > end


def choose_run() -> Run:
    """Choose between the student's run and the two recorded ones; only the large one is without weights."""
    mine = thread.run()
    runs = {} if thread.is_recorded(mine) else {"Your run": mine}
    runs |= {"Recorded: small": Run(thread.SMALL_RUN), "Recorded: large": Run(thread.RECORDED_RUN)}
    key = "memory_run" if len(runs) == 3 else "memory_recorded_run"
    among(key, runs)
    chosen = st.selectbox(
        "Run",
        list(runs),
        key=key,
        help="The recorded runs come with the program. The large one, of 162 million parameters, comes without its "
        "weights, so that only what it said while it learnt can be looked at.",
    )
    return runs[chosen]


def choose_state(run: Run) -> str:
    """Choose the best or the last of a run."""
    state = st.segmented_control(
        "Its state",
        list(STATES),
        default="last",
        required=True,
        format_func=str.capitalize,
        key="memory_state",
        help="At its best validation loss, or at its end.",
        persist_state="session",
    )
    if not run.weights(state) and any(map(run.weights, STATES)):
        st.caption(f"This run has no {state} weights (yet): the text is the one it said while it learnt.")
    return state


def name(run: Run) -> str:
    """A run as the page calls it."""
    if not thread.is_recorded(run):
        return "Your run"
    return "The recorded small run" if run.folder == thread.SMALL_RUN else "The recorded run of 162 million parameters"


def voice(run: Run, state: str) -> Voice | None:
    """The run's model in one of its states, where those very weights are there."""
    return Voice(f"{name(run)}, {state}", run.folder, state) if run.weights(state) else None


def beginning(run: Run) -> str:
    """What the run was asked to go on with while it learnt."""
    samples = run.samples()
    return samples[0]["prompt"] if samples else run.train_config.sample_prompt or run.text.prompt


def speak(run: Run, state: str, temperature: float, seed: int) -> Spoken | None:
    """The run's text: drawn now, or the sample of that state; None where it never said anything.

    Raises:
        ValueError: The weights can't be loaded, or the prompt can't be written in the model's vocabulary.
    """
    speaker = voice(run, state)
    if speaker is None:
        return _recorded(run, state)
    prompt = beginning(run)
    rules = Rules(temperature, seed, DRAWN)
    text, drawn = write(speaker, prompt, rules)
    short = "" if drawn == DRAWN else f", all that {SECONDS:g} seconds of a core allowed"
    how = f"Drawn now {STATES[state]}: {drawn} tokens at temperature {temperature:g}, seed {seed}{short}."
    return Spoken(prompt, text, rules._replace(tokens=drawn), how)


def _recorded(run: Run, state: str) -> Spoken | None:
    """What it said while it learnt, at the step nearest to the state asked for."""
    samples = run.samples()
    if not samples:
        return None
    looks = replay.points(replay.curve(run))
    wanted = overfitting.best(looks).step if looks and state == "best" else samples[-1]["step"]
    sample = min(samples, key=lambda row: abs(row["step"] - wanted))
    tokens = len(recitation.written_tokens(sample["text"], sample["prompt"]))
    how = f"Said while it learnt, {replay.when(sample['step'])}: {tokens} tokens at temperature 0."
    return Spoken(sample["prompt"], sample["text"], Rules(0.0, 0, tokens), how)


def write(speaker: Voice, prompt: str, rules: Rules) -> Written:
    """A text by these rules, kept as long as the weights stay the same."""
    return _write(speaker, resources.version(speaker), prompt, rules)


@st.cache_data(max_entries=128, show_spinner="A text is being drawn.")
def _write(speaker: Voice, changed: float, prompt: str, rules: Rules) -> Written:
    del changed  # part of the key only
    model, tokenizer = resources.speak(speaker)
    config = SamplingConfig(temperature=rules.temperature, seed=rules.seed)
    ids = resources.prompt_ids(tokenizer, prompt)
    with alone():
        return temperatures.write(model, tokenizer, ids, config, rules.tokens, patience())


def index(run: Run, part: str) -> CopyIndex:
    """A part of the run's text, ready to be searched."""
    return resources.copy_index(open_parts(run.text.text, run.train_config)[PARTS[part]])


def held_to(run: Run, part: str, text: str, prompt: str, min_tokens: int) -> Copying:
    """One text held to a part of the run's text."""
    return recitation.copying(index(run, part), recitation.written_tokens(text, prompt), min_tokens)


def measure(run: Run, spoken: Spoken, min_tokens: int) -> Measures:
    """The text held to both parts of the run's text, and a stranger's with the same beginning, seed and rules."""
    stranger = None
    if POCKET_MODEL.is_file():
        text = write(STRANGER, spoken.prompt, spoken.rules).text
        stranger = held_to(run, "training", text, spoken.prompt, min_tokens)
    training, validation = (held_to(run, part, spoken.text, spoken.prompt, min_tokens) for part in PARTS)
    return Measures(training, validation, stranger)


def over_the_run(run: Run, min_tokens: int) -> pd.DataFrame:
    """``recitation.over_the_run`` of all that this run has said so far."""
    return recitation.over_the_run(run.samples(), index(run, "training"), index(run, "validation"), min_tokens)


@kept(4)
def _prepared(folder: Path, created: float) -> TrainingData:
    del created  # part of the key only: a folder may be another run's by now
    run = Run(folder)
    return prepare(run.text, run.model_config, run.train_config)


def prepared(run: Run) -> TrainingData:
    """The run's tokens as it trains on them, in its own vocabulary; to be read, never changed."""
    return _prepared(run.folder, run.config["created"])

"""The thread that runs through all lessons: this student's text, model and run, and the strip that shows them.

What a student chose lives in the session under the names below; every lesson reads it here and nowhere else.
Until something was trained here, the thread holds the recorded run that comes with the program.
"""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from gptcore.config import MODEL_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import CATALOGUE, OWN_STORY, Text, load_text
from gptcore.parameters import count_parameters
from gptcore.paths import RECORDED, runs_home
from gptcore.runs.store import Run, RunStore
from pages._ui import resources

TEXT, PRESET, RUN, LOST = "thread_text", "thread_preset", "thread_run", "thread_lost"
START = "thread_start"
RECORDED_RUN = RECORDED / "the-glass-clock-124m"
SMALL_RUN = RECORDED / "the-glass-clock-class"  # with its weights


def text() -> Text:
    """The text that the student works with; our own story until another was chosen."""
    if TEXT not in st.session_state:
        st.session_state[TEXT] = load_text(OWN_STORY)
    chosen: Text = st.session_state[TEXT]
    return chosen


def first_prompt() -> str:
    """A beginning to ask models for: the text's own, or our story's where it has none."""
    return text().prompt or CATALOGUE[OWN_STORY].prompt


def choose_text(new: Text) -> None:
    """Go on with another text."""
    st.session_state[TEXT] = new


def model() -> GPTConfig:
    """The model that the student works with: that of the run, or of the preset last chosen."""
    chosen: GPTConfig = st.session_state.get(PRESET, MODEL_PRESETS["book-124m"])
    return chosen


def choose_model(new: GPTConfig) -> None:
    """Go on with another model."""
    st.session_state[PRESET] = new


def store() -> RunStore:
    """All runs of this server."""
    return RunStore(runs_home())


def run() -> Run:
    """The student's run, or the recorded one where there is none (any more)."""
    asked = st.session_state.get(RUN) or st.query_params.get("run")
    mine = store().find(asked) if asked else None
    if mine is None:
        return Run(RECORDED_RUN)
    if RUN not in st.session_state:  # the page was loaded anew: its address still knows the run
        follow(mine)
    return mine


def lost() -> bool:
    """Whether the run that was asked for is not here; so it stays until another one is followed."""
    asked = st.session_state.get(RUN) or st.query_params.get("run")
    if asked is not None and store().find(asked) is None:
        forget()
        st.session_state[LOST] = True
    return LOST in st.session_state


def forget() -> None:
    """Follow no run any more."""
    st.session_state.pop(RUN, None)
    st.query_params.pop("run", None)


def follow(new: Run) -> None:
    """Go on with another run, its text and its model."""
    st.session_state[RUN] = new.id
    st.session_state.pop(LOST, None)
    choose_text(new.text)
    choose_model(resources.run_model_config(new))


class Start(NamedTuple):
    """Settings that the student wants to begin a run with.

    Attributes:
        name: Whose they are.
        number: How many were chosen before: those chosen a second time come without what was changed since.
        model: As it was asked for: a compact vocabulary finds its size anew.
    """

    name: str
    number: int
    model: GPTConfig
    training: TrainConfig


def start() -> Start | None:
    """The settings to begin with, where some were chosen."""
    chosen: Start | None = st.session_state.get(START)
    return chosen


def start_from(name: str, new: Text, shape: GPTConfig, settings: TrainConfig) -> None:
    """Lay a text and settings ready for the training lesson."""
    before = start()
    st.session_state[START] = Start(name, before.number + 1 if before else 0, shape, settings)
    choose_text(new)


def is_recorded(some: Run) -> bool:
    """Whether a run came with the program instead of having been trained here."""
    return some.folder in (RECORDED_RUN, SMALL_RUN)


def training() -> TrainConfig:
    """The settings of the run."""
    return run().train_config


class Link(NamedTuple):
    """One stretch of the thread: the lesson it leads to, its value, and other lessons on the same stretch."""

    key: str
    label: str
    beside: tuple[str, ...] = ()


def links() -> list[Link]:
    """The student's live values from end to end."""
    mine, shape = run(), model()
    counts = resources.text_counts(text().text, shape.context_length, mine.train_config)
    rows = resources.metrics(mine)
    evaluated = rows["val_loss"].dropna()
    loss = f"loss {evaluated.iloc[-1]:.2f}" if len(evaluated) else "no loss yet"
    if mine.config["text"]["sha256"] != text().sha256:  # another text was chosen since
        loss = "not trained yet"
    elif is_recorded(mine):
        loss += " (recorded)"
    return [
        Link("home", f"{len(text().text):,} characters"),
        Link("tokens", f"{counts.tokens:,} tokens", ("bpe",)),
        Link("windows", f"{counts.windows:,} windows"),
        Link("parameters", f"{count_parameters(shape):,} parameters", ("forward",)),
        Link("training", loss, ("loss", "overfitting", "memory", "clinic", "compare", "floor")),
        Link("sampling", "text", ("pretrained",)),
    ]


def keep() -> None:
    """Let the address say which run is followed, for a page that is loaded anew; a link's text then is left behind."""
    if RUN in st.session_state and st.query_params.get("run") != st.session_state[RUN]:
        st.query_params["run"] = st.session_state[RUN]
        for name in ("text", "model"):
            st.query_params.pop(name, None)


def strip(current: str) -> None:
    """Draw the thread, the current stretch lit, each stretch a link."""
    keep()
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="thread-strip"):
        for link in links():
            st.page_link(
                f"pages/{link.key}.py",
                label=f"**{link.label}**" if current in (link.key, *link.beside) else link.label,
                icon=":material/arrow_right_alt:" if link.key != "home" else ":material/notes:",
            )

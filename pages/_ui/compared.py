"""Which runs there are to lay side by side, the few that were chosen, and each of them as ``gptcore`` compares it.

One's own runs and the recorded ones are on offer; somebody else's only while the page's address names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from gptcore import comparison, recordings
from gptcore.comparison import MOST_RUNS, Compared
from gptcore.config import GPTConfig
from gptcore.corpora import load_text
from gptcore.recordings import Recording
from gptcore.runs.store import Run
from pages._ui import choices, resources, thread
from pages._ui.kept import kept

CHOSEN, OFFERED, SEEN = "compare_runs", "compare_offered", "compare_seen"
RECORDED = "recorded"
RECORDED_RUNS = {
    thread.RECORDED_RUN: "the book's model (recorded)",
    thread.SMALL_RUN: "class preset (recorded)",
}
FIRST = ("curve seed-123", "curve seed-124", "curve seed-125")  # before anything was trained here
TITLE_SHOWN = 24  # characters of a text's title in a name


class Offer(NamedTuple):
    """A run that can be chosen: its name in the figure, and where it is kept."""

    name: str
    source: Run | Recording

    @property
    def label(self) -> str:
        """What it is chosen by: of a run that was trained here also its text; never what changes while it is chosen."""
        if isinstance(self.source, Recording) or thread.is_recorded(self.source):
            return self.name
        return f"{self.name} · {_short(_title(self.source))}"


def _title(run: Run) -> str:
    """A text's title; a file's name may hold bytes that are no characters, which no table and no message can carry."""
    title: str = run.config["text"]["title"]
    return title.encode("utf-8", "replace").decode()


def offers() -> dict[str, Offer]:
    """All that can be chosen, by key."""
    found = {run.id: Offer(f"run {number}", run) for number, run in choices.own_runs().items()}
    run = thread.run()
    if run.id not in found and not thread.is_recorded(run):
        found[run.id] = Offer("watched run", run)
    found |= {folder.name: Offer(name, Run(folder)) for folder, name in RECORDED_RUNS.items()}
    for name in recordings.names():
        recording = recordings.load(name)
        found[f"curve {name}"] = Offer(f"{recording.plan.title} (recorded)", recording)
    return found


def choose(found: Mapping[str, Offer]) -> list[Offer]:
    """Let up to five be chosen."""
    st.session_state[CHOSEN] = _still_there(found)
    keys = st.multiselect(
        f"Runs to compare, up to {MOST_RUNS}",
        list(found),
        format_func=lambda key: found[key].label,
        max_selections=MOST_RUNS,
        key=CHOSEN,
        persist_state="session",
        placeholder="Choose a run",
    )
    return [found[key] for key in keys]


def _still_there(found: Mapping[str, Offer]) -> list[str]:
    """What was chosen, as far as it is there; a run that the thread went on with since the last look is added."""
    run = thread.run()
    new = [run.id] if not thread.is_recorded(run) and st.session_state.get(SEEN, run.id) != run.id else []
    st.session_state[SEEN] = run.id
    before = st.session_state.get(CHOSEN)
    kept = [key for key in dict.fromkeys([*new, *(before or [])]) if key in found][:MOST_RUNS]
    untouched = before == st.session_state.get(OFFERED)  # whose runs are whose is known only from the second look on
    if untouched or not (kept or before == []):
        st.session_state[OFFERED] = kept = _at_first(found)
    return kept


def _at_first(found: Mapping[str, Offer]) -> list[str]:
    """What is laid side by side before anybody chose: the newest of one's own runs; one alone beside a recorded one."""
    here = {key: offer.source for key, offer in found.items() if isinstance(offer.source, Run)}
    mine = [key for key, run in here.items() if not thread.is_recorded(run)][-MOST_RUNS:]
    recorded = [key for key in FIRST if key in found]
    return mine if len(mine) > 1 else [*mine, *recorded[: 1 if mine else None]]


def add(run: Run) -> None:
    """Choose one more run, where there is room for it; called before the page is drawn."""
    chosen = st.session_state.get(CHOSEN, [])
    if len(chosen) < MOST_RUNS:
        st.session_state[CHOSEN] = [*chosen, run.id]


def side_by_side(chosen: Sequence[Offer]) -> list[Compared]:
    """The chosen runs, named so that they can be told apart, also by a text that most of them don't have.

    One that was deleted in this instant is left out.
    """
    runs: list[Compared] = []
    for offer in chosen:
        with suppress(FileNotFoundError):
            run = look(offer)
            is_taken = run.name in {other.name for other in runs}
            runs.append(_named(run, f"{run.name} {len(runs) + 1}") if is_taken else run)
    texts = [run.sha256 for run in runs]
    usual = max(texts, key=texts.count, default="")
    return [run if run.sha256 == usual else _named(run, f"{run.name} · {_short(run.text)}") for run in runs]


def _short(title: str) -> str:
    return title if len(title) <= TITLE_SHOWN else title[: TITLE_SHOWN - 1] + "…"


def look(offer: Offer) -> Compared:
    """A run as it stands now; the same object until something is written into its folder.

    Raises:
        FileNotFoundError: It was deleted in this instant.
    """
    source = offer.source
    if isinstance(source, Recording):
        return _named(_recorded(source.plan.name), offer.name)
    return _named(_of_run(source, resources.written(source)), offer.name)


@kept(256)
def _named(run: Compared, name: str) -> Compared:
    return replace(run, name=name)


@kept(128)
def _of_run(source: Run, written: resources.Written) -> Compared:
    del written  # part of the key only
    config = source.config
    return Compared(
        name=source.id,
        text=_title(source),
        sha256=config["text"]["sha256"],
        model=_shape(source.folder),
        training=source.train_config,
        metrics=resources.metrics(source),
        state=RECORDED if thread.is_recorded(source) else source.status["state"],
        versions=config["versions"],
    )


@kept(256)
def _shape(folder: Path) -> GPTConfig:
    """A run's model as it is trained; its text and its model never change."""
    return resources.run_model_config(Run(folder))


@kept(64)
def _recorded(name: str) -> Compared:
    """A recorded curve, with what its text says of it."""
    recording = recordings.load(name)
    plan, text = recording.plan, load_text(recording.plan.text)
    counts = resources.text_counts(text.text, plan.model.context_length, plan.training)
    return Compared(
        name=plan.title,
        text=text.title,
        sha256=text.sha256,
        model=replace(plan.model, vocab_size=counts.vocab_size),
        training=plan.training,
        metrics=recording.metrics.assign(epochs_read=(recording.metrics["step"] + 1) / counts.train.batches),
        state=RECORDED,
        versions=recording.versions,
        digits=recordings.COLUMNS,
    )


def evaluated(runs: Sequence[Compared]) -> dict[str, pd.DataFrame]:
    """The rows that a figure draws: those that were evaluated."""
    return {run.name: run.metrics[run.metrics["train_loss"].notna()] for run in runs}


def is_live(chosen: Sequence[Offer]) -> bool:
    """Whether more of one of them is still to come."""
    runs = [offer.source for offer in chosen if isinstance(offer.source, Run)]
    return any(run.exists and not run.has_ended for run in runs)


def curves_file(chosen: Sequence[Offer]) -> bytes:
    """All losses of the chosen runs, as they stand when they are asked for."""
    return comparison.as_csv(comparison.curves_table(side_by_side(chosen)))


def tables_file(chosen: Sequence[Offer]) -> bytes:
    """Both tables in one: a column for each run, a row for each result and for each setting that differs."""
    runs = side_by_side(chosen)
    both = [comparison.results(runs).set_index("run").T, comparison.differences(runs)]
    return comparison.as_csv(pd.concat(both).rename_axis("what"))

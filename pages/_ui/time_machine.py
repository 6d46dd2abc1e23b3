"""The time machine: one scrubber moves both curves' cursor, the text of that evaluation and the probes beside it.

The browser holds the run's whole record (``gptcore.timeline``), so dragging asks nothing of the server. Python can't see
where the reader stands; it only says where he begins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import streamlit as st

from gptcore import timeline
from gptcore.paths import ASSETS
from gptcore.runs.store import Run
from pages._ui import replay, resources

HEIGHT, HEIGHT_WITH_PROBES = 380, 560  # pixels beside each other; stacked, it is as high as it has to be
WRITTEN = ("samples.jsonl", "probes.jsonl")


def _asset(kind: str) -> str:
    return (ASSETS / "components" / f"time_machine.{kind}").read_text(encoding="utf-8")


_component = st.components.v2.component(
    "glassbox_time_machine", html=_asset("html"), css=_asset("css"), js=_asset("js")
)


def draw(run: Run, key: str, height: int | None = None, start: Literal["best", "end"] = "best") -> None:
    """Draw the time machine of a run, or say that there is nothing to move through yet.

    Args:
        run: Any run; one that is still under way grows while the reader stays where he is.
        key: Of the component.
        height: Pixels on a wide screen; without it, what the run's record needs.
        start: Where the reader stands at first; a run without validation losses begins at its end.
    """
    if not _evaluations(run):
        st.info("This run has not been evaluated yet: there is nothing to move through.")
        return
    record = _record(run.folder, _lines(run))
    fitting = HEIGHT_WITH_PROBES if (run.folder / WRITTEN[1]).exists() else HEIGHT
    _component(data={"record": record, "height": height or fitting, "start": start}, key=key)


def _evaluations(run: Run) -> bool:
    return "untrained" in run.status or resources.metrics(run)["train_loss"].notna().any()


def _lines(run: Run) -> tuple[int, ...]:
    """Changes whenever there is more to show: metric lines, and bytes of the other two files."""
    paths = [run.folder / name for name in WRITTEN]
    return (len(resources.metrics(run)), *(path.stat().st_size if path.exists() else 0 for path in paths))


@st.cache_resource(max_entries=64, show_spinner=False)
def _record(folder: Path, lines: tuple[int, ...]) -> str:
    del lines  # part of the key only
    run = Run(folder)
    text, config = run.text.text, run.train_config
    about = timeline.Surroundings(
        lines=resources.reference_lines(text, config),
        vocab_size=resources.text_counts(text, run.model_config.context_length, config).vocab_size,
        index=resources.copy_index(text, config.train_fraction, config.train_share),
        min_copied=replay.MIN_COPIED,
    )
    rows = resources.metrics(run)
    evaluated = rows[rows["train_loss"].notna()].to_dict("records")
    return timeline.record(run, about, [{str(name): value for name, value in row.items()} for row in evaluated])

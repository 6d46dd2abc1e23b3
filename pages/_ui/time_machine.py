"""The time machine: one scrubber over a run's evaluations, drawn by a small component of our own.

How to read it: ``draw`` shows a ``Timeline``; ``record`` is what the browser gets of it, once, numbers and sentences:
from then on dragging asks nobody. ``of_run`` keeps the timeline of a run that has ended, ``recorded`` those that come
with the program.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import streamlit as st

from gptcore import overfitting, timeline
from gptcore.memorization import MIN_COPIED
from gptcore.overfitting import UNTRAINED, Evaluation
from gptcore.paths import ASSETS
from gptcore.runs.store import Run
from gptcore.timeline import Moment, Saying, Timeline
from pages._ui import chips, replay, thread
from pages._ui.control import among
from pages._ui.kept import kept

_LABELS = {"training": "A passage that it trains on:", "validation": "A passage that it never sees:"}

_machine = st.components.v2.component(
    "glassbox_time_machine",
    html=(ASSETS / "components" / "time_machine.html").read_text(encoding="utf-8"),
    css=(ASSETS / "components" / "time_machine.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "time_machine.js").read_text(encoding="utf-8"),
)


def draw(run: Timeline, name: str, key: str, *, hide_best: bool = False, at_end: bool = False, bars: int = 20) -> None:
    """Draw a run that was evaluated at least once.

    Args:
        run: What to look back at.
        name: Tells this run from others: as long as it stays, the reader's place does.
        key: Of the component.
        hide_best: Whether what gives the best moment away is left out.
        at_end: Whether it opens at the last moment instead of the best.
        bars: Tokens shown of what is expected at the end of each passage.
    """
    _machine(data=_given(name, len(run.moments), run.moments[-1].step, hide_best, at_end, bars, run), key=key)


def choose(mine: Run) -> None:
    """Look back at the run of the thread, or at one of those that come with the program.

    One's own run opens at its end, where it may have begun to recite; a recorded one at its best.
    """
    own = of_run(mine)
    first = f"Recorded: {title(own)}" if thread.is_recorded(mine) else f"This run: {title(own)}"
    options = {"": first, **{name: f"Recorded: {title(recorded(name))}" for name in timeline.names()}}
    among("time_machine_choice", options)
    name = st.selectbox(
        "Look back at",
        list(options),
        format_func=options.__getitem__,
        key="time_machine_choice",
        label_visibility="collapsed",
        persist_state="session",
    )
    chosen = recorded(name) if name else own
    if not chosen.moments:
        st.info("This run was not evaluated yet: there is nothing to look back at.")
        return
    draw(chosen, name or mine.id, key="time_machine", at_end=not name and not thread.is_recorded(mine))
    if name:
        st.caption(_settings(chosen))
    elif mine.weights("last"):
        st.page_link("pages/sampling.py", label="Ask its best and its last weights", icon=":material/casino:")


def _settings(run: Timeline) -> str:
    """How a recorded run was made."""
    training, versions = run.about["training"], run.about["versions"]
    return (
        f"Recorded with this program: batches of {training['batch_size']}, learning rate {training['lr']:g}, seed "
        f"{training['seed']}, {training['precision']}, PyTorch {versions['torch']}."
    )


@kept(32)
def _of_folder(folder: Path, changed: float) -> Timeline:
    del changed  # part of the key only
    return timeline.look_back(Run(folder))


def of_run(run: Run) -> Timeline:
    """The timeline of a run as its folder is now."""
    status = run.folder / "status.json"
    return _of_folder(run.folder, status.stat().st_mtime if status.is_file() else 0.0)


@kept(8)
def recorded(name: str) -> Timeline:
    """A timeline that comes with the program."""
    return timeline.load(name)


def title(run: Timeline) -> str:
    """What was trained on what, in a line."""
    steps = f", {run.moments[-1].step + 1:,} steps" if run.moments else ""
    return f"{run.title}: {run.parameters:,} parameters{steps}"


@st.cache_resource(max_entries=64, show_spinner=False)
def _given(name: str, moments: int, last: int, hide_best: bool, at_end: bool, bars: int, _run: Timeline) -> bytes:
    """``record`` as the browser gets it: as long as nothing was added to a run of this name, it is the same.

    In bytes, because Streamlit writes anything else as JSON at every look, twice, which takes 10 ms.
    """
    del last  # part of the key only
    start = {"start": moments - 1} if at_end else {}
    given = {"run": f"{name} {moments} {hide_best}", "bars": bars, **record(_run, hide_best), **start}
    return json.dumps(given).encode()


def record(run: Timeline, hide_best: bool = False) -> dict[str, Any]:
    """What the browser gets: at most 300 KB for 120 moments."""
    looks = run.looks
    best = overfitting.best(looks) if looks else None
    levels = list(run.lines.values())[: replay.COUNTING_LINES]
    moments = [_moment(each, looks, levels, None if hide_best else best) for each in run.moments]
    start = next((place for place, each in enumerate(run.moments) if best and each.step == best.step), 0)
    return {
        "alt": f"{title(run)}; its losses, its text and its guesses at each of {len(moments)} moments",
        "lines": [[name.rstrip(":"), level] for name, level in run.lines.items()],
        "dearest": max(run.lines.values()),
        "batches": run.batches,
        "best": None if hide_best or not best else start,
        "start": 0 if hide_best else start,
        "passages": [{"label": _LABELS[row["part"]], "tokens": row["tokens"]} for row in run.passages],
        "moments": moments,
    }


def _moment(
    here: Moment, looks: Sequence[Evaluation], levels: Sequence[float], best: Evaluation | None
) -> dict[str, Any]:
    known = [look for look in looks if look.step <= here.step]
    saying = here.saying
    return {
        "step": here.step,
        "train": here.train,
        "validation": here.validation,
        "when": replay.when(here.step) if here.step == UNTRAINED else f"step {here.step:,}, epoch {here.epoch}",
        "losses_said": _losses(here),
        "phase": overfitting.phase(known, levels) if known else "not evaluated",
        "asked": _asked(saying),
        "pieces": _pieces(saying) if saying else [],
        "copied": _copied(saying) if saying else "",
        "has_copied": bool(saying and saying.copied),
        "stop": _had_you_stopped(here, best, looks[-1].step) if best else "",
        "costs": here.losses,
        "following": here.following,
    }


def _losses(here: Moment) -> str:
    losses = (("training", here.train), ("validation", here.validation))
    known = [f"{part} loss {loss:.2f}" for part, loss in losses if loss is not None]
    if here.train is not None and here.validation is not None:
        known.append(f"gap {here.validation - here.train:.2f}")
    return ", ".join(known) + " nats a token" if known else "the end of the run, not evaluated"


def _asked(saying: Saying | None) -> str:
    if saying is None:
        return "It has not been asked to write anything yet."
    when = "Before training" if saying.step == UNTRAINED else f"After step {saying.step:,}"
    return f"{when}, asked to go on with the bold beginning, it wrote:"


def _pieces(saying: Saying) -> list[tuple[str, str, str]]:
    """The text in as few pieces as show it: neighbours of one kind are one."""
    pieces = chips.copied_pieces(saying.prompt, saying.text, saying.spans)
    alike = groupby(pieces, key=lambda piece: (piece.get("kind", ""), piece.get("title", "")))
    return [("".join(piece["text"] for piece in group), kind, title) for (kind, title), group in alike]


def _copied(saying: Saying) -> str:
    if not saying.text[len(saying.prompt) :].strip():
        return "It wrote nothing but blank lines."
    if saying.copied:
        return f"{saying.copied} of the {saying.written} tokens of its text are copied from the training text."
    return f"None of its {saying.written} tokens are copied: passages of {MIN_COPIED} tokens or more count."


def _had_you_stopped(here: Moment, best: Evaluation, last: int) -> str:
    """What stopping at this moment would have meant."""
    if here.validation is None or here.step == UNTRAINED:
        return ""
    away = here.validation - best.validation
    if here.step == best.step:
        saved = last - here.step
        return f"The best moment to stop: {saved:,} later updates brought nothing for unseen text." if saved else ""
    if here.step < best.step:
        return f"Had you stopped here, you would have missed {away:.2f} nats: the best comes at step {best.step:,}."
    return (
        f"Had you stopped at step {best.step:,}, the validation loss would be {away:.2f} lower, and "
        f"{here.step - best.step:,} updates saved."
    )

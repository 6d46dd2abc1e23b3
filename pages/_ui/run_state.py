"""How a run stands, in a line, and what its owner may ask for: to stop, to go on, to be deleted.

The page only reads; every request goes through ``gptcore.runs.requests``, which knows whose run it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from gptcore.machine import MIB
from gptcore.runs import queue, requests
from gptcore.runs.store import Run
from pages._ui import frame, owner, teaching, thread

STATE_ICONS = {
    "queued": ":material/hourglass_empty:",
    "running": ":material/directions_run:",
    "done": ":material/check_circle:",
    "cancelled": ":material/cancel:",
    "failed": ":material/error:",
    "interrupted": ":material/power_off:",
}


def draw(run: Run, rows: pd.DataFrame) -> None:
    """Say how a run stands, and offer what may be asked of it."""
    done = len(rows)
    status = run.status
    state = "recorded" if thread.is_recorded(run) else status["state"]
    asked = state in ("queued", "running", "interrupted") and run.was_asked_to_stop
    words = [f"{STATE_ICONS.get(state, ':material/history:')} {'stopping' if asked else state}"]
    total = status.get("total_steps")
    if total:
        words.append(f"step {done:,} of {total:,}")
    if state in queue.WAITING:
        words += _place(run)
    seconds = float(rows["seconds"].iloc[-1]) if done else 0.0
    if seconds and not thread.is_recorded(run):  # a recording's time is another machine's
        words.append(f"{seconds:,.0f} s, {rows['tokens_seen'].iloc[-1] / seconds:,.0f} tokens a second")
        if state == "running" and total:
            words.append(f"about {seconds / done * (total - done):,.0f} s to go")
    if (variant := run.train_config.variant) != "none":
        words.append(f"deliberately changed: {variant}")
    if not thread.is_recorded(run) and not requests.is_of(run, owner.names()):
        words.append("somebody else's run: you may watch it")
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.caption(" · ".join(words))
    if not thread.is_recorded(run):
        with right:
            _requests(run, state)
    if total and state == "running":
        st.progress(min(done / total, 1.0))
    _troubles(status, state)


def _place(run: Run) -> list[str]:
    """Where a run stands in the queue, as far as the dispatcher has told."""
    at = queue.place(thread.store(), run)
    if at is None:
        return []
    wait = [] if at.memory is None else [f"it waits until {at.memory / MIB:,.0f} MiB of memory are free"]
    wait += [] if at.seconds is None else [f"about {at.seconds:,.0f} s to wait"]
    return [", ".join([f"place {at.place} of {at.waiting} in the queue", *wait])]


def _requests(run: Run, state: str) -> None:
    """What the owner may ask for; anybody else may watch."""
    if not requests.is_of(run, owner.names()):
        return
    if state in ("queued", "running", "interrupted"):
        asked = run.was_asked_to_stop
        label = "Stopping" if asked else "Cancel"
        stop = _asking(requests.cancel, run)
        st.button(label, icon=":material/stop:", disabled=asked, key="training_cancel", on_click=stop)
    else:
        with st.popover("Manage", key="training_manage"):
            if run.status.get("can_go_on"):
                most = teaching.levers().most_minutes
                go_on = _asking(lambda run, names: requests.go_on(thread.store(), run, names, most), run)
                st.button("Go on from its last checkpoint", key="training_go_on", on_click=go_on)
            remove = _asking(lambda run, names: requests.remove(thread.store(), run, names), run)
            st.button("Delete it for good", key="training_delete", on_click=remove)


def _asking(request: Callable[[Run, set[str]], None], run: Run) -> Callable[[], None]:
    """A request as a button's action; a refusal is shown with the next drawing."""

    def ask() -> None:
        try:
            request(run, owner.names())
        except (ValueError, OSError) as error:  # too many wait, the owner has changed, the disk is full
            if run.exists:  # else another tab has deleted it, and there is nothing to refuse
                st.session_state["training_refused"] = str(error)
        if not run.exists:
            thread.forget()

    return ask


def _troubles(status: dict[str, Any], state: str) -> None:
    """What went wrong, and what can't be kept."""
    if refused := st.session_state.pop("training_refused", None):
        frame.refuse(ValueError(refused))
    if status.get("reason"):
        verb = "is interrupted" if state == "interrupted" else state
        frame.refuse(ValueError(f"this run {verb}: {status['reason']}"))
    if status.get("unsaved_since") is not None:
        st.warning(f"Not saved since step {status['unsaved_since']}: the disk is full or can't be written.")
    elif status.get("keeps", "all") != "all":
        what = "only its best weights are kept" if status["keeps"] == "best" else "nothing of it is kept but its curve"
        st.warning(f"This run is not resumable: the disk has too little room, so {what}.")

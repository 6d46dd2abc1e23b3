"""A run that stays in sight: a presenter's own, and the one that a class is shown.

How to read it: ``own`` is a presenter's line on every page, with the way to the run, and goes there by itself where
"Follow my run" is on. A teacher who follows shows the run to the class, too: ``of_the_class`` brings every screen there
that was opened by the link to the class with ``follow=1``. What is left out: the run itself (the training page).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from gptcore.runs.store import Run
from pages._ui import owner, teaching, thread

FOLLOWED, BEFORE, SEEN, BOUND = "present_followed", "present_before", "present_seen", "present_bound"
LOOK_SECONDS = 2.0
TRAINING = "training"


def newest() -> Run | None:
    """The run that this browser has begun last, whichever of its tabs it was."""
    return next((run for run in reversed(list(thread.store())) if run.config.get("owner") in owner.names()), None)


def go_to(run: Run) -> None:
    """Go to a run; from there on the thread goes on with it."""
    thread.follow(run)
    st.switch_page(f"pages/{TRAINING}.py")


def _send(run: Run) -> None:
    """Go to a run from a part of a page that runs alone: the whole page goes, or half of it would be left behind."""
    st.session_state[BOUND] = run.id
    st.rerun()


def depart() -> None:
    """Leave for the run that ``_send`` named, before anything of another lesson is drawn."""
    bound = st.session_state.pop(BOUND, None)
    run = thread.store().find(bound) if bound else None
    if run is not None:
        go_to(run)


def own(lesson: str, goes: bool) -> None:
    """The presenter's own run in a line, from its beginning on, wherever it is not on screen.

    Args:
        lesson: The one that is presented.
        goes: Whether to go to each new run by itself, and to show it to the class.
    """
    _alone(partial(_own, lesson, goes), f"own_{lesson}")


def _alone(part: Callable[[], None], name: str) -> None:
    """Draw a part again and again, under a name that no other page has.

    Streamlit knows such a part by its function's name and its place. A look that a browser asked for just before it
    went to another page would else be taken for that page's, and leave it empty.
    """

    def look() -> None:
        part()

    look.__qualname__ = name
    st.fragment(look, run_every=LOOK_SECONDS)()


def _own(lesson: str, goes: bool) -> None:
    run = newest()
    # What had ended before anybody presented, or before the browser had said whose runs to look at, is nobody's news.
    names, before = st.session_state.get(BEFORE, (None, ""))
    if names != owner.names():
        before = run.id if run is not None and run.has_ended else ""
        st.session_state[BEFORE] = (owner.names(), before)
    if run is None or run.id == before:
        return
    on_screen = lesson == TRAINING and thread.run().id == run.id
    if goes and st.session_state.get(FOLLOWED) != run.id:
        st.session_state[FOLLOWED] = run.id
        if teaching.is_teacher() and teaching.register().key:
            teaching.register().show(run.id)
        if not on_screen:
            _send(run)
    if not on_screen:
        with st.container(horizontal=True, gap="small", vertical_alignment="center", key="present_run"):
            st.caption(f"Your run: {_in_words(run)}", width="content")
            if st.button("Watch it", icon=":material/show_chart:", key="present_watch", type="tertiary", help="R"):
                _send(run)


def _in_words(run: Run) -> str:
    """How a run stands: its state, its steps, its best loss so far."""
    status = run.status
    words = [status["state"], f"step {status.get('step', -1) + 1:,} of {run.config['plan']['steps']:,}"]
    if best := status.get("best"):
        words.append(f"best validation loss {best['val_loss']:.2f}")
    return " · ".join(words)


def of_the_class(lesson: str) -> None:
    """Keep a screen at the run that the class is shown, where the link asked for it; whoever sits there may leave."""
    if not (st.session_state.get(teaching.FOLLOWS) and teaching.in_class()):
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="follow_class"):
        st.caption(":material/cast: This screen goes to each run that the teacher shows.", width="content")
        st.button("Stay here", key="follow_leave", type="tertiary", on_click=teaching.follow_no_more)
    _alone(_look, f"class_{lesson}")


def _look() -> None:
    shown = teaching.register().shown
    if not shown or st.session_state.get(SEEN) == shown:
        return
    st.session_state[SEEN] = shown
    run = thread.store().find(shown)
    if run is not None:
        _send(run)

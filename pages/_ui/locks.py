"""Controls that a teacher has locked or hidden: put back where they were, and out of sight.

How to read it: ``hold`` begins a lesson and ``remember`` ends it; a part of a page that runs alone is a ``fragment`` of
this module, so that it holds its own controls. A slider still moves under a key that is pressed on it, and goes back.
What is left out: a lock keeps a lesson on its path, it guards nothing; what is locked at all (``teaching``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import streamlit as st

from pages._ui import controls
from pages._ui.teaching import ALL, LISTS, Levers, levers

KEPT, HELD = "teach_kept", "teach_held"  # where controls stand, and the lesson whose controls they are
F = TypeVar("F", bound=Callable[..., None])


def hold(lesson: str) -> None:
    """Put locked controls back where they were, before they are drawn, and keep eyes and hands off what is held."""
    held = levers()
    st.session_state[HELD] = lesson
    remember()
    for key, value in st.session_state.get(KEPT, {}).items():
        if _is_meant(lesson, key, held.lock):
            st.session_state[key] = value
    if held.lock or held.hide:
        st.html(_style(lesson, held))


def remember() -> None:
    """Keep where the locked controls of this lesson stand; called once more when those with a usual value are there."""
    lock = levers().lock
    if lock:
        kept: dict[str, Any] = st.session_state.setdefault(KEPT, {})
        for key in map(str, list(st.session_state)):
            if _is_meant(st.session_state[HELD], key, lock):
                kept.setdefault(key, st.session_state[key])


def fragment(part: F, run_every: float | None = None) -> F:
    """``st.fragment`` for a part with controls: when it runs alone, what is locked in it is put back all the same."""

    @wraps(part)
    def held(*arguments: Any, **named: Any) -> None:
        lock = levers().lock
        for key, value in st.session_state.get(KEPT, {}).items():
            # only what was moved: in a run of the whole page others are drawn by now, and can't be set any more
            if st.session_state.get(key) != value and _is_meant(st.session_state[HELD], key, lock):
                st.session_state[key] = value
        part(*arguments, **named)
        remember()

    return cast("F", st.fragment(held, run_every=run_every))


def _is_meant(lesson: str, key: str, names: frozenset[str]) -> bool:
    control = controls.find(lesson, key)
    return control is not None and (ALL in names or key in names or control.key in names)


def _style(lesson: str, held: Levers) -> str:
    """Our own words only: the keys are those of declared controls."""
    rules = {"lock": "pointer-events: none; opacity: 0.6;", "hide": "display: none;"}
    lines = [f"{_selector(name)} {{ {rules[rule]} }}" for rule in LISTS for name in _names(lesson, getattr(held, rule))]
    return f"<style>{' '.join(lines)}</style>"


def _names(lesson: str, names: frozenset[str]) -> list[str]:
    """The held keys of a lesson; the playground goes with the rules that its sliders set."""
    ours = [each.key for each in controls.SHARED[lesson]] + [f"{lesson}_text"]
    held = [key for key in ours if ALL in names or key in names]
    held += [key for key in names if key not in ours and controls.find(lesson, key)]
    return held + ["playground"] * ("sampling_temperature" in held)


def _selector(key: str) -> str:
    """Streamlit gives each element a class with its key."""
    name = re.sub(r"[^\w*-]", "-", key, flags=re.ASCII)
    return f'[class*="st-key-{name.partition("*")[0]}"]' if "*" in name else f".st-key-{name}"

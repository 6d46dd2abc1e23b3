"""A lesson as a link: what differs from its defaults becomes query parameters, and such a link becomes a lesson again.

How to read it: ``written`` makes a link's parameters; ``open_link`` reads them, once in a visit and before anything is
drawn; ``confirm``, called when the lesson is drawn, finds what did not fit there. Each value is held to its control's
type and limits (``controls``); what is refused is said, and the rest is loaded. A text of one's own travels as its
SHA-256, never as itself. What is left out: the text, model and run of the thread (``shared_thread``), and the buttons
(``head``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages._ui import controls, rules, shared_thread, teaching
from pages._ui.control import ANYTHING, SHOWN, Control, short

VERSION = "1"
MOST_SIGNS = 2_000  # of a link's parameters: more than a QR code can show a room, and what mail programs break
MOST_PARAMETERS = 120
OPENED, ASKED, NOTES = "share_opened", "share_asked", "share_notes"
OTHERS = ("v", "present", "embed", "embed_options")  # parameters that are no control
RULES = ("temperature", "top_k", "top_p", "top_p_first", "seed", "draws")  # kept apart while the playground is shown


def written(lesson: str) -> tuple[dict[str, str], list[str]]:
    """A link's parameters for what is on screen, and the names of what was too long for it."""
    said = {"v": VERSION, **shared_thread.written(lesson), **teaching.written()}
    values = {key: st.session_state[key] for key in map(str, st.session_state)}
    if lesson == "sampling":
        values |= rules.on_plain_controls(rules.rules())
    for key, value in sorted(values.items()):
        control = controls.find(lesson, key)
        if control is not None and not _is_usual(control, key, value):
            said[key] = control.say(value)
    left_out: list[str] = []
    while len(urlencode(said)) > MOST_SIGNS:
        longest = max(said, key=lambda name: len(urlencode({name: said[name]})))
        left_out.append(longest)
        del said[longest]
    return said, left_out


def _is_usual(control: Control, key: str, value: Any) -> bool:
    """Whether a fresh visit would show the same value without being told."""
    if control.usual is not None:
        usual = control.usual(key)
        return usual is not ANYTHING and bool(usual == value)
    return bool(value == _untouched(key))


def _untouched(key: str) -> Any:
    """The value that a control would have now if nobody had touched it.

    Streamlit knows it and has no public way to ask: a control reads "nothing was sent" as its default. Where it is not
    known, no value is the usual one and the link holds one more than it needs.
    """
    context = get_script_run_ctx()
    if context is None:
        return ANYTHING
    state = context.session_state._state  # noqa: SLF001
    widget = state._key_id_mapper.get_id_from_key(key)  # noqa: SLF001
    about = state._new_widget_state.widget_metadata.get(widget or "")  # noqa: SLF001
    return ANYTHING if about is None else about.deserializer(None)


def open_link(lesson: str) -> None:
    """Take over what the page's address says, at the first lesson of a visit."""
    if OPENED in st.session_state:
        return
    found = st.query_params.to_dict()
    if "v" not in found:
        if not (levers := teaching.kept()):
            return
        found = {"v": VERSION, **levers}
    st.session_state[OPENED] = lesson
    notes: list[str] = []
    said = _shortened(found, notes)
    if (version := said["v"]) != VERSION:
        notes.append(
            f"This link is of version {short(version)}, and this program reads version {VERSION}: what it "
            "knows of it is loaded"
        )
    notes += shared_thread.open_link(said)
    notes += teaching.open_link(said)
    asked = _read(lesson, said, notes)
    st.session_state.update(asked)
    if lesson == "sampling":
        rules.from_plain_controls({f"sampling_{name}": asked.get(f"sampling_{name}") for name in RULES})
    st.session_state[ASKED], st.session_state[NOTES] = asked, (lesson, notes)


def _shortened(said: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    """As much of a link as is read; the version comes first, wherever it stands."""
    kept = {"v": said["v"][:SHOWN]}
    signs = 0
    for name, value in said.items():
        if signs + len(name) + len(value) <= MOST_SIGNS and len(kept) <= MOST_PARAMETERS:
            signs += len(name) + len(value)
            kept.setdefault(name, value)
    if len(kept) < len(said):
        notes.append(
            f"This link is too long: {len(kept):,} of its {len(said):,} parameters are loaded, as many as have "
            f"{MOST_SIGNS:,} signs"
        )
    return kept


def _read(lesson: str, said: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    """The values that a link asks of a lesson's controls, each checked."""
    asked, strangers = {}, []
    for name, value in said.items():
        if name in (*OTHERS, *shared_thread.NAMES, *teaching.NAMES):
            continue
        control = controls.find(lesson, name)
        if control is None:
            strangers.append(name)
            continue
        try:
            asked[name] = control.read(value)
        except ValueError as error:
            notes.append(f"The link's {name} is left aside: {error}")
    if strangers:
        names = ", ".join(map(short, strangers[:5]))
        notes.append(f"This lesson has no control called {names}{' and others' * (len(strangers) > 5)}")
    return asked


def asked(prefix: str) -> dict[str, Any]:
    """What the link asks of a lesson that fills its controls itself: it may do so before they are drawn."""
    values: dict[str, Any] = st.session_state.get(ASKED, {})
    return {key: value for key, value in values.items() if key.startswith(prefix)}


def confirm() -> None:
    """Once a lesson is drawn: say what of the link did not fit there, and draw it once more with that sentence."""
    values: dict[str, Any] = st.session_state.pop(ASKED, {})
    lost = [key for key, value in values.items() if key in st.session_state and st.session_state[key] != value]
    if lost:
        lesson, notes = st.session_state[NOTES]
        names = ", ".join(lost)
        st.session_state[NOTES] = (lesson, [*notes, f"Here the link's {names} cannot be: you see the nearest or usual"])
        st.rerun()


def notes(lesson: str) -> list[str]:
    """What had to be said of the link that opened this lesson, until it was read."""
    opened, sentences = st.session_state.get(NOTES, ("", []))
    return sentences if opened == lesson else []


def understood() -> None:
    """What was said of the link has been read."""
    st.session_state.pop(NOTES, None)

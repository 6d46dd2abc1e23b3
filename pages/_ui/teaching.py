"""A teacher's levers: controls that are locked or hidden, runs that stay small, a lesson to start at.

They come from the server's secrets (table ``teaching``) or from a link, and the stricter one holds: a link can tighten,
never loosen. Whoever gave the teacher's code in this visit is held by none of them. Nobody is asked for a name. A
link's levers stay in the address of every page that one goes on to, so that a page loaded anew is held by them, too.

What is left out: how a control is locked or hidden (``locks``). What guards the server, the size of a run, is checked
where the run is submitted (``check``).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import streamlit as st

from gptcore.classroom import Register
from gptcore.config import GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.parameters import count_parameters
from gptcore.paths import home
from pages._ui import controls, resources
from pages._ui.control import Control, short

FROM_LINK, TEACHER, BEGUN = "teach_levers", "teach_is_teacher", "teach_begun"
LISTS, LIMITS = ("lock", "hide"), ("most_steps", "most_parameters", "most_minutes")
CLASS, IN_CLASS = "class", "teach_in_class"
FOLLOW, FOLLOWS = "follow", "teach_follows"
NAMES = (*LISTS, *LIMITS, CLASS, FOLLOW)
ALL = "all"


class Levers(NamedTuple):
    """What holds in this visit.

    Attributes:
        lock: Keys of controls that can be seen and not moved; ``all`` for every one.
        hide: Keys of controls that are not shown.
        most_steps: Updates of a run, at most.
        most_parameters: Parameters of a model that is trained, at most.
        most_minutes: Minutes of training of a run, at most.
    """

    lock: frozenset[str] = frozenset()
    hide: frozenset[str] = frozenset()
    most_steps: int | None = None
    most_parameters: int | None = None
    most_minutes: float | None = None


def secrets() -> Mapping[str, Any]:
    """The table ``teaching`` of the server's secrets; empty where there is none."""
    if not st.secrets.load_if_toml_exists():
        return {}
    table = st.secrets.get("teaching", {})
    return table if isinstance(table, Mapping) else {}


def is_teacher() -> bool:
    """Whether the teacher's code was given in this visit."""
    return st.session_state.get(TEACHER) is True


def has_code() -> bool:
    """Whether this server's secrets hold a teacher's code at all."""
    return bool(secrets().get("code"))


def give_code(code: str) -> bool:
    """Become the teacher of this visit by the code from the secrets; compared in constant time."""
    wanted = secrets().get("code")
    st.session_state[TEACHER] = bool(wanted) and hmac.compare_digest(code.encode(), str(wanted).encode())
    return is_teacher()


def in_class() -> bool:
    """Whether this visit came by the link to the class that goes on now."""
    said = str(st.session_state.get(IN_CLASS) or st.query_params.get(CLASS) or "")
    key = register().key if said else ""
    if not key or not hmac.compare_digest(said.encode(errors="replace"), key.encode()):
        return False
    st.session_state[IN_CLASS] = key
    if st.query_params.get(CLASS) != key:  # the address keeps it, for a page that is loaded anew
        st.query_params[CLASS] = key
    return True


def register() -> Register:
    """The class of this server."""
    return Register(home() / "class")


def levers() -> Levers:
    """What holds now: of the secrets and the link the stricter."""
    if is_teacher():
        return Levers()
    linked: Levers = st.session_state.get(FROM_LINK, Levers())
    ours = secrets()
    if not ours:
        return linked
    return Levers(
        linked.lock | frozenset(map(str, ours.get("lock", ()))),
        linked.hide | frozenset(map(str, ours.get("hide", ()))),
        *(_least(getattr(linked, name), ours.get(name)) for name in LIMITS),
    )


def _least(*limits: Any) -> Any:
    return min((limit for limit in limits if limit is not None), default=None)


def first_lesson() -> str | None:
    """The lesson at which this visit is to start, asked once: where the secrets name one and no link names another."""
    if BEGUN in st.session_state:
        return None
    st.session_state[BEGUN] = True
    wanted = secrets().get("begin")
    return wanted if wanted in controls.SHARED and "v" not in st.query_params else None


def written() -> dict[str, str]:
    """The levers that came by a link, to go on with the next one."""
    linked: Levers = st.session_state.get(FROM_LINK, Levers())
    said = {name: "~".join(sorted(getattr(linked, name))) for name in LISTS if getattr(linked, name)}
    return said | {name: str(getattr(linked, name)) for name in LIMITS if getattr(linked, name) is not None}


def keep() -> None:
    """Let the address say the levers that came by a link, and whether it follows, for a page that is loaded anew."""
    follows = {FOLLOW: "1"} if st.session_state.get(FOLLOWS) else {}
    for name, value in (written() | follows).items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value


def kept() -> dict[str, str]:
    """What an address says of these which is no link."""
    return {name: st.query_params[name] for name in (*LISTS, *LIMITS, FOLLOW) if name in st.query_params}


def open_link(said: Mapping[str, str]) -> list[str]:
    """Take over a link's levers; what is none of them, in sentences."""
    notes: list[str] = []
    limits = {name: _limit(name, said[name], notes) for name in LIMITS if name in said}
    lists = {name: frozenset(_known(said[name].split("~"), notes)) for name in LISTS if name in said}
    if limits or lists:
        lock, hide = (lists.get(name, frozenset()) for name in LISTS)
        st.session_state[FROM_LINK] = Levers(lock, hide, *map(limits.get, LIMITS))
    if CLASS in said and not in_class():
        notes.append("The link's class is none of this server's: ask the teacher for a new link")
    if FOLLOW in said:
        st.session_state[FOLLOWS] = said[FOLLOW] == "1" and in_class()
        if not st.session_state[FOLLOWS]:
            notes.append("The link's follow is left aside: it is `follow=1`, behind a link to the class that goes on")
    return notes


def follow_no_more() -> None:
    """Let this screen stay where its reader is."""
    st.session_state[FOLLOWS] = False
    st.query_params.pop(FOLLOW, None)


def _limit(name: str, said: str, notes: list[str]) -> Any:
    control = Control(name, float, 0.1, 10**6) if name == "most_minutes" else Control(name, int, 1, 10**12)
    try:
        return control.read(said)
    except ValueError as error:
        notes.append(f"The link's {name} is left aside: {error}")
        return None


def _known(names: Iterable[str], notes: list[str]) -> list[str]:
    """Those of the names that are controls of some lesson, or ``all``."""
    known = []
    for name in names:
        if name == ALL or _declared(name):
            known.append(name)
        else:
            notes.append(f"There is no control called {short(name)} to lock or hide")
    return known


def _declared(key: str) -> bool:
    if re.fullmatch(r"[a-z]+_text", key) and key.removesuffix("_text") in controls.SHARED:
        return True
    return any(
        key == each.key or controls.find(lesson, key) for lesson, all_ in controls.SHARED.items() for each in all_
    )


def within(training: TrainConfig) -> TrainConfig:
    """The same settings, stopped in time: what fills the controls, or is laid ready, keeps to the limit of minutes.

    Such a limit changes no loss, only where a slow run ends.
    """
    return replace(training, max_minutes=_least(training.max_minutes, levers().most_minutes))


def check(text: Text, model: GPTConfig, training: TrainConfig) -> None:
    """Hold a run to what a teacher allows, before it is submitted.

    Raises:
        ValueError: It would be larger; the message holds both numbers.
    """
    held = levers()
    if held == Levers(held.lock, held.hide):
        return
    counts = resources.text_counts(text.text, model.context_length, training)
    steps = training.steps or training.epochs * counts.train.batches
    if held.most_steps is not None and steps > held.most_steps:
        raise ValueError(f"this run has {steps:,} steps, and in this class at most {held.most_steps:,} are allowed")
    minutes, most = training.max_minutes, held.most_minutes
    if most is not None and (minutes is None or minutes > most):
        asked = "has no limit of minutes" if minutes is None else f"may train for {minutes:g} minutes"
        raise ValueError(f"this run {asked}, and in this class at most {most:g} are allowed: set “Minutes at most”")
    parameters = count_parameters(replace(model, vocab_size=counts.vocab_size))
    if held.most_parameters is not None and parameters > held.most_parameters:
        raise ValueError(
            f"this model has {parameters:,} parameters, and in this class at most {held.most_parameters:,} are allowed"
        )

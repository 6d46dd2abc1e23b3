"""The playground: scores that change with every move of a slider, drawn by a small component of our own.

The browser gets a prompt's scores once, as bytes; what it makes of them is gptcore.sampling in its own language
(assets/components/sampling_maths.mjs). It reports rules, and tokens to take, when the hand lets go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from gptcore.paths import ASSETS
from pages._ui import desk, rules
from pages._ui.desk import Desk

KEY = "playground"
NAMED = 2_000  # of the likeliest tokens: the names of all would weigh twice as much as their scores
FOLDER = ASSETS / "components"

_component = st.components.v2.component(
    "glassbox_playground",
    html=(FOLDER / "playground.html").read_text(encoding="utf-8"),
    css=(FOLDER / "playground.css").read_text(encoding="utf-8"),
    js="".join((FOLDER / name).read_text(encoding="utf-8") for name in ("sampling_maths.mjs", "playground.js")),
)


def draw(on: Desk) -> None:
    """Draw the playground for what lies on the desk."""
    _component(
        data=packed(on, _start()),
        key=KEY,
        on_rules_change=lambda: rules.reported(_said("rules")),
        on_take_change=lambda: _with_rules(_said("take")),
        on_rewind_change=lambda: desk.rewind(_said("rewind")),
    )


def _said(name: str) -> Any:
    return st.session_state[KEY].get(name)


def _with_rules(said: Any) -> None:
    """A token is taken by the rules that were on screen, reported or not."""
    if isinstance(said, Mapping):
        rules.reported(said.get("rules"))
        desk.take(said.get("token"))


def _start() -> Mapping[str, Any]:
    """The rules with which a new playground begins; while one is there they stay, so that nothing is sent again."""
    if KEY not in st.session_state or "sampling_start" not in st.session_state:
        st.session_state["sampling_start"] = rules.as_said(rules.rules())
    start: Mapping[str, Any] = st.session_state["sampling_start"]
    return start


def packed(on: Desk, start: Mapping[str, Any]) -> bytes:
    """What the browser gets: the length of a head, the head as JSON, and the scores in the order of their ids.

    Args:
        on: The scores and the text before them.
        start: The rules with which a new playground begins.

    Returns:
        4 bytes a token, and about 40 KB of names.
    """
    from gptcore.draws import likeliest_ids
    from gptcore.sampling import token_names

    names = token_names(on.names).iloc[likeliest_ids(on.logits, NAMED)]
    head = {
        "run": f"{on.voice} {on.version} {on.ids}",  # others mean other scores
        "alt": f"The next token's chances among {len(on.logits):,} tokens, under temperature, top-k and top-p",
        "names": names.tolist(),
        "given": on.prompt[-desk.SHOWN_OF_PROMPT :],
        "path": [{"text": on.token(each.token_id), "p": each.probability} for each in on.taken],
        "step": len(on.taken),
        "can_take": on.can_take,
        "start": start,
    }
    raw = json.dumps(head).encode()
    return len(raw).to_bytes(4, "little") + raw + on.logits.numpy().astype("<f4").tobytes()

"""The shape of a model by controls: a preset or the thread's model fills them, GPTConfig checks what is typed.

What does not hold together is refused in GPTConfig's own words, and the shape shown before stays.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, NamedTuple

import streamlit as st

from gptcore.checked import help_for
from gptcore.config import MODEL_PRESETS, GPTConfig
from pages._ui import frame, share, thread

LABELS = {
    "emb_dim": "Width",
    "n_layers": "Layers",
    "tie_weights": "Tied head",
    "vocab_size": "Vocabulary",
    "context_length": "Context",
    "n_heads": "Heads",
    "qkv_bias": "Bias in q, k, v",
}
SWITCHES = ("tie_weights", "qkv_bias")


class Shape(NamedTuple):
    """A model's shape, and the preset it started from."""

    preset: str
    config: GPTConfig


def differences(config: GPTConfig, preset: str) -> list[str]:
    """In which fields a shape differs from a preset, as "emb_dim 512 instead of 768"."""
    pairs = ((f.name, getattr(config, f.name), getattr(MODEL_PRESETS[preset], f.name)) for f in fields(GPTConfig))
    return [f"{name} {_say(mine)} instead of {_say(theirs)}" for name, mine, theirs in pairs if mine != theirs]


def moves(here: GPTConfig, there: GPTConfig) -> list[str]:
    """Which controls have to be moved to come from one shape to another, as "Tied head on"."""
    return [
        f"{label} {_say(getattr(there, name))}"
        for name, label in LABELS.items()
        if getattr(here, name) != getattr(there, name)
    ]


def _say(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}"


def nearest_preset(config: GPTConfig) -> str:
    """The preset that shares most fields with a shape."""
    return min(MODEL_PRESETS, key=lambda name: len(differences(config, name)))


def choose(key: str) -> Shape:
    """Draw the controls, four in sight and the rest behind "More"; the shape they say, or the last that held."""
    if st.session_state.get(f"{key}_thread") != thread.model():  # first visit, or chosen on another page
        fill(key, thread.model())
        st.session_state.update(share.asked(f"{key}_"))  # a link moves some of them from there
    columns = st.columns(4, vertical_alignment="bottom")
    preset = columns[0].selectbox(
        "Model",
        list(MODEL_PRESETS),
        key=f"{key}_preset",
        on_change=_fill_from_preset,
        args=(key,),
        help="A preset fills all the other controls.",
        persist_state="session",
    )
    for column, name in zip(columns[1:], list(LABELS)[:3], strict=True):
        with column:
            _control(key, name)
    with st.expander("More", key=f"{key}_more"):
        rest = list(LABELS)[3:]
        for column, name in zip(st.columns(len(rest), vertical_alignment="bottom"), rest, strict=True):
            with column:
                _control(key, name)
    return Shape(preset or nearest_preset(thread.model()), _checked(key))


def _control(key: str, name: str) -> None:
    control, about = f"{key}_{name}", help_for(GPTConfig, name)
    if name in SWITCHES:
        st.toggle(LABELS[name], key=control, help=about, persist_state="session")
        return
    heads = st.session_state[f"{key}_shown"].n_heads
    step = heads if name == "emb_dim" else 1  # a click keeps the width divisible; typing may say anything
    st.number_input(LABELS[name], step=step, key=control, help=about, persist_state="session")


def _checked(key: str) -> GPTConfig:
    """What the controls say; where that is no model, a sentence, and the shape that was shown before."""
    shown: GPTConfig = st.session_state[f"{key}_shown"]
    try:
        shown = replace(shown, **{field.name: st.session_state[f"{key}_{field.name}"] for field in fields(shown)})
    except ValueError as error:
        frame.refuse(error, "What you see below is still the model before this change.")
    st.session_state[f"{key}_shown"] = shown
    return shown


def fill(key: str, config: GPTConfig) -> None:
    """Set all controls to a shape, and keep what has none; called before they are drawn."""
    st.session_state[f"{key}_thread"] = thread.model()
    st.session_state[f"{key}_shown"] = config
    st.session_state[f"{key}_preset"] = nearest_preset(config)
    for field in fields(config):
        st.session_state[f"{key}_{field.name}"] = getattr(config, field.name)


def _fill_from_preset(key: str) -> None:
    fill(key, MODEL_PRESETS[st.session_state[f"{key}_preset"]])

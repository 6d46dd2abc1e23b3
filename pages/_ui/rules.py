"""The rules of a draw as the sampling lesson keeps them, and native controls for them.

The playground's sliders live in the browser and report when the hand lets go; the plain controls are Streamlit's own.
Either way the lesson goes on with ``rules()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptcore.checked import help_for
from gptcore.config import SamplingConfig

KEPT = "sampling_rules"
DRAWS = (1, 100, 1_000, 10_000)
HOTTEST, MOST_K, LEAST_P, LAST_SEED = 5.0, 100, 0.01, 2**31  # where the sliders end


class Rules(NamedTuple):
    """How the next token is drawn, and how often."""

    config: SamplingConfig
    draws: int


def rules() -> Rules:
    """The rules that hold now."""
    kept: Rules = st.session_state.get(KEPT, Rules(SamplingConfig(), DRAWS[0]))
    return kept


def reported(said: Any) -> None:
    """Keep what the playground reports; what none of its controls could say is left aside."""
    try:
        draws, settings = said["draws"], {name: said[name] for name in SamplingConfig.__dataclass_fields__}
        config = SamplingConfig(**settings)
    except (KeyError, TypeError, ValueError):
        return
    ends = config.temperature <= HOTTEST and (config.top_k or 1) <= MOST_K and (config.top_p or 1.0) >= LEAST_P
    if ends and config.seed <= LAST_SEED and draws in DRAWS:
        st.session_state[KEPT] = Rules(config, draws)


def as_said(kept: Rules) -> Mapping[str, Any]:
    """The rules in the form in which the playground gets and reports them."""
    settings = {name: getattr(kept.config, name) for name in SamplingConfig.__dataclass_fields__}
    return {**settings, "draws": kept.draws}


def hand_over() -> None:
    """Set the plain controls to the rules that hold; called when they are about to be shown."""
    st.session_state.update(on_plain_controls(rules()))


def on_plain_controls(kept: Rules) -> dict[str, Any]:
    """Where the plain controls stand under these rules, by their keys."""
    config = kept.config
    return {
        "sampling_temperature": float(config.temperature),
        "sampling_top_k": config.top_k or 0,
        "sampling_top_p": float(config.top_p or 1.0),
        "sampling_top_p_first": config.top_p_first,
        "sampling_seed": config.seed,
        "sampling_draws": kept.draws,
    }


def plain_controls() -> DeltaGenerator:
    """Temperature, top-k and the number of draws in sight, the rest behind "More"; returns the place beside them."""
    for key, value in on_plain_controls(rules()).items():
        st.session_state.setdefault(key, value)
    left, right = st.columns([1, 2.4], gap="medium")
    with left:
        temperature = st.slider("Temperature", 0.0, HOTTEST, step=0.05, **_about("temperature"))
        top_k = st.slider("Top-k (0: no cut)", 0, MOST_K, **_about("top_k"))
        draws = st.segmented_control(
            "Draws",
            DRAWS,
            format_func="{:,}".format,
            required=True,
            key="sampling_draws",
            persist_state="session",
        )
        with st.expander("More"):
            top_p = st.slider("Top-p", LEAST_P, 1.0, step=0.01, **_about("top_p"))
            first = st.toggle("Top-p before the temperature", **_about("top_p_first"))
            seed = st.number_input("Seed", 0, LAST_SEED, **_about("seed"))
    _keep(temperature, top_k, top_p, first, int(seed), draws or DRAWS[0])
    return right


def _keep(temperature: float, top_k: int, top_p: float, first: bool, seed: int, draws: int) -> None:
    """Go on with these rules, given as the plain controls say them: 0 and 1 stand for no cut."""
    config = SamplingConfig(
        temperature=temperature, top_k=top_k or None, top_p=top_p if top_p < 1 else None, top_p_first=first, seed=seed
    )
    st.session_state[KEPT] = Rules(config, draws)


def from_plain_controls(values: Mapping[str, Any]) -> None:
    """Take over what is said of the plain controls, by their keys; what is not said stays as it is."""
    _keep(*(on_plain_controls(rules()) | {key: value for key, value in values.items() if value is not None}).values())


def in_words(config: SamplingConfig) -> str:
    """The rules in a line, as they stay true beside a text when the controls move on."""
    return f"{chances_in_words(config)}, seed {config.seed}"


def chances_in_words(config: SamplingConfig) -> str:
    """Those of the rules that make the chances, in a line."""
    cuts = [f"top-k {config.top_k}"] if config.top_k else []
    cuts += [f"top-p {config.top_p:g}{' before it' if config.top_p_first else ''}"] if config.top_p else []
    return ", ".join([f"temperature {config.temperature:g}", *(cuts or ["no cut"])])


def _about(field: str) -> dict[str, Any]:
    return {"key": f"sampling_{field}", "help": help_for(SamplingConfig, field), "persist_state": "session"}

"""The controls of a draw, and what they say as a ``SamplingConfig``."""

from __future__ import annotations

from typing import Any

import streamlit as st

from gptcore.checked import help_for
from gptcore.config import SamplingConfig


def sampling_rules() -> SamplingConfig:
    """Temperature and top-k in sight, the rest behind "More"."""
    temperature = st.slider("Temperature", 0.0, 5.0, 1.0, 0.05, **_about("temperature"))
    top_k = st.slider("Top-k (0: no cut)", 0, 100, 0, **_about("top_k"))
    with st.expander("More"):
        top_p = st.slider("Top-p", 0.01, 1.0, 1.0, 0.01, **_about("top_p"))
        first = st.toggle("Top-p before the temperature", **_about("top_p_first"))
        seed = st.number_input("Seed", 0, 2**31, 123, **_about("seed"))
    return SamplingConfig(
        temperature=temperature,
        top_k=top_k or None,
        top_p=top_p if top_p < 1 else None,
        top_p_first=first,
        seed=int(seed),
    )


def _about(field: str) -> dict[str, Any]:
    return {"key": f"sampling_{field}", "help": help_for(SamplingConfig, field), "persist_state": "session"}

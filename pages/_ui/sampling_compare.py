"""One prompt, one seed, three rules side by side: the texts grow together, and are measured as they grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptcore.config import SamplingConfig
from pages._ui import desk, resources
from pages._ui.desk import Desk
from pages._ui.rules import HOTTEST, LEAST_P, MOST_K, in_words

FIRST = ((0.0, 0, 1.0), (1.0, 0, 1.0), (1.5, 40, 1.0))  # temperature, top-k, top-p of each column before any change
WRITTEN = "sampling_compared"


class Column(NamedTuple):
    """What one column wrote: the text, how it was drawn, and what can be counted in it."""

    text: str
    how: str
    measures: str


def compare(on: Desk, seed: int) -> None:
    """Choose three rules, and let them write from the same place with the same random numbers."""
    if on.voice == desk.NINE:
        st.info("Behind published scores stands no model that could go on. Choose a model above.")
        return
    columns = st.columns(len(FIRST), gap="medium")
    configs = [_rules(column, place, seed) for place, column in enumerate(columns)]
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    most = left.number_input("Tokens for each", 1, 200, 40, key="sampling_compare_most", persist_state="session")
    go = middle.button("Write all three", type="primary", icon=":material/play_arrow:", key="sampling_compare_go")
    right.button("Stop", icon=":material/stop:", key="sampling_compare_stop")  # any click ends the run
    spots = [column.empty() for column in columns]
    if go:
        _write(on, configs, int(most), spots)
    for spot, written in zip(spots, st.session_state.get(WRITTEN, []), strict=False):
        _show(spot, written)


def _rules(column: DeltaGenerator, place: int, seed: int) -> SamplingConfig:
    temperature, top_k, top_p = FIRST[place]

    def about(name: str) -> dict[str, Any]:
        return {"key": f"sampling_compare_{name}_{place}", "persist_state": "session"}

    chosen = column.slider("Temperature", 0.0, HOTTEST, temperature, 0.05, **about("temperature"))
    left, right = column.columns(2)
    k = left.number_input("Top-k (0: no cut)", 0, MOST_K, top_k, **about("top_k"))
    p = right.number_input("Top-p", LEAST_P, 1.0, top_p, 0.05, **about("top_p"))
    return SamplingConfig(temperature=chosen, top_k=int(k) or None, top_p=p if p < 1 else None, seed=seed)


def _write(on: Desk, configs: Sequence[SamplingConfig], most: int, spots: Sequence[DeltaGenerator]) -> None:
    """The model runs once a token for all columns; what is written so far stays when somebody stops it."""
    from gptcore.sampling import generate_together

    model, _ = resources.speak(on.voice)
    new: list[list[int]] = [[] for _ in configs]
    totals = [0.0] * len(configs)
    for together in resources.in_turn(generate_together(model, on.ids, configs, most)):
        for place, drawn in enumerate(together):
            new[place].append(drawn.token_id)
            totals[place] += drawn.log_probability
        written = [_column(on, ids, config, total) for ids, config, total in zip(new, configs, totals, strict=True)]
        st.session_state[WRITTEN] = written
        for spot, column in zip(spots, written, strict=True):
            _show(spot, column)


def _column(on: Desk, ids: Sequence[int], config: SamplingConfig, total: float) -> Column:
    from gptcore.draws import distinct_share, repeated_share

    measures = (
        f"{len(ids)} tokens: {distinct_share(ids):.0%} different ones; {repeated_share(ids):.0%} of its passages of 4 "
        f"tokens occurred before; −{-total / len(ids):.2f} nats a token by the model itself."
    )
    return Column(on.text(ids), f"{on.voice.label}: {in_words(config)}.", measures)


def _show(spot: DeltaGenerator, written: Column) -> None:
    with spot.container():
        st.code(written.text, language=None, wrap_lines=True)
        st.caption(f"{written.measures} {written.how}")

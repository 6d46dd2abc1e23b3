"""Parameters: where a model's numbers sit, for any shape, counted without building it."""

from dataclasses import replace

import streamlit as st

from gptcore.config import MAX_EMB_DIM, TRAIN_PRESETS, GPTConfig
from gptcore.figures.ledger import parameter_treemap
from gptcore.parameters import (
    count_parameters,
    leaves,
    parameter_table,
    part_groups,
    training_memory,
    well_known_counts,
)
from pages._ui import choices, frame, ledger, predict, shape, thread

GROWTHS = (2, 3, 4, 8)

frame.lesson("parameters")


def _try_it(config: GPTConfig, total: int) -> None:
    if config.emb_dim > MAX_EMB_DIM // 2:
        return
    wider = count_parameters(replace(config, emb_dim=2 * config.emb_dim))
    growth = wider / total
    predict.choice(
        "parameters",
        f"Double the width, from {config.emb_dim:,} to {2 * config.emb_dim:,}. How many times as many parameters will "
        "this model have?",
        [f"about {times}" for times in GROWTHS],
        f"about {min(GROWTHS, key=lambda times: abs(times - growth))}",
        f"{growth:.2f} times, {wider:,}. The dictionary and the positions double; the blocks' matrices grow in both "
        "directions, fourfold.",
    )


preset, config = shape.choose("parameters")
table = parameter_table(config)
groups = part_groups(config)
total = sum(groups.values())

figure_side, number_side = st.columns([3, 2], gap="medium")
with figure_side:
    st.plotly_chart(
        parameter_treemap(table, height=390),
        key="parameters_treemap",
        alt=f"Treemap of {total:,} parameters: " + ", ".join(f"{part} {count:,}" for part, count in groups.items()),
    )
with number_side:
    st.metric("Parameters", f"{total:,}", help="Every number that training may change, counted by formula.")
    ledger.parts(groups)
    if changes := shape.differences(config, preset):
        st.caption(f"Differs from {preset}: {', '.join(changes)}.")
    same = config == thread.model()
    if st.button(
        "The thread has this model" if same else "Go on with this model",
        icon=":material/check:" if same else ":material/arrow_forward:",
        disabled=same,
        key="parameters_go_on",
        width="stretch",
    ):
        thread.choose_model(config)
        st.session_state["training_preset"] = choices.MY_MODEL
        st.rerun()

frame.notice(*ledger.notices(config, TRAIN_PRESETS[preset], groups))
_try_it(config, total)
ledger.every_tensor(table, total)
known_side, memory_side = st.columns([5, 3], gap="medium")
with known_side:
    ledger.sizes_people_give()
with memory_side:
    ledger.training_step(config, TRAIN_PRESETS[preset].batch_size)
frame.code_behind(leaves, parameter_table, well_known_counts, training_memory, parameter_treemap)
frame.next_lesson("parameters")

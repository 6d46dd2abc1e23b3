"""Parameters: where a model's numbers sit, for any shape, counted without building it."""

from dataclasses import replace

import streamlit as st

from gptcore.config import MAX_EMB_DIM, TRAIN_PRESETS, GPTConfig
from gptcore.costs import how_long
from gptcore.estimate import step_operations
from gptcore.figures.ledger import parameter_treemap
from gptcore.figures.sizes import true_scale
from gptcore.parameters import (
    count_parameters,
    kept_per_token,
    leaves,
    memory_factors,
    parameter_table,
    part_groups,
    well_known_counts,
)
from pages._ui import charts, choices, costs, frame, ledger, predict, quiz, shape, thread

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
    charts.draw(
        st,
        ledger.treemap(config),
        key="parameters_treemap",
        alt=f"Treemap of {total:,} parameters: " + ", ".join(f"{part} {count:,}" for part, count in groups.items()),
    )
with number_side:
    st.metric("Parameters", f"{total:,}", help="Every number that training may change, counted by formula.")
    ledger.parts(groups)
    ledger.switches(config, total)
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

settings = TRAIN_PRESETS[preset]
frame.notice(*ledger.notices(config, settings, groups))
_try_it(config, total)
ledger.every_tensor(table, total)
ledger.sizes_people_give(config, total, "parameters")
ledger.side_by_side(config)
memory_side, work_side = st.columns([3, 2], gap="medium")
with memory_side:
    ledger.training_step(config, settings)
with work_side:
    costs.operations(config, settings)
costs.how_long(config, settings)
ledger.slips(config)
quiz.section("parameters")
frame.code_behind(
    leaves,
    parameter_table,
    well_known_counts,
    memory_factors,
    kept_per_token,
    step_operations,
    how_long,
    parameter_treemap,
    true_scale,
)
frame.next_lesson("parameters")

"""Parameters: where a model's numbers sit, for any shape, counted without building it."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from gptcore.config import MAX_EMB_DIM, TRAIN_PRESETS, GPTConfig
from gptcore.figures.ledger import parameter_treemap
from gptcore.machine import memory_limit
from gptcore.parameters import (
    count_parameters,
    leaves,
    parameter_table,
    part_groups,
    training_memory,
    well_known_counts,
)
from pages._ui import frame, resources, shape, thread

GIB = 2**30
GROWTHS = (2, 3, 4, 8)
COUNT = st.column_config.NumberColumn("parameters", format="localized")
SHARE = st.column_config.NumberColumn("share", format="percent")

frame.lesson("parameters")


def _every_tensor(table: pd.DataFrame, total: int) -> None:
    """The whole ledger, a row for each learned tensor."""
    with st.expander(f"Every tensor: the ledger in {len(table):,} rows", icon=":material/list_alt:"):
        rows = table.assign(
            shape=[" x ".join(f"{n:,}" for n in size) for size in table["shape"]], share=table["count"] / total
        )
        st.dataframe(
            rows, hide_index=True, column_config={"count": COUNT, "share": SHARE}, key="parameters_ledger", height=380
        )


def _sizes_people_give() -> None:
    st.markdown("**Why do people say 124 M, 163 M, 162 M, 117 M, 85 M?** The same blocks, counted with other switches.")
    st.dataframe(
        well_known_counts(),
        hide_index=True,
        column_config={
            "said": "people say",
            "count": COUNT,
            "what": st.column_config.TextColumn("what that counts", width="large"),
        },
        key="parameters_known",
    )


def _memory(config: GPTConfig, batch_size: int) -> None:
    """What a training step would hold, against what there is."""
    needed, limit = training_memory(config, batch_size), memory_limit()
    total = sum(needed.values())
    st.markdown(
        f"**One training step** on {batch_size} windows needs about {total / GIB:,.1f} GiB; this machine has "
        f"{limit / GIB:,.1f} GiB. "
        + ("It fits." if total <= limit else "It does not fit: it can be counted here, but not trained.")
    )
    st.dataframe(
        pd.DataFrame({"held for": needed.keys(), "GiB": [size / GIB for size in needed.values()]}),
        hide_index=True,
        column_config={"GiB": st.column_config.NumberColumn(format="%.2f")},
        key="parameters_memory",
    )
    st.caption("Weights, gradients and AdamW's two moments are exact in float32; activations and logits are estimates.")


def _try_it(config: GPTConfig, total: int) -> None:
    if config.emb_dim > MAX_EMB_DIM // 2:
        return
    wider = count_parameters(replace(config, emb_dim=2 * config.emb_dim))
    growth = wider / total
    guess = st.segmented_control(
        f"**Try it.** Double the width, from {config.emb_dim:,} to {2 * config.emb_dim:,}. How many times as many "
        "parameters will this model have?",
        GROWTHS,
        format_func=lambda times: f"about {times}",
        key="parameters_guess",
    )
    if guess is None:
        return
    right = guess == min(GROWTHS, key=lambda times: abs(times - growth))
    (st.success if right else st.info)(
        f"{'Yes' if right else 'Not quite'}: {growth:.2f} times, {wider:,}. The dictionary and the positions double; "
        "the matrices of the blocks are as wide as they are high, so they grow fourfold.",
        icon=":material/check_circle:" if right else ":material/lightbulb:",
    )


preset, config = shape.choose("parameters")
table = parameter_table(config)
groups = part_groups(config)
total = sum(groups.values())
dictionary = groups["token embedding"] + groups["output head"]

figure_side, number_side = st.columns([5, 3], gap="medium")
with figure_side:
    st.plotly_chart(
        parameter_treemap(table, height=390),
        key="parameters_treemap",
        alt=f"Treemap of {total:,} parameters: " + ", ".join(f"{part} {count:,}" for part, count in groups.items()),
    )
with number_side:
    st.metric("Parameters", f"{total:,}", help="Every number that training may change, counted by formula.")
    st.dataframe(
        pd.DataFrame({"part": groups.keys(), "count": groups.values(), "share": [n / total for n in groups.values()]}),
        hide_index=True,
        column_config={"count": COUNT, "share": SHARE},
        key="parameters_groups",
    )
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
        st.rerun()

settings = TRAIN_PRESETS[preset]
counts = resources.text_counts(thread.text().text, config.context_length, settings)
sentences = [
    f"{dictionary / total:.1%} of this model is dictionary: {dictionary:,} parameters turn tokens into vectors and "
    f"vectors into scores. The {config.n_layers:,} blocks between hold {groups['blocks']:,}.",
    f"Your text gives it {counts.train.targets_used:,} tokens to learn from: "
    f"{total / counts.train.targets_used:,.0f} parameters for each. A published rule of thumb asks for the opposite, "
    "about 20 tokens for each parameter (Hoffmann et al. 2022)."
    if counts.train.targets_used
    else f"Your text is too short to train it: its training part has {counts.train_tokens:,} tokens, and one batch is "
    f"{settings.batch_size} windows of {config.context_length:,} tokens and the one that follows.",
]
if counts.vocab_size != config.vocab_size and settings.compact_vocab:
    compact = count_parameters(replace(config, vocab_size=counts.vocab_size))
    sentences.append(
        f"A run of this preset keeps only the {counts.vocab_size:,} tokens of your text, which leaves {compact:,}."
    )
frame.notice(*sentences)
_try_it(config, total)
_every_tensor(table, total)
known_side, memory_side = st.columns([5, 3], gap="medium")
with known_side:
    _sizes_people_give()
with memory_side:
    _memory(config, settings.batch_size)
frame.code_behind(leaves, parameter_table, well_known_counts, training_memory, parameter_treemap)
frame.next_lesson("parameters")

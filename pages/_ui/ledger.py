"""Tables and sentences about a model's parameters: what the parameters lesson shows around its chart."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from gptcore.config import GPTConfig, TrainConfig
from gptcore.machine import memory_limit
from gptcore.parameters import count_parameters, training_memory, well_known_counts
from pages._ui import resources, thread

GIB = 2**30
COLUMNS = {
    "count": st.column_config.NumberColumn("parameters", format="localized"),
    "share": st.column_config.NumberColumn("share", format="%.3f %%"),
}


def parts(groups: dict[str, int]) -> None:
    """The ledger in five lines."""
    total = sum(groups.values())
    shares = [100 * count / total for count in groups.values()]
    st.dataframe(
        pd.DataFrame({"part": groups.keys(), "count": groups.values(), "share": shares}),
        hide_index=True,
        column_config=COLUMNS,
        key="parameters_parts",
    )


def every_tensor(table: pd.DataFrame, total: int) -> None:
    """The whole ledger, a row for each learned tensor."""
    with st.expander(f"Every tensor: the ledger in {len(table):,} rows", icon=":material/list_alt:"):
        rows = table.assign(
            shape=[" x ".join(f"{n:,}" for n in size) for size in table["shape"]], share=100 * table["count"] / total
        )
        st.dataframe(rows, hide_index=True, column_config=COLUMNS, key="parameters_ledger", height=380)


def sizes_people_give() -> None:
    """The counts that people meet for "the same" model."""
    st.markdown("**Why do people say 124 M, 163 M, 162 M, 117 M, 85 M?** The same blocks, counted with other switches.")
    known = well_known_counts()
    st.table(
        pd.DataFrame(
            {
                "people say": known["said"],
                "parameters": ["published label" if pd.isna(n) else f"{n:,}" for n in known["count"]],
                "what that counts": known["what"],
            }
        ).set_index("people say")
    )


def training_step(config: GPTConfig, batch_size: int) -> None:
    """What a training step would hold, against what there is."""
    needed, limit = training_memory(config, batch_size), memory_limit()
    total = sum(needed.values())
    st.markdown(
        f"**One training step** on {batch_size} windows needs about {total / GIB:,.1f} GiB; this machine lets the "
        f"program have {limit / GIB:,.1f} GiB. "
        + ("It fits." if total <= limit else "It does not fit: it can be counted here, but not trained.")
    )
    st.dataframe(
        pd.DataFrame({"held for": needed.keys(), "GiB": [size / GIB for size in needed.values()]}),
        hide_index=True,
        column_config={"GiB": st.column_config.NumberColumn(format="%.2f")},
        key="parameters_memory",
    )
    st.caption("Weights, gradients and AdamW's two moments are exact in float32; activations and logits are estimates.")


def notices(config: GPTConfig, settings: TrainConfig, groups: dict[str, int]) -> list[str]:
    """What to notice in a model, in sentences with its own numbers and those of the thread's text."""
    counts = resources.text_counts(thread.text().text, config.context_length, settings)
    total, targets = sum(groups.values()), counts.train.targets_used
    dictionary = groups["token embedding"] + groups["output head"]
    said = f"{dictionary / total:.1%} of this model is dictionary: {dictionary:,} parameters turn tokens into vectors "
    said += f"and vectors into scores. The blocks between hold {groups['blocks']:,}."
    if targets:
        lesson = f"Your text gives it {targets:,} tokens to learn from: {total / targets:,.0f} parameters for each. "
        lesson += "A published rule of thumb asks for 20 tokens for each parameter (Hoffmann et al. 2022)."
    else:
        lesson = f"Your text can't train it: its training part has {counts.train_tokens:,} tokens, and one batch is "
        lesson += f"{settings.batch_size} windows of {config.context_length:,} tokens and the one that follows."
    if counts.vocab_size == config.vocab_size or not settings.compact_vocab:
        return [said, lesson]
    compact = count_parameters(replace(config, vocab_size=counts.vocab_size))
    shrunk = f"A run of this preset keeps only your text's {counts.vocab_size:,} tokens, which leaves {compact:,}."
    return [said, lesson, shrunk]

"""Tables and sentences about a model's parameters: what the parameters lesson shows around its chart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from gptcore.config import MODEL_PRESETS, GPTConfig, TrainConfig
from gptcore.figures.ledger import parameter_treemap
from gptcore.figures.sizes import true_scale
from gptcore.machine import MIB, memory_limit
from gptcore.parameters import (
    count_parameters,
    memory_factors,
    parameter_table,
    part_groups,
    training_memory,
    well_known_counts,
)
from gptcore.runs.queue import PROCESS_BYTES
from pages._ui import charts, resources, shape, thread
from pages._ui.kept import kept

GIB = 2**30
HEIGHT = 390  # of the treemap, pixels
SHORT_CONTEXT, LONG_CONTEXT = 256, 1024  # the book trains with the one, GPT-2 was published with the other
OURS = ("class", "pocket")  # made for this program; all other presets are models that somebody wrote about
_well_known = kept(1)(well_known_counts)
COLUMNS = {
    "count": st.column_config.NumberColumn("parameters", format="localized"),
    "share": st.column_config.NumberColumn("share", format="%.3f %%"),
}


@kept(64)
def treemap(config: GPTConfig) -> Any:
    """The figure of a model's parameters."""
    return parameter_treemap(parameter_table(config), height=HEIGHT)


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


def switches(config: GPTConfig, total: int) -> None:
    """What each switch would change in this ledger."""
    other = LONG_CONTEXT if config.context_length != LONG_CONTEXT else SHORT_CONTEXT
    flipped = [{name: not getattr(config, name)} for name in shape.SWITCHES] + [{"context_length": other}]
    moved = [replace(config, **change) for change in flipped]
    said = [f"{shape.moves(config, to)[0]} {count_parameters(to) - total:+,}".replace("-", "−") for to in moved]
    st.caption(f"One switch from here: {'; '.join(said)}.")


def sizes_people_give(config: GPTConfig, total: int, key: str) -> None:
    """The counts that people meet for "the same" model, and buttons that move the switches to them."""
    st.markdown("**Why do people say 124 M, 163 M, 162 M, 117 M, 85 M?** The same blocks, counted with other switches.")
    known = _well_known()
    st.table(
        pd.DataFrame(
            {
                "people say": known["said"],
                "parameters": ["published label" if pd.isna(n) else f"{n:,}" for n in known["count"]],
                "what that counts": known["what"],
                "from the ledger above": [_way(config, total, to) for to in known["config"]],
            }
        ).set_index("people say")
    )
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown("Move the switches to")
        for said, to in zip(known["said"], known["config"], strict=True):
            if to is not None:
                st.button(
                    said,
                    key=f"{key}_said_{count_parameters(to)}",
                    on_click=shape.fill,
                    args=(key, to),
                    disabled=to == config,
                )


def _way(config: GPTConfig, total: int, to: GPTConfig | None) -> str:
    """How one comes from the model on screen to another: which controls are moved, and by how much the sum changes."""
    if to is None:
        return "a part, or no count"
    change = f"{count_parameters(to) - total:+,}".replace("-", "−")
    return f"{', '.join(moves)}: {change}" if (moves := shape.moves(config, to)) else "this very model"


def side_by_side(config: GPTConfig) -> None:
    """The models that the sources name, and the one on screen, as squares on one scale."""
    figure, totals = _scale(config)
    largest, smallest = (choose(totals, key=totals.__getitem__) for choose in (max, min))
    st.markdown(
        f"**At true scale.** Each area is a model's parameters: {largest} has "
        f"{totals[largest] / totals[smallest]:,.0f} times as many as {smallest}."
    )
    charts.draw(
        st,
        figure,
        key="parameters_scale",
        alt="Models as squares: " + ", ".join(f"{name} {total:,}" for name, total in totals.items()) + " parameters.",
    )


class _Scale(NamedTuple):
    """Models as squares, and the parameters of each."""

    figure: Any
    totals: dict[str, int]


@kept(64)
def _scale(config: GPTConfig) -> _Scale:
    presets = {name: preset for name, preset in MODEL_PRESETS.items() if name not in OURS}
    models = {name: part_groups(preset) for name, preset in presets.items()}
    if config not in presets.values():
        models = {"this model": part_groups(config)} | models
    return _Scale(true_scale(models), {name: sum(groups.values()) for name, groups in models.items()})


def training_step(config: GPTConfig, training: TrainConfig) -> None:
    """What a training step would hold, against what there is."""
    needed, limit = training_memory(config, training), memory_limit()
    total = sum(needed.values())
    st.markdown(
        f"**One training step** on {training.batch_size} windows needs about {total / GIB:,.1f} GiB; this machine lets "
        f"the program have {limit / GIB:,.1f} GiB. "
        + ("It fits." if total <= limit else "It does not fit: it can be counted here, but not trained.")
    )
    st.dataframe(
        pd.DataFrame(
            {
                "held for": needed.keys(),
                "MiB": [size / MIB for size in needed.values()],
                "as": [_product(factors) for factors in memory_factors(config, training).values()],
            }
        ),
        hide_index=True,
        column_config={"MiB": st.column_config.NumberColumn(format="%,.1f", width="small")},
        key="parameters_memory",
    )
    logits = "whole logits, as the book does" if training.reference else "a fused loss, a chunk of logits at a time"
    st.caption(
        f"In float32, with {logits}. Measured on real runs it is within 15 %; Python and PyTorch come on top, about "
        f"{PROCESS_BYTES / MIB:,.0f} MiB."
    )


def _product(factors: dict[str, float]) -> str:
    """A product with its numbers in words.

    >>> _product({"parameters": 1000, "bytes": 4})
    '1,000 parameters × 4 bytes'
    """
    return " × ".join(f"{number:,} {name}" for name, number in factors.items())


def slips(config: GPTConfig) -> None:
    """Sentences from the sources that don't hold, each beside the number that shows it."""
    gpt2, potter = GPTConfig(), count_parameters(MODEL_PRESETS["harry-potter"])
    C, here = gpt2.emb_dim, config.emb_dim
    head = part_groups(gpt2)["output head"]
    st.markdown(
        f"""**Slips you may meet**
- *"The attention output projection has 59 M parameters."* {C:,} × {C:,} = {C * C:,}: {C * C / 1e6:.2f} M. In the model
  above it has {here:,} × {here:,} = {here * here:,} in each block.
- *"The softmax layer has 38.4 M parameters."* That is about the output head: 50,000 × {C:,} = {50_000 * C:,}, and
  exactly {gpt2.vocab_size:,} × {C:,} = {head:,}. No row of the ledger is a softmax: it turns scores into shares and has
  nothing to learn.
- *"1,622,208 million parameters."* The Harry Potter model has {potter:,}: {potter / 1e6:.1f} million."""
    )


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

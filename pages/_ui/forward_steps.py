"""The way itself: embeddings, every block, the head, each to be opened in place, with shapes and the numbers in them.

How to read it: ``draw`` makes a row for each part; what stands in it is worked out and sent once it is opened.
Through all of it one token is followed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from gptcore.figures.bars import percent
from gptcore.figures.forward import depth_name, vector_strips
from gptcore.figures.theme import marked
from gptcore.forward import Stages
from pages._ui import charts, forward_pass, frame
from pages._ui.forward_pass import Pass
from pages._ui.kept import kept

Vector = NDArray[np.float32]


def draw(seen: Pass, at: int, table: pd.DataFrame) -> None:
    """Every part of the model in its order.

    Args:
        seen: The pass.
        at: The token that is followed, 0 for the first.
        table: What may follow the last token (``forward_pass.next_tokens``).
    """
    T, C, V = len(seen.ids), seen.config.emb_dim, seen.config.vocab_size
    lengths = forward_pass.lengths(seen)[:, at]
    parts = [(f"Embeddings · ({T}) → ({T}, {C:,})", partial(_embeddings, seen, at), lengths[0])]
    for layer in range(seen.config.n_layers):
        name = depth_name(layer + 1).capitalize()
        parts.append((f"{name} · ({T}, {C:,}) → ({T}, {C:,})", partial(_block, seen, at, layer), lengths[layer + 1]))
    for number, (title, fill, length) in enumerate(parts):
        row = st.expander(
            f"{title} · length {length:,.2f}", expanded=number == 0, key=f"forward_part_{number}", on_change="rerun"
        )
        if row.open:
            with row:
                fill()
    row = st.expander(f"Head · ({T}, {C:,}) → ({T}, {V:,})", key="forward_part_head", on_change="rerun")
    if row.open:
        with row:
            _head(seen, table)


def length(vector: Vector) -> float:
    """How long a vector is."""
    return float(np.linalg.norm(vector))


def name(token: str) -> str:
    """A token for markdown, letter by letter."""
    return f"“{frame.plain(marked(token))}”"


def _strips(rows: dict[str, Vector], key: str, alt: str) -> None:
    lengths = ", ".join(f"{n} {length(rows[n]):.2f}" for n in rows)
    charts.draw(
        st, _drawn(tuple(rows), tuple(row.tobytes() for row in rows.values())), key=key, alt=f"{alt}: {lengths}"
    )


@kept(64)
def _drawn(names: tuple[str, ...], vectors: tuple[bytes, ...]) -> Any:
    """The figure of such vectors; their bytes are its key."""
    return vector_strips({n: np.frombuffer(row, np.float32) for n, row in zip(names, vectors, strict=True)})


def _embeddings(seen: Pass, at: int) -> None:
    """The small picture of token plus position."""
    trace, config = forward_pass.trace(seen), seen.config
    token, position, stream = (each[at].numpy() for each in (trace.token, trace.position, trace.stream[0]))
    st.markdown(
        f"Token {at + 1}, {name(seen.tokens[at])}, is row {seen.ids[at]:,} of the dictionary ({config.vocab_size:,} × "
        f"{config.emb_dim:,}): a vector of length {length(token):.2f}. Its place is row {at} of the positions "
        f"({config.context_length:,} × {config.emb_dim:,}): length {length(position):.2f}. Added number by number they "
        f"are the stream that enters block 1, of length {length(stream):.2f}."
    )
    rows = {"token": token, "position": position, "sum": stream}
    _strips(rows, "forward_embeddings", "Three vectors and their lengths")


def _block(seen: Pass, at: int, layer: int) -> None:
    """One block: its eight steps in words, and the vectors that it adds."""
    stages = forward_pass.stages(seen, layer)
    lines = enumerate(_lines(seen, stages, at), start=1)
    st.markdown("\n".join(f"{number}. {line}" for number, line in lines))
    rows = {
        "entered": stages.entered,
        "+ attention": stages.attention,
        "= between": stages.between,
        "+ feed-fwd": stages.feed_forward,
        "= left": stages.left,
    }
    _strips(
        {name: row[at].numpy() for name, row in rows.items()},
        f"forward_block_{layer}",
        f"The stream at token {at + 1} through block {layer + 1}, and its lengths",
    )


def _lines(seen: Pass, stages: Stages, at: int) -> list[str]:
    """The eight steps of a block with today's shapes and the numbers of one token."""
    T, C, H, D = len(seen.ids), seen.config.emb_dim, seen.config.n_heads, seen.config.head_dim
    stream = f"({T}, {C:,})"
    norm1, added, thought = (length(x[at].numpy()) for x in (stages.norm1, stages.attention, stages.feed_forward))
    entered, between, left = (x[at].numpy() for x in (stages.entered, stages.between, stages.left))
    passing = int((stages.wide[at] > 0).sum())
    first = (
        f"{stream} → {stream}: this token's {C:,} numbers, of {_spread(entered)}, are brought to mean 0 and spread 1, "
    )
    first += f"then scaled and shifted by what was learnt. Length {norm1:.2f}."
    projected = f"{stream} → 3 × ({H}, {T}, {D}): one matrix, {C:,} × {3 * C:,}, cut into {H} heads of {D} numbers."
    attended = (
        f"({H}, {T}, {T}): scores q · k / √{D}, the future masked, softmax to weights. This token reads {at + 1} "
    )
    attended += f"of {T}; the weighted values, ({H}, {T}, {D}), stand side by side again: {stream}."
    mixed = f"{stream} → {stream}: {C:,} × {C:,} = {C * C:,} numbers mix the heads."
    once = (
        f"a vector of length {added:.2f} is added; the stream goes from {length(entered):.2f} to {length(between):.2f}."
    )
    wide = f"{stream} → ({T}, {4 * C:,}) → {stream}: each token alone. Of its {4 * C:,} inner numbers GELU leaves "
    wide += f"{passing:,} above 0."
    twice = f"a vector of length {thought:.2f} is added; the stream leaves with length {length(left):.2f}."
    return [
        f"**Norm 1** {first}",
        f"**Queries, keys, values** {projected}",
        f"**Attention** {attended}",
        f"**Output projection** {mixed}",
        f"**Residual** {stream}: {once}",
        f"**Norm 2** {stream} → {stream}: the same with numbers of its own, from {_spread(between)}.",
        f"**Feed-forward** {wide}",
        f"**Residual** {stream}: {twice}",
    ]


def _spread(vector: Vector) -> str:
    return f"mean {vector.mean():.3f} and spread {vector.std():.3f}".replace("-", "−")


def _head(seen: Pass, table: pd.DataFrame) -> None:
    C, V = seen.config.emb_dim, seen.config.vocab_size
    best, second = (row for _, row in table.nlargest(2, "logit").iterrows()) if V > 1 else (table.iloc[0],) * 2
    tied = "the dictionary itself" if seen.config.tie_weights else "a matrix of its own"
    normed = length(forward_pass.trace(seen).normed[-1].numpy())
    st.markdown(
        f"The stream of the last token goes through the **final norm** (length {normed:.2f}) and meets the **head**, "
        f"{tied}: {V:,} rows of {C:,} "
        f"numbers. Each row's product with it is one score. The largest, {best['logit']:.3f}, belongs to "
        f"{name(best['token'])}, the next, {second['logit']:.3f}, to {name(second['token'])}: softmax makes "
        f"{percent(best['probability'])} and {percent(second['probability'])} of them, and "
        f"e to the difference, {np.exp(best['logit'] - second['logit']):.2f}, is how many times likelier the first is."
    )

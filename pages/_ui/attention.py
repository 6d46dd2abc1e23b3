"""The attention maps: one head large, all heads small, every cell worked out where the hand or the arrow keys point.

How to read it: ``maps`` draws; ``record`` is what the browser gets, and no more of it than is on screen: the queries,
keys and weights of the chosen head, and the small maps in one byte a cell.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from gptcore.forward import Trace
from gptcore.paths import ASSETS
from pages._ui import forward_pass, locks
from pages._ui.forward_pass import Pass

LAYER, HEAD, MAPS = "forward_layer", "forward_head", "forward_maps"
MOST_SMALL_BYTES = 60_000  # more than this, and only the chosen layer's heads are drawn

_component = st.components.v2.component(
    "glassbox_attention",
    html=(ASSETS / "components" / "attention.html").read_text(encoding="utf-8"),
    css=(ASSETS / "components" / "attention.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "attention.js").read_text(encoding="utf-8"),
)


@locks.fragment
def maps(seen: Pass, at: int) -> None:
    """The maps of one pass, with a pager for layer and head; what is chosen draws nothing but the maps again.

    Args:
        seen: The pass.
        at: The token that is followed: its row is lit first.
    """
    one, other, _ = st.columns([2, 2, 1], gap="small")
    with one:
        layer = _pager("Layer", seen.config.n_layers, LAYER)
    with other:
        head = _pager("Head", seen.config.n_heads, HEAD)
    _component(
        data=record(seen, forward_pass.trace(seen), layer, head, at),
        key=MAPS,
        on_picked_change=_pick,
    )
    if seen.config.n_layers * seen.config.n_heads > len(_layers_shown(seen, layer)) * seen.config.n_heads:
        st.caption(f"The small maps are those of layer {layer + 1}; of a shorter prompt all layers are drawn.")


def _pager(label: str, most: int, key: str) -> int:
    """A number to page through, from 1; a model with fewer of them brings it back into reach."""
    st.session_state[key] = min(st.session_state.get(key, 1), most)
    return int(st.number_input(label, 1, most, key=key, persist_state="session", help=f"1 to {most}.")) - 1


def _pick() -> None:
    """A small map was clicked."""
    layer, head = st.session_state[MAPS].picked
    st.session_state[LAYER], st.session_state[HEAD] = int(layer) + 1, int(head) + 1


def _layers_shown(seen: Pass, layer: int) -> list[int]:
    count = seen.config.n_layers * seen.config.n_heads * len(seen.ids) ** 2
    return list(range(seen.config.n_layers)) if count <= MOST_SMALL_BYTES else [layer]


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def record(seen: Pass, trace: Trace, layer: int, head: int, at: int) -> dict[str, Any]:
    """What the browser gets: at most 150 KB for 64 tokens of GPT-2's small shape."""
    weights = trace.weights[layer, head].numpy()
    layers = _layers_shown(seen, layer)
    small = trace.weights[layers].numpy()
    return {
        "pass": f"{seen.voice} {seen.version} {seen.ids}",
        "label": f"attention weights of layer {layer + 1}, head {head + 1}: a row for each token that reads, a column "
        "for each token that is read; the arrow keys go from cell to cell",
        "tokens": list(seen.tokens),
        "layer": layer,
        "head": head,
        "heads": seen.config.n_heads,
        "width": seen.config.head_dim,
        "q": _packed(trace.q[layer, head].numpy()),
        "k": _packed(trace.k[layer, head].numpy()),
        "weights": _packed(weights),
        "cell": [at, int(weights[at, : at + 1].argmax())],
        "maps": {"layers": layers, "weights": _packed(np.rint(255 * small).astype(np.uint8))},
    }

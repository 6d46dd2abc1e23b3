"""Weights to take along: any model that is here, as an archive that ``transformers`` reads."""

from __future__ import annotations

from typing import BinaryIO

import streamlit as st

from pages._ui import choices, resources
from pages._ui.resources import UNTRAINED, Voice

MOST_MB = 700  # an archive passes through the server's memory
MB = 1_000_000


def offer(voice: Voice) -> None:
    """Offer the chosen weights and the student's own for download, under GPT-2's names.

    Args:
        voice: The weights that are chosen.
    """
    with st.popover("Take weights along", icon=":material/inventory_2:"):
        options = [voice, *(each for each in choices.voices() if each != UNTRAINED)]
        labels = [each.label for each in options]
        label = st.selectbox("Whose", labels, key="pretrained_take")
        _button(options[labels.index(label)])


def _button(voice: Voice) -> None:
    try:
        model, tokenizer = resources.speak(voice)
    except ValueError:  # the page has said why
        return
    size = sum(parameter.nbytes for parameter in model.parameters()) / MB
    if size > MOST_MB:
        st.caption(f"{size:,.0f} MB are too many for a browser: use `python -m gptcore export` on the server.")
        return

    def pack() -> BinaryIO:
        from gptcore.export import archive

        return archive(model, tokenizer)

    st.download_button(
        f"Download {size:,.1f} MB",
        pack,
        "gpt2-weights.zip",
        "application/zip",
        key="pretrained_export",
        icon=":material/download:",
        on_click="ignore",
    )
    st.caption(
        "model.safetensors under GPT-2's names, and its config.json: `GPT2LMHeadModel.from_pretrained(folder)` reads "
        "them. A model with a vocabulary of its own brings tokens.json: GPT-2's number of each of its tokens."
    )

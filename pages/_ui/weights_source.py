"""Where GPT-2's weights come from, and which of their tensors went where in our model."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gptcore.gpt2_names import mapping_rows
from gptcore.paths import home
from pages._ui import choices
from pages._ui.resources import Voice

if TYPE_CHECKING:
    from gptcore.model import GPTModel

MOST_UPLOAD_MB = 600  # GPT-2 124M in float32 has 548 MB


def _keep(file: UploadedFile) -> Path:
    """Give an upload a folder of its own, named by its content; what was kept once is not written again."""
    kept: tuple[str, Path] | None = st.session_state.get("pretrained_kept")
    if kept is not None and kept[0] == file.file_id:
        return kept[1]
    raw = file.getvalue()
    folder = home() / "uploads" / hashlib.sha256(raw).hexdigest()[:16]
    path = folder / "model.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{secrets.token_hex(4)}.part"  # two students may bring the same file at once
        draft.write_bytes(raw)
        draft.replace(path)
    st.session_state["pretrained_kept"] = (file.file_id, path)
    return path


def choose() -> Voice | None:
    """GPT-2 weights that lie ready on the server, or that a student brings."""
    labels = {path.name: path for path in choices.ready_weights()}
    chosen = st.selectbox("GPT-2 weights", [*labels, "upload a file"], key="pretrained_source")
    if chosen in labels:
        return Voice("GPT-2", labels[chosen])
    file = st.file_uploader(
        "A safetensors file of any GPT-2 size",
        type=["safetensors", "bin", "pt"],  # the wrong kinds too: their refusal says what to do
        max_upload_size=MOST_UPLOAD_MB,
        key="pretrained_upload",
    )
    return Voice("GPT-2", _keep(file)) if file is not None else None


def mapping(model: GPTModel) -> None:
    """Every tensor of the loaded weights, under both names."""
    st.caption(f"Loaded: {model.config.n_layers} blocks, width {model.config.emb_dim}. Every tensor found its place:")
    table = mapping_rows(model.config)
    for column in ("gpt2_shape", "our_shape"):
        table[column] = [" x ".join(f"{n:,}" for n in shape) for shape in table[column]]
    st.dataframe(table, hide_index=True, key="pretrained_mapping")

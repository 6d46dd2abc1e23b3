"""GPT-2: published weights in the same code, beside a model that was trained here, and one that was never trained.

The columns and what they are asked stand first, the weights below them. The columns are drawn after the weights are
known, and write when all else is on the page: so nothing on it is out of date while they do.
"""

import hashlib
import secrets
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gptcore import against as measures
from gptcore import pretrained
from gptcore.checkpoint import is_ours
from gptcore.gpt2_names import mapping_rows
from gptcore.model import GPTModel
from gptcore.paths import home
from gptcore.pretrained import WeightsError
from gptcore.sampling import generate
from pages._ui import against_views, against_write, choices, frame, resources
from pages._ui.resources import Voice

MOST_UPLOAD_MB = 600  # GPT-2 124M in float32 has 548 MB

frame.lesson("pretrained")


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


def _weights() -> Voice | None:
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


def _loaded(gpt2: Voice) -> GPTModel | None:
    """The model of these weights; nothing where they are refused, and the page says why."""
    try:
        if gpt2.path is not None and gpt2.path.is_file() and is_ours(gpt2.path):
            raise WeightsError("this file was written by this program: its run speaks in the lesson on sampling")
        return resources.speak(gpt2)[0]
    except ValueError as error:
        frame.refuse(error)
        return None


def _mapping(model: GPTModel) -> None:
    """Where each of GPT-2's tensors has its place in our code."""
    st.caption(f"Loaded: {model.config.n_layers} blocks, width {model.config.emb_dim}. Every tensor found its place:")
    table = mapping_rows(model.config)
    for column in ("gpt2_shape", "our_shape"):
        table[column] = [" x ".join(f"{n:,}" for n in shape) for shape in table[column]]
    st.dataframe(table, hide_index=True, key="pretrained_mapping")


stage = st.container()
st.subheader("The weights", anchor=False)
gpt2 = _weights()
model = _loaded(gpt2) if gpt2 is not None else None
if model is not None:
    _mapping(model)
with stage:
    task = against_views.lay(gpt2 if model is not None else None)
frame.code_behind(
    pretrained.load_gpt2,
    generate,
    measures.judge,
    measures.kl_divergence,
    measures.next_tokens_together,
    measures.timed,
    mapping_rows,
)
frame.next_lesson("pretrained")
if task is not None:
    against_write.write(*task)

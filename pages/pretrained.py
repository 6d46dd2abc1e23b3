"""GPT-2: published weights in the same code, asked the same thing as the model that was trained here."""

import hashlib
import secrets
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gptcore import pretrained
from gptcore.checkpoint import is_ours
from gptcore.config import SamplingConfig
from gptcore.gpt2_names import mapping_rows
from gptcore.paths import home
from gptcore.pretrained import WeightsError
from gptcore.published import GPT2_SAMPLE, THE_VERDICT_LOSSES
from gptcore.sampling import generate
from pages._ui import choices, frame, resources
from pages._ui.resources import Voice

MOST_UPLOAD_MB = 600  # GPT-2 124M in float32 has 548 MB
NEW_TOKENS = 40

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


def _answer(voice: Voice, prompt: str, config: SamplingConfig, spot: DeltaGenerator) -> str:
    """What a model makes of the prompt, shown as it grows, with the same seed as the others."""
    try:
        model, tokenizer = resources.speak(voice)
        ids = resources.prompt_ids(tokenizer, prompt)
    except ValueError as error:
        return f"({error})"
    for drawn in generate(model, ids.copy(), config, NEW_TOKENS):
        ids.append(drawn.token_id)
        spot.code(tokenizer.decode(ids), language=None, wrap_lines=True)
    return tokenizer.decode(ids)


def _name(voice: Voice) -> str:
    """What an answer is kept under: other weights under the same label have not been asked yet."""
    return f"{voice} {resources.version(voice)}"


def _ask_all(speakers: list[Voice], prompt: str, config: SamplingConfig, *, anew: bool) -> None:
    """All answers side by side; they stay until the next question."""
    if anew:
        st.session_state["pretrained_answers"] = {}
        st.session_state["pretrained_asked"] = (
            f"Asked at temperature {config.temperature:g}, top-k {config.top_k or 'without a cut'}, each with the same "
            f"seed {config.seed}."
        )
    answers: dict[str, str] = st.session_state.get("pretrained_answers", {})
    for column, voice in zip(st.columns(len(speakers)), speakers, strict=True):
        column.markdown(f"**{voice.label}**")
        spot = column.empty()
        if anew:
            answers[_name(voice)] = _answer(voice, prompt, config, spot)
        if _name(voice) in answers:
            spot.code(answers[_name(voice)], language=None, wrap_lines=True)
        else:
            spot.caption("not asked yet")
    if answers:
        st.caption(st.session_state["pretrained_asked"])


left, right = st.columns([1, 2.4], gap="medium")
with left:
    gpt2 = _weights()
    prompt = st.text_input(
        "Prompt", "Every effort moves you", max_chars=2_000, key="pretrained_prompt", persist_state="session"
    )
    temperature = st.slider("Temperature", 0.0, 2.0, 0.8, 0.1, key="pretrained_temperature", persist_state="session")
    top_k = st.slider("Top-k (0: no cut)", 0, 100, 50, key="pretrained_top_k", persist_state="session")
    ask = st.button("Ask them all", type="primary", icon=":material/forum:", key="pretrained_ask", width="stretch")

loaded = None
if gpt2 is not None:
    try:
        if gpt2.path is not None and gpt2.path.is_file() and is_ours(gpt2.path):
            raise WeightsError("this file was written by this program: its run speaks in the lesson on sampling")
        loaded, _ = resources.speak(gpt2)
    except ValueError as error:
        with right:
            frame.refuse(error)
        gpt2 = None

with right:
    speakers = [*([gpt2] if gpt2 else []), *choices.voices()]
    _ask_all(speakers, prompt, SamplingConfig(temperature=temperature, top_k=top_k or None), anew=ask)
    if loaded is None:
        st.caption("Published, for The Verdict, in nats a token. No GPT-2 weights are loaded here yet.")
        st.table(pd.DataFrame(THE_VERDICT_LOSSES).set_index("model"))
        st.caption("Published sample of GPT-2 124M (seed 123, temperature 1.5, top-k 50):")
        st.code(GPT2_SAMPLE, language=None, wrap_lines=True)
    else:
        st.caption(
            f"Loaded: {loaded.config.n_layers} blocks, width {loaded.config.emb_dim}. Every tensor found its place:"
        )
        table = mapping_rows(loaded.config)
        for column in ("gpt2_shape", "our_shape"):
            table[column] = [" x ".join(f"{n:,}" for n in shape) for shape in table[column]]
        st.dataframe(table, hide_index=True, key="pretrained_mapping")

frame.notice(
    "The same code runs them all: GPT-2 only adds biases to its queries, keys and values, and its head is the token "
    "embedding again; the book's model does neither.",
    "GPT-2 keeps its matrices transposed, and its queries, keys and values in one: the table shows where each goes.",
    "A model trained on one story recites; a model trained on 40 GB of text has met enough to go on with almost "
    "anything, true or not.",
)
frame.code_behind(pretrained.load_gpt2, mapping_rows)
frame.next_lesson("pretrained")

"""Where GPT-2's weights come from, and which of their tensors went where in our model."""

from __future__ import annotations

import hashlib
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gptcore.config import GPTConfig, Precision
from gptcore.footprint import footprint, spare_memory
from gptcore.gpt2_names import PREFIX, mapping_rows
from gptcore.hub_models import MODELS
from gptcore.machine import MIB
from gptcore.paths import home
from gptcore.safetensors_file import WeightsError
from pages._ui import choices, frame, hub_download, resources, shared_models, take_along
from pages._ui.control import among
from pages._ui.resources import Voice

if TYPE_CHECKING:
    from gptcore.model import GPTModel
    from gptcore.pretrained import Placed

UPLOAD = "upload a file"
MOST_UPLOAD_MB = 600  # GPT-2 124M in float32 has 548 MB
PRECISIONS: list[Precision] = ["float32", "bfloat16"]
REDRAW_SECONDS = 0.4  # while tensors find their places


def choose() -> Voice | None:
    """Choose GPT-2's weights: laid ready on the server, to be downloaded, or brought along. Loads them, too.

    Returns:
        The voice that speaks with them; None while there are none.
    """
    ready = {path.name: path for path in choices.ready_weights()}
    options = [*ready, *(key for key in MODELS if key not in ready), UPLOAD]
    among("pretrained_source", options)
    before = st.session_state.get("pretrained_wanted")
    chosen = st.selectbox(
        "GPT-2 weights",
        options,
        index=options.index(before) if before in options else 0,
        format_func=lambda key: _title(key, key in ready),
        key="pretrained_source",
    )
    st.session_state["pretrained_wanted"] = chosen
    precision: Precision = st.segmented_control(
        "Kept in memory as",
        PRECISIONS,
        default=PRECISIONS[0],
        required=True,
        key="pretrained_precision",
        help="bfloat16 keeps three digits of each number in half the memory. What is computed differs a little.",
    )
    if chosen not in ready and chosen != UPLOAD:
        model = MODELS[chosen]
        _sum(model.title, model.config, precision)
        hub_download.offer(model, precision)
        return None
    path = ready[chosen] if chosen in ready else _uploaded()
    if path is None:
        return None
    voice = Voice("GPT-2", path, precision=precision)
    _load(voice, path)
    take_along.offer(voice)
    return voice


def _title(key: str, is_ready: bool) -> str:
    if key not in MODELS:
        return key
    return MODELS[key].title if is_ready else f"{MODELS[key].title} · download {MODELS[key].megabytes:,} MB"


def _uploaded() -> Path | None:
    file = st.file_uploader(
        "A safetensors file of any GPT-2 size",
        type=["safetensors", "bin", "pt"],  # the wrong kinds too: their refusal says what to do
        max_upload_size=MOST_UPLOAD_MB,
        key="pretrained_upload",
    )
    if file is None:
        return None
    try:
        return _keep(file)
    except OSError as error:
        frame.refuse(OSError(f"the file can't be kept: {error.strerror or error}"))
        return None


def _keep(file: UploadedFile) -> Path:
    """Give an upload a folder of its own, named by its content; what was kept once is not written again.

    Raises:
        OSError: The data folder can't be written, or the disk is full; what was begun is removed.
    """
    kept: tuple[str, Path] | None = st.session_state.get("pretrained_kept")
    if kept is not None and kept[0] == file.file_id:
        return kept[1]
    raw = file.getbuffer()  # its own bytes: half a gigabyte is not copied
    folder = home() / "uploads" / hashlib.sha256(raw).hexdigest()[:16]
    path = folder / "model.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{secrets.token_hex(4)}.part"  # two students may bring the same file at once
        try:
            draft.write_bytes(raw)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
    st.session_state["pretrained_kept"] = (file.file_id, path)
    return path


def _sum(name: str, config: GPTConfig, precision: Precision) -> None:
    """What the model will hold, before anything is fetched or loaded."""
    needs = footprint(config, precision)
    st.caption(
        f"{name} in {precision}: {needs.weights // MIB:,} MiB of weights and {needs.computing // MIB:,} to compute "
        f"with; {spare_memory() // MIB:,} MiB are free here."
    )


def _load(voice: Voice, path: Path) -> None:
    """Load the weights, each tensor ticked off as it finds its place; why they can't be loaded is said by the page."""
    from gptcore.pretrained import shape_of  # brings PyTorch, which may still be on its way

    try:
        config = shape_of(path)
        placed: list[Placed] = []
        spot, drawn = st.empty(), 0.0
        table = mapping_rows(config)
        total = len(table)

        def tick(each: Placed) -> None:
            nonlocal drawn
            placed.append(each)
            if time.monotonic() - drawn >= REDRAW_SECONDS or len(placed) == total:
                drawn = time.monotonic()
                with spot.container():
                    st.progress(min(1.0, len(placed) / total), f"{len(placed)} of {total} tensors: {each.our_name}")
                    st.dataframe(_ticked(table, placed), hide_index=True, height=220, key=f"placed_{len(placed)}")

        resources.loaded(voice, path, tick)
        spot.empty()
    except WeightsError:
        return
    _sum("This model", config, voice.precision)


def _ticked(names: pd.DataFrame, placed: list[Placed]) -> pd.DataFrame:
    """The table of names, with a tick for each tensor that has found its place, and how it came there."""
    table = names.copy()
    came = {each.gpt2_name.removeprefix(PREFIX): each for each in placed}
    each = [came.get(name) for name in table["gpt2_name"]]
    table.insert(0, "placed", [one is not None for one in each])
    table["numbers"] = ["" if one is None else "the file's own" if one.mapped else "converted" for one in each]
    for column in ("gpt2_shape", "our_shape"):
        table[column] = [" x ".join(f"{n:,}" for n in shape) for shape in table[column]]
    return table


def mapping(model: GPTModel) -> None:
    """Every tensor of the loaded weights, under both names, ticked when it found its place."""
    placed = shared_models.placed(model)
    taken = f" in {placed[-1].seconds:.2f} seconds" if placed else ""
    kept = sum(each.mapped for each in placed)
    st.caption(
        f"Loaded: {model.config.n_layers} blocks, width {model.config.emb_dim}. Every tensor found its place{taken}; "
        f"{kept:,} of {len(placed):,} are the file's own pages, mapped into memory and not copied. One copy serves "
        "everybody on this server."
    )
    st.dataframe(_ticked(mapping_rows(model.config), placed), hide_index=True, key="pretrained_mapping")

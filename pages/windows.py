"""Windows: one long row of tokens becomes many small exercises, inputs and targets one token further."""

import streamlit as st

from gptcore.batches import prepare
from gptcore.config import GPTConfig, TrainConfig, help_for
from gptcore.corpora import TextError
from gptcore.figures.windows import SHOWN_WINDOWS, Part, window_strip
from gptcore.windows import make_windows, split_text, window_counts
from pages._ui import frame, predict, thread, window_view

frame.lesson("windows")

text, settings = thread.text(), thread.training()
CONTEXTS = sorted({*(2**power for power in range(11)), thread.model().context_length})


def _keep_within(key: str, low: int, high: int, default: int) -> None:
    """Hold a number inside limits that other controls move."""
    st.session_state[key] = min(max(int(st.session_state.get(key, default)), low), high)


def _take(key: str, value: int) -> None:
    st.session_state[key] = value


def _offer(sentence: str, label: str, key: str, value: int) -> None:
    st.warning(sentence, icon=":material/straighten:")
    st.button(label, key=f"{key}_fits", icon=":material/check:", on_click=_take, args=(key, value))


def _fitting(*lengths: int) -> int:
    """The longest context on offer that leaves a window in each part; a part that can hold none does not count."""
    return max(T for T in CONTEXTS if T < min(n for n in lengths if n > 1))


try:
    data = window_view.token_parts(text, settings.train_fraction, settings.end_of_text or settings.reference)
except TextError:
    st.error(
        f"The training part of this text is too short: it is {settings.train_fraction:.0%} of {len(text.text):,} "
        "characters, and even a context of 1 needs 1 + 1 = 2 tokens. Choose a longer text in the lesson before."
    )
    frame.next_lesson("windows")
    st.stop()
n_train, n_validation = len(data.train_ids), len(data.validation_ids)

left, right = st.columns([1, 3], gap="medium")
with left:
    if "windows_context" not in st.session_state:
        st.session_state.windows_context = thread.model().context_length
    T = st.select_slider(
        "Context length",
        CONTEXTS,
        key="windows_context",
        persist_state="session",
        help=help_for(GPTConfig, "context_length"),
    )
    asked = st.number_input(
        "Stride",
        1,
        4096,
        settings.stride,
        key="windows_stride",
        persist_state="session",
        placeholder=f"one context ({T:,})",
        help=help_for(TrainConfig, "stride"),
    )
    _keep_within("windows_batch", 1, 64, settings.batch_size)
    B = st.slider("Batch size", 1, 64, key="windows_batch", persist_state="session", help=help_for(TrainConfig, "batch_size"))
    S = asked or T
    drop_last = st.session_state.get("windows_drop_last", True)
    train = window_counts(n_train, T, S, B, drop_last)
    validation = window_counts(n_validation, T, S, B, drop_last=False)
    _keep_within("windows_window", 1, max(train.windows, 1), 1)
    window = st.number_input(
        f"Window, 1 to {train.windows:,}", 1, max(train.windows, 1), step=1, key="windows_window", persist_state="session", disabled=not train.windows
    )

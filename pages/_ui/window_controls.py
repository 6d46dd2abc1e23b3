"""The controls of the windows lesson: four in sight, the rest behind "More"; whatever they say fits the text."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import streamlit as st

from gptcore.checked import help_for
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.windows import window_counts
from pages._ui import frame, settings, thread
from pages._ui.window_view import LEAD_IN, VIEWS, View


class Choice(NamedTuple):
    """What the student chose.

    Attributes:
        context_length: Tokens in a window (T).
        stride: Tokens between two window starts (S).
        batch_size: Windows in a batch.
        window: A training window, from 0; None where the text has none.
        position: The position in that window whose guess is looked at, from 0.
        view: What stands on a token's chip.
        drop_last: Whether a last training batch that is not full is left out.
    """

    context_length: int
    stride: int
    batch_size: int
    window: int | None
    position: int
    view: View
    drop_last: bool


def take_to_training(chosen: Choice) -> None:
    """A button that opens the training lesson with these windows: for the thread's run, or else for the class preset.

    The recorded run that the thread begins with takes half an hour: whoever has trained nothing yet gets a small one.
    """
    if not st.button("Train with these windows", icon=":material/play_arrow:", key="windows_train", width="stretch"):
        return
    run = thread.run()
    recorded = thread.is_recorded(run)
    model = MODEL_PRESETS["class"] if recorded else run.model_config
    training = TRAIN_PRESETS["class"] if recorded else run.train_config
    stride = None if chosen.stride == chosen.context_length else chosen.stride
    settings.start_from(
        "the windows lesson",
        thread.text(),
        replace(model, context_length=chosen.context_length),
        replace(training, stride=stride, batch_size=chosen.batch_size),
    )
    st.switch_page(frame.page_file("training"))


def contexts() -> list[int]:
    """The context lengths on offer: powers of two up to GPT-2's, and that of the student's model."""
    return sorted({*(2**power for power in range(11)), thread.model().context_length})


def fitting_context(*lengths: int) -> int:
    """The longest context on offer that leaves a window in each part; a part that can hold none does not count."""
    return max(T for T in contexts() if min(n for n in lengths if n > 1) > T)


def offer(sentence: str, label: str, key: str, value: int) -> None:
    """Say what can't be, with a button for what can."""
    st.warning(sentence, icon=":material/straighten:")
    st.button(label, key=f"{key}_take", icon=":material/check:", on_click=_take, args=(key, value))


def _take(key: str, value: int) -> None:
    st.session_state[key] = value


def _keep_within(key: str, low: int, high: int, default: int) -> None:
    """Hold a number inside limits that other controls and other texts move."""
    st.session_state[key] = min(max(int(st.session_state.get(key, default)), low), high)


def choose(train_tokens: int) -> Choice:
    """Draw the controls.

    Args:
        train_tokens: Tokens of the training part; they limit which windows there are.
    """
    of_run = thread.training()
    T = _context()
    stride = st.number_input(
        "Stride",
        1,
        4 * max(contexts()),
        of_run.stride,
        key="windows_stride",
        persist_state="session",
        placeholder=f"context: {T:,}",
        help=help_for(TrainConfig, "stride"),
    )
    most = max(64, of_run.batch_size)
    _keep_within("windows_batch", 1, most, of_run.batch_size)
    batch_size = st.slider(
        "Batch size",
        1,
        most,
        key="windows_batch",
        persist_state="session",
        help=help_for(TrainConfig, "batch_size"),
    )
    window = _window(window_counts(train_tokens, T, stride or T, batch_size, drop_last=False).windows)
    with st.expander("More", icon=":material/tune:"):
        return Choice(T, stride or T, batch_size, window, _position(T), _view(), _drop_last())


def _context() -> int:
    if st.session_state.get("windows_context") not in contexts():
        st.session_state.windows_context = thread.model().context_length
    return st.select_slider(
        "Context length",
        contexts(),
        key="windows_context",
        persist_state="session",
        help=help_for(GPTConfig, "context_length"),
    )


def _window(windows: int) -> int | None:
    _keep_within("windows_window", 1, max(windows, 1), 1)
    number = st.number_input(
        f"Training window (1 to {windows:,})" if windows else "Training window",
        1,
        max(windows, 1),
        key="windows_window",
        persist_state="session",
        disabled=windows < 2,
    )
    return number - 1 if windows else None


def _position(context_length: int) -> int:
    _keep_within("windows_position", 0, context_length - 1, LEAD_IN)
    return st.number_input(
        f"Position (0 to {context_length - 1:,})",
        0,
        context_length - 1,
        key="windows_position",
        persist_state="session",
        help="Up to here the tokens of the window are given; the next one has to be guessed.",
    )


def _view() -> View:
    return st.segmented_control(
        "Show tokens as",
        VIEWS,
        default="text",
        required=True,
        format_func={"text": "Text", "ids": "Ids", "positions": "0 1 2"}.__getitem__,
        key="windows_view",
        width="stretch",
        persist_state="session",
    )


def _drop_last() -> bool:
    return st.toggle(
        "Drop a last training batch that is not full",
        value=True,
        key="windows_drop_last",
        persist_state="session",
        help="As the book does; the validation part keeps its last batch.",
    )

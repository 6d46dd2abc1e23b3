"""Controls that several lessons share: which text, which model, which weights."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from gptcore.config import MODEL_PRESETS, GPTConfig, Variant
from gptcore.corpora import (
    CATALOGUE,
    MAX_TEXT_BYTES,
    MAX_TEXT_TOKENS,
    EncodingError,
    TextError,
    is_at_hand,
    load_text,
    read_bytes,
)
from gptcore.encodings import ENCODING_NAMES
from gptcore.paths import POCKET_MODEL, home
from gptcore.runs.store import Run
from pages._ui import control, frame, owner, thread
from pages._ui.resources import UNTRAINED, Voice

CHANGED_MODELS: tuple[Variant, ...] = ("no-mask", "softmax-twice", "dropout-left-on")  # the others change no model

UPLOAD = "own text"
MY_MODEL = "the model of the thread"


def _title(key: str) -> str:
    if key == UPLOAD:
        return "Your own text (upload)"
    return CATALOGUE[key].title + ("" if is_at_hand(key) else " · download")


def text(key: str) -> None:
    """Choose the text that all lessons go on with; a text that can't be used leaves the former one in place."""
    current = thread.text().key
    # A run that is followed brings its text along: what was chosen here before is then no wish any more.
    drawn = f"{key}_text_drawn"
    if f"{key}_text" not in st.session_state or st.session_state.get(drawn) != current:
        st.session_state[f"{key}_text"] = current if current in CATALOGUE else UPLOAD
    st.session_state[drawn] = current
    chosen = st.selectbox(
        "Text",
        [*CATALOGUE, UPLOAD],
        format_func=_title,
        key=f"{key}_text",
        help="All lessons go on with the text chosen here.",
    )
    if chosen in CATALOGUE:
        st.caption(f"Licence: {CATALOGUE[chosen].licence}.")
    if chosen == UPLOAD:
        _upload(key)
    elif chosen != current:
        _fetch(key, chosen)


def _fetch(key: str, chosen: str) -> None:
    """Load a text of the catalogue; a download that failed is tried again only when asked for."""
    refused: dict[str, TextError] = st.session_state.setdefault("texts_refused", {})
    message = st.container()
    if chosen not in refused or st.button("Try again", icon=":material/refresh:", key=f"{key}_again"):
        try:
            thread.choose_text(load_text(chosen))
        except TextError as error:
            refused[chosen] = error
        else:
            refused.pop(chosen, None)
            st.rerun()
    with message:
        frame.refuse(refused[chosen], _still())


def _still() -> str:
    return f"Still working with {frame.plain(thread.text().title)}."


def _upload(key: str) -> None:
    file = st.file_uploader(
        f"A plain text in UTF-8, up to {MAX_TEXT_BYTES // 1_000_000} MB",
        type=["txt", "md"],
        key=f"{key}_upload",
        help=f"At most {MAX_TEXT_TOKENS:,} tokens.",
    )
    if file is None:
        return
    chosen = f"{key}_encoding"  # for this file: another one starts as UTF-8 again
    of_file, encoding = st.session_state.get(chosen, ("", ""))
    try:
        own = read_bytes(file.getvalue(), file.name, encoding=encoding if of_file == file.file_id else "utf-8")
    except TextError as error:
        frame.refuse(error, _still())
        if isinstance(error, EncodingError) and error.readable_as:
            st.button(
                f"Read it as {ENCODING_NAMES[error.readable_as]}",
                key=f"{key}_read_as",
                icon=":material/translate:",
                on_click=st.session_state.__setitem__,
                args=(chosen, (file.file_id, error.readable_as)),
            )
        return
    for note in own.notes:
        st.caption(f"While reading, {note}.")
    taken = st.session_state.get(f"{key}_taken")
    if taken != (read := (file.file_id, own.sha256)):
        st.session_state[f"{key}_taken"] = read
        thread.choose_text(own)
        st.rerun()


def own_runs() -> dict[int, Run]:
    """One's own runs that are still there, numbered from 1, the oldest first."""
    found = (run for run in map(thread.store().find, owner.runs()) if run is not None)
    return dict(enumerate(found, 1))


def own_run() -> None:
    """Choose among one's own runs, once there are two; the thread goes on with the one chosen."""
    numbered = own_runs()
    if len(numbered) < 2:
        return
    mine = {run.id: run for run in numbered.values()}

    def go_on() -> None:
        chosen = mine[st.session_state["own_run"]]
        if chosen.exists:  # another tab may have deleted it since this list was drawn
            thread.follow(chosen)

    names = {run.id: f"Run {number}, {run.status['state']}" for number, run in numbered.items()}
    current = thread.run().id
    st.session_state["own_run"] = current if current in mine else None
    st.selectbox(
        "Your runs",
        list(mine),
        format_func=names.__getitem__,
        key="own_run",
        placeholder="another run is shown",
        label_visibility="collapsed",
        on_change=go_on,
    )


def preset(key: str, default: str = "book-124m") -> GPTConfig:
    """Choose one of the named model shapes."""
    names = list(MODEL_PRESETS)
    name = st.selectbox("Model", names, index=names.index(default), key=f"{key}_preset", persist_state="session")
    return MODEL_PRESETS[name or default]


def voices() -> list[Voice]:
    """The models at hand: the student's run at its best and at its end, the bundled one, and an untrained one."""
    run = thread.run()
    mine = [
        Voice(f"your run, {which}", run.folder, which)
        for which in ("best", "last")
        if not thread.is_recorded(run) and run.weights(which)
    ]
    bundled = [Voice("pocket model", POCKET_MODEL)] if POCKET_MODEL.is_file() else []
    return [*mine, *bundled, UNTRAINED]


def all_voices() -> list[Voice]:
    """As ``voices``, and between them the student's other runs and the GPT-2 weights that are here."""
    more = [
        Voice(f"your run {number}, {which}", run.folder, which)
        for number, run in own_runs().items()
        for which in ("best", "last")
        if run.id != thread.run().id and run.weights(which)
    ]
    gpt2 = [Voice(f"GPT-2 ({path.name})", path) for path in ready_weights()]
    upload = st.session_state.get("pretrained_kept")
    brought = [Voice("GPT-2 (your upload)", upload[1])] if upload else []
    *first, untrained = voices()
    return [*first, *more, *gpt2, *brought, untrained]


def ready_weights() -> list[Path]:
    """GPT-2 weights that whoever runs the server laid ready."""
    models = home() / "models"
    return sorted(models.glob("*.safetensors")) + sorted(file.parent for file in models.glob("*/model.safetensors"))


def voice(key: str, *also: Voice) -> Voice:
    """Choose which model speaks; more than the models at hand may be offered."""
    options = [*all_voices(), *also]
    labels = [option.label for option in options]
    control.among(f"{key}_voice", labels)
    label = st.selectbox("Model", labels, key=f"{key}_voice")
    chosen = next(option for option in options if option.label == label)
    say_changed(chosen)
    return chosen


def say_changed(voice: Voice) -> None:
    """Say it where a run's model was changed on purpose while it learnt: its weights speak in the usual one."""
    if voice.path is None or not (voice.path / "text.txt").is_file():
        return
    variant = Run(voice.path).train_config.variant
    if variant in CHANGED_MODELS:
        st.caption(
            f"This run was trained with the deliberate change “{variant}”; here its weights speak in the usual model."
        )

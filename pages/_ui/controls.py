"""The controls whose positions travel in a link: each by its key, with its type and its limits, declared once.

How to read it: ``SHARED`` holds the controls of each lesson; ``PRIVATE`` says why the rest stays behind. A ``*`` in a
key stands for what a lesson adds to it, such as a preset's name. What a lesson allows beyond these limits (a text may
have fewer windows) it says itself: ``share.confirm`` looks at what became of a link's values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import streamlit as st

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from pages._ui import thread
from pages._ui.control import ANYTHING, Control
from pages._ui.token_examples import EXAMPLES

LAST_SEED = 2**53 - 1  # the largest whole number that a browser counts exactly


def _always(_key: str) -> Any:
    return ANYTHING


def _fixed(value: Any) -> Callable[[str], Any]:
    return lambda _key: value


def _suffix(key: str) -> int:
    """The number at the end of a key: the last token of a prompt is followed until another one is chosen."""
    return int(key.rpartition("_")[2])


def _while_edited(key: str) -> Any:
    """The window's words matter while they are edited; else they follow from the other controls."""
    return ANYTHING if st.session_state.get("loss_part") == "edit it" else st.session_state[key]


def _of_model(key: str) -> Any:
    return getattr(thread.model(), key.removeprefix("parameters_"))


def _preset_of_model(_key: str) -> Any:
    return next((name for name, shape in MODEL_PRESETS.items() if shape == thread.model()), ANYTHING)


def _of_preset(key: str) -> Any:
    """A training setting as its preset has it; of other sources nobody knows without their model."""
    for name, preset in TRAIN_PRESETS.items():
        if key.endswith(f"_{name}"):
            field = key.removeprefix("training_").removesuffix(f"_{name}")
            value = getattr(MODEL_PRESETS[name] if field in _OF_MODEL else preset, field)
            return ANYTHING if field == "steps" and value is None else value
    return ANYTHING


_OF_MODEL = ("context_length", "drop_rate")
_KINDS: dict[str, type] = {"int": int, "float": float, "bool": bool}  # the others are choices


def _settings(config: type, prefix: str, suffix: str, usual: Callable[[str], Any]) -> list[Control]:
    """A control for each number and switch of a config, its limits taken from the field."""
    return [
        Control(
            f"{prefix}_{each.name}{suffix}",
            _KINDS.get(str(each.type).partition(" ")[0], str),
            each.metadata["low"],
            min(each.metadata["high"], LAST_SEED),
            tuple(each.metadata["choices"]),
            "None" in str(each.type),
            usual,
        )
        for each in fields(config)
    ]


def _training() -> list[Control]:
    theirs = [each for each in _settings(GPTConfig, "training", "_*", _of_preset) if each.key[9:-2] in _OF_MODEL]
    return theirs + _settings(TrainConfig, "training", "_*", _of_preset)


def _text(key: str, most: int, usual: Callable[[str], Any] | None = None) -> Control:
    return Control(key, str, high=most, usual=usual)


def _choice(key: str, *choices: Any, usual: Callable[[str], Any] | None = None, empty: bool = False) -> Control:
    return Control(key, type(choices[0]), choices=choices, usual=usual, empty=empty)


def _seed(key: str, usual: Callable[[str], Any] | None = None) -> Control:
    return Control(key, int, 0, LAST_SEED, usual=usual)


def _columns() -> list[Control]:
    """The three rules of the sampling lesson that write side by side."""
    numbers = (("temperature", float, 0, 5.0), ("top_k", int, 0, 100), ("top_p", float, 0.01, 1.0))
    return [
        Control(f"sampling_compare_{name}_{place}", kind, low, high)
        for place in range(3)
        for name, kind, low, high in numbers
    ]


LABEL = 120  # characters of a model's or a run's name

SHARED: dict[str, list[Control]] = {
    "home": [_text("home_prompt", 2_000)],
    "tokens": [
        _text("tokens_own", 20_000, _fixed(EXAMPLES[0].text)),
        _choice("tokens_as", "text", "bytes"),
        Control("tokens_marks", bool),
        Control("tokens_special", bool),
    ],
    "bpe": [
        _text("bpe_typed", 60, _fixed(" unbelievably")),
        Control("bpe_piece_*", int, 0, 60),
        _text("bpe_sentence", 300),
        Control("bpe_size_*", int, 256, 10_000),
    ],
    "windows": [
        Control("windows_stride", int, 1, 2**20, empty=True),
        Control("windows_batch", int, 1, 2**16, usual=lambda _: thread.training().batch_size),
        Control("windows_context", int, 1, 2**20, usual=lambda _: thread.model().context_length),
        Control("windows_window", int, 1, 10**7),
        Control("windows_position", int, 0, 2**20, usual=_always),
        Control("windows_epoch", int, 1, 10**6),
        _seed("windows_seed"),
        _choice("windows_view", "text", "ids", "positions"),
        Control("windows_drop_last", bool),
    ],
    "parameters": [
        _choice("parameters_preset", *MODEL_PRESETS, usual=_preset_of_model),
        *_settings(GPTConfig, "parameters", "", _of_model),
    ],
    "forward": [
        _text("forward_voice", LABEL),
        _text("forward_prompt_*", 2_000),
        Control("forward_at_*", int, 1, 10_000, usual=_suffix),
        Control("forward_layer", int, 1, 1_000),
        Control("forward_head", int, 1, 1_000),
        _choice("forward_view", "Logit lens", "Residual stream", "Dropout"),
        Control("forward_show", bool),
        Control("forward_rate", float, 0, 0.5),
        Control("forward_part_*", bool),
    ],
    "loss": [
        _text("loss_voice", LABEL),
        _choice("loss_part", "training", "validation", "edit it"),
        Control("loss_length", int, 1, 10_000, usual=_fixed(16)),
        Control("loss_start_*", int, 0, 10**7, usual=_fixed(0)),
        Control("loss_at", int, 1, 10_000, usual=_always),
        _text("loss_window", 600, _while_edited),
        _text("loss_typed", 600, _while_edited),
    ],
    "training": [
        _text("training_preset", LABEL),
        *_training(),
        _choice("training_unit_*", "steps", "epochs"),
        _choice("training_view", "Time machine", "Curves"),
        _choice("training_axis", "step", "epochs_read", "tokens_seen"),
        Control("training_panels", bool),
        _text("time_machine_choice", LABEL),
    ],
    "overfitting": [Control("overfitting_hide", bool)],
    "memory": [
        _text("memory_run", LABEL),
        _text("memory_recorded_run", LABEL),
        _choice("memory_state", "best", "last"),
        Control("memory_min_tokens", int, 2, 20),
        Control("memory_temperature_of_text", float, 0, 5),
        _seed("memory_seed"),
        Control("memory_length_*", int, 1, 1_000),
        _choice("memory_view", "Extraction test", "Over the run", "Temperature"),
        Control("memory_hide", bool),
    ],
    "clinic": [
        _text("clinic_part", LABEL, _fixed("Your curve")),
        _text("clinic_case", LABEL, _fixed("healthy")),
        Control("clinic_compare", bool),
        _choice("clinic_whose_*", "yours", "recorded"),
        Control("clinic_seed", int, 0, 9_999),
    ],
    "compare": [
        Control("compare_runs", list, high=10, usual=lambda _: st.session_state.get("compare_offered", ANYTHING)),
        _text("compare_shown", LABEL),
        _text("compare_axis", LABEL),
        _choice("compare_image", "svg", "png"),
    ],
    "floor": [
        Control("floor_share", float, 0, 1),
        Control("floor_strength", float, 0, 4),
        _seed("floor_seed"),
    ],
    "sampling": [
        _text("sampling_voice", LABEL),
        _text("sampling_prompt_*", 2_000),
        Control("sampling_plain", bool),
        Control("sampling_temperature", float, 0, 5, usual=_fixed(1.0)),
        Control("sampling_top_k", int, 0, 100, usual=_fixed(0)),
        Control("sampling_top_p", float, 0.01, 1, usual=_fixed(1.0)),
        Control("sampling_top_p_first", bool, usual=_fixed(False)),
        Control("sampling_seed", int, 0, 2**31, usual=_fixed(123)),
        _choice("sampling_draws", 1, 100, 1_000, 10_000, usual=_fixed(1)),
        _choice("sampling_view", "Write", "Draw", "Step by step", "Compare"),
        Control("sampling_most", int, 1, 400),
        Control("sampling_compare_most", int, 1, 200),
        *_columns(),
    ],
    "pretrained": [
        _text("pretrained_source", LABEL),
        _choice("pretrained_precision", "float32", "bfloat16"),
        _text("pretrained_prompt_*", 2_000, lambda _key: thread.first_prompt()),
        Control("pretrained_columns", list, high=4, usual=lambda _: st.session_state.get("pretrained_usual", ANYTHING)),
        _text("pretrained_view", LABEL),
        _text("pretrained_passage", LABEL),
        _text("pretrained_typed", 2_000),
        Control("pretrained_top_p", float, 0.01, 1),
        Control("pretrained_windows", int, 1, 10**6),
        Control("pretrained_most", int, 1, 10_000),
        _seed("pretrained_seed"),
        Control("pretrained_own", bool),
        Control("pretrained_temperature_*", float, 0, 5),
        Control("pretrained_top_k_*", int, 0, 100),
        Control("pretrained_top_p_*", float, 0.01, 1),
        Control("pretrained_temperature", float, 0, 2),
        Control("pretrained_top_k", int, 0, 100),
    ],
    "classroom": [],
}

PRIVATE = {
    "tokens_text": "the text travels as the text of all lessons",
    "bpe_text": "the text travels as the text of all lessons",
    "training_text": "the text travels as the text of all lessons",
    "own_run": "the run travels as the run of all lessons",
    "*_predict_guess": "a guess is the guesser's own",
    "*_predict_choice": "a guess is the guesser's own",
    "clinic_guess_*": "a guess is the guesser's own",
    "clinic_settings_*": "a sweep is planned by whoever has it computed",
    "*_upload": "a file stays with whoever has it",
    "*_live": "whether this screen holds still is its reader's matter",
    "tokens_example": "which example it is follows from the text on screen",
    "bpe_word": "which of the words it is follows from what is typed",
    "sampling_next": "it names the token that a button would take, and shows nothing by itself",
    "memory_passage": "the passages are those of the text on screen, the longest first",
    "compare_start_run": "it names what a button would take along, and shows nothing by itself",
    "one_number_*": "it looks into an update that was done in this visit alone",
    "share_*": "it makes links",
    "charts_*": "how a chart is taken home is the taker's own",
    "pretrained_take": "it takes weights along, and shows nothing by itself",
    "present_*": "how a lesson is projected is the presenter's matter",
    "teach_*": "it is the teacher's own",
    "plan_*": "the address of a plan names its lesson, and the answers are the teacher's own",
    "classroom_*": "it belongs to one class on this server",
}


@cache
def _pattern(key: str) -> re.Pattern[str]:
    return re.compile(re.escape(key).replace(r"\*", r"[\w.-]{1,64}"), re.ASCII)


def find(lesson: str, key: str) -> Control | None:
    """The control of a lesson that goes by this key."""
    return next((each for each in SHARED.get(lesson, ()) if _pattern(each.key).fullmatch(key)), None)


def why_private(key: str) -> str | None:
    """Why a control stays out of links, where it does."""
    return next((reason for each, reason in PRIVATE.items() if fnmatchcase(key, each)), None)

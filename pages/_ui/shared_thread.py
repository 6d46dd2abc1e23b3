"""The thread in a link: which text, which model, which run, and which settings were laid ready.

How to read it: a text is named by its key in the catalogue or by its SHA-256; a run by its share id; a model or
settings by the preset that is nearest and by what differs from it, as ``class,emb_dim:96``. Nothing here is a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import streamlit as st

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig, from_json, to_json
from gptcore.corpora import CATALOGUE, OWN_STORY, Text, TextError, load_text
from pages._ui import thread
from pages._ui.control import short
from pages._ui.resources import run_model_config

NAMES = ("text", "model", "run", "start", "start_model", "start_training")
DIGEST = re.compile(r"sha256-[0-9a-f]{64}")
START = re.compile(r"\d{1,6}:.{1,80}", re.DOTALL)
C = TypeVar("C", GPTConfig, TrainConfig)


def written(lesson: str) -> dict[str, str]:
    """What of the thread differs from a fresh visit's."""
    said, run, text = {}, thread.run(), thread.text()
    followed = not thread.is_recorded(run)
    if followed:
        said["run"] = run.id
    if text.sha256 != (run.text if followed else load_text(OWN_STORY)).sha256:
        said["text"] = text.key if text.key in CATALOGUE else f"sha256-{text.sha256}"
    if thread.model() != (run_model_config(run) if followed else MODEL_PRESETS["book-124m"]):
        said["model"] = pack(thread.model(), MODEL_PRESETS)
    start = thread.start()
    if start is not None and lesson == "training":
        said["start"] = f"{start.number}:{start.name[:80]}"
        said["start_model"] = pack(start.model, MODEL_PRESETS)
        said["start_training"] = pack(start.training, TRAIN_PRESETS)
    return said


def pack(config: GPTConfig | TrainConfig, presets: Mapping[str, Any]) -> str:
    """A config as the nearest preset and what differs from it.

    >>> pack(MODEL_PRESETS["class"], MODEL_PRESETS)
    'class'
    """
    wanted = to_json(config)

    def changes(name: str) -> dict[str, Any]:
        theirs = to_json(presets[name])
        return {field: value for field, value in wanted.items() if value != theirs[field]}

    nearest = min(presets, key=lambda name: len(changes(name)))
    return ",".join([nearest, *(f"{field}:{quote(json.dumps(value))}" for field, value in changes(nearest).items())])


def unpack(kind: type[C], said: str, presets: Mapping[str, C]) -> C:
    """The config that ``pack`` wrote, checked as any other.

    Raises:
        ValueError: There is no such preset, or a value that the config refuses.
    """
    name, *changes = said.split(",")
    if name not in presets:
        raise ValueError(f"there is no preset called {short(name)}")
    values = to_json(presets[name])
    known = {each.name for each in fields(kind)}
    for change in changes:
        field, _, value = change.partition(":")
        if field not in known:
            raise ValueError(f"a setting called {short(field)} is unknown")
        try:
            values[field] = json.loads(unquote(value))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{field}={short(value)} can't be read") from error
    return from_json(kind, values)


def open_link(said: Mapping[str, str]) -> list[str]:
    """Take over what a link says of the thread; what could not be, in sentences."""
    steps: tuple[tuple[str, Callable[[Mapping[str, str]], None]], ...] = (
        ("run", _follow),
        ("text", _choose_text),
        ("model", _choose_model),
        ("start", _lay_ready),
    )
    notes = []
    for name, step in steps:
        if name in said:
            try:
                step(said)
            except (ValueError, TextError) as error:
                notes.append(f"The link's {name} is left aside: {error}")
    return notes


def _follow(said: Mapping[str, str]) -> None:
    run = thread.store().find(said["run"])
    if run is None:  # what the training lesson says of a run that is lost, it says too
        raise ValueError("that run is not on this server, so you see the recorded one")
    thread.follow(run)


def _choose_text(said: Mapping[str, str]) -> None:
    wanted = said["text"]
    if wanted in CATALOGUE:
        thread.choose_text(load_text(wanted))
        return
    if not DIGEST.fullmatch(wanted):
        raise ValueError(f"there is no text called {short(wanted)}")
    if (own := _own_text(wanted.removeprefix("sha256-"))) is None:
        raise ValueError(
            f"it is its sender's own text, and no run on this server has learnt it. It goes on with "
            f"{thread.text().title}"
        )
    thread.choose_text(own)


def _own_text(sha256: str) -> Text | None:
    """The text with this hash, where a run here has learnt it; who knows the hash has had the text."""
    for run in thread.store().whole():
        if run.config["text"]["sha256"] == sha256:
            return run.text
    return None


def _choose_model(said: Mapping[str, str]) -> None:
    thread.choose_model(unpack(GPTConfig, said["model"], MODEL_PRESETS))


def _lay_ready(said: Mapping[str, str]) -> None:
    if not START.fullmatch(said["start"]):
        raise ValueError(f"{short(said['start'])} is no number and name")
    number, _, name = said["start"].partition(":")
    model = unpack(GPTConfig, said.get("start_model", ""), MODEL_PRESETS)
    training = unpack(TrainConfig, said.get("start_training", ""), TRAIN_PRESETS)
    st.session_state[thread.START] = thread.Start(name, int(number), model, training)

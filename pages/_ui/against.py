"""Which models stand against each other in the GPT-2 lesson, and by which rules each of them writes.

How to read it: ``choose`` offers every model at hand, and GPT-2's published figures as a column that can't be asked;
``rules`` are the settings behind "More"; ``own_rules`` are those of one column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptcore.checked import help_for
from gptcore.config import SamplingConfig
from gptcore.corpora import OWN_STORY
from pages._ui import choices, frame, resources, thread
from pages._ui.resources import UNTRAINED, Voice

FEWEST, MOST = 2, 4  # columns
PUBLISHED = Voice("GPT-2, published", None, "published")
RECORDED = tuple(Voice(f"recorded run, {which}", thread.SMALL_RUN, which) for which in ("best", "last"))
SHAPE_OF_124M, SHAPE_OF_XL = (12, 768), (48, 1600)  # blocks and width
CHOSEN, MET, USUAL = "pretrained_columns", "pretrained_met", "pretrained_usual"
HOTTEST, MOST_K, LEAST_P, LAST_SEED, MOST_TOKENS = 2.0, 100, 0.05, 2**31, 200


class Rules(NamedTuple):
    """How all columns write, unless a column has settings of its own."""

    config: SamplingConfig
    most: int
    own: bool


def is_gpt2(voice: Voice) -> bool:
    """Whether GPT-2's own weights speak, or weights of its form that somebody brought."""
    return voice.label.startswith("GPT-2") and voice != PUBLISHED


def shape(voice: Voice) -> tuple[int, int]:
    """A model's blocks and width: what was published of one size of GPT-2 belongs beside no other."""
    config = resources.speak(voice)[0].config
    return config.n_layers, config.emb_dim


def named(label: str) -> str:
    """A column's name within a sentence; a file's name may hold anything."""
    return f"“{frame.plain(label)}”"


def offered(gpt2: Voice | None) -> list[Voice]:
    """Every model at hand, from the one that knows nothing to the one that has read most.

    Args:
        gpt2: Weights that were loaded on this page; they may be among the others already.
    """
    *trained, _ = choices.all_voices()
    if gpt2 is not None and gpt2.path not in {voice.path for voice in trained}:
        trained.append(gpt2)
    recorded = RECORDED if thread.is_recorded(thread.run()) else ()
    rest = [voice for voice in trained if not is_gpt2(voice)]
    return [UNTRAINED, *recorded, *rest, *filter(is_gpt2, trained), PUBLISHED]


def choose(gpt2: Voice | None) -> list[Voice]:
    """Choose two to four columns; GPT-2's weights take the place of its published figures as soon as they are here."""
    options = {voice.label: voice for voice in offered(gpt2)}
    newest = next((label for label, voice in options.items() if gpt2 is not None and voice.path == gpt2.path), None)
    st.session_state[CHOSEN] = _still_there(options, newest)
    chosen: list[str] = st.multiselect(
        "Columns",
        list(options),
        max_selections=MOST,
        key=CHOSEN,
        placeholder="Choose two to four models",
        help="“untrained” has the class preset's shape before its first update.",
        persist_state="session",
    )
    return [options[label] for label in chosen]


def _still_there(options: dict[str, Voice], newest: str | None) -> list[str]:
    """What was chosen and is still at hand; at first one model of each kind."""
    kept: list[str] | None = st.session_state.get(CHOSEN)
    st.session_state[USUAL] = _at_first(options, newest)
    if kept is None:
        kept = st.session_state[USUAL]
    elif newest is not None and st.session_state.get(MET, newest) != newest and newest not in kept:
        kept = [newest if label == PUBLISHED.label else label for label in kept]
    st.session_state[MET] = newest
    return [label for label in kept if label in options]


def _at_first(options: dict[str, Voice], newest: str | None) -> list[str]:
    """Untrained, trained to the end here (or recorded), pocket and GPT-2."""
    mine = next((label for label in options if label.startswith("your run") and label.endswith("last")), None)
    if mine is None and thread.text().key == OWN_STORY:  # another text can't be written in its vocabulary
        mine = RECORDED[-1].label
    wanted = [UNTRAINED.label, mine, "pocket model", newest or PUBLISHED.label]
    return [label for label in wanted if label in options]


def prompt() -> str:
    """The one prompt of all columns; each text of the thread has its own to begin with."""
    key = prompt_key()
    st.session_state.setdefault(key, thread.first_prompt())
    return st.text_input("Prompt", max_chars=2_000, key=key, persist_state="session")


def prompt_key() -> str:
    """Under which name the prompt is kept."""
    return f"pretrained_prompt_{thread.text().key}"


def rules() -> Rules:
    """The settings that are the same for all columns."""
    with st.popover("More", icon=":material/tune:"):
        temperature = st.slider("Temperature", 0.0, HOTTEST, 0.8, 0.05, **_about("temperature"))
        k = st.number_input("Top-k (0: no cut)", 0, MOST_K, 50, **_about("top_k"))
        p = st.number_input("Top-p", LEAST_P, 1.0, 1.0, 0.05, **_about("top_p"))
        seed = st.number_input("Seed", 0, LAST_SEED, SamplingConfig().seed, **_about("seed"))
        most = st.number_input("Tokens for each", 1, MOST_TOKENS, 40, key="pretrained_most", persist_state="session")
        own = st.toggle(
            "Own settings for each column",
            key="pretrained_own",
            help="Temperature and cuts can then differ; the seed stays the same.",
            persist_state="session",
        )
    return Rules(_config(temperature, int(k), float(p), int(seed)), int(most), own)


def own_rules(column: DeltaGenerator, place: int, shared: SamplingConfig) -> SamplingConfig:
    """The settings of one column; they begin as those of all."""
    first = {"temperature": shared.temperature, "top_k": shared.top_k or 0, "top_p": shared.top_p or 1.0}
    for name, value in first.items():
        st.session_state.setdefault(f"pretrained_{name}_{place}", value)
    temperature = column.slider("Temperature", 0.0, HOTTEST, step=0.05, **_about("temperature", place))
    left, right = column.columns(2)
    k = left.number_input("Top-k", 0, MOST_K, **_about("top_k", place))
    p = right.number_input("Top-p", LEAST_P, 1.0, step=0.05, **_about("top_p", place))
    return _config(temperature, int(k), float(p), shared.seed)


def _config(temperature: float, k: int, p: float, seed: int) -> SamplingConfig:
    return SamplingConfig(temperature=temperature, top_k=k or None, top_p=p if p < 1 else None, seed=seed)


def _about(field: str, place: int | None = None) -> dict[str, Any]:
    key = f"pretrained_{field}" if place is None else f"pretrained_{field}_{place}"
    return {"key": key, "help": help_for(SamplingConfig, field), "persist_state": "session"}

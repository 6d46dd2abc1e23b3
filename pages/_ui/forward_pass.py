"""A prompt's way through one model, as the forward lesson shows it: chosen here, computed once, kept for a while.

What is kept of a pass is bounded twice: in tokens, because a longer map could not be read, and in bytes, because
students share the memory. Of a longer prompt the last tokens pass, as if the text began with them. It is computed on
one core: on more, beside other work, the same pass took eight times as long, waiting for the others at every line.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from gptcore import forward
from gptcore.config import GPTConfig, SamplingConfig
from gptcore.corpora import CATALOGUE, OWN_STORY
from gptcore.figures.bars import next_token_bars
from gptcore.forward import Stages, Trace
from gptcore.one_step import alone
from gptcore.sampling import next_token_table
from gptcore.tokenizer import END_OF_TEXT, Tokenizer, show_token
from pages._ui import choices, resources, thread
from pages._ui.kept import kept
from pages._ui.resources import Voice
from pages._ui.window_choice import slider

MOST_CHARACTERS = 2_000
MOST_TOKENS = 64
MOST_BYTES = 2**25  # of one pass
PASSES_KEPT = 8
OPEN_BLOCKS_KEPT = 16


class Pass(NamedTuple):
    """Which tokens went through which weights.

    Attributes:
        voice: Whose weights.
        version: Changes whenever the weights do.
        config: The model's shape.
        ids: The tokens that passed.
        tokens: The same as text.
        cut: How many tokens of the prompt stand before them.
    """

    voice: Voice
    version: float
    config: GPTConfig
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    cut: int


def most_tokens(config: GPTConfig) -> int:
    """How many tokens of a prompt can pass through a model of this shape and be kept."""
    most = min(MOST_TOKENS, config.context_length)
    while most > 1 and forward.trace_bytes(config, most) > MOST_BYTES:
        most -= 1
    return most


def choose() -> tuple[Pass, int]:
    """Choose a prompt, a model and a token to follow; say what becomes of an empty, a spoilt or a long prompt.

    Returns:
        The pass, and which of its tokens is followed: 0 for the first, the last until another is chosen.

    Raises:
        ValueError: The prompt can't be written in the model's vocabulary, or the weights can't be loaded.
    """
    left, middle, right = st.columns([3, 2, 2], gap="medium")
    prompt = left.text_input(
        "Prompt",
        thread.text().prompt or CATALOGUE[OWN_STORY].prompt,
        max_chars=MOST_CHARACTERS,
        key=f"forward_prompt_{thread.text().key}",
        persist_state="session",
    )
    with middle:
        voice = choices.voice("forward")
    seen = send(voice, prompt)
    count = len(seen.ids)
    with right:
        at = slider("Follow token", 1, count, count, key=f"forward_at_{count}") if count > 1 else 1
    if not prompt:
        st.caption(f"An empty prompt starts from the token `{END_OF_TEXT}`, as after the end of another text.")
    if prompt.endswith(" "):
        st.warning("This prompt ends with a space. A space belongs to the token after it, so what follows is spoilt.")
    if seen.cut:
        st.caption(
            f"This prompt has {seen.cut + count:,} tokens. Its last {count} go through the model here, as if the text "
            f"began with them; {seen.cut:,} are left out."
        )
    return seen, at - 1


def send(voice: Voice, prompt: str) -> Pass:
    """A prompt as a voice reads it, at most so many of its last tokens as can be shown.

    Raises:
        ValueError: See ``choose``.
    """
    model, tokenizer = resources.speak(voice)
    ids = resources.prompt_ids(tokenizer, prompt)
    shown = tuple(ids[-most_tokens(model.config) :])
    return Pass(
        voice,
        resources.version(voice),
        model.config,
        shown,
        tuple(text_of(tokenizer, i) for i in shown),
        len(ids) - len(shown),
    )


def trace(seen: Pass) -> Trace:
    """The pass itself."""
    return _trace(seen.voice, seen.version, seen.ids)


@kept(PASSES_KEPT)
def _trace(voice: Voice, version: float, ids: tuple[int, ...]) -> Trace:
    del version  # part of the key only
    model, _ = resources.speak(voice)
    with alone():
        return forward.trace(model, ids)


def stages(seen: Pass, layer: int) -> Stages:
    """Every stage of one block, 0 for the first."""
    return _stages(seen.voice, seen.version, seen.ids, layer)


@kept(OPEN_BLOCKS_KEPT)
def _stages(voice: Voice, version: float, ids: tuple[int, ...], layer: int) -> Stages:
    (model, _), seen = resources.speak(voice), _trace(voice, version, ids)
    with alone():
        return forward.stages_of(model, seen, layer)


@kept(PASSES_KEPT)
def next_tokens(seen: Pass) -> pd.DataFrame:
    """The frame of ``sampling.next_token_table`` for what follows the last token, nothing cut."""
    return next_token_table(trace(seen).logits, resources.speak(seen.voice)[1], SamplingConfig())


@kept(64)
def bars(seen: Pass) -> Any:
    """The figure of the likeliest tokens after the last one."""
    figure = next_token_bars(next_tokens(seen), shown=8, height=330)
    return figure.update_layout(margin_r=44)  # room for the longest bar's label


def lens(seen: Pass, at: int) -> pd.DataFrame:
    """The frame of ``forward.lens_table`` at one token, with the tokens as text."""
    return _lens(seen.voice, seen.version, seen.ids, at)


@kept(64)
def _lens(voice: Voice, version: float, ids: tuple[int, ...], at: int) -> pd.DataFrame:
    (model, tokenizer), seen = resources.speak(voice), _trace(voice, version, ids)
    with alone():
        table = forward.lens_table(forward.logit_lens(model, seen, at))
    return table.assign(token=[text_of(tokenizer, i) for i in table["token_id"]])


def text_of(tokenizer: Tokenizer, token_id: int) -> str:
    """A token as it is shown."""
    return show_token(tokenizer.token_bytes(token_id))


def lengths(seen: Pass) -> NDArray[np.float32]:
    """How long the stream's vector is, (L + 1, T): before the first block and after each, at every token."""
    found: NDArray[np.float32] = trace(seen).stream.norm(dim=-1).numpy()
    return found

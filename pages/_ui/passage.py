"""A window of the thread's text as one model guesses it, token by token: what the loss lesson shows.

The model runs once per window, and what is kept of it is small: the loss table and each position's favourites, not the
scores of 50,257 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from gptcore.tokenizer import Tokenizer, show_token
from gptcore.windows import split_text
from pages._ui import choices, resources, thread
from pages._ui.chips import Piece
from pages._ui.resources import UNTRAINED, Voice

FAVOURITES = 5
PARTS = ("training part", "validation part")
COLOUR = "#0072B2"  # the bars' blue; the dearer a token, the less of the page shines through


@dataclass(frozen=True, slots=True)
class Passage:
    """One window, guessed.

    Attributes:
        given: The first token, which nobody guesses.
        tokens: The targets, as text.
        table: ``loss.loss_table`` of the window.
        favourites: ``loss.favourites`` of the window, with the tokens as text.
        vocab_size: V of the model.
        head: Parameters of its output head, (V, C).
        loss: The mean in one call, nats a token.
        perplexity: e to it.
        blind: ln V, nats.
    """

    given: str
    tokens: list[str]
    table: pd.DataFrame
    favourites: pd.DataFrame
    vocab_size: int
    head: tuple[int, int]
    loss: float
    perplexity: float
    blind: float


def choose_voice(key: str) -> Voice:
    """Choose whose guesses are judged: the student's own run once there is one, until then an untrained model."""
    options = {voice.label: voice for voice in choices.voices()}
    first = UNTRAINED.label if thread.is_recorded(thread.run()) else next(iter(options))
    label = st.selectbox(
        "Whose guesses?",
        list(options),
        index=list(options).index(first),
        key=f"{key}_voice",
        help="The untrained model has the shape of the class preset and GPT-2's vocabulary.",
        persist_state="session",
    )
    return options.get(label or first, UNTRAINED)


def part_of_text(part: str) -> str:
    """The thread's text up to the cut between training and validation, or after it."""
    return split_text(thread.text().text, thread.training().train_fraction)[PARTS.index(part)]


@st.cache_data(max_entries=16, show_spinner=False)
def _ids(voice: Voice, version: float, text: str) -> list[int]:
    del version  # part of the key only
    return resources.speak(voice)[1].encode(text)


def guessable(voice: Voice, text: str) -> tuple[int, int]:
    """How many tokens of a text can be guessed, and how many in one window.

    Raises:
        ValueError: The weights can't be loaded, or the text can't be written in the model's vocabulary, or it has
            fewer than two tokens.
    """
    model, _ = resources.speak(voice)
    ids = _ids(voice, resources.version(voice), text)
    if len(ids) < 2:
        raise ValueError(f"this part of the text needs at least 2 tokens, one to read and one to guess, has {len(ids)}")
    return len(ids) - 1, min(len(ids) - 1, model.config.context_length)


def guess(voice: Voice, text: str, start: int, length: int) -> Passage:
    """What a voice thinks of ``length`` tokens of a text after the token at ``start``."""
    version = resources.version(voice)
    window = tuple(_ids(voice, version, text)[start : start + length + 1])
    return _guess(voice, version, window)


@st.cache_data(max_entries=128, show_spinner=False)
def _guess(voice: Voice, version: float, ids: tuple[int, ...]) -> Passage:
    del version  # part of the key only
    from gptcore import loss

    model, tokenizer = resources.speak(voice)
    logits, targets = loss.window_logits(model, ids)
    mean = float(loss.mean_loss(logits, targets))
    best = loss.favourites(logits, FAVOURITES)
    return Passage(
        given=_text(tokenizer, ids[0]),
        tokens=[_text(tokenizer, i) for i in ids[1:]],
        table=loss.loss_table(logits, targets),
        favourites=best.assign(token=[_text(tokenizer, i) for i in best["token_id"]]),
        vocab_size=tokenizer.vocab_size,
        head=(model.config.vocab_size, model.config.emb_dim),
        loss=mean,
        perplexity=loss.perplexity(mean),
        blind=loss.uniform_loss(tokenizer.vocab_size),
    )


def _text(tokenizer: Tokenizer, token_id: int) -> str:
    return show_token(tokenizer.token_bytes(token_id))


def pieces(passage: Passage) -> list[Piece]:
    """The window as chips: the token that is given in bold, then each target the bluer the dearer it was."""
    graded: list[Piece] = [{"text": passage.given, "kind": "prompt", "title": "given: nothing is guessed here"}]
    rows = zip(passage.tokens, passage.table["probability"].tolist(), passage.table["loss"].tolist(), strict=True)
    for number, (token, probability, loss) in enumerate(rows, start=1):
        share = min(loss / passage.blind, 1.0) if passage.blind else 0.0
        graded.append(
            {
                "text": token,
                "kind": "graded",
                "colour": f"{COLOUR}{round(255 * share):02x}",
                "title": f"guess {number}: probability {probability:.3%}, loss {loss:.2f} nats",
            }
        )
    return graded


def code() -> tuple[Callable[..., Any], ...]:
    """The functions of gptcore that the lesson runs."""
    from gptcore import loss

    return loss.window_logits, loss.loss_table, loss.mean_loss, loss.perplexity, loss.favourites

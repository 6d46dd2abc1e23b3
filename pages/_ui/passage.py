"""A window of the thread's text as one model guesses it, token by token: what the loss lesson shows.

The model runs once per window, and what is kept of it is small: the loss table and each position's favourites, not the
scores of 50,257 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from gptcore.tokenizer import Tokenizer, show_token
from gptcore.windows import split_text
from pages._ui import choices, frame, resources, thread
from pages._ui.chips import Piece
from pages._ui.resources import UNTRAINED, Voice

FAVOURITES = 5
SHORTEST, USUAL, LONGEST = 8, 16, 32  # targets in a window
PARTS = ("training", "validation")
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
        width: C of the model: its output head has V x C parameters.
        loss: The mean, nats a token.
        in_one_call: The same as a training run computes it, in single precision.
        perplexity: e to the mean.
        blind: ln V, nats.
    """

    given: str
    tokens: list[str]
    table: pd.DataFrame
    favourites: pd.DataFrame
    vocab_size: int
    width: int
    loss: float
    in_one_call: float
    perplexity: float
    blind: float


def choose(key: str) -> Passage:
    """Choose whose guesses are judged, and where in the thread's text."""
    columns = st.columns([3, 3, 3, 2])
    with columns[0]:
        voice = _choose_voice(key)
    part = columns[1].segmented_control(
        "Part of your text",
        PARTS,
        default=PARTS[0],
        required=True,
        key=f"{key}_part",
        help="A model learns from the training part; the validation part stays new to it.",
        persist_state="session",
    )
    training = thread.training()
    text = split_text(thread.text().text, training.train_fraction, training.train_share)[PARTS.index(part)]
    voice, guessable, room = _reader(voice, text)
    length = most = min(LONGEST, room)
    if most > SHORTEST:
        with columns[3]:
            length = slider("Tokens to guess", SHORTEST, most, USUAL, key=f"{key}_length")
    start = 0
    if guessable > length:
        with columns[2]:
            start = slider("The window starts at token", 0, guessable - length, 0, key=f"{key}_start_{part}")
    return guess(voice, text, start, length)


def slider(label: str, low: int, high: int, first: int, key: str) -> int:
    """A slider that stays where it was, as far as it can, when its limits move: Streamlit's would go back to first."""
    st.session_state[key] = min(max(st.session_state.get(key, first), low), high)
    return int(st.slider(label, low, high, key=key, persist_state="session"))


def _choose_voice(key: str) -> Voice:
    """The student's own run comes first once there is one; until then an untrained model."""
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
    return options[label or first]


def _reader(voice: Voice, text: str) -> tuple[Voice, int, int]:
    """Who can read a text: this voice, or else, with a sentence about the reason, the untrained model.

    Returns:
        The voice, how many tokens of the text can be guessed, and how many in one window. The page ends here, with
        that sentence, where nobody can guess anything.
    """
    for reader in dict.fromkeys((voice, UNTRAINED)):
        try:
            return reader, *_guessable(reader, text)
        except ValueError as error:
            frame.refuse(error, "" if reader == UNTRAINED else "Shown instead: the untrained model.")
    return st.stop()


@st.cache_data(max_entries=16, show_spinner=False)
def _ids(voice: Voice, version: float, text: str) -> list[int]:
    del version  # part of the key only
    return resources.speak(voice)[1].encode(text)


def _guessable(voice: Voice, text: str) -> tuple[int, int]:
    model, _ = resources.speak(voice)
    tokens = len(_ids(voice, resources.version(voice), text))
    if tokens < 2:
        raise ValueError(
            f"this part of the text needs at least 2 tokens, one to read and one to guess; it has {tokens}"
        )
    return tokens - 1, min(tokens - 1, model.config.context_length)


def guess(voice: Voice, text: str, start: int, length: int) -> Passage:
    """What a voice thinks of ``length`` tokens of a text after the token at ``start``."""
    version = resources.version(voice)
    window = tuple(_ids(voice, version, text)[start : start + length + 1])
    return _guess(voice, version, window)


@st.cache_data(max_entries=128, show_spinner=False)
def _guess(voice: Voice, version: float, ids: tuple[int, ...]) -> Passage:
    del version  # part of the key only
    from gptcore import baselines, loss

    model, tokenizer = resources.speak(voice)
    logits, targets = loss.window_logits(model, ids)
    table = loss.loss_table(logits, targets)
    mean = float(table["loss"].mean())
    best = loss.favourites(logits, FAVOURITES)
    return Passage(
        given=_text(tokenizer, ids[0]),
        tokens=[_text(tokenizer, i) for i in ids[1:]],
        table=table,
        favourites=best.assign(token=[_text(tokenizer, i) for i in best["token_id"]]),
        vocab_size=model.config.vocab_size,
        width=model.config.emb_dim,
        loss=mean,
        in_one_call=float(loss.mean_loss(logits, targets)),
        perplexity=loss.perplexity(mean),
        blind=baselines.uniform_loss(model.config.vocab_size),
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
                "title": f"guess {number}: probability {chance(probability)}, loss {loss:.2f} nats",
            }
        )
    return graded


def chance(probability: float) -> str:
    """A probability as people say it: a share, or one in so many where the share would be all zeros."""
    if probability >= 0.01:
        return f"{probability:.1%}"
    return f"1 in {1 / probability:,.0f}" if probability > 0 else "0"


def notices(passage: Passage) -> list[str]:
    """What to notice in a window, in sentences with its own numbers."""
    V, losses, chances = passage.vocab_size, passage.table["loss"], passage.table["probability"]
    more = f", more than the {V:,} there are" if passage.perplexity > V else f" of its {V:,}"
    side = "above" if passage.loss > passage.blind else "below"
    unsure = f"At a mean loss of {passage.loss:.2f} the model is as unsure as if it chose among "
    unsure += f"{passage.perplexity:,.1f} equally likely tokens{more}."
    extremes = ((word, int(at)) for word, at in (("dearest", losses.argmax()), ("cheapest", losses.argmin())))
    dearest, cheapest = (
        f"{word} guess, number {at + 1}, gave its token {chance(chances.iloc[at])} and cost {losses.iloc[at]:.2f}"
        for word, at in extremes
    )
    blind = f"A blind guess costs ln {V:,} = {passage.blind:.2f}; this mean is {abs(passage.loss - passage.blind):.2f} "
    blind += f"{side} that line. Compare losses only between models with the same vocabulary, on the same text."
    return [unsure, f"The {dearest} nats; the {cheapest}.", blind]

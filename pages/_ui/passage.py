"""A window of the thread's text as one model guesses it, token by token: what the loss lesson shows.

The model runs once per window, and what is kept of it is small: the loss table and each position's favourites, not the
scores of 50,257 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

import pandas as pd

from gptcore.baselines import Tally
from gptcore.figures.bars import loss_bars
from gptcore.tokenizer import Tokenizer, show_token
from gptcore.windows import open_parts
from pages._ui import resources, thread
from pages._ui.chips import Piece
from pages._ui.kept import kept
from pages._ui.resources import Voice

FAVOURITES = 5
LONGEST = 32  # targets in a window
HEIGHT = 330  # of the bars, pixels
COLOUR = "#0072B2"  # the bars' blue; the dearer a token, the less of the page shines through


@dataclass(frozen=True, slots=True, eq=False)  # the one object of each window is a key for what is made of it
class Passage:
    """One window, guessed.

    Attributes:
        voice: Who guessed.
        text: The window as text, its first token included.
        ids: Its tokens in the voice's own vocabulary, T + 1.
        given: The first token, which nobody guesses.
        tokens: The targets, as text.
        table: ``loss.loss_table`` of the window.
        favourites: ``loss.favourites`` of the window, with the tokens as text.
        vocab_size: V of the model.
        width: C of the model: its output head has V x C parameters.
        loss: The mean, nats a token.
        in_one_call: The same as a training run computes it, in single precision.
        perplexity: e to the mean.
        size: Bytes of the targets.
        bits_per_byte: The losses summed, spread over these bytes.
        lines: Levels to measure the guesses by: a blind guess, and what counting the training part achieves here.
    """

    voice: Voice
    text: str
    ids: tuple[int, ...]
    given: str
    tokens: list[str]
    table: pd.DataFrame
    favourites: pd.DataFrame
    vocab_size: int
    width: int
    loss: float
    in_one_call: float
    perplexity: float
    size: int
    bits_per_byte: float
    lines: dict[str, float]

    @property
    def blind(self) -> float:
        """The price of a blind guess: ln V, nats."""
        return next(iter(self.lines.values()))


@kept(16)
def _ids(voice: Voice, version: float, text: str) -> list[int]:
    del version  # part of the key only
    return resources.speak(voice)[1].encode(text)


def guessable_tokens(voice: Voice, text: str) -> tuple[int, int]:
    """How many tokens of a text a voice can guess, and how many in one window.

    Raises:
        ValueError: None, or the text can't be written in the voice's vocabulary.
    """
    model, _ = resources.speak(voice)
    tokens = len(_ids(voice, resources.version(voice), text))
    if tokens < 2:
        raise ValueError(
            f"this part of the text needs at least 2 tokens, one to read and one to guess; it has {tokens}"
        )
    return tokens - 1, min(tokens - 1, model.config.context_length)


def guess(voice: Voice, text: str, start: int, length: int) -> Passage:
    """What a voice thinks of ``length`` tokens of a text after the token at ``start``.

    Raises:
        ValueError: The text can't be written in the voice's vocabulary.
    """
    version = resources.version(voice)
    window = tuple(_ids(voice, version, text)[start : start + length + 1])
    train_text, _ = open_parts(thread.text().text, thread.training())
    return _guess(voice, version, window, train_text)


@kept(128)
def _guess(voice: Voice, version: float, ids: tuple[int, ...], train_text: str) -> Passage:
    from gptcore import baselines, loss

    model, tokenizer = resources.speak(voice)
    logits, targets = loss.window_logits(model, ids)
    table = loss.loss_table(logits, targets)
    mean = float(table["loss"].mean())
    best = loss.favourites(logits, FAVOURITES)
    size = sum(len(tokenizer.token_bytes(i)) for i in ids[1:])
    return Passage(
        voice=voice,
        text=tokenizer.decode(ids),
        ids=ids,
        given=_text(tokenizer, ids[0]),
        tokens=[_text(tokenizer, i) for i in ids[1:]],
        table=table,
        favourites=best.assign(token=[_text(tokenizer, i) for i in best["token_id"]]),
        vocab_size=model.config.vocab_size,
        width=model.config.emb_dim,
        loss=mean,
        in_one_call=float(loss.mean_loss(logits, targets)),
        perplexity=loss.perplexity(mean),
        size=size,
        bits_per_byte=loss.bits_per_byte(float(table["loss"].sum()), size),
        lines=baselines.levels(_tally(voice, version, train_text), ids, model.config.vocab_size),
    )


@kept(16)
def _tally(voice: Voice, version: float, text: str) -> Tally | None:
    """A text counted in a voice's tokens; nothing where its compact vocabulary lacks some of them."""
    try:
        return Tally(ids) if (ids := _ids(voice, version, text)) else None
    except ValueError:
        return None


def _text(tokenizer: Tokenizer, token_id: int) -> str:
    return show_token(tokenizer.token_bytes(token_id))


class Batch(NamedTuple):
    """Some windows laid flat: the token that each guess read last, its target, and ``loss.loss_table`` of them all."""

    read: list[str]
    targets: list[str]
    table: pd.DataFrame
    in_one_call: float


@kept(64)
def batch(seen: Passage, windows: int, length: int) -> Batch | None:
    """The first windows of a passage as a batch; nothing where the passage is shorter."""
    if len(seen.tokens) < windows * length:
        return None
    from gptcore import loss

    model, tokenizer = resources.speak(seen.voice)
    cut = [seen.ids[at : at + length + 1] for at in range(0, windows * length, length)]
    logits, targets = loss.batch_logits(model, cut)  # (B, T, V), (B, T)
    return Batch(
        read=[_text(tokenizer, i) for window in cut for i in window[:-1]],
        targets=[_text(tokenizer, i) for window in cut for i in window[1:]],
        table=loss.loss_table(logits.flatten(0, 1), targets.flatten()),
        in_one_call=float(loss.mean_loss(logits, targets)),
    )


def common_ending(before: Passage, after: Passage) -> int:
    """How many tokens at the end of two windows are the same; none of them where the windows have other judges."""
    if before.voice != after.voice:
        return 0
    pairs = zip(reversed(before.ids[1:]), reversed(after.ids[1:]), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@kept(64)
def bars(seen: Passage) -> Any:
    """The figure of a window's losses."""
    return loss_bars(seen.table, seen.tokens, seen.lines, height=HEIGHT)


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

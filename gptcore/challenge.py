"""A challenge: everybody tunes on validation loss; in the end the part of the text that nobody has read is scored.

How to read it: ``Terms`` are what runs have to share to be ranked together, and ``propose`` makes them; ``standings``
finds those runs, and says of the others why they are none.

What is left out: what a class keeps of it (``seal``), what the sealed part costs a model (``unsealing``), and what the
scores say (``outcome``). The seal holds for this program, not for the text: whoever has it can copy its end out by
hand, and ask a model about that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from gptcore.classroom import Member, in_order
from gptcore.config import TRAIN_PRESETS, TrainConfig, from_json
from gptcore.corpora import Text, TextError
from gptcore.runs.store import ENDED, RunStore
from gptcore.tokenizer import END_OF_TEXT, load_tokenizer
from gptcore.windows import open_parts, seal_text

SEALED_FRACTION = 0.1
BLOCK = 32  # guesses in a row whose mean counts as one measurement: neighbours are not independent
LEAST_GUESSES = 4 * BLOCK  # fewer would leave nothing from which to tell chance
MOST_GUESSES = 20_000  # of a sealed part, from its beginning: a model of the class reads them in a few seconds


class Terms(NamedTuple):
    """What all runs of a challenge have in common, so that their losses are those of one exam.

    Attributes:
        title: Of the text; perhaps somebody's own words.
        sha256: Of the text.
        sealed_fraction: The last part, that stays sealed.
        train_fraction: Where the rest is cut into training and validation.
        compact_vocab: Whether models guess among this text's own tokens, or among all of GPT-2's.
        sealed_tokens: Tokens of the sealed part.
        has_markers: Whether the text holds ``<|endoftext|>``, which runs may read as one token or as plain text.
    """

    title: str
    sha256: str
    sealed_fraction: float
    train_fraction: float
    compact_vocab: bool
    sealed_tokens: int
    has_markers: bool = False


def propose(text: Text, *, compact_vocab: bool = True) -> Terms:
    """Terms of a challenge on a text, cut as the class preset cuts it.

    Raises:
        TextError: Too short for three parts; the message holds the tokens of each.
    """
    settings = replace(TRAIN_PRESETS["class"], sealed_fraction=SEALED_FRACTION)
    parts = (*open_parts(text.text, settings), seal_text(text.text, SEALED_FRACTION)[1])
    training, validation, sealed = (len(load_tokenizer().encode(part)) for part in parts)
    if min(training, validation, sealed) <= LEAST_GUESSES:
        raise TextError(
            f"{text.title!r} is too short for three parts: training, validation and sealed part would have "
            f"{training:,}, {validation:,} and {sealed:,} tokens, and each needs at least {LEAST_GUESSES} + 1 = "
            f"{LEAST_GUESSES + 1}: choose a longer text"
        )
    has_markers = END_OF_TEXT in text.text
    return Terms(text.title, text.sha256, SEALED_FRACTION, settings.train_fraction, compact_vocab, sealed, has_markers)


def mismatch(settings: TrainConfig, terms: Terms) -> str | None:
    """Why a run with these settings is no part of a challenge, as the end of "it ..."; None where it is one.

    >>> terms = Terms("A story", "", 0.1, 0.9, True, 500)
    >>> mismatch(TrainConfig(compact_vocab=True), terms)
    'has read the sealed part: it was begun outside the challenge'
    """
    wanted, other = ("compact", "whole") if terms.compact_vocab else ("whole", "compact")
    share, sealed, cut = settings.train_share, settings.sealed_fraction, settings.train_fraction
    as_one = settings.reference or settings.end_of_text
    reasons = {
        "has read the sealed part: it was begun outside the challenge": sealed < terms.sealed_fraction,
        f"leaves out the last {sealed:.0%} of the text, not {terms.sealed_fraction:.0%}": sealed
        > terms.sealed_fraction,
        f"is judged by another part: it cuts at {cut:g}, not at {terms.train_fraction:g}": cut != terms.train_fraction,
        f"guesses among the {other} vocabulary, not the {wanted} one": settings.compact_vocab != terms.compact_vocab,
        f"learns from {share:.0%} of the training part, so its compact vocabulary is another one": share != 1
        and settings.compact_vocab,
        f"reads {END_OF_TEXT} as one token, where the challenge reads it as plain text": terms.has_markers and as_one,
        f"is deliberately changed ({settings.variant})": settings.variant != "none",
    }
    return next((why for why, holds in reasons.items() if holds), None)


class Tried(NamedTuple):
    """A run that counts.

    Attributes:
        seat: Whose it is.
        label: How that person is called.
        run: Its id.
        validation: Its lowest validation loss, in nats a token.
    """

    seat: int
    label: str
    run: str
    validation: float


class Standings(NamedTuple):
    """How a challenge stands.

    Attributes:
        tried: All runs that count, the first submitted first.
        left_out: By label, those of whom no run on this text counts, and why their newest does not.
        absent: People who have no run on this text.
        live: How many runs that may count still train or wait.
    """

    tried: list[Tried]
    left_out: dict[str, str]
    absent: int
    live: int = 0


def standings(store: RunStore, members: Sequence[Member], terms: Terms, *, ended: bool = False) -> Standings:
    """Read from the runs' folders who has tried what on the text of a challenge.

    Args:
        store: All runs of this server.
        members: Who is in the class.
        terms: Of the challenge.
        ended: Whether a run counts only once it has ended. So it is when the seal is opened: by the time that the
            weights of one that goes on are asked they may be others.
    """
    owners = {name: member for member in members for name in member.names}
    tried: list[Tried] = []
    refused: dict[str, str] = {}
    live = 0
    for run, config, status in in_order(store):
        member = owners.get(config.get("owner") or "")
        if member is None or config["text"].get("sha256") != terms.sha256:
            continue
        loss, goes_on = status.get("best", {}).get("val_loss"), status["state"] not in ENDED
        why = _why_not(config, terms)
        live += goes_on and why is None
        if why is None and goes_on and ended:
            why = "had not ended when the seal was opened"
        elif why is None and loss is None:
            why = "has no validation loss yet"
        if why:
            refused[member.label] = why
        else:
            tried.append(Tried(member.seat, member.label, run.id, float(loss)))
    counted = {each.label for each in tried}
    left_out = {label: why for label, why in refused.items() if label not in counted}
    return Standings(tried, left_out, len(members) - len(counted) - len(left_out), live)


def _why_not(config: dict[str, Any], terms: Terms) -> str | None:
    try:
        return mismatch(from_json(TrainConfig, config["training"]), terms)
    except (ValueError, KeyError, TypeError):
        return "has settings that can't be read"


def best_of_each(tried: Iterable[Tried]) -> list[Tried]:
    """Each person's run with the lowest validation loss, the first of equals; the lowest first."""
    best: dict[int, Tried] = {}
    for each in tried:
        if each.seat not in best or each.validation < best[each.seat].validation:
            best[each.seat] = each
    return sorted(best.values(), key=lambda each: (each.validation, each.seat))


class Score(NamedTuple):
    """What the sealed part cost one run's model.

    Attributes:
        run: Its id.
        weights: Which weights were asked: "best", by validation loss, or the "last" where these were not kept.
        loss: The mean over all guesses, in nats a token; None where there is none.
        blocks: The means of ``BLOCK`` guesses in a row, one after the other, as far as they are whole.
        problem: Why there is no loss, as the end of "its run ...".
    """

    run: str
    weights: str = ""
    loss: float | None = None
    blocks: tuple[float, ...] = ()
    problem: str = ""


def unscored(tried: Sequence[Tried], scores: Collection[str]) -> tuple[list[Tried], list[Tried]]:
    """The runs without a score: those that were chosen by validation, one a person, and the others.

    Args:
        tried: All runs that count.
        scores: The runs that have one.
    """
    chosen = best_of_each(tried)
    left = [each for each in tried if each.run not in scores]
    return [each for each in chosen if each in left], [each for each in left if each not in chosen]

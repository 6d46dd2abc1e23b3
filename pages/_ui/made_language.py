"""The made language in the reader's hands: how sure it is of itself, what it writes, and what that must cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import streamlit as st

from gptcore.language import STRENGTH, TOKENS, Entropies, Language, make_language
from gptcore.loss import perplexity, surprise
from pages._ui import chips, predict
from pages._ui.chips import Piece
from pages._ui.kept import kept
from pages._ui.passage import COLOUR, chance

WRITTEN = 50  # tokens on screen
STRONGEST = 4.0


@kept(32)
def _language(strength: float) -> tuple[Language, Entropies]:
    """The language of this strength and its entropies, in some hundredths of a second."""
    language = make_language(strength=strength)
    return language, language.entropies()


def section() -> None:
    """Controls, the three entropies, a few lines with the true probability of each token, and a question."""
    st.subheader("The language itself", anchor=False)
    left, right = st.columns([1, 2.4], gap="medium")
    with left:
        strength = st.slider(
            "How sure of itself it is",
            0.0,
            STRONGEST,
            STRENGTH,
            0.25,
            key="floor_strength",
            persist_state="session",
            help=f"At 0 all tokens that the grammar allows are equally likely. The text above has {STRENGTH:g}.",
        )
        seed = st.number_input("Seed of the lines", 0, 2**31, 1, key="floor_seed", persist_state="session")
    language, least = _language(strength)
    with left:
        _entropies(least)
    with right:
        st.markdown("A few lines of it, with the true probability of each token, the bluer the dearer")
        chips.noted(pieces(language, int(seed)), "floor_lines", "made text, each token with its true probability")
    _try_it(strength, least)


def _entropies(least: Entropies) -> None:
    choices = perplexity(least.floor)
    st.metric("The floor H", f"{least.floor:.3f} nats a token")
    st.markdown(
        f"As unsure as a choice among exp(H) = **{choices:.2f}** tokens. Who sees one token only pays "
        f"{least.one:.3f} at least, who sees none {least.none:.3f}, and who knows nothing ln {len(TOKENS)} = "
        f"{surprise(1 / len(TOKENS)):.3f}."
    )


def pieces(language: Language, seed: int) -> list[Piece]:
    """The first tokens of a text, each with its true probability; the first two are given."""
    tokens = list(islice(language.write(seed), WRITTEN))
    given: list[Piece] = [{"text": token, "note": "given", "kind": "prompt"} for token in tokens[:2]]
    return given + [
        _piece(token, language.chances(before, last)[token], len(language.chances(before, last)))
        for before, last, token in _threes(tokens)
    ]


def _threes(tokens: Sequence[str]) -> list[tuple[str, str, str]]:
    return list(zip(tokens, tokens[1:], tokens[2:], strict=False))


def _piece(token: str, probability: float, allowed: int) -> Piece:
    cost = surprise(probability)
    return {
        "text": token,
        "note": chance(probability),
        "title": f"one of {allowed} tokens that may stand here; probability {probability:.3%}, costs {cost:.2f} nats",
        "colour": f"{COLOUR}{round(255 * min(cost / surprise(1 / len(TOKENS)), 1.0)):02x}",
    }


def _try_it(strength: float, least: Entropies) -> None:
    if not strength:
        st.caption("Make the language surer of itself, and there is something to guess.")
        return
    other = _language(strength / 2)[1].floor
    risen, same, fallen = (f"{level:.3f}" for level in (other, least.floor, least.floor / 2))
    predict.choice(
        "floor",
        f"Make the language half as sure of itself, {strength / 2:g} instead of {strength:g}. What is the least loss "
        "that any model can come to on new text?",
        sorted({risen, same, fallen}),
        risen,
        f"The less the language settles, the more each token costs even who knows all its odds: H goes from {same} to "
        f"{risen}, and the choice from {perplexity(least.floor):.2f} to {perplexity(other):.2f} tokens.",
    )

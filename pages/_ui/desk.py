"""What lies on the sampling lesson's desk: one model's scores for the token after a text that the student builds.

How to read it: ``lay`` asks for prompt and model and returns a ``Desk``; ``take`` and ``rewind`` change the text by one
token or more. The model runs when the text changes, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from gptcore.config import SamplingConfig
from gptcore.corpora import CATALOGUE, OWN_STORY
from gptcore.tokenizer import Names, show_token
from pages._ui import choices, resources, rules, thread
from pages._ui.resources import Voice

if TYPE_CHECKING:
    from gptcore.sampling import Drawn, Logits

CHARACTERS_AT_ONCE = 2_000  # a prompt may be long; the model reads only its last tokens anyway
MOST_TAKEN = 100
NINE = Voice("the book's nine words", None, "published")
TAKEN, PENDING, NOW = "sampling_taken", "sampling_pending", "sampling_desk"
SHOWN_OF_PROMPT = 60  # characters before the tokens that were taken


@dataclass(frozen=True, slots=True)
class Desk:
    """One choice, before it is made.

    Attributes:
        voice: Whose scores.
        version: Of its weights: those of a run change while it is trained.
        prompt: What the student typed.
        prompt_ids: Its tokens.
        taken: The tokens that were taken since, one by one.
        logits: (V,).
        names: The vocabulary.
    """

    voice: Voice
    version: float
    prompt: str
    prompt_ids: list[int]
    taken: list[Drawn]
    logits: Logits
    names: Names

    @property
    def can_take(self) -> bool:
        """Whether the text can grow: behind published scores stands no model."""
        return self.voice != NINE and len(self.taken) < MOST_TAKEN

    @property
    def ids(self) -> list[int]:
        """The whole text so far."""
        return [*self.prompt_ids, *(drawn.token_id for drawn in self.taken)]

    def text(self, more: Sequence[int] = ()) -> str:
        """The whole text so far and some more tokens, as it is shown; a character may be spread over several."""
        grown = [*(drawn.token_id for drawn in self.taken), *more]
        return self.prompt + b"".join(map(self.names.token_bytes, grown)).decode("utf-8", errors="replace")

    def token(self, token_id: int) -> str:
        """A token as text."""
        return show_token(self.names.token_bytes(token_id))

    def table(self, config: SamplingConfig) -> pd.DataFrame:
        """The frame of ``sampling.next_token_table``."""
        from gptcore.sampling import next_token_table

        return next_token_table(self.logits, self.names, config)


def lay() -> Desk:
    """Choose prompt and model, and lay the scores ready.

    Raises:
        ValueError: The prompt can't be written in the model's vocabulary, or the weights can't be loaded.
    """
    left, right = st.columns([1.7, 1], gap="medium")
    with right:
        voice = choices.voice("sampling", NINE)
    with left:
        prompt = st.text_area(
            "Prompt",
            thread.text().prompt or CATALOGUE[OWN_STORY].prompt,
            height=68,
            max_chars=CHARACTERS_AT_ONCE,
            key=f"sampling_prompt_{thread.text().key}",
            persist_state="session",
            disabled=voice == NINE,
        )
    with right:
        st.toggle(
            "Plain controls",
            key="sampling_plain",
            on_change=rules.hand_over,
            help="Sliders and a chart of the usual kind, with the same numbers.",
            persist_state="session",
        )
    on = st.session_state[NOW] = _published() if voice == NINE else _asked(voice, prompt)
    return on


def now() -> Desk | None:
    """What lies on the desk; nothing where the last prompt or model was refused."""
    on: Desk | None = st.session_state.get(NOW)
    return on


def clear() -> None:
    """Lay nothing on the desk: there are no scores to go on from."""
    st.session_state.pop(NOW, None)


def _published() -> Desk:
    from gptcore import nine_words

    st.session_state.pop(PENDING, None)
    return Desk(NINE, resources.version(NINE), "", [], [], nine_words.logits(), nine_words.NineWords())


def _asked(voice: Voice, prompt: str) -> Desk:
    _, tokenizer = resources.speak(voice)
    prompt_ids = resources.prompt_ids(tokenizer, prompt)
    version = resources.version(voice)
    where = (voice, version, prompt)
    former, taken = st.session_state.get(TAKEN, (where, []))
    taken = taken if former == where else []
    taken = _with_pending(voice, prompt_ids, taken)
    st.session_state[TAKEN] = (where, taken)
    ids = [*prompt_ids, *(drawn.token_id for drawn in taken)]
    return Desk(voice, version, prompt, prompt_ids, taken, resources.scores(voice, ids), tokenizer)


def _with_pending(voice: Voice, prompt_ids: list[int], taken: list[Drawn]) -> list[Drawn]:
    """The path with the token that was just asked for; what its scores say of it is known already."""
    from gptcore import sampling

    token_id = st.session_state.pop(PENDING, None)
    if token_id is None or len(taken) >= MOST_TAKEN:
        return taken
    logits = resources.scores(voice, [*prompt_ids, *(drawn.token_id for drawn in taken)])
    if not (isinstance(token_id, int) and 0 <= token_id < len(logits)):
        return taken
    return [*taken, sampling.taken(logits, sampling.choose(logits, rules.rules().config), token_id)]


def take(token_id: object) -> None:
    """Have a token taken when the page is drawn next; called from a button or by the playground."""
    st.session_state[PENDING] = token_id


def rewind(place: object) -> None:
    """Go back to before the token at a place of the path."""
    where, taken = st.session_state.get(TAKEN, (None, []))
    if isinstance(place, int) and 0 <= place < len(taken):
        st.session_state[TAKEN] = (where, taken[:place])

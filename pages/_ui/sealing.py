"""The seal of a class's challenge, as it holds where runs are started: which part they leave out, said beforehand.

How to read it: ``carried`` gives settings the seal, for whoever is in the class and trains on the challenge's text;
``note`` says so, and ``say`` also whether such a run will be ranked. What is left out: the challenge on the board
(``challenges``).
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from gptcore.challenge import Terms, mismatch
from gptcore.config import TrainConfig
from gptcore.corpora import Text
from gptcore.seal import Challenge
from pages._ui import frame, teaching


def challenge() -> Challenge:
    """The challenge of this server's class."""
    register = teaching.register()
    return Challenge(register.folder, register.key)


def terms_for(text: Text) -> Terms | None:
    """The terms of a challenge on this text, while it is sealed, for whoever is in its class."""
    held = challenge().held() if teaching.in_class() else None
    if held is None or not held.is_sealed or held.terms.sha256 != text.sha256:
        return None
    return held.terms


def carried(text: Text, settings: TrainConfig) -> TrainConfig:
    """The settings with the seal that a run on this text has to carry here."""
    terms = terms_for(text)
    return settings if terms is None else replace(settings, sealed_fraction=terms.sealed_fraction)


def note(text: Text) -> Terms | None:
    """Say, before a run is started, what it leaves out of its text for a challenge; its terms, where there is one."""
    terms = terms_for(text)
    if terms is not None:
        st.caption(
            f":material/lock: The last {terms.sealed_fraction:.0%} of this text ({terms.sealed_tokens:,} tokens) is "
            "sealed for the class's challenge: this run neither trains on it nor is judged by it."
        )
    return terms


def say(text: Text, settings: TrainConfig) -> None:
    """Say what a run leaves out of its text, and whether it counts as it is set."""
    terms = note(text)
    if terms is not None:
        if why := mismatch(settings, terms):
            st.warning(f"As it is set, this run will not be ranked: it {frame.plain(why)}.")
    elif settings.sealed_fraction:
        st.caption(
            f"These settings leave out the last {settings.sealed_fraction:.0%} of the text, as the run did that they "
            "come from."
        )

"""One passage, several judges: untrained, trained and pretrained models side by side, in measures that can be compared.

Perplexity counts choices among a model's own tokens. Bits per byte ask how many bits it would take to write the passage
down, which no tokenizer changes.
"""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from pages._ui import chips, choices, frame, passage, thread
from pages._ui.passage import Passage
from pages._ui.resources import UNTRAINED, Voice

RECORDED = Voice("recorded small run", thread.SMALL_RUN)


def judges() -> list[Voice]:
    """From the one that knows nothing to the one that has read most; the recorded small run stands in for one's own."""
    pocket = [voice for voice in choices.voices() if voice.label == "pocket model"]
    trained = [voice for voice in choices.voices() if voice not in (*pocket, UNTRAINED)] or [RECORDED]
    gpt2 = [Voice(f"GPT-2 ({path.name})", path) for path in choices.ready_weights()[:1]]
    return [UNTRAINED, *trained, *pocket, *gpt2]


def side_by_side(seen: Passage) -> None:
    """The same words before each judge: coloured by loss, and in numbers."""
    st.markdown("**The same passage before other judges:** untrained, trained here, pretrained")
    rooms: dict[Voice, int] = {}
    silent: list[str] = []
    for voice in judges():
        try:
            rooms[voice] = passage.guessable_tokens(voice, seen.text)[1]
        except ValueError as error:
            silent.append(f"{voice.label}: {frame.plain(str(error))}.")
    length = min([len(seen.tokens), *rooms.values()])  # the same guesses for all, however short a judge's context is
    heard = {voice.label: passage.guess(voice, seen.text, 0, length) for voice in rooms}
    if not heard:
        return
    table = pd.DataFrame(
        {
            "judge": heard.keys(),
            "vocabulary": [each.vocab_size for each in heard.values()],
            "loss": [each.loss for each in heard.values()],
            "blind": [each.blind for each in heard.values()],
            "perplexity": [each.perplexity for each in heard.values()],
            "bits per byte": [each.bits_per_byte for each in heard.values()],
        }
    )
    for number, (column, (label, each)) in enumerate(zip(st.columns(len(heard)), heard.items(), strict=True)):
        with column:
            st.caption(f"{label}: {each.loss:.2f} nats, {each.bits_per_byte:.2f} bits a byte")
            chips.graded(passage.pieces(each), f"loss_judge_{number}", f"the passage as judged by the {label}")
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "vocabulary": st.column_config.NumberColumn(format="localized"),
            "loss": st.column_config.NumberColumn("loss (nats)", format="%.3f"),
            "blind": st.column_config.NumberColumn("blind guess, ln V", format="%.3f"),
            "perplexity": st.column_config.NumberColumn(format="%,.1f"),
            "bits per byte": st.column_config.NumberColumn(format="%.3f"),
        },
        key="loss_judges",
    )
    for reason in silent:
        st.caption(reason)
    if length < len(seen.tokens):
        st.caption(f"The first {length:,} of {len(seen.tokens):,} guesses: a judge's context holds no more.")
    st.markdown(_why(heard))


def _why(heard: dict[str, Passage]) -> str:
    """What a loss and bits per byte can be compared between, and what neither tells, in this passage's numbers."""
    V = {label: each.vocab_size for label, each in heard.items()}
    large, small = (choose(V, key=V.__getitem__) for choose in (max, min))
    most = heard[large]
    why = (
        "With another tokenizer a loss per token could not be compared, and bits per byte could: the summed loss / "
        f"(ln 2 × bytes), here {most.loss * len(most.tokens):.1f} / ({math.log(2):.3f} × {most.size:,}) = "
        f"{most.bits_per_byte:.3f} for the judge “{large}”. All judges here cut alike, so both columns rank them alike."
    )
    if V[small] < V[large]:
        why += (
            f" A vocabulary of {V[small]:,} tokens makes even a blind guess cheap, {heard[small].blind:.2f} nats "
            f"instead of {heard[large].blind:.2f}: it knows beforehand which tokens may come. Neither column takes "
            "that help away."
        )
    return why

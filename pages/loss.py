"""Loss: one window of the thread's text, from scores to one number, step by step."""

import math

import pandas as pd
import streamlit as st

from gptcore.figures.bars import loss_bars
from gptcore.figures.theme import marked
from gptcore.parameters import part_groups
from gptcore.config import MODEL_PRESETS
from pages._ui import chips, frame, passage
from pages._ui.passage import Passage

SHORTEST, LONGEST, USUAL = 8, 32, 16
PRICES = (0.9, 0.5, 0.1, 0.01, 0.001)
ANSWERS = ("double", "a little more", "the same")

frame.lesson("loss")


def _window() -> Passage:
    """Whose guesses, and where in the text."""
    columns = st.columns([3, 3, 3, 2])
    with columns[0]:
        voice = passage.choose_voice("loss")
    part = columns[1].segmented_control(
        "Part of your text",
        passage.PARTS,
        default=passage.PARTS[0],
        required=True,
        key="loss_part",
        help="A model learns from the training part; the validation part stays new to it.",
        persist_state="session",
    )
    text = passage.part_of_text(part)
    voice, guessable, room = passage.readable(voice, text)
    most = min(LONGEST, room)
    length = most
    if most > SHORTEST:
        length = columns[3].slider("Tokens to guess", SHORTEST, most, min(USUAL, most), key="loss_length")
    start = 0
    if guessable > length:
        start = columns[2].slider("The window starts at token", 0, guessable - length, 0, key=f"loss_start_{part}")
    return passage.guess(voice, text, start, length)


def _steps(seen: Passage, at: int) -> None:
    """The whole way from scores to perplexity, with the shapes, followed at one guess."""
    row = seen.table.iloc[at]
    T, V = len(seen.tokens), seen.vocab_size
    st.markdown(
        f"""
| step | shape | at guess {at + 1} |
|---|---|---|
| logits | (1, {T}, {V:,}) → ({T}, {V:,}) | {row["target_logit"]:.2f} for the token that came |
| softmax | ({T}, {V:,}), each row sums to 1 | its place: {row["rank"]:,.0f} of {V:,} |
| its probability *p* | ({T},) | {row["probability"]:.4%} |
| −ln *p* | ({T},) | {row["loss"]:.3f} nats |
| mean of {T} | one number | **{seen.table["running_mean"].iloc[-1]:.4f}** nats a token |
| exp | one number | perplexity **{seen.perplexity:,.1f}** |
"""
    )
    st.caption(f"In one call, as a training run does it: {seen.loss:.4f}.")


def _favourites(seen: Passage, at: int) -> None:
    """What the model would rather have seen."""
    mine = seen.favourites[seen.favourites["position"] == at]
    rows = pd.DataFrame(
        {
            "favourite": [marked(token) for token in mine["token"]],
            "probability": mine["probability"].to_numpy(),
            "would cost": [-math.log(p) for p in mine["probability"]],
        }
    )
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "probability": st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0),
            "would cost": st.column_config.NumberColumn("would cost (nats)", format="%.2f"),
        },
        key="loss_favourites",
    )
    others = seen.vocab_size - len(rows)
    st.caption(f"The other {others:,} tokens share {max(0.0, 1 - rows['probability'].sum()):.1%}.")


def _try_it(seen: Passage) -> None:
    halved = float((seen.table["loss"] + math.log(2)).mean())
    offers = dict(zip(ANSWERS, (2 * seen.loss, halved, seen.loss), strict=True))
    answer = st.segmented_control(
        f"**Try it.** The mean loss is {seen.loss:.2f}. Had the model given every token that came only *half* as much "
        "probability, what would it be?",
        ANSWERS,
        format_func=lambda name: f"{name}: {offers[name]:.2f}",
        key="loss_answer",
    )
    if answer is None:
        return
    right = math.isclose(offers[answer], halved, abs_tol=0.005)
    (st.success if right else st.info)(
        f"{'Yes' if right else 'Not quite'}: {halved:.2f}. Half the probability costs ln 2 = {math.log(2):.2f} nats "
        f"more for every token, whatever it cost before. The perplexity doubles, to {math.exp(halved):,.0f}.",
        icon=":material/check_circle:" if right else ":material/lightbulb:",
    )

"""What the columns expect after one prompt: their likeliest tokens side by side, and how far apart they are.

How to read it: ``expect`` asks each model once, ``show`` draws bars and divergences, ``ask`` asks for a share.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import pandas as pd
import streamlit as st

from gptcore.against import Expectation, kl_table, next_tokens_together, share_on_favourites
from gptcore.config import SamplingConfig
from gptcore.figures.against import tops_together
from gptcore.figures.bars import percent
from gptcore.figures.theme import marked
from gptcore.published import GPT2_NEXT_TOKENS, GPT2_NEXT_TOKENS_SOURCE
from gptcore.sampling import choose
from pages._ui import against, charts, frame, predict, resources
from pages._ui.against import PUBLISHED, is_gpt2
from pages._ui.resources import Voice

TOPS = 4  # of each model
ASK_ANOTHER = "pretrained_published_prompt"


class Expected(NamedTuple):
    """What came of it: the scores by column, and why a column has none."""

    by_column: dict[str, Expectation]
    silent: dict[str, str]


def lay(voices: Sequence[Voice], prompt: str) -> None:
    """Bars, divergences, what to notice, and a question."""
    expected = expect(voices, prompt)
    show(voices, prompt, expected)
    if expected.by_column:
        frame.notice(*notices(expected))
        ask(expected)


def expect(voices: Sequence[Voice], prompt: str) -> Expected:
    """Each model's scores after the prompt; it runs once for a prompt, whoever asks."""
    expected, silent = {}, {}
    for voice in voices:
        if voice == PUBLISHED:
            continue
        try:
            _, tokenizer = resources.speak(voice)
            logits = resources.scores(voice, resources.prompt_ids(tokenizer, prompt))
            choose(logits, SamplingConfig())  # says in words what is wrong with scores that hold no number
        except ValueError as error:
            silent[voice.label] = str(error)
        else:
            expected[voice.label] = Expectation(logits, tokenizer)
    return Expected(expected, silent)


def _take_prompt() -> None:
    chosen = st.session_state.get(ASK_ANOTHER)
    if chosen:
        st.session_state[against.prompt_key()] = chosen


def published(voices: Sequence[Voice], prompt: str) -> dict[int, float]:
    """GPT-2's published chances after this prompt, by token, where one of the columns is GPT-2."""
    if not any(voice == PUBLISHED or is_gpt2(voice) for voice in voices):
        return {}
    return {row.token_id: row.probability for row in GPT2_NEXT_TOKENS.get(prompt, [])}


def show(voices: Sequence[Voice], prompt: str, seen: Expected) -> None:
    """Bars over all favourites, then the divergences."""
    known = published(voices, prompt)
    left, right = st.columns([3, 2], gap="medium")
    with right:
        st.selectbox(
            "Prompts with a published answer of GPT-2",
            list(GPT2_NEXT_TOKENS),
            index=None,
            placeholder="Take one of five",
            key=ASK_ANOTHER,
            on_change=_take_prompt,
        )
        for label, why in seen.silent.items():
            st.caption(f"{against.named(label)}: {frame.plain(why)}.")
        if PUBLISHED in voices and not known:
            st.caption("For this prompt nothing of GPT-2 was published: take one of the five above.")
    if seen.by_column or known:
        tokens, given = next_tokens_together(seen.by_column, TOPS, dict(list(known.items())[:TOPS]))
        with left:
            charts.draw(
                st,
                tops_together(tokens, given, known),
                key="pretrained_next",
                alt="Next tokens side by side. The likeliest: "
                + ", ".join(
                    f"{label} {marked(tokens['token'].iloc[int(given[label].argmax())])} {percent(given[label].max())}"
                    for label in seen.by_column
                ),
            )
    with right:
        if len(seen.by_column) > 1:
            _divergences(seen)
        if known:
            _beside_published(voices, seen, known)


def _divergences(seen: Expected) -> None:
    """Every pair that can be compared, in both directions, the furthest apart first."""
    table = kl_table(seen.by_column)
    st.markdown("**KL(what holds ‖ what is expected)**")
    pairs = _pairs(table)
    if pairs:
        far = sorted(pairs, key=pairs.__getitem__, reverse=True)
        st.dataframe(
            pd.DataFrame(
                {
                    "what holds": [p for p, _ in far],
                    "expected": [q for _, q in far],
                    "nats": [pairs[pair] for pair in far],
                }
            ),
            hide_index=True,
            column_config={"nats": st.column_config.NumberColumn(format="%.3f", width="small")},
            key="pretrained_kl",
        )
        st.caption("Nats a token that are lost on average by expecting the second where the first is right.")
    if table.isna().to_numpy().any():
        sizes = {label: one.names.vocab_size for label, one in seen.by_column.items()}
        compact = [against.named(label) for label, size in sizes.items() if size < max(sizes.values())]
        st.caption(
            f"Between {' or '.join(compact)} and a model with other tokens there is none: a compact vocabulary is "
            "another list to choose from, and opinions on two lists can't be compared so."
        )


def _pairs(table: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The divergence of each pair of different models that choose among the same tokens."""
    return {(p, q): table.loc[p, q] for p, q in permutations(table.index, 2) if pd.notna(table.loc[p, q])}


def _beside_published(voices: Sequence[Voice], seen: Expected, known: dict[int, float]) -> None:
    """How far what was measured lies from what was published; other sizes have other opinions."""
    st.caption(
        f"Published ({GPT2_NEXT_TOKENS_SOURCE}): GPT-2 124M's {len(known)} likeliest, which hold "
        f"{sum(known.values()):.1%}; in dots."
    )
    for voice in voices:
        if not is_gpt2(voice) or voice.label not in seen.by_column or against.shape(voice) != against.SHAPE_OF_124M:
            continue
        tokens, given = next_tokens_together({voice.label: seen.by_column[voice.label]}, 1, known)
        measured = dict(zip(tokens["token_id"], given[voice.label], strict=True))
        off = max(abs(measured[i] - chance) for i, chance in known.items())
        st.caption(f"{against.named(voice.label)}, measured here: at most {off:.2%} from them.")


def notices(seen: Expected) -> list[str]:
    """What to notice, in the numbers of this prompt."""
    pairs = _pairs(kl_table(seen.by_column))
    said = ["The bars are the models' own chances, at temperature 1 and without a cut: no rule of drawing is in them."]
    if pairs:
        p, q = max(pairs, key=lambda pair: abs(pairs[pair] - pairs[pair[::-1]]))
        said.append(
            f"A divergence has a direction: KL({against.named(p)} ‖ {against.named(q)}) is {pairs[p, q]:.3f} nats, "
            f"KL({against.named(q)} ‖ {against.named(p)}) {pairs[q, p]:.3f}."
        )
    return said


def ask(seen: Expected) -> None:
    """How much of one model's probability lies where another one would look first?"""
    if len(seen.by_column) < 2:
        return
    first, *_, last = seen.by_column
    share = share_on_favourites(seen.by_column[last], seen.by_column[first], TOPS)
    back = share_on_favourites(seen.by_column[first], seen.by_column[last], TOPS)
    answered = predict.number(
        "pretrained_next",
        f"Of 1,000 next tokens drawn from {against.named(last)}, how many would you expect among the {TOPS} favourites "
        f"of {against.named(first)}?",
        round(1_000 * share),
    )
    if answered:
        st.caption(
            f"{against.named(last)} gives them {share:.3%}, and {against.named(first)} gives {back:.3%} to the {TOPS} "
            f"favourites of {against.named(last)}."
        )

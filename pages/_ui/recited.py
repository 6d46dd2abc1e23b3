"""A text that a model wrote, with what it copied: the text, its numbers, where a passage comes from.

How to read it: three parts of the page in their order. What is left out: making and measuring the text (``recital``).
"""

from __future__ import annotations

import streamlit as st

from gptcore.memorization import CopiedSpan
from gptcore.runs.store import Run
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import open_parts
from pages._ui import chips, frame, recital, resources
from pages._ui.recital import Measures, Spoken

AROUND = 30  # tokens of the training text, shown before and after a passage
MOST_PASSAGES = 10  # to choose from, the longest first


def text(run: Run, spoken: Spoken, measures: Measures) -> None:
    """The text, and the four numbers about it."""
    with st.container(height=200, key="memory_said"):
        given = len(resources.token_ids(spoken.text)) - measures.training.written
        spans = [CopiedSpan(given + s.start, s.length, s.place) for s in measures.training.spans]
        chips.copied(spoken.prompt, spoken.text, spans, key="memory_text")
    unread = run.config["text"]["key"] in recital.UNREAD_BY_STRANGER
    row = st.container(horizontal=True, gap="small", key="memory_numbers")
    row.metric("Longest passage", f"{measures.training.longest} tokens")
    row.metric("Share copied", f"{measures.training.share:.0%}")
    row.metric(
        "In unseen text",
        f"{measures.validation.share:.0%}",
        help="The same text, held to the validation text, which was never trained on.",
    )
    if measures.stranger is not None:
        row.metric(
            "By pocket model",
            f"{measures.stranger.share:.0%}",
            help="The pocket model's text after the same beginning, at the same temperature and seed, held to this "
            "training text"
            + (", which it never saw: chance." if unread else ". It has read 129 old books; was this one of them?"),
        )
    st.caption(f"{spoken.how} Orange stands word for word in the training text; point at it to see where.")


def passages(run: Run, spans: tuple[CopiedSpan, ...]) -> None:
    """One copied passage, where it stands in the training text."""
    if not spans:
        return
    longest = sorted(spans, key=lambda span: -span.length)[:MOST_PASSAGES]
    left, right = st.columns([1, 2.4], gap="medium")
    span = left.selectbox(
        "Where a passage comes from",
        longest,
        format_func=lambda s: f"{s.length} tokens, from token {s.place:,}",
        key="memory_passage",
        help=f"The {len(longest)} longest of {len(spans)} passages.",
    )
    ids = resources.token_ids(open_parts(run.text.text, run.train_config)[0])
    decode, end = load_tokenizer().decode, span.place + span.length
    with right:
        chips.graded(
            [
                {"text": decode(ids[max(0, span.place - AROUND) : span.place])},
                {"text": decode(ids[span.place : end]), "kind": "copied"},
                {"text": decode(ids[end : end + AROUND])},
            ],
            key="memory_source",
            label="the training text around the passage, which is marked",
            marks=False,
        )


def notice(run: Run, spoken: Spoken, measures: Measures, min_tokens: int) -> None:
    """The numbers of the text in sentences."""
    found, chance = measures.training, measures.validation
    counts = resources.text_counts(run.text.text, run.model_config.context_length, run.train_config)
    written = (
        f"{found.copied} of the {found.written} tokens it wrote stand word for word in its training text, in passages "
        f"of {min_tokens} tokens or more."
    )
    unseen = (
        f"Held to the validation text, {chance.copied} do; but that has {counts.validation_tokens:,} tokens to the "
        f"training text's {counts.train_tokens:,}, and in a shorter text chance finds less."
    )
    sentences = [written, unseen]
    if measures.stranger is not None:
        sentences.append(
            f"The pocket model, given the same beginning, shares {measures.stranger.copied} of its "
            f"{measures.stranger.written} tokens with this training text."
        )
    given, T = len(resources.token_ids(spoken.prompt)), run.model_config.context_length
    if given + found.written > T:
        sentences.append(
            f"Its context holds {T} tokens, and the beginning is {given} of them: once the text is longer, each guess "
            f"reads only the last {T}."
        )
    frame.notice(*sentences)

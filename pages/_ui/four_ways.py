"""One text cut in four ways, side by side: what each vocabulary costs, and what it can't write."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from gptcore.tokenizer import replace_surrogates
from gptcore.vocabularies import Way, ways
from pages._ui import frame, own_bpe
from pages._ui.kept import kept

SENTENCE = "The owl sent a selfie from Tollen."
MOST_CHARACTERS = 300
COLUMNS = {
    "way": st.column_config.TextColumn("Cut into"),
    "vocabulary": st.column_config.NumberColumn("Vocabulary", format="localized", help="Pieces that have a number."),
    "tokens": st.column_config.NumberColumn("Tokens", format="localized"),
    "characters": st.column_config.NumberColumn("Characters each", format="%.2f"),
    "unknown": st.column_config.NumberColumn("Unknown", format="localized", help="Pieces of the part kept back."),
    "share": st.column_config.NumberColumn("Share", format="percent", help="Of all pieces of the part kept back."),
    "of_sentence": st.column_config.NumberColumn("Sentence"),
    "missing": st.column_config.TextColumn("Unknown in it"),
}


@kept(16)
def _ways(train: str, size: int) -> list[Way]:
    return ways(train, own_bpe.merges(train), size)


@kept(64)
def _of_text(part: own_bpe.Part, size: int) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for way in _ways(part.train, size):
        tokens, unseen = len(way.cut(part.train)), len(way.cut(part.validation))
        unknown = len(way.unknown(part.validation))
        rows.append(
            {
                "way": way.name,
                "vocabulary": way.size,
                "tokens": tokens,
                "characters": len(part.train) / max(tokens, 1),
                "unknown": unknown,
                "share": unknown / max(unseen, 1),
            }
        )
    return pd.DataFrame(rows).set_index("way")


def table(part: own_bpe.Part, size: int, sentence: str) -> pd.DataFrame:
    """What each way makes of a text and of a sentence, a row a way.

    Args:
        part: The text: its first part makes the vocabularies, its second is looked through for unknown pieces.
        size: Of the text's own vocabulary.
        sentence: Any text; it may change with every key, so only it is counted anew.
    """
    return _of_text(part, size).assign(
        of_sentence=[len(way.cut(sentence)) for way in _ways(part.train, size)],
        missing=[" ".join(dict.fromkeys(way.unknown(sentence))) for way in _ways(part.train, size)],
    )


def compare(part: own_bpe.Part, size: int) -> None:
    """Draw the section."""
    sentence = st.text_input(
        "A sentence to cut, too",
        SENTENCE,
        max_chars=MOST_CHARACTERS,
        key="bpe_sentence",
        persist_state="session",
        live=True,
    )
    compared = table(part, size, replace_surrogates(sentence))
    st.dataframe(compared, column_config=COLUMNS, key="bpe_ways")
    st.caption(
        f"Vocabularies and tokens are those of the training part, {len(part.train):,} characters; unknown pieces are "
        f"looked for in the {len(part.validation):,} kept back. Words by the book's rule: cut at white space, and "
        "around each of the signs , . : ; ? _ ! \" ( ) ' and --."
    )
    characters, words, own, gpt2 = (compared.loc[way] for way in compared.index)
    frame.notice(
        f"Characters need the smallest vocabulary, {characters['vocabulary']:,}, and make the text "
        f"{characters['tokens'] / own['tokens']:.1f} times as long as its own BPE does. Words make it short and lose "
        f"its white space, and {words['unknown']:,} words of the unseen part ({words['share']:.1%}) have no number: a "
        "model would meet one and the same sign for all of them.",
        "BPE leaves nothing unknown, because it can always fall back on bytes. GPT-2's vocabulary, made for all of the "
        f"web, has {gpt2['vocabulary']:,} tokens and needs {gpt2['tokens']:,} here; this text's own needs "
        f"{own['tokens']:,} with {own['vocabulary']:,}.",
    )

"""One passage before all columns: what each token cost each model, and the means by which they can be compared.

How to read it: ``show`` draws the tokens coloured by their loss, the mean as it settles along the passage, and all in
numbers; ``ask`` asks which model was least surprised at one token. What is left out: the reading (``against_passage``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from gptcore.against import WINDOW, Judged, upset
from gptcore.figures.against import losses_along
from gptcore.figures.theme import marked
from gptcore.published import THE_VERDICT_LOSSES
from gptcore.tokenizer import load_tokenizer, show_token
from pages._ui import against, against_passage, charts, chips, frame, passage, predict
from pages._ui.against import PUBLISHED, is_gpt2
from pages._ui.against_passage import Chosen, Verdicts
from pages._ui.resources import Voice

SHOWN = 100  # guesses that are drawn as chips, from the first on
CONTEXT = 12  # tokens before the one that is asked for
GPT2_SMALL, GPT2_XL, *_ = THE_VERDICT_LOSSES


def lay(voices: Sequence[Voice]) -> None:
    """The passage, what it cost each column, what to notice, and a question."""
    chosen = against_passage.choose()
    seen = against_passage.judge_all(voices, chosen)
    show(voices, chosen, seen)
    if seen.judged:
        frame.notice(*notices(seen))
        ask(seen)


def show(voices: Sequence[Voice], chosen: Chosen, seen: Verdicts) -> None:
    """Each column's loss with its tokens coloured by it, then all of them along the passage, then in numbers."""
    for place, (column, voice) in enumerate(zip(st.columns(len(voices), gap="small"), voices, strict=True)):
        with column:
            st.markdown(f"**{frame.plain(voice.label)}**")
            if voice == PUBLISHED:
                _published(chosen)
            elif voice.label in seen.judged:
                one = seen.judged[voice.label]
                st.caption(
                    f"{one.loss:.2f} nats · perplexity {one.perplexity:,.0f} · {one.bits_per_byte:.2f} bits/byte"
                )
                label = f"the passage as judged by {voice.label}; the bluer, the dearer"
                chips.graded(_pieces(seen.ids, one), f"pretrained_chips_{place}", label)
            else:
                st.caption(f"({frame.plain(seen.silent[voice.label])})")
    if not seen.judged:
        return
    st.caption(_what_was_read(seen))
    published = _published_lines(voices, chosen)
    charts.draw(
        st,
        losses_along({label: one.so_far for label, one in seen.judged.items()}, published),
        key="pretrained_losses",
        alt="Mean loss so far along the passage; at its end "
        + ", ".join(f"{label} {one.loss:.2f}" for label, one in seen.judged.items())
        + " nats a token.",
    )
    _table(voices, chosen, seen)


def _published(chosen: Chosen) -> None:
    st.caption(
        f"Published ({GPT2_SMALL.source}), on The Verdict: {GPT2_SMALL.validation:.4f} nats on its validation part, "
        f"perplexity {math.exp(GPT2_SMALL.validation):.1f}; {GPT2_SMALL.train:.4f} on its training part."
    )
    if not chosen.is_the_books:
        st.caption("This is another passage: don't compare. Of single tokens nothing was published.")


def _published_lines(voices: Sequence[Voice], chosen: Chosen) -> dict[str, float]:
    """Published losses of this very passage; they stand beside those measured here."""
    if not chosen.is_the_books or not any(voice == PUBLISHED or is_gpt2(voice) for voice in voices):
        return {}
    return {f"published: {row.model}": row.validation for row in THE_VERDICT_LOSSES}


def _pieces(ids: Sequence[int], one: Judged) -> list[chips.Piece]:
    """The first tokens as chips: the one that is given in bold, each other the bluer the more it cost."""
    tokens = [show_token(load_tokenizer().token_bytes(i)) for i in ids[: SHOWN + 1]]
    pieces: list[chips.Piece] = [{"text": tokens[0], "kind": "prompt", "title": "given: nothing is guessed here"}]
    dearest = math.log(one.vocab_size)  # the price of a blind guess
    for token, loss in zip(tokens[1:], one.losses.tolist(), strict=False):
        share = round(255 * min(loss / dearest, 1.0))
        title = f"probability {passage.chance(math.exp(-loss))}, loss {loss:.2f} nats"
        pieces.append({"text": token, "kind": "graded", "colour": f"{passage.COLOUR}{share:02x}", "title": title})
    return pieces


def _what_was_read(seen: Verdicts) -> str:
    guesses = len(seen.ids) - 1
    short = {label: one.window for label, one in seen.judged.items() if one.window < min(guesses, WINDOW)}
    read = f"Read: the first {guesses:,} guesses of {seen.tokens - 1:,}, the same for all."
    if guesses > SHOWN:
        read += f" The first {SHOWN} are drawn; point at one for its price."
    if short:
        read += " At once, " + ", ".join(f"{against.named(label)} reads {T} tokens" for label, T in short.items()) + "."
    return read


def _published_beside(voices: Sequence[Voice], chosen: Chosen) -> dict[str, float]:
    """What others measured of this passage with weights of a column's size, by column."""
    sizes = {against.SHAPE_OF_124M: GPT2_SMALL, against.SHAPE_OF_XL: GPT2_XL}
    heard = [voice for voice in voices if chosen.is_the_books and is_gpt2(voice)]
    return {voice.label: row.validation for voice in heard if (row := sizes.get(against.shape(voice)))}


def _table(voices: Sequence[Voice], chosen: Chosen, seen: Verdicts) -> None:
    known = _published_beside(voices, chosen)
    st.dataframe(
        pd.DataFrame(
            {
                "model": list(seen.judged),
                "vocabulary": [one.vocab_size for one in seen.judged.values()],
                "loss": [one.loss for one in seen.judged.values()],
                "published": [known.get(label) for label in seen.judged],
                "blind": [math.log(one.vocab_size) for one in seen.judged.values()],
                "perplexity": [one.perplexity for one in seen.judged.values()],
                "bits per byte": [one.bits_per_byte for one in seen.judged.values()],
            }
        ),
        hide_index=True,
        column_config={
            "vocabulary": st.column_config.NumberColumn(format="localized"),
            "loss": st.column_config.NumberColumn("loss (nats)", format="%.4f"),
            "published": st.column_config.NumberColumn("published", format="%.4f"),
            "blind": st.column_config.NumberColumn("blind guess, ln V", format="%.3f"),
            "perplexity": st.column_config.NumberColumn(format="%,.1f"),
            "bits per byte": st.column_config.NumberColumn(format="%.3f"),
        },
        column_order=None if known else ["model", "vocabulary", "loss", "blind", "perplexity", "bits per byte"],
        key="pretrained_judges",
    )


def notices(seen: Verdicts) -> list[str]:
    """What to notice, in the numbers of this passage."""
    ranked = sorted(seen.judged.items(), key=lambda item: item[1].bits_per_byte)
    (best, low), (worst, high) = ranked[0], ranked[-1]
    said = []
    said.append(
        f"{against.named(best)} could write this passage down in {low.bits_per_byte:.2f} bits a byte, "
        f"{against.named(worst)} in {high.bits_per_byte:.2f}. They are as unsure as among {low.perplexity:,.0f} and "
        f"{high.perplexity:,.0f} equally likely tokens."
    )
    sizes = {label: one.vocab_size for label, one in seen.judged.items()}
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[small] < sizes[large]:
        said.append(
            f"{against.named(small)} knows only {sizes[small]:,} tokens, those of its own text: a blind guess costs it "
            f"{math.log(sizes[small]):.2f} nats, and {math.log(sizes[large]):.2f} a model that knows {sizes[large]:,}. "
            "All of them cut this passage into the same tokens, so losses and bits per byte rank them alike; neither "
            "takes that head start away."
        )
    return said


def ask(seen: Verdicts) -> None:
    """Which model gave the token that came the higher probability, where the best on the whole was beaten?"""
    if len(seen.judged) < 2:
        return
    at = upset([one.losses for one in seen.judged.values()])
    decode = load_tokenizer().decode
    before, came = decode(seen.ids[max(0, at + 1 - CONTEXT) : at + 1]), decode(seen.ids[at + 1 : at + 2])
    prices = {label: float(one.losses[at]) for label, one in seen.judged.items()}
    won = min(prices, key=prices.__getitem__)
    predict.choice(
        "pretrained_passage",
        f"After “{frame.plain(marked(before))}” the text goes on with “{frame.plain(marked(came))}”. Which model gave "
        "that token the highest probability?",
        list(prices),
        won,
        _why(prices, seen.judged, won),
    )


def _why(prices: Mapping[str, float], judged: Mapping[str, Judged], won: str) -> str:
    each = ", ".join(f"{against.named(label)} {passage.chance(math.exp(-price))}" for label, price in prices.items())
    best = min(judged, key=lambda label: judged[label].loss)
    if won == best:
        return f"{each}. It has the lowest mean, too: {judged[best].loss:.2f} nats."
    factor = math.exp(prices[best] - prices[won])
    return (
        f"{each}. So {against.named(won)} gave {factor:,.1f} times as much as {against.named(best)}, whose mean is the "
        f"lowest of all ({judged[best].loss:.2f} nats): a mean says nothing about one token."
    )

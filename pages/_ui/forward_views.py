"""The three closer looks at a pass: what each depth would say, how long the stream's vectors are, what dropout does."""

from __future__ import annotations

import zlib
from itertools import pairwise

import pandas as pd
import streamlit as st

from gptcore import dropout, forward
from gptcore.figures import forward as figures
from gptcore.figures.bars import percent
from gptcore.figures.forward import depth_name
from gptcore.one_step import alone
from pages._ui import charts, forward_pass, predict, resources
from pages._ui.forward_pass import Pass
from pages._ui.forward_steps import name
from pages._ui.resources import Voice

VIEWS = ("Logit lens", "Residual stream", "Dropout")
MOST_OFFERS = 5
WINDOW = 17  # tokens that are judged, the first of them only read
ROUNDS, SECONDS, SEED = 10, 1.5, 123  # of one core: thirty students share the server


def draw(seen: Pass, at: int) -> None:
    """Choose a view and draw it; the others are not worked out."""
    view = st.segmented_control(
        "Look closer", VIEWS, default=VIEWS[0], required=True, key="forward_view", persist_state="session"
    )
    {"Logit lens": _lens, "Residual stream": _stream, "Dropout": _dropout}[view](seen, at)


def offers(layers: int) -> list[tuple[int, int]]:
    """Depths to choose among, as first and last: the embeddings, then the blocks in at most four groups.

    >>> offers(12)
    [(0, 0), (1, 3), (4, 6), (7, 9), (10, 12)]
    """
    groups = min(layers, MOST_OFFERS - 1)
    ends = [layers * group // groups for group in range(groups + 1)]
    return [(0, 0), *((first + 1, last) for first, last in pairwise(ends))]


def _offer(first: int, last: int) -> str:
    return depth_name(first) if first == last else f"blocks {first} to {last}"


def _lens(seen: Pass, at: int) -> None:
    """Guess first, then see: from where on is the first choice the one that wins?"""
    table = forward_pass.lens(seen, at)
    final, settled = table["token"].iloc[-1], forward.settled(table)
    key = f"forward_{zlib.crc32(repr((seen.voice, seen.version, seen.ids, at)).encode())}"  # a guess is for one prompt
    guessed = predict.choice(
        key,
        f"After token {at + 1}, {name(seen.tokens[at])}, the model's first choice is {name(final)}. Suppose its final "
        "norm and head read the stream earlier: from where on would that be their first choice, and stay it?",
        [_offer(first, last) for first, last in offers(seen.config.n_layers)],
        next(_offer(first, last) for first, last in offers(seen.config.n_layers) if first <= settled <= last),
        _said(table),
    )
    if not st.toggle("Show it without a guess", key="forward_show", persist_state="session") and not guessed:
        st.caption("What each depth would say appears once you have guessed.")
        return
    charts.draw(
        st,
        figures.lens_bars(table, table["token"].tolist(), final),
        key="forward_lens",
        alt="What each depth would say next: "
        + ", ".join(
            f"{depth_name(layer)} {token!r} {share:.1%}"
            for layer, token, share in zip(table["layer"], table["token"], table["probability"], strict=True)
        ),
    )
    again = seen.config.tie_weights and table["token_id"].iloc[0] == seen.ids[at]
    tied = " It is the dictionary itself, so in the embeddings it finds the token that went in." if again else ""
    st.caption(
        "The head was trained to read what the last block leaves, and nothing else: what it makes of an earlier stream "
        f"is a way of looking (the logit lens), not what the model “thinks” there.{tied}"
    )


def _said(table: pd.DataFrame) -> str:
    first, last = table.iloc[0], table.iloc[-1]
    return (
        f"Read from the embeddings alone, {name(last['token'])} has {percent(first['final_probability'])}, rank "
        f"{first['final_rank']:,.0f}; in the end {percent(last['final_probability'])}."
    )


def _stream(seen: Pass, at: int) -> None:
    """The lengths of the stream's vectors at every depth and token."""
    lengths = forward_pass.lengths(seen)
    charts.draw(
        st,
        figures.stream_lengths(lengths, seen.tokens),
        key="forward_stream",
        alt=f"Length of the stream's vector; at token {at + 1} from {lengths[0, at]:.2f} to {lengths[-1, at]:.2f}.",
    )
    depth, token = divmod(int(lengths.argmax()), lengths.shape[1])
    st.markdown(
        f"Length is the root of the sum of the {seen.config.emb_dim:,} squares; the colour is on a scale of powers. "
        f"The longest vector, {lengths.max():,.2f}, stands at token {token + 1}, {name(seen.tokens[token])}, after "
        f"{'the ' * (depth == 0)}{depth_name(depth)}. No block reads these lengths: a norm brings each token to one "
        "scale first."
    )


@st.cache_data(max_entries=64, show_spinner="The same tokens are judged again and again.")
def _judged(voice: Voice, version: float, ids: tuple[int, ...], rate: float) -> pd.DataFrame:
    del version  # part of the key only
    model, _ = resources.speak(voice)
    with alone():
        return dropout.dropout_losses(model, ids, rate, SEED, times=ROUNDS, seconds=SECONDS)


def _dropout(seen: Pass, _at: int) -> None:
    """The same window judged ten times in each mode."""
    ids = seen.ids[-WINDOW:]
    if len(ids) < 2:
        st.info("With one token there is nothing to guess, so there is no loss to scatter: give a longer prompt.")
        return
    rate = st.slider(
        "Dropout",
        0.0,
        0.5,
        0.1,
        0.05,
        key="forward_rate",
        help=f"The share of values that train() sets to 0. This model's own rate is {seen.config.drop_rate:g}.",
        persist_state="session",
    )
    table = _judged(seen.voice, seen.version, ids, rate)
    low, high, calm = table["train"].min(), table["train"].max(), table["eval"]
    charts.draw(
        st,
        figures.dropout_dots(table),
        key="forward_dropout",
        alt=f"Loss of one window {len(table)} times: in train() from {low:.3f} to {high:.3f}, in eval() {calm[0]:.3f}.",
    )
    same = "all the same" if calm.min() == calm.max() else f"up to {calm.max():.6f}"
    st.markdown(
        f"One window of {len(ids) - 1} guesses, judged {len(table)} times by the same weights. In `train()` each time "
        f"other numbers are set to 0, {rate:.0%} of them: of the embeddings, of the attention weights, and of what "
        f"attention and feed-forward add. The losses lie between {low:.3f} and {high:.3f} nats a token. In `eval()` "
        f"nothing is dropped: {calm[0]:.3f}, {same}. That is why losses are compared in `eval()`."
    )
    if rate:
        st.caption(
            f"What is kept is multiplied by 1 / (1 − {rate:g}) = {1 / (1 - rate):.3f}, not by 1 / {rate:g} = "
            f"{1 / rate:.3g}: so a sum keeps its size on average, and `eval()` needs no correction."
        )

"""A text built token by token, beside what greedy choice and the seed would have written.

What is left out: the playground's own bars and chips, which take and give back tokens by a click (``playground``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from gptcore.config import SamplingConfig
from gptcore.figures.bars import percent
from gptcore.figures.theme import marked
from gptcore.tokenizer import show_token
from pages._ui import chips, desk, resources
from pages._ui.chips import Piece
from pages._ui.desk import Desk
from pages._ui.resources import Voice
from pages._ui.rules import Rules, in_words
from pages._ui.sampling_views import LIKELIEST, drawn_ids

if TYPE_CHECKING:
    from gptcore.sampling import Drawn

AHEAD = 12  # tokens by which the other paths are written at once
GREEN = "#009E73"
SMALLEST = math.log(1e-300)


def step(on: Desk, rules: Rules, table: pd.DataFrame) -> None:
    """Build the text token by token, and see beside it what greedy choice and the seed would have written."""
    if not on.can_take and not on.taken:
        st.info("Behind published scores stands no model: there is no second token. Choose a model above.")
        return
    _take_one(on, rules, table)
    if not on.taken:
        st.caption(
            "Take a token: click any bar of the playground, or choose here. Each one gets the colour of its chance."
        )
        return
    paths = {
        "Your path": on.taken,
        "Greedy": _path(on, SamplingConfig(temperature=0.0)),
        "Sampled": _path(on, rules.config),
    }
    for column, (place, (name, path)) in zip(st.columns(len(paths)), enumerate(paths.items()), strict=True):
        with column:
            st.markdown(f"**{name}**")
            chips.graded(_pieces(on, path), f"sampling_path_{place}", f"{name}: each token the greener the likelier")
            st.caption(_total(path))
    st.caption(
        f"Sampled by {in_words(rules.config)}. Totals are what the model itself gives, at temperature 1 and without "
        "a cut, so that the three can be compared. Greedy takes the best next token each time; the best whole text may "
        "begin with another one."
    )


def _take_one(on: Desk, rules: Rules, table: pd.DataFrame) -> None:
    """Native controls for what the playground's bars and chips do."""
    likeliest = table.nlargest(LIKELIEST, "logit")
    names = {int(i): f"{marked(on.token(int(i)))}  {percent(p)}" for i, p in _pairs(likeliest)}
    drawn = int(drawn_ids(on, Rules(rules.config, 1))[0])
    left, middle, right, last = st.columns([2, 1, 2, 1], vertical_alignment="bottom")
    chosen = left.selectbox("Next token", list(names), format_func=names.__getitem__, key="sampling_next")
    middle.button(
        "Take it", key="sampling_take", on_click=desk.take, args=(chosen,), disabled=not on.can_take, width="stretch"
    )
    right.button(
        "Take the drawn token",
        key="sampling_take_drawn",
        help="The one that the seed draws here: what “Go on” would write.",
        on_click=desk.take,
        args=(drawn,),
        disabled=not on.can_take,
        width="stretch",
    )
    last.button(
        "Back",
        key="sampling_back",
        on_click=desk.rewind,
        args=(len(on.taken) - 1,),
        disabled=not on.taken,
        width="stretch",
    )


def _pairs(table: pd.DataFrame) -> Iterable[tuple[int, float]]:
    return zip(table["token_id"].tolist(), table["probability"].tolist(), strict=True)


def _path(on: Desk, config: SamplingConfig) -> list[Drawn]:
    """As many tokens as were taken, drawn by these rules from the same prompt."""
    ahead = math.ceil(len(on.taken) / AHEAD) * AHEAD
    return _written(on.voice, resources.version(on.voice), tuple(on.prompt_ids), config, ahead)[: len(on.taken)]


@st.cache_data(max_entries=64, show_spinner=False)
def _written(voice: Voice, version: float, ids: tuple[int, ...], config: SamplingConfig, length: int) -> list[Drawn]:
    del version  # part of the key only
    from gptcore.sampling import generate

    return list(generate(resources.speak(voice)[0], list(ids), config, length))


def _pieces(on: Desk, path: Sequence[Drawn]) -> list[Piece]:
    return [
        {
            "text": show_token(on.names.token_bytes(drawn.token_id)),
            "kind": "graded",
            "colour": f"{GREEN}{round(255 * math.exp(drawn.log_probability)):02x}",
            "title": f"the model gives it {percent(math.exp(drawn.log_probability))}",
        }
        for drawn in path
    ]


def _total(path: Sequence[Drawn]) -> str:
    """The log-probability of a whole path, and what that means."""
    total = sum(drawn.log_probability for drawn in path)
    chance = f"one in {math.exp(min(-total, -SMALLEST)):{',.0f' if total > -13 else '.1e'}}"
    if total < SMALLEST:
        chance = "less than one in 1e300"
    return f"−{-total:.2f} nats in all: a chance of {chance}."

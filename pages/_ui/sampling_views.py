"""What the sampling lesson does with the scores on the desk: write on, draw many times, and go step by step.

Each view is drawn only while it is looked at. ``compare`` has a module of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from gptcore.config import SamplingConfig
from gptcore.figures.bars import percent
from gptcore.figures.draws import draw_bars
from gptcore.figures.theme import marked
from gptcore.published import NINE_WORDS
from gptcore.tokenizer import show_token
from pages._ui import chips, desk, frame, resources
from pages._ui.chips import Piece
from pages._ui.desk import Desk
from pages._ui.resources import Voice
from pages._ui.rules import Rules, in_words

if TYPE_CHECKING:
    from gptcore.draws import Spread
    from gptcore.sampling import Drawn

LIKELIEST = 12
AHEAD = 12  # tokens by which the other paths are written at once
GREEN = "#009E73"
SMALLEST = math.log(1e-300)


def spread(on: Desk, rules: Rules) -> Spread:
    """How wide the choice is."""
    from gptcore import draws

    return draws.spread(on.logits, rules.config)


def write(on: Desk, rules: Rules) -> None:
    """Go on with the text, token by token, until it is long enough or somebody stops it."""
    from gptcore.sampling import generate

    if on.voice == desk.NINE:
        st.info("Behind published scores stands no model that could go on. Choose a model above.")
        return
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    most = left.number_input("Tokens to add", 1, 400, 50, key="sampling_most", persist_state="session")
    go = middle.button("Go on", type="primary", icon=":material/play_arrow:", key="sampling_go", width="stretch")
    right.button("Stop", icon=":material/stop:", key="sampling_stop", width="stretch")  # any click ends the run
    spot = st.empty()
    if go:
        model, tokenizer = resources.speak(on.voice)
        new: list[int] = []
        for drawn in generate(model, on.ids, rules.config, int(most)):
            new.append(drawn.token_id)
            text = on.text + tokenizer.decode(new)
            spot.code(text, language=None, wrap_lines=True)
            how = f"Drawn by {on.voice.label}: {in_words(rules.config)}; {len(new)} tokens."
            st.session_state["sampling_drawn"] = (text, how)
    if "sampling_drawn" in st.session_state:
        text, how = st.session_state["sampling_drawn"]
        spot.code(text, language=None, wrap_lines=True)
        st.caption(how)


def draw(on: Desk, rules: Rules, table: pd.DataFrame) -> None:
    """Many draws of the same token: counts over theory, with the sampling error."""
    from gptcore import draws

    drawn = draws.draw_many(table["probability"].to_numpy(), rules.draws, rules.config.seed, len(on.taken))
    counts = draws.draw_counts(table, drawn)
    if rules.draws == 1:
        token = frame.plain(marked(on.token(int(drawn[0]))))
        chance = percent(float(table["probability"].iloc[int(drawn[0])]))
        st.markdown(
            f"Seed {rules.config.seed} draws **{token}**, whose chance is {chance}. Draw more to see a pattern."
        )
        return
    published = _published(on, rules)
    st.plotly_chart(
        draw_bars(counts, published),
        key="sampling_draws_chart",
        alt=f"{rules.draws:,} draws by token, beside what is expected.",
    )
    near = counts[(counts["drawn"] - counts["expected"]).abs() <= 2 * counts["error"]]
    said = f"Seed {rules.config.seed}: of {len(counts):,} tokens {len(near):,} lie within 2 standard deviations"
    if published:
        said += f". Grey: {rules.draws:,} draws as published ({NINE_WORDS.source})"
    st.caption(f"{said}. The same seed draws the same tokens again, here and in Python.")
    if on.voice == desk.NINE and rules.config.temperature == 5:
        pizza = float(table["probability"].iloc[NINE_WORDS.words.index("pizza")])
        st.caption(f"The published 32 of 1,000 for pizza is a draw, not its chance: that is {pizza:.1%}.")


def _published(on: Desk, rules: Rules) -> dict[str, int] | None:
    """What the book printed for these very rules."""
    config = rules.config
    if on.voice != desk.NINE or config.top_k or config.top_p or rules.draws != NINE_WORDS.draws:
        return None
    return NINE_WORDS.counts.get(config.temperature)


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
        f"Sampled, {in_words(rules.config)}": _path(on, rules.config),
    }
    for column, (place, (name, path)) in zip(st.columns(len(paths)), enumerate(paths.items()), strict=True):
        with column:
            st.markdown(f"**{name}**")
            chips.graded(_pieces(on, path), f"sampling_path_{place}", f"{name}: each token the greener the likelier")
            st.caption(_total(path))
    st.caption(
        "Totals are what the model itself gives, at temperature 1 and without a cut, so that the three can be "
        "compared. Greedy takes the best next token each time; the best whole text may begin with another one."
    )


def _take_one(on: Desk, rules: Rules, table: pd.DataFrame) -> None:
    """Native controls for what the playground's bars and chips do."""
    from gptcore import draws

    likeliest = table.nlargest(LIKELIEST, "logit")
    names = {int(i): f"{marked(on.token(int(i)))}  {percent(p)}" for i, p in _pairs(likeliest)}
    drawn = int(draws.draw_many(table["probability"].to_numpy(), 1, rules.config.seed, len(on.taken))[0])
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
    chance = f"one in {math.exp(-total):,.0f}" if total > -13 else f"one in {math.exp(-total):.1e}"
    return f"{total:.2f} nats in all: a chance of {chance if total > SMALLEST else 'less than one in 1e300'}."

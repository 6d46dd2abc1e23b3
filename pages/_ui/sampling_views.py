"""What the sampling lesson does with the scores on the desk: show every stage, write on, draw many times.

Each view is drawn only while it is looked at; ``sampling_steps`` and ``sampling_compare`` hold the other two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from gptcore.figures.bars import percent
from gptcore.figures.draws import draw_bars
from gptcore.figures.theme import marked
from gptcore.published import NINE_WORDS
from pages._ui import charts, desk, frame, resources
from pages._ui.desk import Desk
from pages._ui.rules import Rules, in_words

if TYPE_CHECKING:
    from gptcore.draws import Spread

LIKELIEST = 12


def spread(on: Desk, rules: Rules) -> Spread:
    """How wide the choice is."""
    from gptcore import draws

    return draws.spread(on.logits, rules.config)


def stages(on: Desk, rules: Rules) -> None:
    """The playground's table among the plain controls: what every stage makes of the likeliest tokens."""
    from gptcore import draws

    rows = draws.stage_table(on.logits, on.names, rules.config, drawn_ids(on, rules)).head(LIKELIEST)
    rows["token"] = rows["token"].map(marked)
    with st.expander("Every stage of every bar, and what was drawn", icon=":material/table:"):
        st.dataframe(rows, hide_index=True, key="sampling_stages")


def drawn_ids(on: Desk, rules: Rules) -> NDArray[np.int64]:
    """The draws of this seed at this place of the text."""
    from gptcore import draws, sampling

    probability = sampling.choose(on.logits, rules.config).probability.numpy()
    return draws.draw_many(probability, rules.draws, rules.config.seed, len(on.taken))


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
        model, _ = resources.speak(on.voice)
        new: list[int] = []
        for drawn in resources.in_turn(generate(model, on.ids, rules.config, int(most))):
            new.append(drawn.token_id)
            text = on.text(new)
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

    drawn = drawn_ids(on, rules)
    counts = draws.draw_counts(table, drawn)
    if rules.draws == 1:
        token = frame.plain(marked(on.token(int(drawn[0]))))
        chance = percent(float(table["probability"].iloc[int(drawn[0])]))
        st.markdown(
            f"Seed {rules.config.seed} draws **{token}**, whose chance is {chance}. Draw more to see a pattern."
        )
        return
    published = _published(on, rules)
    charts.draw(
        st,
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

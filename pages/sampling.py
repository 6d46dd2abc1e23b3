"""Sampling: the next token's chances under temperature, top-k and top-p, and texts drawn from them.

What answers a slider is a fragment of its own: drawn again alone, it sends a few kilobytes. What writes a text is not
in it: only a click outside a fragment can stop what is running.
"""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptcore import sampling
from gptcore.figures.bars import next_token_bars
from pages._ui import charts, desk, frame, locks, playground, quiz, resources, rules, sampling_questions, sampling_views
from pages._ui.desk import Desk
from pages._ui.rules import Rules
from pages._ui.sampling_compare import compare
from pages._ui.sampling_steps import step

WRITE, DRAW, STEP, COMPARE = VIEWS = ("Write", "Draw", "Step by step", "Compare")
VIEW, MOVED = "sampling_view", "sampling_view_moved"


def explain(spot: DeltaGenerator, on: Desk, chosen: Rules, table: pd.DataFrame) -> None:
    """What to notice, in the numbers that are on screen."""
    wide = sampling_views.spread(on, chosen)
    turned = f" Top-p and temperature in the other order: {wide.other_order:,} tokens." if chosen.config.top_p else ""
    with spot.container():
        frame.notice(
            f"{wide.kept:,} of {len(table):,} tokens may be drawn; before the cuts they hold {wide.mass:.1%} of the "
            f"probability. The choice is as wide as among {wide.effective:,.1f} equally likely tokens: its entropy is "
            f"{wide.entropy:.3f} nats.{turned}",
            "Temperature divides the scores before the softmax: it stretches or shrinks the differences between "
            "tokens, never their order. It has no opinion about truth.",
            "The bars and the draw follow from the same numbers, and all probabilities sum to "
            f"{table['probability'].sum():.6f}.",
        )


def ask(view: str, on: Desk, chosen: Rules, table: pd.DataFrame) -> None:
    """Show the views that follow every move, and ask each view's question."""
    if view == DRAW:
        sampling_views.draw(on, chosen, table)
        sampling_questions.hold(on, chosen, table)
    elif view == STEP:
        step(on, chosen, table)
        sampling_questions.lead(on, chosen)
    elif view == COMPARE:
        sampling_questions.one(on, chosen)
    else:
        sampling_questions.halve(on, chosen, table)


def _say_what_is_read(on: Desk) -> None:
    """What has to be known of a prompt: a lone space at its end, nothing in it, more than the model can read."""
    if on.prompt.endswith(" ") and not on.taken:
        st.warning("This prompt ends with a space. A space belongs to the token after it, so what follows is spoilt.")
    if on.voice == desk.NINE:
        return
    if not on.prompt:
        st.caption("The prompt is empty, so the text starts from `<|endoftext|>`, as after the end of another text.")
    context = resources.speak(on.voice)[0].config.context_length
    if (cut := len(on.ids) - context) > 0:
        st.caption(f"The model reads the last {context:,} of {len(on.ids):,} tokens; {cut:,} before them are cut off.")


@locks.fragment
def play(noticed: DeltaGenerator) -> None:
    """The desk, the playground on it, and what follows its every move."""
    try:
        on = desk.lay()
        beside = rules.plain_controls() if st.session_state["sampling_plain"] else None
        chosen = rules.rules()
        table = on.table(chosen.config)
    except ValueError as error:
        desk.clear()
        noticed.empty()
        frame.refuse(error)
        return
    _say_what_is_read(on)
    if beside is None:
        playground.draw(on)
    else:
        charts.draw(
            beside,
            next_token_bars(table),
            key="sampling_bars",
            alt=f"Probabilities of the next token; the likeliest has {table['probability'].max():.1%}.",
        )
        sampling_views.stages(on, chosen)
    view = st.segmented_control(
        "View",
        VIEWS,
        default=WRITE,
        required=True,
        key=VIEW,
        label_visibility="collapsed",
        on_change=lambda: st.session_state.update({MOVED: True}),
        persist_state="session",
    )
    if st.session_state.pop(MOVED, False):
        st.rerun()
    ask(view or WRITE, on, chosen, table)
    explain(noticed, on, chosen, table)


frame.lesson("sampling")
moving, writing, noticed = st.container(), st.container(), st.empty()
with moving:
    play(noticed)
with writing:
    if (on := desk.now()) and st.session_state[VIEW] == WRITE:
        sampling_views.write(on, rules.rules())
    elif on and st.session_state[VIEW] == COMPARE:
        compare(on, rules.rules().config.seed)
quiz.section("sampling")
frame.code_behind(sampling.choose, sampling.cut_top_k, sampling.cut_top_p, sampling.fall, sampling.generate)
frame.next_lesson("sampling")

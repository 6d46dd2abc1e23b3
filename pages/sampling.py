"""Sampling: the next token's chances under temperature, top-k and top-p, and texts drawn from them."""

from functools import partial

import streamlit as st

from gptcore import sampling
from gptcore.figures.bars import next_token_bars
from pages._ui import desk, frame, playground, rules, sampling_questions, sampling_views
from pages._ui.sampling_compare import compare
from pages._ui.sampling_steps import step

VIEWS = ("Write", "Draw", "Step by step", "Compare")


@st.fragment
def play() -> None:
    """The desk, the playground on it, and one way to use it; drawn again without the rest of the page."""
    try:
        on = desk.lay()
        beside = rules.plain_controls() if st.session_state["sampling_plain"] else None
        chosen = rules.rules()
        table = on.table(chosen.config)
    except ValueError as error:
        frame.refuse(error)
        return
    if on.prompt.endswith(" ") and not on.taken:
        st.warning("This prompt ends with a space. A space belongs to the token after it, so what follows is spoilt.")
    if beside is None:
        playground.draw(on)
    else:
        beside.plotly_chart(
            next_token_bars(table),
            key="sampling_bars",
            alt=f"Probabilities of the next token; the likeliest has {table['probability'].max():.1%}.",
        )
        sampling_views.stages(on, chosen)
    view = st.segmented_control(
        "View",
        VIEWS,
        default=VIEWS[0],
        required=True,
        key="sampling_view",
        label_visibility="collapsed",
        persist_state="session",
    )
    if view == "Draw":
        sampling_views.draw(on, chosen, table)
        ask = partial(sampling_questions.hold, table)
    elif view == "Step by step":
        step(on, chosen, table)
        ask = partial(sampling_questions.lead, on, chosen)
    elif view == "Compare":
        compare(on, chosen.config.seed)
        ask = partial(sampling_questions.one, on, chosen)
    else:
        sampling_views.write(on, chosen)
        ask = partial(sampling_questions.halve, on, chosen, table)
    wide = sampling_views.spread(on, chosen)
    frame.notice(
        f"{wide.kept:,} of {len(table):,} tokens may be drawn; before the cuts they hold {wide.mass:.1%} of the "
        f"probability. The choice is as wide as among {wide.effective:,.1f} equally likely tokens: its entropy is "
        f"{wide.entropy:.3f} nats."
        + (f" Top-p and temperature in the other order: {wide.other_order:,} tokens." if chosen.config.top_p else ""),
        "Temperature divides the scores before the softmax: it stretches or shrinks the differences between tokens, "
        "never their order. It has no opinion about truth.",
        "The bars and the draw follow from the same numbers, and all probabilities sum to "
        f"{table['probability'].sum():.6f}.",
    )
    ask()


frame.lesson("sampling")
play()
frame.code_behind(sampling.choose, sampling.cut_top_k, sampling.cut_top_p, sampling.fall, sampling.generate)
frame.next_lesson("sampling")

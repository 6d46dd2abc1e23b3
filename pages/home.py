"""Home: a recorded run as a time machine, and a small live model to type at."""

import streamlit as st

from gptcore.corpora import OWN_STORY
from gptcore.figures import theme
from gptcore.figures.bars import next_token_bars
from gptcore.memorization import CopyIndex
from gptcore.overfitting import phase
from gptcore.paths import POCKET_MODEL
from gptcore.runs.store import Run
from gptcore.timeline import look_back
from pages._ui import charts, expected, frame, locks, resources, startup, teach, thread, time_machine, tour

frame.lesson("home")
BARS = 5  # of each passage: the box below should not lie too deep
POCKET = resources.Voice("pocket model", POCKET_MODEL)


@locks.fragment
def next_token() -> None:
    """One box, and what the small model expects next."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        prompt = st.text_input(
            "Type a beginning",
            thread.text().prompt,
            max_chars=2_000,
            key="home_prompt",
            live=True,
            help="A small model bundled with this program guesses what comes next, while you type.",
            persist_state="session",
        )
        try:
            guess = expected.after(POCKET, prompt or "", theme.POCKET, height=330)
        except ValueError as error:
            frame.refuse(error)
            return
        st.markdown(
            f"Live: its first guess gets {guess.first:.1%}; over all {guess.tokens:,} tokens it is as "
            f"unsure as among **{guess.choices:,.0f}** equally likely ones."
        )
    charts.draw(
        right,
        guess.figure,
        key="home_bars",
        alt=f"The ten likeliest next tokens; the first has {guess.first:.1%}.",
    )


recorded = time_machine.of_run(Run(thread.RECORDED_RUN))
if recorded.moments:
    st.caption(
        f"Recorded run: {recorded.parameters:,} parameters learn {recorded.title}. Drag from first guesses to passages "
        "learnt by heart; it opens at the best validation loss."
    )
    time_machine.draw(recorded, "recorded", key="home_time_machine", bars=BARS)
else:
    st.info("The recorded run holds no evaluation yet.")
waits = not startup.torch_is_here()
live = not waits and POCKET_MODEL.is_file()
live_part = st.container()
if live:
    with live_part:
        next_token()
label = "Train on this text" if thread.text().key == OWN_STORY else "Train on your text"
with st.container(horizontal=True, gap="small", vertical_alignment="center"):
    with st.container(border=True, width="content"):
        st.page_link(frame.page_file("training"), label=f"**{label}**", icon=":material/play_arrow:")
    tour.link(0, "Ten-minute tour", "tour")
    st.page_link(frame.page_file(frame.PLAN), label="Lesson plans", icon=":material/school:")
    teach.part()
frame.code_behind(look_back, phase, CopyIndex, *([next_token_bars] if live else []))
if waits:  # not in a fragment that looks again and again: a look that is late would empty the page that one has gone to
    with live_part:
        startup.wait_for_torch()
    st.rerun()

"""Home: a recorded run as a time machine, and a small live model to type at."""

import streamlit as st

from gptcore import overfitting
from gptcore.config import SamplingConfig
from gptcore.figures import theme
from gptcore.figures.bars import next_token_bars
from gptcore.figures.curves import learning_curves
from gptcore.memorization import CopyIndex
from gptcore.overfitting import Evaluation
from gptcore.parameters import count_parameters
from gptcore.paths import POCKET_MODEL
from gptcore.runs.store import Run
from pages._ui import chips, frame, replay, resources, startup, thread

frame.lesson("home")
POCKET = resources.Voice("pocket model", POCKET_MODEL)


@st.fragment
def time_machine(run: Run) -> None:
    """Both curves, a slider over the evaluations, and what the model said there."""
    rows = replay.curve(run)
    evaluations = replay.points(rows)
    if not evaluations:
        st.info("The recorded run holds no evaluation yet.")
        return
    best = overfitting.best(evaluations)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        chart = st.container()
        step = st.select_slider(
            "Drag through the training, from gibberish to passages learnt by heart",
            [point.step for point in evaluations],
            best.step,
            format_func=replay.when,
            key="home_step",
            help="From the untrained model to the end of the run; it opens at the best validation loss.",
            persist_state="session",
        )
    here = next((point for point in evaluations if point.step == step), best)
    lines = resources.reference_lines(run.text.text, run.train_config)
    chart.plotly_chart(
        replay.learning_curves(rows, lines, best_step=best.step, cursor_step=here.step, height=340),
        key="home_curves",
        alt=f"Learning curves of the recorded run; {_where(here)}",
    )
    with right:
        _text(run, here, best)


def _where(here: Evaluation) -> str:
    place = f"at step {here.step}, in epoch {here.epoch}," if here.step >= 0 else "before training"
    return f"{place} its loss is {here.train:.2f} on the text it learns from and {here.validation:.2f} on unseen text."


def _text(run: Run, here: Evaluation, best: Evaluation) -> None:
    """What the recorded model said at a step, copied passages orange."""
    saying = replay.said(run, here.step)
    if saying is None:
        st.info("The recorded run holds no sample yet.")
        return
    star = ", its best" if here.step == best.step else ""
    st.markdown(f"**Recorded {replay.when(saying.step)}{star}.** Asked to go on with the bold beginning, it writes:")
    with st.container(height=190, key="home_said"):
        chips.copied(saying.prompt, saying.text, saying.spans, key="home_text")
    if saying.is_blank:
        st.markdown("It writes nothing but blank lines.")
    elif saying.copied:
        st.markdown(
            f":orange-background[{saying.copied} of the {saying.written} tokens] of its text are copied from the story."
        )
    else:
        st.markdown(
            f"None of the {saying.written} tokens of its text are copied from the story; passages of "
            f"{replay.MIN_COPIED} tokens or more count."
        )
    st.caption(_where(here).capitalize())


@st.fragment
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
            table = resources.next_tokens(POCKET, prompt or "", SamplingConfig())
        except ValueError as error:
            frame.refuse(error)
            return
        choices = resources.effective_choices(table)
        st.markdown(
            f"Live: its first guess gets {table['probability'].max():.1%}; over all {len(table):,} tokens it is as "
            f"unsure as among **{choices:,.0f}** equally likely ones."
        )
    right.plotly_chart(
        next_token_bars(table, colour=theme.POCKET, height=330),
        key="home_bars",
        alt=f"The ten likeliest next tokens; the first has {table['probability'].max():.1%}.",
    )


@st.fragment(run_every=1.0)
def wait_for_torch() -> None:
    """Hold the place of what needs PyTorch, and draw the page again once it is there."""
    if startup.torch_is_here():
        st.rerun()
    st.caption("PyTorch is being loaded; what is computed live follows in two seconds.")


recorded = Run(thread.RECORDED_RUN)
story = recorded.text
shape = recorded.model_config
st.caption(f"Recorded run: {count_parameters(shape):,} parameters learn {story.title}, from first guesses to reciting.")
time_machine(recorded)
live = startup.torch_is_here() and POCKET_MODEL.is_file()
if live:
    next_token()
elif not startup.torch_is_here():
    wait_for_torch()
label = "Train on this text" if thread.text().key == story.key else "Train on your text"
with st.container(border=True, width="content"):
    st.page_link(frame.page_file("training"), label=f"**{label}**", icon=":material/play_arrow:")
frame.code_behind(learning_curves, CopyIndex, *([next_token_bars] if live else []))

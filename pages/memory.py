"""Memory: which passages it copies, what it can recite, and what temperature does and does not change."""

from dataclasses import dataclass

import streamlit as st

from gptcore import extraction, recitation, temperatures
from gptcore.memorization import MIN_COPIED, CopyIndex
from gptcore.runs.store import Run
from pages._ui import frame, memory_views, quiz, recital, recited

LENGTHS = (5, 10, 16, 25, 50)  # tokens to be recited
SEED = 123

frame.lesson("memory")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the controls say."""

    run: Run
    state: str
    min_tokens: int
    temperature: float
    seed: int
    length: int


def _controls() -> Chosen:
    run = recital.choose_run()
    state = recital.choose_state(run)
    shortest = st.slider(
        "A passage counts from so many tokens on",
        2,
        20,
        MIN_COPIED,
        key="memory_min_tokens",
        persist_state="session",
        help="Two or three tokens in a row are a common phrase, not memory.",
    )
    drawn_now = run.weights(state) is not None
    temperature = st.select_slider(
        "Temperature",
        temperatures.TEMPERATURES,
        0.0,
        format_func=lambda t: f"{t:g}",
        key="memory_temperature_of_text",
        disabled=not drawn_now,
        persist_state="session",
        help="At 0 it always takes its likeliest token. What it said while it learnt was said at 0.",
    )
    with st.expander("More"):
        seed = st.number_input("Seed", 0, 2**31, SEED, key="memory_seed", disabled=not drawn_now)
        usual = 50 if run.model_config.context_length >= 100 else 16
        length = st.select_slider(
            "Tokens to be recited in the extraction test", LENGTHS, usual, key=f"memory_length_{usual}"
        )
    return Chosen(run, state, shortest, temperature, int(seed), length)


left, right = st.columns([1, 2.6], gap="medium")
with left:
    chosen = _controls()
run = chosen.run
spoken, measures, refusal = None, None, ""
with right:
    st.text(f"{recital.name(run)} on {run.text.title}")
    try:
        spoken = recital.speak(run, chosen.state, chosen.temperature, chosen.seed)
        if spoken is None:
            st.info(f"This run is {run.status['state']} and has neither weights nor a text of its own to look at yet.")
        else:
            measures = recital.measure(run, spoken, chosen.min_tokens)
            recited.text(run, spoken, measures)
    except ValueError as error:  # the weights can't be read, or the beginning can't be written in its vocabulary
        refusal = str(error)
        frame.refuse(error)
if measures is not None:
    recited.passages(run, measures.training.spans)
view = st.segmented_control(
    "Look closer",
    memory_views.VIEWS,
    default=memory_views.VIEWS[0],
    required=True,
    key="memory_view",
    persist_state="session",
)
try:
    memory_views.draw(view, run, chosen.state, chosen.min_tokens, chosen.length, chosen.seed)
except ValueError as error:
    if str(error) != refusal:  # said already
        frame.refuse(error)
if spoken is not None and measures is not None:
    recited.notice(run, spoken, measures, chosen.min_tokens)
quiz.section("memory")
frame.code_behind(
    CopyIndex, recitation.copying, extraction.right_before_slip, extraction.extraction, temperatures.write
)
frame.next_lesson("memory")

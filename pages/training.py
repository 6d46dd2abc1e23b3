"""Training: a run is launched in a process of its own and watched while it learns."""

import dataclasses
import time

import streamlit as st
from filelock import Timeout

from gptcore import training
from gptcore.config import GPTConfig, TrainConfig
from gptcore.descent import loss_along_gradient
from gptcore.estimate import machine_speed, run_seconds
from gptcore.gradients import pull
from gptcore.line_by_line import update_lines
from gptcore.parameters import count_parameters
from gptcore.runs import queue, requests
from gptcore.runs.store import Run
from pages._ui import (
    choices,
    classmates,
    frame,
    live,
    made_fast,
    one_step,
    owner,
    predict,
    quiz,
    replay,
    resources,
    sealing,
    settings,
    take_home,
    teaching,
    thread,
)

BY_HEART_READINGS = 8  # the class preset knows its text by heart after twelve, and begins to recite at eight
FIRST_POINT_SECONDS = 0.8  # a run that can start at once has its first point by then

frame.lesson("training")


def _submit(model: GPTConfig, config: TrainConfig) -> None:
    """Queue the run. One that starts at once is shown with its first point, without waiting for the next look."""
    teaching.check(thread.text(), model, config)
    run = requests.submit(thread.store(), thread.text(), model, config, owner.name())
    classmates.sit_down()
    thread.follow(run)
    patience = time.monotonic() + FIRST_POINT_SECONDS
    while time.monotonic() < patience and not run.metrics()[0] and queue.place(thread.store(), run) is None:
        time.sleep(0.02)
    st.rerun()


def _before(chosen: settings.Settings) -> str:
    """What the run will be, need and take, before it is started."""
    model, config = chosen
    counts = resources.text_counts(thread.text().text, model.context_length, config)
    sized = dataclasses.replace(model, vocab_size=counts.vocab_size)  # a compact vocabulary has the text's size
    need = queue.needs(sized, config)
    updates = settings.updates(chosen)
    seconds = run_seconds(sized, config, updates, machine_speed())
    readings = updates * config.batch_size * model.context_length / max(counts.train_tokens, 1)
    return (
        f"{count_parameters(sized):,} parameters, {counts.train.windows:,} + {counts.validation.windows:,} windows of "
        f"{model.context_length} tokens. Needs about {need.memory / 2**20:,.0f} MiB of memory, at most "
        f"{need.disk / 2**20:,.0f} MiB of disk, and here about {settings.in_time(seconds)}. It guesses each training "
        f"token about {readings:,.1f} times"
        + ("." if readings >= BY_HEART_READINGS else ": too few to know it by heart. Take a smaller share of the text.")
    )


def _watched() -> Run:
    """The run on screen; where an address leads nowhere the recorded run takes its place, and it is said."""
    if thread.lost():
        st.warning("The run that this page followed is not here (any more). The recorded run takes its place.")
    return thread.run()


left, right = st.columns([1, 2.4], gap="medium")
with left:
    choices.text("training")
    source = settings.choose()
    wanted: settings.Settings | None = None
    try:
        said = settings.controls(source)
        wanted = said._replace(training=sealing.carried(thread.text(), said.training))
        st.caption(_before(wanted))
        sealing.say(thread.text(), wanted.training)
        if st.button("Train", type="primary", icon=":material/play_arrow:", key="training_start", width="stretch"):
            _submit(*wanted)
    except (ValueError, MemoryError, OSError, Timeout) as error:
        frame.refuse(error)
with right:
    choices.own_run()
    watched = _watched()
    live.view(watched)
    take_home.offer(watched)

run = thread.run()
status = run.status
frame.notice(
    replay.best_so_far(run),
    "Batches are noisy: each is another piece of text"
    + (", seen with dropout on. Evaluations look with dropout off." if run.model_config.drop_rate else "."),
    f"Step n is the state after update n + 1: each update sees {run.train_config.batch_size} windows of "
    f"{run.model_config.context_length} tokens.",
)
if "untrained" in status:
    first = status["untrained"]["train_loss"]
    lines = resources.reference_lines(run.text.text, run.train_config)
    nearest = min(lines, key=lambda name: abs(lines[name] - first))
    predict.choice(
        f"training_{run.id}",
        "Before any update, which line is this run's loss nearest to?",
        [name.rstrip(":") for name in lines],
        nearest.rstrip(":"),
        f"The untrained loss is {first:.2f}, and that line lies at {lines[nearest]:.2f}.",
    )
if wanted is not None:
    one_step.section(thread.text(), *wanted)
made_fast.card()
quiz.section("training")
frame.code_behind(training.train, training.update, training.evaluate, update_lines, pull, loss_along_gradient)
frame.next_lesson("training")

"""Over-fitting: the gap between the curves, the best moment to stop, and passages learnt by heart."""

import pandas as pd
import streamlit as st

from gptcore import overfitting
from gptcore.overfitting import Evaluation, judge, parting
from gptcore.runs.store import Run
from gptcore.timeline import look_back
from pages._ui import chance, frame, predict, quiz, replay, resources, thread, time_machine

frame.lesson("overfitting")


def _nothing_yet(run: Run) -> None:
    """Say why there is no gap to look at."""
    if resources.metrics(run)["train_loss"].notna().any():
        counts = resources.text_counts(run.text.text, run.model_config.context_length, run.train_config)
        st.info(
            f"This run has no validation window: its validation part holds {counts.validation_tokens:,} tokens, and "
            f"one window takes {run.model_config.context_length + 1:,}. Without text that it has never seen, nobody "
            "can tell learning from reciting. Train on a longer text, or with a shorter context."
        )
    else:
        st.info(f"This run is {run.status['state']} and has not been evaluated yet: there is no gap to look at.")
    st.page_link(frame.page_file("training"), label="To the training page", icon=":material/show_chart:")


def _moments(evaluations: list[Evaluation]) -> list[tuple[str, Evaluation]]:
    """The best evaluation and the latest, or the one that is both."""
    best, latest = overfitting.best(evaluations), evaluations[-1]
    if best.step == latest.step:
        return [("best and latest", best)]
    return [("best", best), ("latest", latest)]


def _numbers(evaluations: list[Evaluation]) -> None:
    """The gap at two moments, and the verdict."""
    moments = _moments(evaluations)
    columns = st.columns([2] * len(moments) + [5], gap="medium")
    for column, (name, point) in zip(columns, moments, strict=False):
        column.metric(f"Gap, {name} step {point.step:,}", f"{point.gap:.2f} nats")
    with columns[-1]:
        if len(evaluations) < 2:
            st.markdown("One evaluation so far: whether the curves part shows from the second one on.")
            return
        st.markdown(f"**Has it over-fitted?** {replay.verdict(evaluations)}")
        st.caption(replay.RULE)


def _try_it(run: Run, evaluations: list[Evaluation]) -> bool:
    """Predict first, then check against the run's own numbers; says whether this run's question was answered."""
    best, last = overfitting.best(evaluations), evaluations[-1]
    question = f"At which step, of those evaluated from {evaluations[0].step} to {last.step}, is validation best?"
    answered = predict.number(f"overfitting_{run.id}", question, best.step)
    if answered:
        st.markdown(
            f"At step {best.step} the validation loss is {best.validation:.3f} nats a token; at step {last.step} it is "
            f"{last.validation - best.validation:.3f} more."
        )
    return answered


def _look(run: Run, rows: pd.DataFrame, evaluations: list[Evaluation]) -> bool:
    """The page of a run that was evaluated; what gives the best step away can be hidden until it was guessed.

    Returns:
        Whether it is hidden.
    """
    page = st.container()  # drawn after the question, whose answer it may have to wait for
    answered = len(evaluations) < 2 or _try_it(run, evaluations)
    with page:
        guess_first = st.toggle("Guess first", key="overfitting_hide", help="Hides what gives the best step away.")
        hidden = guess_first and not answered
        time_machine.draw(time_machine.of_run(run), run.id, key="overfitting_time_machine", hide_best=hidden)
        if hidden:
            st.caption("The best step and the verdict appear once you have guessed, under Try it.")
            return True
        _numbers(evaluations)
        updates = int(rows["step"].iloc[-1]) + 1
        frame.notice(replay.parting(evaluations), replay.stopped(evaluations, updates), replay.judges(run))
    return False


run = thread.run()
origin = "The recorded run" if thread.is_recorded(run) else "Your run"
st.text(f"{origin} on {run.text.title}")
rows = resources.metrics(run)
evaluations = replay.points(rows)
hidden = bool(evaluations) and _look(run, rows, evaluations)
if not evaluations:
    _nothing_yet(run)
if not hidden:
    chance.section(run)
quiz.section("overfitting")
frame.code_behind(judge, parting, look_back, *chance.CODE)
frame.next_lesson("overfitting")

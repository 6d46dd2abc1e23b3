"""Over-fitting: the gap between the curves, the best moment to stop, and passages learnt by heart."""

import pandas as pd
import streamlit as st

from gptcore import overfitting
from gptcore.figures.curves import gap_figure
from gptcore.memorization import CopyIndex
from gptcore.overfitting import Evaluation
from gptcore.runs.store import Run
from pages._ui import chips, frame, predict, replay, resources, thread
from pages._ui.replay import Saying

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
    st.markdown("**The gap between the curves**, in nats a token")
    moments = _moments(evaluations)
    for column, (name, point) in zip(st.columns(len(moments)), moments, strict=True):
        column.metric(f"{name.capitalize()}: step {point.step}", f"{point.gap:.2f}")
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


def _saying(saying: Saying, name: str, key: str) -> None:
    st.markdown(f"**Its {name}**: what it wrote after the bold beginning at {replay.when(saying.step)}")
    with st.container(border=True):
        chips.copied(saying.prompt, saying.text, saying.spans, key=key)
    blank = " It is nothing but blank lines." if saying.is_blank else ""
    share = saying.copied / saying.written if saying.written else 0.0
    st.markdown(f"Copied: **{share:.0%}**, {saying.copied} of the {saying.written} tokens it wrote.{blank}")


def _texts(run: Run, evaluations: list[Evaluation]) -> None:
    """What the run said at its best and at its latest evaluation, copied passages marked."""
    shortest = st.slider(
        "A passage counts as copied from so many tokens on",
        2,
        20,
        replay.MIN_COPIED,
        key="overfitting_min_tokens",
        persist_state="session",
        help="Orange: it stands token for token in the training text. Two or three tokens are a common phrase.",
    )
    moments = _moments(evaluations)
    for column, (name, point) in zip(st.columns(len(moments), gap="medium"), moments, strict=True):
        saying = replay.said(run, point.step, shortest)
        with column:
            if saying is None:
                st.caption("This run has not said anything yet.")
            else:
                _saying(saying, name, key=f"overfitting_text_{name.split()[0]}")


def _alt(evaluations: list[Evaluation]) -> str:
    latest = evaluations[-1]
    return (
        f"Training and validation loss with the gap between them filled; at step {latest.step} they are "
        f"{latest.train:.2f} and {latest.validation:.2f} nats a token."
    )


def _look(run: Run, rows: pd.DataFrame, evaluations: list[Evaluation]) -> None:
    """The page of a run that was evaluated; what gives the best step away can be hidden until it was guessed."""
    page = st.container()  # drawn after the question, whose answer it may have to wait for
    answered = len(evaluations) < 2 or _try_it(run, evaluations)
    left, right = page.columns([3, 2], gap="medium")
    with right:
        guess_first = st.toggle("Guess first", key="overfitting_hide", help="Hides what gives the best step away.")
        hidden = guess_first and not answered
        if hidden:
            st.caption("The best step, the verdict and the texts appear once you have guessed, under Try it.")
        else:
            _numbers(evaluations)
    figure = replay.gap_figure(rows, None if hidden else overfitting.best(evaluations).step, height=360)
    left.plotly_chart(figure, key="overfitting_gap", alt=_alt(evaluations))
    if not hidden:
        with page:
            _texts(run, evaluations)
            updates = int(rows["step"].iloc[-1]) + 1
            frame.notice(replay.parting(evaluations), replay.stopped(evaluations, updates), replay.judges(run))


run = thread.run()
origin = "The recorded run" if thread.is_recorded(run) else "Your run"
st.text(f"{origin} on {run.text.title}")
rows = resources.metrics(run)
evaluations = replay.points(rows)
if evaluations:
    _look(run, rows, evaluations)
else:
    _nothing_yet(run)
frame.code_behind(gap_figure, CopyIndex)
frame.next_lesson("overfitting")

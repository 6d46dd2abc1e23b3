"""Over-fitting: the gap between the curves, the best moment to stop, and passages learnt by heart."""

import streamlit as st

from gptcore.figures.curves import gap_figure
from gptcore.memorization import CopyIndex
from gptcore.runs.store import Run
from pages._ui import chips, frame, replay, resources, thread
from pages._ui.replay import Point, Saying

frame.lesson("overfitting")
ANSWER = "overfitting_answer"  # the run that was asked about, and the step that was guessed


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


def _moments(evaluations: list[Point]) -> list[tuple[str, Point]]:
    """The best evaluation and the latest, or the one that is both."""
    best, latest = replay.best(evaluations), evaluations[-1]
    if best.step == latest.step:
        return [("best and latest", best)]
    return [("best", best), ("latest", latest)]


def _numbers(evaluations: list[Point]) -> None:
    """The gap at two moments, and the verdict."""
    moments = _moments(evaluations)
    for column, (name, point) in zip(st.columns(len(moments)), moments, strict=True):
        column.metric(f"Gap at step {point.step}, {name}", f"{point.gap:.2f} nats", border=True)
    if len(evaluations) < 2:
        st.markdown("One evaluation so far: whether the curves part shows from the second one on.")
        return
    st.markdown(f"**Has it over-fitted?** {replay.verdict(evaluations)}")
    st.caption(replay.RULE)


def _try_it(run: Run, evaluations: list[Point]) -> None:
    """Predict first, then check against the run's own numbers."""
    st.subheader("Try it", anchor=False)
    steps = [point.step for point in evaluations]
    guess = st.select_slider(
        "At which step is the validation loss best?", steps, steps[len(steps) // 2], key=f"overfitting_guess_{run.id}"
    )
    if st.button("Check", key="overfitting_check", icon=":material/check:"):
        st.session_state[ANSWER] = (run.id, guess)
        st.rerun()  # what was hidden stands above
    asked, guessed = st.session_state.get(ANSWER, ("", None))
    mine = next((point for point in evaluations if point.step == guessed), None)
    if asked != run.id or mine is None:
        return
    best = replay.best(evaluations)
    if mine.step == best.step:
        st.success(f"Right: the validation loss is best at step {best.step}, with {best.validation:.3f} nats a token.")
    else:
        st.info(
            f"The validation loss is best at step {best.step}, with {best.validation:.3f} nats a token. At step "
            f"{mine.step} it is {mine.validation:.3f}, which is {mine.validation - best.validation:.3f} more."
        )


def _saying(saying: Saying, name: str, key: str) -> None:
    st.markdown(f"**Its {name}**: what it wrote after the bold beginning at {replay.when(saying.step)}")
    with st.container(border=True):
        chips.copied(saying.prompt, saying.text, saying.spans, key=key)
    blank = " It is nothing but blank lines." if saying.is_blank else ""
    share = saying.copied / saying.written if saying.written else 0.0
    st.markdown(f"Copied: **{share:.0%}**, {saying.copied} of {saying.written} tokens.{blank}")


def _texts(run: Run, evaluations: list[Point]) -> None:
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


def _alt(evaluations: list[Point]) -> str:
    latest = evaluations[-1]
    return (
        f"Training and validation loss with the gap between them filled; at step {latest.step} they are "
        f"{latest.train:.2f} and {latest.validation:.2f} nats a token."
    )


run = thread.run()
origin = "The recorded run" if thread.is_recorded(run) else "Your run"
st.text(f"{origin} on {run.text.title}")
rows = resources.metrics(run)
evaluations = replay.points(rows)
if evaluations:
    answered = st.session_state.get(ANSWER, ("",))[0] == run.id
    left, right = st.columns([3, 2], gap="medium")
    with right:
        hidden = (
            st.toggle("Guess first", key="overfitting_hide", help="Hides what gives the best step away.")
            and not answered
            and len(evaluations) > 1
        )
        if hidden:
            st.caption("The best step, the verdict and the texts appear once you have guessed, under Try it.")
        else:
            _numbers(evaluations)
    figure = gap_figure(rows, None if hidden else replay.best(evaluations).step, height=360)
    left.plotly_chart(figure, key="overfitting_gap", alt=_alt(evaluations))
    if not hidden:
        _texts(run, evaluations)
        updates = int(rows["step"].iloc[-1]) + 1
        frame.notice(replay.parting(evaluations), replay.stopped(evaluations, updates), replay.judges(run))
    if len(evaluations) > 1:
        _try_it(run, evaluations)
else:
    _nothing_yet(run)
frame.code_behind(gap_figure, replay.verdict, CopyIndex)
frame.next_lesson("overfitting")

"""Three parts of the curve clinic: the student's own curve held to the rules, the gallery, and the quiz."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import streamlit as st

from gptcore import diagnosis, gallery
from gptcore.gallery import CASES, Case
from gptcore.recordings import Plan
from gptcore.runs.store import Run
from gptcore.variants import VARIANTS, SoftmaxHead, UnmaskedSelfAttention
from pages._ui import charts, chips, choices, clinic_words, frame, predict, thread, trials
from pages._ui.trials import Shown

PART, CASE = "clinic_part", "clinic_case"
# Where the mistake stands, if not in the variant itself.
CHANGED: dict[str, Any] = {"no-mask": UnmaskedSelfAttention.forward, "softmax-twice": SoftmaxHead.forward}


def _draw(shown: Shown, key: str, alt: str, without: Shown | None = None) -> None:
    """The curve; where a part of it lies beyond the figure, how far."""
    drawn = trials.drawn(shown, without)
    charts.draw(st, drawn.figure, key=key, alt=alt)
    if drawn.beyond is not None:
        st.caption(f"The figure ends at twice the highest line; the curve goes on up to {drawn.beyond:,.0f}.")


def _in_words(shown: Shown) -> str:
    last = shown.curve.evaluated.iloc[-1]
    return (
        f"Learning curves up to step {int(last['step'])}: training loss {last['train_loss']:.2f}, validation loss "
        f"{last['val_loss']:.2f} nats a token."
    )


# ----------------------------------------------------------------------------------------------------------- your curve


def own() -> None:
    """The run of the thread, rule by rule, and which curve of the gallery it is like."""
    choices.own_run()
    run = thread.run()
    st.text(f"{'The recorded run' if thread.is_recorded(run) else 'Your run'} on {run.text.title}")
    shown = trials.of_run(run)
    if not shown.is_evaluated:
        st.info(f"This run is {run.status['state']} and has not been evaluated yet: there is no curve to judge.")
        st.page_link(frame.page_file("training"), label="To the training page", icon=":material/show_chart:")
        return
    found, suspects = trials.judged(shown)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _draw(shown, "clinic_own", _in_words(shown))
    with right:
        _verdict(shown, suspects)
    st.markdown("**The rules, so that you can disagree.** Each measures one thing and holds it to a limit of ours:")
    unusual_first = sorted(found.values(), key=lambda finding: not finding.found)
    rules = [clinic_words.measured(finding) for finding in unusual_first]
    st.table(rules, border="horizontal", hide_index=True, alt="What each rule measured, and its limit.")
    _notice(run, shown, found)
    _try_it(run, shown)


def _try_it(run: Run, shown: Shown) -> None:
    """From which step on does it know more than a tally sheet? Asked where it ever does."""
    level = shown.levels.tokens
    below = shown.rows[shown.rows["val_loss"] < level] if level is not None else shown.rows.iloc[:0]
    if below.empty:
        return
    first = below.iloc[0]
    question = f"At which step is the validation loss below counting tokens, {level:.2f}, for the first time?"
    if predict.number(f"clinic_own_{run.id}", question, int(first["step"])):
        st.markdown(f"At step {int(first['step'])} it is {first['val_loss']:.3f} nats a token.")


def _verdict(shown: Shown, suspects: list[str]) -> None:
    first, *others = suspects
    st.markdown(f"**By our rules this is most like: {clinic_words.name_of(first)}.**")
    if first in CASES:
        st.markdown(clinic_words.giveaway(first, shown))
        st.button(
            "See that curve in the gallery",
            icon=":material/photo_library:",
            key="clinic_visit",
            on_click=_visit,
            args=(first,),
        )
    elif first == "unfinished":
        lowest = float(shown.rows["val_loss"].min())
        st.markdown(
            f"Its lowest validation loss is {lowest:.2f}: counting tokens does better. Train longer, or look again."
        )
    else:
        st.markdown("Both losses are one number all along: the same text was measured twice.")
    if others:
        st.markdown(f"It also has something of: {', '.join(map(clinic_words.name_of, others))}.")


def _visit(case: str) -> None:
    st.session_state[PART], st.session_state[CASE] = "Gallery", case


def _notice(run: Run, shown: Shown, found: dict[diagnosis.Rule, diagnosis.Finding]) -> None:
    unusual = [finding for finding in found.values() if finding.found]
    start = found.get("start")
    frame.notice(
        f"{len(unusual)} of the {len(found)} rules that can be applied find something unusual; over-fitting is the "
        "most usual of all, and no mistake in the code.",
        ""
        if start is None
        else f"Before any update this run was {start.value:.2f} nats from ln V = {shown.levels.blind:.2f}: a first "
        "loss far from there says that something is wrong before anything was learnt.",
        f"This run was trained with the deliberate change “{run.train_config.variant}”."
        if run.train_config.variant != "none"
        else "",
    )


# -------------------------------------------------------------------------------------------------------------- gallery


def show_gallery() -> None:
    """One curve of the gallery at a time, recorded or the student's own."""
    name = st.pills(
        "Which curve?",
        list(CASES),
        default=None if CASE in st.session_state else "healthy",
        required=True,
        format_func=lambda case: CASES[case].plan.title,
        key=CASE,
        persist_state="session",
    )
    name = name or "healthy"
    case = CASES[name]
    trials.watched([case.plan], lambda runs: _case(name, case, runs.get(case.plan.name)))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        trials.button("Run this yourself, on your text", [case.plan], f"clinic_run_{name}", follow=True)
    with right:
        st.caption(_settings(case.plan))
    if case.is_mistake:
        with st.expander("The changed line", icon=":material/bug_report:"):
            variant = case.plan.training.variant
            change = CHANGED.get(variant, type(VARIANTS[variant]))
            st.code(textwrap.dedent(inspect.getsource(change)), language="python")
    usual = CASES["healthy"].plan
    frame.notice(
        "All of these are real runs of this program: nothing is drawn by hand, and the same seed gives the same curve.",
        f"Five have a mistake in one line, five have none: “{usual.title}” differs from “Over-fitting” only in its "
        f"dropout of {usual.model.drop_rate:.0%} and in stopping after {usual.training.steps} updates.",
    )


def _case(name: str, case: Case, run: Run | None) -> None:
    """A curve with what gives it away."""
    shown = trials.recorded(case.plan)
    left, right = st.columns([3, 2], gap="medium")
    with right:
        whose = "recorded"
        if run is not None:
            options = ["yours", "recorded"]
            whose = st.segmented_control("Whose?", options, default="yours", required=True, key=f"clinic_whose_{name}")
        if whose == "yours" and run is not None:
            shown = trials.of_run(run)
        st.markdown(f"**{case.plan.title}**, {'yours' if shown.run else 'recorded'}")
        compared = case.is_mistake and st.toggle(
            "Beside it, recorded: without the mistake", key="clinic_compare", persist_state="session"
        )
        if shown.is_evaluated:
            st.markdown(clinic_words.giveaway(name, shown))
            if shown.said:
                st.caption("What it says at the end when asked to go on with the bold beginning:")
                chips.copied(*shown.said, [], key="clinic_sample")
    with left:
        if shown.is_evaluated:
            without = trials.recorded(gallery.WITHOUT[name]) if compared else None
            _draw(shown, "clinic_gallery", f"{case.plan.title}. {_in_words(shown)}", without)
        else:
            st.info("Your run has begun: its first point is on the way.")


def _settings(plan: Plan) -> str:
    """What of a plan differs from the class preset."""
    changed = ", ".join(f"`{name}` {_said(mine)} instead of {_said(usual)}" for name, (usual, mine) in _changes(plan))
    return f"The class preset; only what differs: {changed or 'nothing'}."


def _changes(plan: Plan) -> list[tuple[str, tuple[Any, Any]]]:
    return list(gallery.differences(plan).items())


def _said(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# ----------------------------------------------------------------------------------------------------------------- quiz


def quiz() -> None:
    """A curve without a name; the first guess counts."""
    left, right = st.columns([3, 2], gap="medium")
    with right:
        seed = int(st.number_input("Seed of the order", 0, 9_999, 1, key="clinic_seed", persist_state="session"))
        said: dict[int, str] = st.session_state.setdefault("clinic_said", {}).setdefault(seed, {})
        number = st.session_state.setdefault("clinic_asked", {}).setdefault(seed, 0)
        question = gallery.ask(seed, number)
        shown = trials.recorded(CASES[question.answer].plan)
        st.markdown(f"**Curve {number + 1} of {len(CASES)}: what is it?** No mistake at all is an answer, too.")
        guess = st.radio(
            "Your guess",
            question.options,
            index=None,
            format_func=lambda case: CASES[case].plan.title,
            key=f"clinic_guess_{seed}_{number}",
            label_visibility="collapsed",
            disabled=number in said,
        )
        if guess is not None:
            said.setdefault(number, guess)
        if number in said:
            _answer(question, said[number], shown)
            _onward(seed, number)
        right_ones = sum(gallery.ask(seed, asked).answer == given for asked, given in said.items())
        st.caption(f"{right_ones} right of {len(said)} answered.")
    with left:
        _draw(shown, "clinic_quiz", "A curve without a name. " + _in_words(shown))
    lengths = shown.rows["grad_norm"].dropna()
    frame.notice(
        f"It starts at {shown.rows['train_loss'].iloc[0]:.3f}; ln V is {shown.levels.blind:.3f}.",
        f"Its lowest validation loss is {shown.rows['val_loss'].min():.2f}: compare that with the lines.",
        f"Its gradient is {lengths.iloc[0]:.2g} long at the first update and {lengths.iloc[-1]:.2g} at the last.",
    )


def _answer(question: gallery.Question, guess: str, shown: Shown) -> None:
    title = CASES[question.answer].plan.title
    why = clinic_words.giveaway(question.answer, shown)
    if guess == question.answer:
        st.success(f"Yes: {title}. {why}", icon=":material/check_circle:")
    else:
        st.info(f"You said {CASES[guess].plan.title}; it is {title}. {why}", icon=":material/lightbulb:")


def _onward(seed: int, number: int) -> None:
    """To the next curve; after the last, from the start of another order."""
    if number + 1 < len(CASES):
        st.button(
            "Next curve", icon=":material/arrow_forward:", key="clinic_next", on_click=_ask, args=(seed, number + 1)
        )
    else:
        st.markdown("That was the last one. Another seed gives another order.")


def _ask(seed: int, number: int) -> None:
    st.session_state["clinic_asked"][seed] = number

"""One step: the student makes exactly one real update, as often as they like, and sees everything of it.

How to read it: ``section`` is what the training lesson draws. What is updated belongs to this student alone: it lies in
their session, small by ``_plan``, and no run knows of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import streamlit as st

from gptcore import one_step
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.descent import loss_along_gradient
from gptcore.figures.one_step import descent_lines, gradient_bars, guess_bars
from gptcore.line_by_line import source_lines
from gptcore.one_step import Guess, Session, Update
from gptcore.parameters import count_parameters
from gptcore.paths import ASSETS
from gptcore.records import DivergedError
from pages._ui import charts, chips, frame, one_number, resources, startup
from pages._ui.passage import chance

HELD, REFUSED = "one_step_held", "one_step_refused"
MOST_PARAMETERS = 1_000_000  # each costs a session 20 bytes, and there are thirty students
MOST_WORK = 150_000_000  # parameters x tokens of a batch: a forward pass of this takes about 10 ms on one core
MOST_CHARACTERS = 200_000  # to make tokens of a longer text takes longer than a click may
STAND_IN_CHARACTERS = 30_000
MULTIPLES = [10 ** (quarter / 4) for quarter in range(-8, 17)]  # of the learning rate: a hundredth to ten thousand
TOKENS_SHOWN = 16  # of the window, before the token that came
OPTIMISERS = {"adamw": "AdamW", "sgd": "SGD"}
COMPARED = {
    "adamw": "Plain descent goes as far as the gradient is long; AdamW measures each number's gradient by what is "
    "usual for that number, which is another scale: compare the lines' shapes, not their places.",
    "sgd": "Plain descent follows this gradient alone; SGD adds the directions of the steps before.",
}

_lines = st.components.v2.component(
    "glassbox_lines",
    html='<ol class="lines"></ol>\n',
    css=(ASSETS / "components" / "lines.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "lines.js").read_text(encoding="utf-8"),
)


class Plan(NamedTuple):
    """What is updated: the student's own settings, or what stands in for them where they are too large."""

    text: Text
    model: GPTConfig
    config: TrainConfig


@dataclass(frozen=True, slots=True)
class Held:
    """What one student's session holds: a run, and what its last update did."""

    plan: Plan
    session: Session
    update: Update
    losses: pd.DataFrame


@st.fragment
def section(text: Text, model: GPTConfig, config: TrainConfig) -> None:
    """Draw the section for a text and settings; with others it starts again."""
    st.subheader("One step", anchor=False)
    plan, note = _plan(text, model, config)
    held: Held | None = st.session_state.get(HELD)
    if held is not None and held.plan != plan:
        held = None
        st.session_state.pop(HELD)
    st.markdown("A run is this, again and again: one batch, one update. Make one yourself, and look inside. " + note)
    _buttons(plan, held)
    if refused := st.session_state.pop(REFUSED, None):
        frame.refuse(ValueError(refused))
    left, right = st.columns([6, 5], gap="medium")
    with left:
        _draw_lines(held)
    if held is None:
        right.caption(
            "Each line is the program's own. Beside it stands what it made, once it has run. Nothing here touches "
            "your runs."
        )
        return
    with right:
        _guess(held.update.guess)
    left, right = st.columns([5, 6], gap="medium")
    with left:
        _gradient(held.update)
    with right:
        _descent(held)
    st.markdown("**One number of them all**")
    one_number.choose(held.session)


def _plan(text: Text, model: GPTConfig, config: TrainConfig) -> tuple[Plan, str]:
    """What is updated, and a sentence where it is not what the settings say."""
    counts = resources.text_counts(text.text, model.context_length, config)
    parameters = count_parameters(dataclasses.replace(model, vocab_size=counts.vocab_size))
    tokens = config.batch_size * model.context_length
    if parameters <= MOST_PARAMETERS and parameters * tokens <= MOST_WORK and len(text.text) <= MOST_CHARACTERS:
        return Plan(text, model, config), ""
    beginning = dataclasses.replace(text, text=text.text[:STAND_IN_CHARACTERS])
    whole = len(beginning.text) == len(text.text)
    note = (
        f"With {parameters:,} parameters, {tokens:,} tokens in a batch and {len(text.text):,} characters yours would "
        "take longer than a click, so the class preset stands in, on "
        + ("your text." if whole else f"the first {STAND_IN_CHARACTERS:,} characters of your text.")
    )
    return Plan(beginning, MODEL_PRESETS["class"], TRAIN_PRESETS["class"]), note


def _buttons(plan: Plan, held: Held | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Do one update",
            type="primary",
            icon=":material/plus_one:",
            key="one_step_do",
            on_click=_do,
            args=(plan,),
        )
        if held is not None:
            st.button("Start again", icon=":material/restart_alt:", key="one_step_again", on_click=_forget)
            update = held.update
            st.caption(f"Update {update.step + 1} of this run: step {update.step}, learning rate {update.lr:.3g}.")


def _forget() -> None:
    st.session_state.pop(HELD, None)


def _do(plan: Plan) -> None:
    """Make one update, of the run that is held or of a new one; a refusal is shown with the next drawing."""
    held: Held | None = st.session_state.get(HELD)
    try:
        session = held.session if held and held.plan == plan else one_step.begin(*plan)
        update = one_step.one_update(session)
        losses = loss_along_gradient(session, MULTIPLES)
    except (ValueError, DivergedError) as error:
        _forget()
        st.session_state[REFUSED] = str(error)
    else:
        st.session_state[HELD] = Held(plan, session, update, losses)
        startup.put_optimiser_aside()


def _draw_lines(held: Held | None) -> None:
    """The source lines, each with what it made."""
    codes = source_lines()
    made = _made(held.update, held.plan.config) if held else [""] * len(codes)
    lines = [{"code": code, "made": note} for code, note in zip(codes, made, strict=True)]
    run = f"{id(held.session)} {held.update.step}" if held else ""
    label = "the lines of one update, and what each of them made"
    _lines(data={"lines": lines, "run": run, "label": label}, key="one_step_lines")
    if held and held.plan.model.drop_rate:
        st.caption(
            "While it learns, dropout is on. Without dropout the loss of this batch was "
            f"{held.update.loss_before:.4g} before the update. The last line looks without it, as does all else here."
        )


def _made(update: Update, config: TrainConfig) -> list[str]:
    B, T, C = update.hidden_shape
    longest = config.grad_clip
    shortened = "" if longest is None or update.grad_norm <= longest else f", shortened to {longest:g}"
    return [
        "no gradients are left from before",
        f"{C:,} numbers at each of {B:,} × {T:,} positions",
        f"{update.vocab_size:,} scores at each position; their loss is {update.loss:.4g} nats a token",
        f"{update.parameters:,} gradients, one for each parameter",
        f"the gradient's length is {update.grad_norm:.3g}{shortened}",
        f"{update.changed:,} of {update.parameters:,} parameters have changed",
        f"the same batch again: its loss is now {update.loss_after:.4g}",
    ]


def _guess(guess: Guess) -> None:
    """What the model expects after one window, before the update and after it."""
    pieces: list[chips.Piece] = [{"text": token} for token in guess.given[-TOKENS_SHOWN:]]
    pieces.append({"text": guess.target, "kind": "asked", "title": "the token that came"})
    label = "the end of the batch's first window, and the token that came"
    chips.graded(pieces, "one_step_window", label, marks=False)
    st.caption(
        f"The framed token came next. It had a probability of {chance(guess.before)}; after this update it has "
        f"**{chance(guess.after)}**."
    )
    charts.draw(
        st,
        guess_bars(guess.table),
        key="one_step_guess",
        alt=f"Probabilities of the token that came and of the likeliest ones. The one that came: {guess.before:.3%} "
        f"before the update, {guess.after:.3%} after it.",
    )


def _gradient(update: Update) -> None:
    """Where in the model the gradient is long."""
    norms = update.norms
    top = norms.sort_values("norm", ascending=False).iloc[0]
    share = top["norm"] ** 2 / (norms["norm"] ** 2).sum() if top["norm"] else 0.0
    st.markdown("**Where the gradient is long**")
    charts.draw(
        st,
        gradient_bars(norms),
        key="one_step_gradient",
        alt=f"Length of the gradient in {len(norms)} parts of the model; the longest is {top['part']}.",
    )
    st.caption(
        f"The squares of these lengths add up to the square of the whole, {update.grad_norm:.3g}; {top['part']} alone "
        f"makes {share:.0%} of that."
    )


def _descent(held: Held) -> None:
    """What other learning rates would have made of the same batch."""
    update, losses, config = held.update, held.losses, held.plan.config
    own = OPTIMISERS[config.optimiser]
    st.markdown("**Had the learning rate been another**")
    if update.lr == 0:
        st.caption("At a learning rate of 0 nothing moves, so there is nothing to compare with.")
        return
    best = losses.sort_values("optimiser").iloc[0]
    charts.draw(
        st,
        descent_lines(losses, update.lr, own, update.loss_before),
        key="one_step_descent",
        alt=f"Loss of this batch by learning rate: {update.loss_after:.4g} at yours, {update.lr:.3g}; along {own}'s "
        f"direction the lowest is {best['optimiser']:.4g} at {best['rate']:.2g}.",
    )
    st.caption(
        f"Both lines begin where this update began, at {update.loss_before:.4g}. {COMPARED[config.optimiser]} The "
        f"lowest point, here at {best['rate']:.2g}, is this batch's alone; the next batch has another, so a run goes "
        "less far."
    )

"""One number of a model through one update, every step of the arithmetic written out with the numbers that it had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from gptcore import one_step
from gptcore.figures.theme import marked
from gptcore.gradients import ParameterStep
from gptcore.one_step import Session
from gptcore.tokenizer import show_token
from pages._ui import frame

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
BY_TOKEN = ("head.weight", "token_embedding.weight")  # a row for each token; a tied head is the embedding


def choose(session: Session) -> None:
    """Choose a number of the model, and draw its way through the last update."""
    sizes = {name: weight.numel() for name, weight in session.state.model.named_parameters()}
    names = list(sizes)
    head = next(name for name in BY_TOKEN if name in sizes)
    left, right = st.columns([2, 5], gap="medium")
    with left:
        name = st.selectbox("Tensor", names, index=names.index(head), key="one_number_tensor")
        index = st.number_input(
            "Number in it",
            min_value=0,
            max_value=sizes[name] - 1,
            value=None,
            key=f"one_number_{name}_{sizes[name]}",
            placeholder="largest gradient",
            help="Counted row by row, from 0; empty takes the one with the largest gradient.",
        )
    step = one_step.one_parameter(session, name, index)
    settings = session.state.optimiser.param_groups[0]
    own = _sgd(step, settings) if "velocity" in step.remembered else _adamw(step, settings)
    lines = [_beginning(session, step), _plain(step), *own]
    right.markdown("\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1)))


def _beginning(session: Session, step: ParameterStep) -> str:
    place = ", ".join(map(str, step.place))
    row = ""
    if step.name in BY_TOKEN:
        token = show_token(session.state.data.tokenizer.token_bytes(step.place[0]))
        row = f", in the row of the token “{frame.plain(marked(token))}”,"
    return f"`{step.name}[{place}]`{row} was *p* = {step.before:.7f}. Its gradient is *g* = {step.gradient:.4g}."


def _plain(step: ParameterStep) -> str:
    taken = _less(step.lr * step.gradient)
    return f"Plain gradient descent would make it *p* − rate × *g* = {step.before:.7f} {taken} = **{step.plain:.7f}**."


def _adamw(step: ParameterStep, settings: Mapping[str, Any]) -> list[str]:
    had, rate = step.remembered, f"{step.lr:.4g}"
    updates, (beta1, beta2) = int(had["updates"]), settings["betas"]
    n = str(updates).translate(RAISED)
    first = (
        f" At a first update that is nearly ±1 wherever the gradient is well above {settings['eps']:g}; where it is 0, "
        "as it may be for tokens that are not in the batch, only weight decay moves a number."
    )
    means = (
        f"AdamW keeps running means of *g* and of *g*², and makes up for their start at 0: *m* = {had['m']:.4g} / "
        f"(1 − {beta1:g}{n}) = {had['m_hat']:.4g}, *v* = {had['v']:.4g} / (1 − {beta2:g}{n}) = {had['v_hat']:.4g}."
    )
    direction = (
        f"It moves by the rate, {rate}, times *m* / (√*v* + {settings['eps']:g}) = "
        f"{had['m_hat'] / (had['v_hat'] ** 0.5 + settings['eps']):.4g}."
        f"{first if updates == 1 else ''}"
    )
    result = (
        f"So *p* − {rate} × {settings['weight_decay']:g} × *p* (weight decay) − {rate} × that = "
        f"{step.before:.7f} {_less(step.decay)} {_less(step.move)} = **{step.after:.7f}**, as in the model now."
    )
    return [means, direction, result]


def _sgd(step: ParameterStep, settings: Mapping[str, Any]) -> list[str]:
    velocity = (
        f"SGD keeps a velocity: {settings['momentum']:g} of the one before, plus *g*, plus weight decay, "
        f"{settings['weight_decay']:g} × *p*. Now it is *u* = {step.remembered['velocity']:.4g}."
    )
    taken = f"{step.before:.7f} {_less(step.move)} = **{step.after:.7f}**"
    result = f"So *p* − {step.lr:.4g} × *u* = {taken}, as in the model now."
    return [velocity, result]


def _less(number: float) -> str:
    """What is taken away, with a single sign: a negative number is added.

    >>> _less(0.25), _less(-0.25)
    ('− 0.2500000', '+ 0.2500000')
    """
    return f"{'+' if number < 0 else '−'} {abs(number):.7f}"

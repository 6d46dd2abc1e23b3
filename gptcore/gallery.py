"""Curves to know: healthy and ill ones, each recorded from a real run of this program that anybody can start again.

How to read it: ``CASES`` by name, each a plan and what it is; ``WITHOUT`` names, for a mistake, the recording of the
same run without it; ``differences`` says how a plan differs from the class preset.

What is left out: what each mistake is in code (``variants``), and the rules that tell the curves apart (``diagnosis``).
"""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any, NamedTuple

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import OWN_STORY
from gptcore.recordings import Plan

MODEL, TRAINING = MODEL_PRESETS["class"], TRAIN_PRESETS["class"]
PREFIX = "gallery-"  # of the files
OPTIONS = 4  # of each question in the quiz


class Case(NamedTuple):
    """One curve of the gallery.

    Attributes:
        plan: The run.
        is_mistake: Whether a line of the program was changed; else only settings differ.
    """

    plan: Plan
    is_mistake: bool


def _plan(name: str, title: str, model: GPTConfig, training: TrainConfig) -> Plan:
    return Plan(PREFIX + name, title, OWN_STORY, model, training)


# On a text of five thousand tokens only a run that is stopped in time stays healthy, and dropout gives it more time.
HEALTHY = _plan("healthy", "Healthy", replace(MODEL, drop_rate=0.3), replace(TRAINING, steps=120))
SLOWLY = replace(TRAINING, lr=1e-5, min_lr=None, steps=150)
TOO_FAST = replace(TRAINING, lr=0.3, min_lr=None, steps=100, eval_every=5)
DIVERGING = replace(TRAINING, optimiser="sgd", lr=1.0, min_lr=None, steps=60, eval_every=2)
# Where the answer stands in the next place, attention has to find it: one layer does so within seconds.
SHALLOW = replace(MODEL, n_layers=1, tie_weights=True)
STEADY = replace(TRAINING, min_lr=None, steps=400)
DROPPING = replace(MODEL, drop_rate=0.4)

CASES: dict[str, Case] = {
    "healthy": Case(HEALTHY, False),
    "over-fitting": Case(_plan("over-fitting", "Over-fitting", MODEL, TRAINING), False),
    "stuck": Case(_plan("stuck", "Stuck", MODEL, SLOWLY), False),
    "too-fast": Case(_plan("too-fast", "Rate too large", MODEL, TOO_FAST), False),
    "diverging": Case(_plan("diverging", "Diverging", MODEL, DIVERGING), False),
    "no-mask": Case(_plan("no-mask", "No causal mask", SHALLOW, replace(STEADY, variant="no-mask")), True),
    "not-shifted": Case(
        _plan("not-shifted", "Targets not shifted", MODEL, replace(TRAINING, variant="not-shifted")), True
    ),
    "no-zero-grad": Case(_plan("no-zero-grad", "No zero_grad", MODEL, replace(TRAINING, variant="no-zero-grad")), True),
    "softmax-twice": Case(
        _plan("softmax-twice", "Softmax twice", MODEL, replace(TRAINING, variant="softmax-twice")), True
    ),
    "dropout-left-on": Case(
        _plan("dropout-left-on", "Judged with dropout", DROPPING, replace(TRAINING, variant="dropout-left-on")), True
    ),
}
WITH_MASK = _plan("with-mask", "With its causal mask", SHALLOW, STEADY)
DROPOUT_OFF = _plan("dropout-off", "Judged without dropout", DROPPING, TRAINING)
WITHOUT: dict[str, Plan] = {
    "no-mask": WITH_MASK,
    "not-shifted": CASES["over-fitting"].plan,
    "no-zero-grad": CASES["over-fitting"].plan,
    "softmax-twice": CASES["over-fitting"].plan,
    "dropout-left-on": DROPOUT_OFF,
}
PLANS = [*(case.plan for case in CASES.values()), WITH_MASK, DROPOUT_OFF]


def differences(plan: Plan) -> dict[str, tuple[Any, Any]]:
    """What of a plan differs from the class preset: field, the preset's value, the plan's.

    >>> differences(CASES["no-zero-grad"].plan)
    {'variant': ('none', 'no-zero-grad')}
    """
    pairs: tuple[tuple[Any, Any], ...] = ((MODEL, plan.model), (TRAINING, plan.training))
    return {
        each.name: (getattr(usual, each.name), getattr(mine, each.name))
        for usual, mine in pairs
        for each in fields(usual)
        if getattr(usual, each.name) != getattr(mine, each.name)
    }


class Question(NamedTuple):
    """A curve without a name, and what it may be; ``answer`` is among the options."""

    answer: str
    options: tuple[str, ...]


def ask(seed: int, number: int) -> Question:
    """A question of the quiz: each case is asked once, in an order that follows from the seed.

    Args:
        seed: Of the order, and of the wrong answers offered.
        number: From 0 to one less than there are cases.

    >>> sorted(ask(7, number).answer for number in range(len(CASES))) == sorted(CASES)
    True
    """
    order = random.Random(seed).sample(list(CASES), len(CASES))
    answer, draw = order[number], random.Random(f"{seed} {number}")
    wrong = draw.sample([name for name in CASES if name != answer], OPTIONS - 1)
    return Question(answer, tuple(draw.sample([answer, *wrong], OPTIONS)))

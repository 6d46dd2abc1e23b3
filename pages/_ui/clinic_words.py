"""What the curve clinic says: of each case in the gallery what gives it away, of each rule what was measured.

How to read it: ``GIVEAWAYS`` by the gallery's names; each makes its sentences of the numbers of the curve on screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gptcore import gallery, overfitting
from gptcore.diagnosis import Finding, Rule
from pages._ui import frame, replay, trials
from pages._ui.trials import Shown

OTHER_NAMES = {"same-text": "the training text as validation text", "unfinished": "nothing wrong, and not there yet"}
QUESTIONS: dict[Rule, tuple[str, str]] = {
    "start": ("How far from ln V did it start?", "nats off, more than"),
    "diverged": ("Is it worse than a blind guess?", "nats at the end, more than"),
    "same": ("Do both losses differ at all?", "nats apart, at most"),
    "leak": ("Does it guess unseen text better than can be?", "nats at best, less than"),
    "gradient": ("Is there a gradient to follow?", "long, less than"),
    "stuck": ("How far has the training loss fallen?", "nats, less than"),
    "pile": ("Does the gradient grow?", "times its first length, more than"),
    "spikes": ("Does the training loss jump up?", "nats at most, more than"),
    "dropout": ("Do evaluations lie below the batches, as dropout wants?", "nats, less than"),
    "over-fitted": ("By how much has the validation loss risen from its best?", "of it, more than"),
    "counting": ("Is it worse than counting tokens?", "nats at best, more than"),
}


def name_of(case: str) -> str:
    """A suspect's name within a sentence."""
    return OTHER_NAMES.get(case) or gallery.CASES[case].plan.title


def measured(finding: Finding) -> dict[str, str]:
    """One rule as a row of a table."""
    question, unit = QUESTIONS[finding.rule]
    what, _, side = unit.partition(", ")
    digits = ".1%" if finding.rule == "over-fitted" else ",.3f"
    value = round(finding.value, 3) + 0.0  # no "-0.000"
    return {
        "the rule asks": question,
        "measured": f"{value:{digits}} {what}",
        "unusual if": f"{side} {finding.limit:{digits}}",
        "by this rule": "unusual" if finding.found else "as usual",
    }


def giveaway(case: str, shown: Shown) -> str:
    """What gives a curve of this kind away, with its own numbers."""
    if shown.rows["val_loss"].isna().all():
        return (
            "Nothing judges this run: its validation part holds no whole window. Its training loss went from "
            f"{_first(shown):.2f} to {_last(shown, 'train_loss'):.2f}; whether it learns or recites, nobody can tell."
        )
    return GIVEAWAYS[case](shown)


def _last(shown: Shown, column: str) -> float:
    return float(shown.rows[column].dropna().iloc[-1])


def _first(shown: Shown) -> float:
    return float(shown.rows["train_loss"].dropna().iloc[0])


def _lowest(shown: Shown) -> tuple[float, int]:
    """The lowest validation loss and its step."""
    looks = shown.rows[shown.rows["val_loss"].notna()]
    row = looks.iloc[int(looks["val_loss"].to_numpy().argmin())]
    return float(row["val_loss"]), int(row["step"])


def _healthy(shown: Shown) -> str:
    lowest, step = _lowest(shown)
    return (
        f"It starts at {_first(shown):.2f}, near ln V = {shown.levels.blind:.2f}. Both losses fall, the validation "
        f"loss to {lowest:.2f} at step {step}, and it is stopped before it rises. The gap of "
        f"{_last(shown, 'val_loss') - _last(shown, 'train_loss'):.2f} nats at the end is no harm."
    )


def _over_fitting(shown: Shown) -> str:
    looks = replay.points(shown.rows)
    if len(looks) < 2:
        return "One evaluation does not show it yet."
    state, at_best, latest, _ = overfitting.judge(looks)
    return (
        f"The training loss falls to {latest.train:.2f}. The validation loss is best at step {at_best.step}, with "
        f"{at_best.validation:.2f}, and stands at {latest.validation:.2f} at the end: "
        + ("the text is being learnt by heart." if state == "over-fitted" else "by our rule it has not over-fitted.")
    )


def _stuck(shown: Shown) -> str:
    rate = float(shown.rows["lr"].dropna().iloc[-1])
    return (
        f"In {int(shown.rows['step'].iloc[-1]) + 1:,} updates the training loss went from {_first(shown):.2f} to "
        f"{_last(shown, 'train_loss'):.2f}. The gradient is there, {_last(shown, 'grad_norm'):.2f} long, but at a rate "
        f"of {rate:g} each step is too short: it falls straight, and hardly."
    )


def _too_fast(shown: Shown) -> str:
    jump = float(shown.curve.evaluated["train_loss"].diff().max())
    lowest, _ = _lowest(shown)
    return (
        f"The losses jump, by up to {jump:.2f} nats from one evaluation to the next, and the highest batch loss is "
        f"{shown.rows['batch_loss'].max():.2f}. In the end the model knows little more than how often each token "
        f"occurs: its lowest validation loss is {lowest:.2f}{_counting(shown)}."
    )


def _counting(shown: Shown) -> str:
    return "" if shown.levels.tokens is None else f", and counting tokens reaches {shown.levels.tokens:.2f}"


def _diverging(shown: Shown) -> str:
    low = float(shown.rows["batch_loss"].min())
    ended = f"The run says: {frame.plain(shown.reason)}." if shown.reason else "Here it has not ended before its time."
    return (
        f"It learns at first, down to {low:.2f}. Then one step overshoots, the next gradient is larger, and so on: the "
        f"last loss it reports is {_last(shown, 'batch_loss'):,.2f}. {ended}"
    )


def _no_mask(shown: Shown) -> str:
    lowest, _ = _lowest(shown)
    pairs = "" if shown.levels.pairs is None else f", where counting pairs reaches {shown.levels.pairs:.2f}"
    return (
        f"Too good to be true: on text it has never seen it comes down to {lowest:.2f}{pairs}. Each token could look "
        "at the one it had to predict. It took attention a while to find that out, hence the late drop. When it "
        "writes, nothing stands there yet to be copied, and what it says is worth nothing."
    )


def _not_shifted(shown: Shown) -> str:
    looks = shown.rows[shown.rows["val_loss"].notna() & (shown.rows["val_loss"] < (shown.levels.pairs or 0))]
    when = f"by step {int(looks['step'].iloc[0])} it beats counting pairs, and " if len(looks) else ""
    return (
        f"Too good, and at once: {when}in the end the training loss is {_last(shown, 'train_loss'):.3f}. The model was "
        "asked for the token it had just read, so it learnt to repeat, and repeats itself when it writes."
    )


def _no_zero_grad(shown: Shown) -> str:
    lengths = shown.rows["grad_norm"].dropna()
    return (
        f"Look at the gradient: {lengths.iloc[0]:.2f} long at the first update, {lengths.max():.2f} at most. Each "
        "update adds its gradient to all those before, so the step follows where the loss fell long ago. The training "
        f"loss limps down to {float(shown.curve.evaluated['train_loss'].min()):.2f}."
    )


def _softmax_twice(shown: Shown) -> str:
    V = math.exp(shown.levels.blind)
    return (
        f"It starts at {_first(shown):.4f}, ln V to the digit, and stays there. The second softmax is given numbers "
        f"from 0 to 1, so even a perfect model could not come below {math.log(math.e + V - 1) - 1:.2f}; and next to no "
        f"gradient comes through: {_last(shown, 'grad_norm'):.4f} long at the end."
    )


def _dropout(shown: Shown) -> str:
    finding = trials.judged(shown).found.get("dropout")
    above = "" if finding is None else f" Here the batches lie {finding.value:.2f} nats above the evaluations."
    return (
        f"With {shown.drop_rate:.0%} dropout a batch is harder than an evaluation, so the training curve should lie "
        f"clearly below the pale line of the batches.{above} The model is judged with part of it switched off: all its "
        "losses look worse than they are."
    )


GIVEAWAYS: dict[str, Callable[[Shown], str]] = {
    "healthy": _healthy,
    "over-fitting": _over_fitting,
    "stuck": _stuck,
    "too-fast": _too_fast,
    "diverging": _diverging,
    "no-mask": _no_mask,
    "not-shifted": _not_shifted,
    "no-zero-grad": _no_zero_grad,
    "softmax-twice": _softmax_twice,
    "dropout-left-on": _dropout,
}

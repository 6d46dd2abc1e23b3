"""How much of a curve is chance: the band of five recorded seeds, and one run as several judges see it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from gptcore import judges, recordings, seeds
from gptcore.figures.chance import judged_curves, seed_band
from gptcore.runs.store import Run
from gptcore.seeds import Difference, Placed
from pages._ui import charts, frame, resources, settings
from pages._ui.kept import kept

CODE = (seeds.band, seeds.is_inside, judges.disagreement)  # what runs for this section
RULE = (
    f"The rule: the band is the mean of the five ± {seeds.WIDTH:g} standard deviations. At any one step 19 of 20 "
    f"further seeds lie in it, so a run counts as inside where at least {seeds.INSIDE:.0%} of its evaluations do."
)


def section(run: Run) -> None:
    """Is my curve normal, and how much of its wobble is the judge's? For the run of the thread."""
    st.subheader("How much of this is chance?", anchor=False)
    left, right = st.columns(2, gap="medium")
    with left:
        _seeds(run)
    with right:
        _judges()


def _seeds(run: Run) -> None:
    """The recorded band with the student's own curve in it, where the two can be compared."""
    st.markdown("**The same run with other seeds**")
    band = _band()
    rows, unlike = resources.metrics(run), seeds.differences(run.text, run.model_config, run.train_config)
    compared = not unlike and bool(rows["step"][rows["val_loss"].notna()].isin(band["step"]).any())
    charts.draw(
        st,
        seed_band(band, rows) if compared else _drawn_band(),
        key="chance_seeds",
        alt=_in_words(band, with_own=compared),
    )
    if compared:
        st.markdown(verdict(seeds.is_inside(rows, band)))
    elif unlike:
        st.markdown(_not_compared(unlike))
    else:
        st.markdown("The run of the thread has these settings and was not evaluated yet: its curve will be drawn here.")
    st.caption(RULE)


@kept(1)
def _band() -> pd.DataFrame:
    """Where the recorded seeds lie; the recordings come with the program, so this is worked out once."""
    return seeds.band([recordings.load(plan.name).metrics for plan in seeds.PLANS])


@kept(1)
def _drawn_band() -> Any:
    """The figure of the recorded band alone."""
    return seed_band(_band(), None)


def verdict(placed: Placed) -> str:
    """Whether a run lies in the band, in a sentence with its numbers."""
    counted = f"{placed.within} of its {placed.compared} evaluations lie in the band"
    if not placed.outside:
        return f"**Yours is inside:** all {placed.compared} evaluations lie in the band."
    stretches = ", ".join(
        f"at step {first}" if first == last else f"from step {first} to {last}" for first, last in placed.outside
    )
    if placed.inside:
        return f"**Yours is inside:** {counted}. It leaves it {stretches}; so little is chance."
    return (
        f"**Yours is outside** {stretches}: only {counted}. Another seed alone hardly ever does that. Look for what "
        "else is different: the code, the versions, the number format."
    )


def _not_compared(unlike: list[Difference]) -> str:
    """Which settings differ: the first few by name and value."""
    named = [
        f"{settings.LABELS.get(field, field.replace('_', ' ')).lower()} {_value(here)} (recorded: {_value(recorded)})"
        for field, here, recorded in unlike[:4]
    ]
    more = f", and {len(unlike) - 4} more" if len(unlike) > 4 else ""
    return (
        f"The run of the thread can't be drawn into it, for more than its seed differs: {', '.join(named)}{more}. "
        "Train the class preset on our own story with any seed, and it will be."
    )


def _value(value: object) -> str:
    """A setting's value as text that markdown leaves alone."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else frame.plain(f"{value:g}" if isinstance(value, float) else str(value))


def _in_words(band: pd.DataFrame, *, with_own: bool) -> str:
    last = band.iloc[-1]
    own = ", and the curve of the thread's run" if with_own else ""
    return (
        f"The band of five recorded seeds' validation losses{own}; at step {last['step']:,.0f} it reaches from "
        f"{last['low']:.2f} to {last['high']:.2f} nats a token."
    )


def _judges() -> None:
    """One recorded run under three judges, and the standard deviation that each brings in."""
    st.markdown("**The same weights, judged by more or less text**")
    curves = {plan.title: recordings.load(plan.name).metrics for plan in judges.PLANS}
    charts.draw(
        st,
        _judged(),
        key="chance_judges",
        alt="One recorded run's validation curve, " + ", ".join(curves) + ".",
    )
    *fewer, all_of_them = curves.values()
    parts = []
    for plan, rows in zip(judges.PLANS, fewer, strict=False):
        batches, windows = plan.training.eval_batches, plan.training.eval_batches * plan.training.batch_size
        offset, scatter = judges.disagreement(rows["val_loss"], all_of_them["val_loss"])
        parts.append(
            f"by **{batches} batch{'es' * (batches > 1)}** ({windows * plan.model.context_length:,} tokens) the loss "
            f"comes out {abs(offset):.2f} nats too {'high' if offset > 0 else 'low'} on average and wavers around that "
            f"with a standard deviation of {scatter:.3f}"
        )
    st.markdown(
        f"Take the verdict of all {judges.BATCHES[-1]} batches for the truth: {'; '.join(parts)}. {_best_steps(curves)}"
    )
    st.caption(
        "Recorded once for each judge, with batches of 2 as in the book. Evaluating changes no weight here: all that "
        "differs is the text that judges. The book's own validation text has one such batch."
    )


@kept(1)
def _judged() -> Any:
    """The figure of the recorded judges, drawn once."""
    return judged_curves({plan.title: recordings.load(plan.name).metrics for plan in judges.PLANS})


def _best_steps(curves: dict[str, pd.DataFrame]) -> str:
    """Where each judge would have stopped."""
    best = {name: int(rows["step"][rows["val_loss"].argmin()]) for name, rows in curves.items()}
    return "The best step is " + ", ".join(f"{step} {name}" for name, step in best.items()) + "."

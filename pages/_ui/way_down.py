"""The way down to the floor: one share's curves above those of the others, and how low each share came.

A share is looked at in the recorded run, or in the student's own where the thread holds one with that share.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from gptcore import floor
from gptcore.corpora import LANGUAGE, load_text
from gptcore.figures.floor import lowest_by_share, share_curves
from gptcore.language import FLOOR, the_entropies
from gptcore.runs import requests
from gptcore.runs.store import Run
from pages._ui import charts, locks, owner, resources, run_state, teaching, thread
from pages._ui.kept import kept

POLL_SECONDS = 1.5  # as often as the training page looks
HEIGHT = 340  # pixels of both charts
PAIRS = "counting pairs:"


class Looked(NamedTuple):
    """What is looked at.

    Attributes:
        share: Of the training text.
        rows: Of its metrics.
        run: The student's own run; None where the recorded one is looked at.
    """

    share: float
    rows: pd.DataFrame
    run: Run | None

    @property
    def name(self) -> str:
        """For the chart's key."""
        return f"{self.share:.0%}, {'yours' if self.run else 'recorded'}"

    @property
    def whose(self) -> str:
        """For sentences."""
        return f"{'your' if self.run else 'the recorded'} run on {self.share:.0%} of the text"


def own() -> Run | None:
    """The thread's run, where it is one of this lesson: text and settings of a recorded one."""
    run = thread.run()
    if thread.is_recorded(run):  # asked a dozen times for one drawing
        return None
    share = run.train_config.train_share
    plan = floor.plan(share)
    asked = (run.config["text"]["key"], run.model_config, run.train_config)
    return run if share in floor.SHARES and asked == (plan.text, plan.model, teaching.within(plan.training)) else None


def train(share: float) -> None:
    """Queue the run on a share of the text and follow it.

    Raises:
        ValueError: The queue doesn't take it.
        OSError: It can't be stored.
    """
    plan = floor.plan(share)
    text, training = load_text(plan.text), teaching.within(plan.training)
    teaching.check(text, plan.model, training)
    run = requests.submit(thread.store(), text, plan.model, training, owner.name())
    thread.follow(run)
    st.rerun()


def look(share: float) -> Looked:
    """The student's own run on this share once it has rows, else the recorded one."""
    mine = own()
    if mine is not None and mine.train_config.train_share == share:
        rows = resources.metrics(mine)
        if rows["val_loss"].notna().any():
            return Looked(share, rows, mine)
    return Looked(share, floor.recorded(share).metrics, None)


@kept(8)
def lines(share: float) -> dict[str, float]:
    """The levels that a curve of this share is measured by, the floor last."""
    return resources.reference_lines(load_text(LANGUAGE).text, floor.plan(share).training)


def view(share: float) -> None:
    """Draw both charts, again and again while the student's own run lives."""
    known = _stand()
    locks.fragment(_draw, run_every=POLL_SECONDS if known and not known.ended else None)(share, known)


class _Stand(NamedTuple):
    """Whose run is there, and whether it goes on."""

    run_id: str
    ended: bool


def _stand() -> _Stand | None:
    mine = own()
    return None if mine is None else _Stand(mine.id, mine.has_ended)


def _draw(share: float, known: _Stand | None) -> None:
    if _stand() != known:  # it has ended or was deleted: the whole page is drawn again, its sentences and the strip too
        st.rerun()
    mine = own()
    if mine is not None:
        run_state.draw(mine, resources.metrics(mine))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _curves(look(share))
    with right:
        _lowest()


def _curves(looked: Looked) -> None:
    levels, last = _levels(looked.share), looked.rows[looked.rows["val_loss"].notna()].iloc[-1]
    charts.draw(
        st,
        _recorded(looked.share) if looked.run is None else _figure(looked),
        key="floor_curves",
        alt=f"Learning curves on {looked.name}: at step {last['step']:,.0f} the training loss is "
        f"{last['train_loss']:.2f} and the validation loss {last['val_loss']:.2f}; the floor is {levels[FLOOR]:.2f}.",
    )


def _levels(share: float) -> dict[str, float]:
    return {name: level for name, level in lines(share).items() if name != "counting tokens:"}


@kept(8)
def _recorded(share: float) -> Any:
    """The figure of a recorded share."""
    return _figure(Looked(share, floor.recorded(share).metrics, None))


def _figure(looked: Looked) -> Any:
    others = {f"{other:.0%}": floor.recorded(other).metrics for other in floor.SHARES if other != looked.share}
    if looked.run is not None:
        others = {"recorded": floor.recorded(looked.share).metrics, **others}
    return share_curves(others, looked.rows, looked.name, _levels(looked.share), height=HEIGHT)


def _lowest() -> None:
    model = tuple(floor.lowest(look(share).rows) for share in floor.SHARES)
    pairs = [lines(share)[PAIRS] for share in floor.SHARES]
    charts.draw(
        st,
        _reached(model),
        key="floor_lowest",
        alt="Best validation loss by share of the text: "
        + ", ".join(
            f"{share:.0%} {best:.2f} (counting pairs {count:.2f})"
            for share, best, count in zip(floor.SHARES, model, pairs, strict=True)
        ),
    )


@kept(32)
def _reached(model: tuple[float, ...]) -> Any:
    """The figure of how low each share came."""
    least, pairs = the_entropies(), [lines(share)[PAIRS] for share in floor.SHARES]
    reached = {"the model at its best": model, f"counting pairs (at best {least.one:.2f})": pairs}
    return lowest_by_share(floor.SHARES, reached, least.one, {FLOOR: least.floor}, height=HEIGHT)

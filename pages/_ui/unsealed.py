"""A challenge whose seal is open: everybody's two losses as a chart and a table, and what choosing by validation did.

How to read it: ``draw`` is all of it; the sentences are those of ``sentences``, each with this class's numbers.
"""

from __future__ import annotations

from math import isfinite

import pandas as pd
import streamlit as st

from gptcore.challenge import MOST_GUESSES, Standings, Tried, unscored
from gptcore.figures.challenge import challenge_figure
from gptcore.outcome import Measured, Outcome, Place, apart, outcome
from gptcore.seal import Held
from pages._ui import charts, classmates, frame, sealing, teaching

LOSS = st.column_config.NumberColumn(format="%.3f", help="In nats a token.")
GO_ON = "classroom_challenge_go_on"
COLUMNS = {
    "run": st.column_config.LinkColumn(display_text="Watch", help="Opens beside this page; read only."),
    "lowest validation loss": LOSS,
    "sealed loss": LOSS,
    "standard error": LOSS,
    "rise": LOSS,
}


@st.cache_resource(max_entries=4, show_spinner=False)
def _outcome(key: str, tried: list[Tried], written: int) -> Outcome:
    del key, written  # another class, more scores: another outcome
    return outcome(tried, sealing.challenge().scores())


def result(held: Held) -> Outcome:
    """What came of the challenge, as far as it is scored."""
    file = sealing.challenge().scores_file
    written = file.stat().st_mtime_ns if file.exists() else 0
    return _outcome(teaching.register().key, held.tried, written)


def draw(held: Held) -> None:
    """Draw what is scored so far."""
    found, terms = result(held), held.terms
    st.subheader("The seal is open", anchor=False)
    _left(held)
    if found.places:
        left, right = st.columns([1.2, 1], gap="medium")
        charts.draw(left, challenge_figure(found.places), key="classroom_challenge_losses", alt=_alt(found.places))
        more = terms.sealed_tokens > MOST_GUESSES
        left.caption(
            f"The sealed part of {frame.plain(terms.title)}: "
            + (f"the first {MOST_GUESSES:,} of its {terms.sealed_tokens:,} tokens" if more else "")
            + ("" if more else f"{terms.sealed_tokens:,} tokens")
            + ". The bars are one standard error to either side."
        )
        with right:
            frame.notice(*sentences(found))
        st.dataframe(table(found.places), hide_index=True, key="classroom_challenge_scores", column_config=COLUMNS)
    if found.missing:
        said = " ".join(f"{frame.plain(label)}: the run {frame.plain(why)}." for label, why in found.missing.items())
        st.markdown(f"Left out. {said}")
    if held.opened:
        left_out(held.opened)


def left_out(now: Standings) -> None:
    """Who is not ranked, and why."""
    said = [f"{frame.plain(label)}: the newest run {frame.plain(why)}." for label, why in now.left_out.items()]
    if said:
        st.markdown("Not ranked. " + " ".join(said))
    if now.absent:
        st.caption(f"{now.absent} {'person has' if now.absent == 1 else 'people have'} no run on this text.")


def _left(held: Held) -> None:
    """What is not scored yet, and the teacher's way to go on."""
    chosen, others = unscored(held.tried, sealing.challenge().scores())
    if chosen:
        st.info(f"{len(chosen)} of the chosen runs have not read the sealed part yet.")
    if (chosen or others) and teaching.is_teacher():
        st.button(
            f"Score {len(chosen) + len(others)} more runs",
            key="classroom_challenge_more",
            on_click=_go_on,
            help="The runs that were not chosen show what choosing did. One click scores for a minute at most.",
        )


def _go_on() -> None:
    st.session_state[GO_ON] = True


def table(places: list[Place]) -> pd.DataFrame:
    """A row a person, who is first by validation at the top."""
    rows = pd.DataFrame(
        {
            "who": [place.label for place in places],
            "by validation": [place.by_validation for place in places],
            "on the sealed part": [place.by_sealed for place in places],
            "run": classmates.watch(place.run for place in places),
            "lowest validation loss": [place.validation for place in places],
            "sealed loss": [place.sealed for place in places],
            "standard error": [place.error for place in places],
            "rise": [place.rise for place in places],
            "runs tried": [place.tries for place in places],
            "weights": [place.weights for place in places],
        }
    )
    return rows if "last" in set(rows["weights"]) else rows.drop(columns="weights")


def _alt(places: list[Place]) -> str:
    said = ", ".join(f"{place.label} {place.validation:.2f} and {place.sealed:.2f}" for place in places)
    return f"Validation loss and loss on the sealed part of {len(places)} people, nats a token: {said}."


def sentences(found: Outcome) -> list[str]:
    """What to notice, with the numbers of this class."""
    return [_first(found.places), _rise(found), _why(found)]


def nth(place: int) -> str:
    """A place in words.

    >>> nth(1), nth(2), nth(3), nth(11), nth(22)
    ('first', '2nd', '3rd', '11th', '22nd')
    """
    if place == 1:
        return "first"
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def _first(places: list[Place]) -> str:
    """Where the first two by validation come in, and what chance makes of it: they were named before the seal broke."""
    first, *others = places
    who = frame.plain(first.label)
    if not others:
        return (
            f"{who} alone has a run that counts: {first.validation:.3f} by validation, {first.sealed:.3f} when sealed."
        )
    said = (
        f"{who} is first by validation with {first.validation:.3f}, and "
        f"{nth(first.by_sealed)} of {len(places)} on the sealed part with {first.sealed:.3f}."
    )
    second = others[0]
    gap = apart(first, second)
    said += (
        f" {frame.plain(second.label)}, {nth(second.by_validation)} by validation, is {nth(second.by_sealed)} there "
        f"with {second.sealed:.3f}: {abs(gap.mean):.3f} nats {'less' if gap.mean < 0 else 'more'} ({_chance(gap)})."
    )
    leader = min(places, key=lambda place: place.sealed)
    if leader in (first, second):
        return said
    return (
        f"{said} First there is {frame.plain(leader.label)} with {leader.sealed:.3f}; who is picked as the lowest of "
        f"{len(places)} would pass such a test by luck more often."
    )


def _chance(measured: Measured) -> str:
    """How often chance alone does so much.

    >>> _chance(Measured(0.3, 0.1, 60))
    'standard error 0.100; chance alone does that less than 1 time in 20'
    """
    if not isfinite(measured.error):
        return "too few to judge chance"
    often = "less" if measured.is_clear else "more often"
    return f"standard error {measured.error:.3f}; chance alone does that {often} than 1 time in 20"


def _rise(found: Outcome) -> str:
    """How much validation promised too much, and how much of that is choosing."""
    runs, extra = len(found.places), found.by_choosing
    chosen = (
        f"From validation to the sealed part the mean loss of the {runs} chosen run{'s' * (runs != 1)} "
        f"{_moves(found.rise.mean)}"
    )
    if extra is None:
        return f"{chosen}: the sealed part is other text, and each run's best moment was chosen by validation."
    most = "more" if extra.mean > 0 else "less"
    said = (
        f"{chosen}. A chosen run rises by {abs(extra.mean):.3f} {most} than the mean of its owner's other runs "
        f"({classmates.people(extra.values)}; {_chance(extra)})."
    )
    if extra.mean <= 0:
        return f"{said} Here choosing the lowest has flattered nobody that one could see."
    so = "All read the same two parts, so that points to" if extra.is_clear else "That may be chance, or"
    return f"{said} {so} choosing: the lowest of several scores looks better than it is."


def _moves(by: float) -> str:
    """A change in words.

    >>> _moves(-0.05)
    'falls by 0.050'
    """
    return f"{'falls' if by < 0 else 'rises'} by {abs(by):.3f}"


def _why(found: Outcome) -> str:
    tries = sum(place.tries for place in found.places)
    usual = sum(place.error for place in found.places) / len(found.places)
    return (
        "Why does choosing flatter? A mean over so little text misses a model's true loss by chance, on the sealed "
        f"part by about ±{usual:.3f}. Of the {tries} runs that were tried the lowest scores are kept, and among these "
        "the lucky ones; no run was chosen by the sealed part, so it flatters none."
    )

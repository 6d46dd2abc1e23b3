"""The reproducibility panel: what a run's last digits hang on, and the same run once more to see whether they hold.

Nothing is remembered of a repetition: it is a run of one's own with the same recipe, found among the runs there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from filelock import Timeout

from gptcore import comparison
from gptcore.comparison import Compared
from gptcore.config import GPTConfig, TrainConfig, from_json
from gptcore.estimate import machine_speed, run_seconds
from gptcore.machine import cores
from gptcore.runs import requests, stretches
from gptcore.runs.store import ENDED, Run
from pages._ui import choices, compared, frame, owner, resources, settings, teaching, thread
from pages._ui.compared import Offer
from pages._ui.live import POLL_SECONDS

Recipe = tuple[str, GPTConfig, TrainConfig]
REFUSED = "compare_refused"
SHOWN = 40  # characters of a value
LONG = 120.0  # seconds; from there on a rounded time is told exactly, too
LABELS = {
    "seed": "Seed",
    "threads": "Threads",
    "precision": "Precision",
    "arithmetic": "Arithmetic",
    "python": "Python",
    "torch": "PyTorch",
    "machine": "Machine",
    "processor": "Processor",
    "text_sha256": "Text's SHA-256",
}
WHY = (
    "Digits part where sums are done in another order, because other threads, another processor or another version "
    "round them differently; training then makes the last digit's difference grow from step to step."
)
WHY_REFERENCE = (
    " In a run with the book's digits each evaluation draws random numbers, too: another evaluation interval moves all "
    "later dropout masks."
)


def panel(run: Run, name: str) -> None:
    """Draw the panel of a run.

    Args:
        run: To be repeated.
        name: What it is called.
    """
    st.subheader("Is it the same when it is run again?", anchor=False)
    found = repetition(run)
    live = found is not None and not found[1].has_ended
    again = Offer(f"run {found[0]}", found[1]) if found else None
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.fragment(_look, run_every=POLL_SECONDS if live else None)(Offer(name, run), again)
    with right:
        if not live:
            _offer(run)
        st.caption(WHY + (WHY_REFERENCE if run.train_config.reference else ""))


def repetition(run: Run) -> tuple[int, Run] | None:
    """The newest of one's own runs that has the same recipe, at least up to where the run's end was moved; numbered."""
    mine = _recipe(run)
    wanted = (mine, ((None, mine[0][1]),))
    newest_first = reversed(choices.own_runs().items())
    return next(((number, other) for number, other in newest_first if other != run and _recipe(other) in wanted), None)


def _recipe(run: Run) -> tuple[tuple[int | None, Recipe], ...]:
    """What decides a run's numbers in each of its stretches."""
    config = run.config
    model, sha256 = from_json(GPTConfig, config["model"]), config["text"]["sha256"]
    return tuple((until, comparison.recipe(sha256, model, training)) for until, training in stretches.of(config))


def _alike_until(run: Run, other: Run) -> int | None:
    """The updates of a run that a repetition makes with the same settings; None for all of them."""
    mine = _recipe(run)
    return None if _recipe(other) == mine else mine[0][0]


def _begun(run: Run) -> tuple[int | None, TrainConfig]:
    """The settings that a run was begun with, and where its end was moved, if it was."""
    first = stretches.of(run.config)[0]
    return first.until, first.training


def _look(first: Offer, again: Offer | None) -> None:
    """The verdict, and what the digits hang on; drawn again and again while the repetition is under way."""
    try:
        runs = [compared.look(offer) for offer in (first, again) if offer]
    except FileNotFoundError:  # deleted under our eyes: the whole page finds what is left
        st.rerun()
    if again and isinstance(first.source, Run) and isinstance(again.source, Run):
        until = _alike_until(first.source, again.source)
        _verdict(_up_to(until, runs[0]), runs[1])
        if until is not None:
            st.caption(f"Compared are its first {until:,} updates: then its end was moved.")
    table = pd.DataFrame({run.name: comparison.circumstances(run) for run in runs}, dtype=object)
    st.dataframe(table.map(_say).rename(index=LABELS), key="compare_circumstances")


def _up_to(until: int | None, run: Compared) -> Compared:
    """Only the updates of a run that can be compared."""
    return run if until is None else replace(run, metrics=run.metrics[run.metrics["step"] < until])


def _verdict(one: Compared, other: Compared) -> None:
    """How far the repetition is, and whether its digits hold so far."""
    ended = other.state in ENDED
    if not ended:
        st.caption(f"{other.name.capitalize()} repeats it: {other.state}, {len(other.metrics):,} updates done.")
    if ended or len(other.metrics):
        st.markdown(f"**Verdict.** {verdict(one, other)}")
    if ended and st.session_state.pop("compare_repeating", None) == other.name:
        st.rerun()  # the whole page, so that polling stops
    if not ended:
        st.session_state["compare_repeating"] = other.name


def verdict(one: Compared, other: Compared) -> str:
    """Whether two runs of one recipe are the same, and what is known of why not; as markdown."""
    same = comparison.same_run(one, other)
    names = f"{one.name} and {other.name}"
    said = f"{names[:1].upper()}{names[1:]} are **{comparison.in_words(same)}**."
    if not same.steps:
        return said
    here, there = comparison.circumstances(one), comparison.circumstances(other)
    pairs = {name: (_say(here[name]), _say(there[name])) for name in here if here[name] != there[name]}
    if pairs:
        differ = ", ".join(f"{LABELS[name].lower()} ({' and '.join(pair)})" for name, pair in pairs.items())
        return f"{said} What differs around them: {frame.plain(differ)}."
    return said if same.parts_at is None else f"{said} Nothing that was recorded around them differs."


def _say(value: Any) -> str:
    return "not recorded" if value is None else str(value)[:SHOWN]


def _offer(run: Run) -> None:
    """The button, and what pressing it costs."""
    st.button(
        "Run again and compare",
        icon=":material/replay:",
        key="compare_again",
        on_click=_again,
        args=(run,),
        disabled=not run.has_ended,
    )
    st.caption(_cost(run) if run.has_ended else "It can be run again once it has ended.")
    if refused := st.session_state.pop(REFUSED, None):
        frame.refuse(ValueError(refused))


def _cost(run: Run) -> str:
    """What a repetition takes, said before it is begun."""
    moved_at, begun = _begun(run)
    seconds, took = expected_seconds(run), run.status.get("seconds")
    threads = begun.threads or cores()
    exactly = f" ({seconds:,.0f} s by estimate)" if seconds >= LONG else ", by estimate"
    before = "" if took is None else f" The first time took {settings.in_time(took)}"
    where = ", on another machine" if thread.is_recorded(run) else ""
    if moved_at is not None:
        return (
            f"Its end was moved after {moved_at:,} updates, and where a run ends decides how its rate falls: it is run "
            f"again with the settings that it was begun with, and compared up to there. About "
            f"{settings.in_time(seconds)} here{exactly}."
        )
    return (
        f"The same text, model and settings once more, on {threads} thread{'s' * (threads != 1)}: about "
        f"{settings.in_time(seconds)} here{exactly}.{before and f'{before}{where}.'}"
    )


def expected_seconds(run: Run) -> float:
    """How long a repetition will take here, by ``gptcore.estimate``."""
    shape, (_, config) = resources.run_model_config(run), _begun(run)
    counts = resources.text_counts(run.text.text, shape.context_length, config)
    return run_seconds(shape, config, config.steps or config.epochs * counts.train.batches, machine_speed())


def _again(run: Run) -> None:
    """Queue the same run, and lay it beside the others."""
    try:
        config = teaching.within(_begun(run)[1])
        teaching.check(run.text, run.model_config, config)
        new = requests.submit(thread.store(), run.text, run.model_config, config, owner.name())
    except (ValueError, MemoryError, OSError, Timeout) as error:  # too many wait, no room, or deleted in this instant
        st.session_state[REFUSED] = str(error)
        return
    compared.add(new)

"""The three views beneath a recited text: the extraction test, the share over the run, the share by temperature.

How to read it: ``draw`` chooses; each view is its figure and its sentences, or one sentence where a run lacks what the
view takes. What is left out: the text itself and how it is measured (``recital``).
"""

from __future__ import annotations

import math
from pathlib import Path

import streamlit as st

from gptcore import extraction, recitation, temperatures
from gptcore.figures import recitation as figures
from gptcore.one_step import alone
from gptcore.recitation import Recall
from gptcore.runs.store import Run
from pages._ui import charts, predict, recital, replay, resources
from pages._ui.recital import Rules
from pages._ui.resources import Voice

VIEWS = ("Extraction test", "Over the run", "Temperature")
FROM_WINDOWS, ANYWHERE, UNSEEN = figures.SERIES  # the three ways of the extraction test
GIVEN = 10  # tokens, in the question and in the sentences
MOST_WINDOWS = 40  # that judge the validation loss here

LONGEST = max(extraction.PREFIXES)

Tests = dict[str, list[Recall]]

# A class looks at the same few charts: drawing one takes tens of milliseconds, looking it up takes two.
extraction_bars = st.cache_resource(max_entries=64, show_spinner=False)(figures.extraction_bars)
share_and_gap = st.cache_resource(max_entries=64, show_spinner=False)(figures.share_and_gap)
temperature_bars = st.cache_resource(max_entries=64, show_spinner=False)(figures.temperature_bars)


def draw(view: str, run: Run, state: str, min_tokens: int, length: int, seed: int) -> None:
    """Draw the view that was chosen."""
    speaker = recital.voice(run, state)
    if view == "Over the run":
        _over_the_run(run, min_tokens)
    elif speaker is None:
        st.info(
            f"This takes weights. {recital.name(run)} has no {state} ones here; the recorded small run has both its "
            "best and its last."
        )
    elif view == "Temperature":
        _temperature(run, speaker, min_tokens, seed)
    else:
        _extraction(run, speaker, length)


@st.cache_data(max_entries=64, show_spinner="The model is asked to go on with passages of its text.")
def _tests(folder: Path, speaker: Voice, changed: float, length: int) -> Tests:
    """The extraction test in its three ways, those for which the text is long enough."""
    del changed  # part of the key only
    run = Run(folder)
    model, _ = resources.speak(speaker)
    data = recital.prepared(run)
    stride = run.train_config.stride or run.model_config.context_length
    tests = {}
    for name, ids, every in (
        (FROM_WINDOWS, data.train_ids, stride),
        (ANYWHERE, data.train_ids, 1),
        (UNSEEN, data.validation_ids, 1),
    ):
        prefixes = [prefix for prefix in extraction.PREFIXES if prefix + length <= len(ids)]
        if prefixes:
            begin = extraction.beginnings(len(ids), prefixes[-1] + length, stride=every)
            with alone():
                tests[name] = extraction.extraction(model, ids, begin, prefixes, length, recital.patience())
    return tests


def _extraction(run: Run, speaker: Voice, length: int) -> None:
    """Can it go on with a passage of its text, word for word?"""
    tests = _tests(run.folder, speaker, resources.version(speaker), length)
    _too_short(run, length)
    if FROM_WINDOWS not in tests:
        return
    known = next((recall for recall in tests[FROM_WINDOWS] if recall.prefix == GIVEN), tests[FROM_WINDOWS][-1])
    question = (
        f"It gets the first {known.prefix} tokens of {known.places} windows that it trained on, and always takes its "
        f"likeliest token. How many does it go on with exactly, for {length} tokens?"
    )
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        answered = predict.number(f"memory_{run.id}_{speaker.weights}", question, known.recited)
    hide = right.toggle("Guess first", key="memory_hide", help="Hides the result until you have guessed.")
    if hide and not answered:
        st.caption("The result appears once you have guessed.")
        return
    charts.draw(
        st,
        extraction_bars(tests, length),
        key="memory_extraction",
        alt=f"Given {known.prefix} tokens from a window's beginning it recites {known.recited} of {known.places} "
        f"passages of its training text whole, and gets {known.right:.1f} of {length} tokens right on average.",
    )
    st.markdown(f"{_found(tests, known.prefix)} {_why(run, length)}")
    tested = "; ".join(f"{recalls[0].places} {name.replace(',', '')}" for name, recalls in tests.items())
    st.caption(
        f"Evenly spread places tested: {tested}. Each of the three tests ends after {recital.SECONDS:g} seconds of a "
        "core, with the places tested by then. Above the bars: places recited whole, and the mean number of tokens "
        "right before the first slip."
    )


def _too_short(run: Run, length: int) -> None:
    """Say what a text is too short for."""
    counts = resources.text_counts(run.text.text, run.model_config.context_length, run.train_config)
    for part, tokens in (("training", counts.train_tokens), ("validation", counts.validation_tokens)):
        most = max((prefix for prefix in extraction.PREFIXES if prefix + length <= tokens), default=0)
        if most < LONGEST:
            done = f"the longest prefix here is {most}" if most else "it is left out"
            st.caption(
                f"The {part} text holds {tokens:,} tokens. To give {LONGEST} and ask for {length} takes "
                f"{LONGEST + length}: {done}."
            )


def _found(tests: Tests, prefix: int) -> str:
    """The result in words, for one length of what was given."""
    ways = {
        FROM_WINDOWS: "from the beginning of a training window",
        ANYWHERE: "from anywhere in the same text",
        UNSEEN: "in the validation text, which it never saw",
    }
    results = [
        f"{recall.recited} of {recall.places} {ways[name]}"
        for name, recalls in tests.items()
        for recall in recalls
        if recall.prefix == prefix
    ]
    return f"Passages recited whole, given {prefix} tokens: {'; '.join(results)}."


def _why(run: Run, length: int) -> str:
    """A model that met each token at one place of a window only knows it from there, and only so far."""
    T = run.model_config.context_length
    stride = run.train_config.stride or T
    if stride == 1:
        return "A training window began at every token: to this model all places are beginnings."
    places = math.ceil(T / stride)
    bound = (
        "always stood at the same place of a window, and what it knows by heart is bound to that place."
        if places == 1
        else f"stood at {places} places of a window at most, and what it knows by heart is bound to those."
    )
    why = f"Its windows began every {stride} tokens, so each token {bound}"
    if LONGEST + length <= T:
        return why
    return (
        f"{why} Past {T} tokens, its context, each guess reads the last {T} anew, from where no window began: here a "
        "longer prefix helps less, not more."
    )


def _over_the_run(run: Run, min_tokens: int) -> None:
    """What it copied while it learnt, beside the gap."""
    shares = recital.over_the_run(run, min_tokens)
    if shares.empty:
        st.info(f"This run is {run.status['state']} and has not said anything yet: there is no share to draw.")
        return
    looks = replay.points(replay.curve(run))
    most, last = shares.iloc[int(shares["training"].argmax())], shares.iloc[-1]
    charts.draw(
        st,
        share_and_gap(shares, looks),
        key="memory_over_the_run",
        alt="Share of each sample copied from the training text, at most "
        f"{most['training']:.0%} at step {most['step']:g}, above the gap between the losses.",
    )
    gap = (
        f"At step {looks[-1].step} the gap between its losses is {looks[-1].gap:.2f} nats a token."
        if looks
        else "It has no validation loss, so there is no gap to set beside it."
    )
    st.markdown(
        f"In its last sample, at step {last['step']:g}, {last['training']:.0%} of {last['tokens']:g} tokens stand in "
        f"copied passages, the longest {last['longest']:g} tokens long; {last['validation']:.0%} are found in the "
        f"validation text. {gap}"
    )
    st.caption(
        "Each sample was drawn at temperature 0 while it learnt. A sample is short: small ups and downs are chance."
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _validation_loss(folder: Path, speaker: Voice, changed: float) -> float | None:
    del changed  # part of the key only
    model, _ = resources.speak(speaker)
    ids = recital.prepared(Run(folder)).validation_ids
    with alone():
        return temperatures.validation_loss(model, ids, MOST_WINDOWS)


def _temperature(run: Run, speaker: Voice, min_tokens: int, seed: int) -> None:
    """What temperature changes, and what it leaves as it is."""
    prompt = recital.beginning(run)
    written = {t: recital.write(speaker, prompt, Rules(t, seed, recital.DRAWN)) for t in temperatures.TEMPERATURES}
    texts = {temperature: text for temperature, (text, _) in written.items()}
    table = recitation.by_temperature(texts, prompt, recital.index(run, "training"), min_tokens)
    loss = _validation_loss(run.folder, speaker, resources.version(speaker))
    shares = [
        f"{share:.0%} at temperature {t:g}" for t, share in zip(table["temperature"], table["share"], strict=True)
    ]
    charts.draw(
        st,
        temperature_bars(table, loss),
        key="memory_temperature",
        alt=f"Share copied: {', '.join(shares)}.",
    )
    beside = (
        "Its validation text is too short for one window, so there is no loss to set beside it."
        if loss is None
        else f"Its validation loss is {loss:.2f} nats a token, whatever the temperature: the loss is made of the "
        "model's own probabilities, before any rule of sampling. Sampling changes what it says, not what it knows."
    )
    st.markdown(f"Copied: {shares[0]}, {shares[-1]}. {beside}")
    drawn = [drawn for _, drawn in written.values()]
    st.caption(
        f"{sum(drawn):,} tokens were drawn now, at least {min(drawn)} at each temperature, seed {seed}; a text ends "
        f"after {recital.SECONDS:g} seconds of a core. One text for each temperature: another seed gives other shares."
    )

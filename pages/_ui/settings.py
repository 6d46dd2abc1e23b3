"""The controls of a training run: a preset or a run fills them, the student changes them, TrainConfig checks them.

Steps and learning rate are in sight, the rest stands behind "More" in three groups; every control takes its limits and
its sentence from the field that it sets.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, NamedTuple

import streamlit as st

from gptcore.checked import help_for
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.figures.curves import schedule_figure
from gptcore.schedule import learning_rate
from pages._ui import charts, choices, resources, teaching, thread
from pages._ui.control import among
from pages._ui.kept import kept
from pages._ui.shape import nearest_preset

CHOSEN = "training_preset"
LABELS = {
    "steps": "Steps",
    "epochs": "Epochs",
    "lr": "Learning rate",
    "train_share": "Share of the text",
    "train_fraction": "Training part",
    "context_length": "Context",
    "stride": "Stride",
    "drop_rate": "Dropout",
    "compact_vocab": "Compact vocabulary",
    "batch_size": "Batch size",
    "optimiser": "Optimiser",
    "weight_decay": "Weight decay",
    "warmup_steps": "Warm-up steps",
    "min_lr": "Cosine down to",
    "grad_clip": "Gradient clipping",
    "eval_every": "Eval every",
    "eval_batches": "Eval batches",
    "seed": "Seed",
    "precision": "Precision",
    "reference": "The book's digits",
    "max_minutes": "Minutes at most",
}
GROUPS = {
    "Text and model": ("train_share", "train_fraction", "context_length", "stride", "drop_rate", "compact_vocab"),
    "Learning": ("batch_size", "optimiser", "weight_decay", "warmup_steps", "min_lr", "grad_clip"),
    "The run": ("eval_every", "eval_batches", "seed", "precision", "max_minutes", "reference"),
}
SWITCHES = ("compact_vocab", "reference")
OF_MODEL = ("context_length", "drop_rate")
MOST = {"steps": 100_000, "lr": 10.0}  # of a run that is started from a page
MOST_EXACT = 2**53 - 1  # the largest whole number that a browser counts exactly
NOTES = {
    "julius-caesar": "The source lets the cosine end at 5e-4, above its own peak of 1e-4: a slip. Here it ends at a "
    "tenth of the peak. At full length this run takes hours.",
    "harry-potter": "The size of a run on a novel under copyright: the size is kept, the text is yours. Of its "
    "parameters 99.1 % are dictionary.",
}


class Settings(NamedTuple):
    """What the controls say."""

    model: GPTConfig
    training: TrainConfig


class Source(NamedTuple):
    """What fills the controls.

    Attributes:
        name: What the controls are remembered by: another model's context must not linger in them.
        model: The model to train; context and dropout may be changed here.
        training: The settings; those without a control are taken as they are.
        counts_epochs: Whether its length is counted in epochs, unless the student says otherwise.
        note: What has to be said of it.
    """

    name: str
    model: GPTConfig
    training: TrainConfig
    counts_epochs: bool = False
    note: str = ""


def choose() -> Source:
    """Let what fills the controls be chosen: a preset, the thread's model, or the settings of a run."""
    start = thread.start()
    from_run = [_called(start.name)] if start else []
    sources = [*TRAIN_PRESETS, choices.MY_MODEL, *from_run]
    among(CHOSEN, sources)
    chosen = st.selectbox(
        "Model and settings",
        sources,
        key=CHOSEN,
        help="A preset, or the model chosen in the lesson on parameters with the settings of the preset nearest to it, "
        "or the settings of a run chosen in the lesson on comparing.",
        persist_state="session",
    )
    if start and chosen == _called(start.name):
        return Source(f"start_{start.number}", start.model, start.training, start.training.steps is None)
    if chosen == choices.MY_MODEL:
        mine = thread.model()
        preset = nearest_preset(mine)
        return Source(f"mine_{hash(mine)}", mine, TRAIN_PRESETS[preset], note=NOTES.get(preset, ""))
    return Source(chosen, MODEL_PRESETS[chosen], TRAIN_PRESETS[chosen], note=NOTES.get(chosen, ""))


def _called(name: str) -> str:
    return f"the settings of {name}"


def start_from(name: str, text: Text, model: GPTConfig, training: TrainConfig) -> None:
    """Lay a text and settings ready, so that the training lesson opens with them."""
    thread.start_from(name, text, model, training)
    st.session_state[CHOSEN] = _called(name)


def controls(source: Source) -> Settings:
    """Draw the controls; their values.

    Raises:
        ValueError: Settings that can't be used; the message says why.
    """
    name, model, base, counts_epochs, note = source
    base = teaching.within(base)
    if note:
        st.caption(note)
    length, said = st.container(), {"lr": _control("lr", name, base.lr)}
    more = st.expander("More")
    with more:
        for title, names in GROUPS.items():
            st.markdown(f"**{title}**")
            columns = st.columns(2)
            for index, field in enumerate(names):
                with st.container() if field in SWITCHES else columns[index % 2]:  # a switch's words need the width
                    said[field] = _control(field, name, getattr(model if field in OF_MODEL else base, field))
        unit = st.segmented_control(
            "Count its length in",
            ("steps", "epochs"),
            default="epochs" if counts_epochs else "steps",
            required=True,
            key=f"training_unit_{name}",
        )
    model = replace(model, **{field: said.pop(field) for field in OF_MODEL})
    training = replace(base, **said)
    with length:
        if unit == "epochs":
            training = replace(training, steps=None, epochs=_control("epochs", name, base.epochs))
        else:
            usual = base.steps or min(max(1, updates(Settings(model, training))), 1_000)
            training = replace(training, steps=_control("steps", name, usual))
    settings = Settings(model, training)
    with more:
        _schedule(settings)
    if training.min_lr is not None and training.min_lr > training.lr:
        st.warning(
            f"The cosine ends at {training.min_lr:g}, above its peak of {training.lr:g}: the rate rises where it "
            "should fall. A tenth of the peak is the usual end."
        )
    return settings


def _control(field: str, name: str, value: Any) -> Any:
    """The control that fits a field: a switch, a choice, or a number with the field's own limits."""
    config = GPTConfig if field in OF_MODEL else TrainConfig
    about = next(each for each in fields(config) if each.name == field)
    options: dict[str, Any] = {
        "key": f"training_{field}_{name}",
        "help": help_for(config, field),
        "persist_state": "session",
    }
    if about.type == "bool":
        return st.toggle(LABELS[field], value, **options)
    if choices := about.metadata["choices"]:
        return st.selectbox(LABELS[field], choices, choices.index(value), **options)
    if isinstance(value, int) and value > MOST_EXACT:  # a seed from the command line: it stays as it is
        st.text(f"{LABELS[field]}: {value}")
        return value
    kind: Any = int if str(about.type).startswith("int") else float
    low, high = about.metadata["low"], min(about.metadata["high"], max(MOST.get(field, MOST_EXACT), value or 0))
    if "None" in str(about.type) and field != "steps":  # only a box that is made empty may be emptied again
        st.session_state.setdefault(options["key"], value)
        value = None
    return st.number_input(
        LABELS[field],
        kind(low),
        kind(high),
        None if value is None else kind(value),
        step=None if kind is int else (value or 0.1) / 10,
        format="%d" if kind is int else "%g",
        placeholder="none",
        **options,
    )


def updates(settings: Settings) -> int:
    """How many updates the settings come to with the text of the thread."""
    model, training = settings
    batches = resources.text_counts(thread.text().text, model.context_length, training).train.batches
    return training.steps or training.epochs * batches


def in_time(seconds: float) -> str:
    """A number of seconds as one says it: never more exact than an estimate is."""
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{max(1.0, seconds):,.0f} seconds"


def _schedule(settings: Settings) -> None:
    """The learning rate of every step, before the run."""
    figure, alt = _drawn_schedule(settings.training, max(1, updates(settings)))
    charts.draw(st, figure, key="training_schedule", alt=alt)


@kept(64)
def _drawn_schedule(training: TrainConfig, total: int) -> tuple[Any, str]:
    """The figure of so many steps, and what it shows in words."""
    shown = sorted({round(step * (total - 1) / 200) for step in range(201)})
    rates = [learning_rate(step, total, training) for step in shown]
    words = f"{rates[0]:g} at first, {max(rates):g} at most, {rates[-1]:g} at the end."
    return schedule_figure(shown, rates), f"The learning rate of each step: {words}"

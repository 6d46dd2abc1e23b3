"""Training: a run is launched in a process of its own and watched while it learns."""

import dataclasses
from typing import Any

import streamlit as st

from gptcore import training
from gptcore.batches import prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig, help_for
from gptcore.machine import check_memory
from gptcore.parameters import count_parameters, training_memory
from pages._ui import choices, frame, live, predict, resources, thread
from pages._ui.shape import nearest_preset

LABELS = {
    "steps": "Steps",
    "lr": "Learning rate",
    "batch_size": "Batch size",
    "eval_every": "Eval every",
    "seed": "Seed",
    "compact_vocab": "Compact vocabulary",
    "reference": "The book's digits",
}

frame.lesson("training")


def _settings(name: str, model: GPTConfig) -> TrainConfig:
    """The settings in sight and those behind "More", starting from a preset's.

    Raises:
        ValueError: Settings that can't be used; the message says why.
    """
    base = TRAIN_PRESETS[name]
    counts = resources.text_counts(thread.text().text, model.context_length, base)
    said: dict[str, Any] = {
        "steps": _number(
            "steps", name, 1, 100_000, base.steps or min(max(1, base.epochs * counts.train.batches), 1_000)
        ),
        "lr": _number("lr", name, 0.0, 10.0, base.lr, step=1e-4, format="%.5f"),
    }
    with st.expander("More"):
        for field, low, high in (("batch_size", 1, 512), ("eval_every", 1, 10_000), ("seed", 0, 2**31)):
            said[field] = _number(field, name, low, high, getattr(base, field))
        for field in ("compact_vocab", "reference"):
            said[field] = st.toggle(
                LABELS[field],
                getattr(base, field),
                key=f"training_{field}_{name}",
                help=help_for(TrainConfig, field),
                persist_state="session",
            )
    if base.min_lr is not None:  # the cosine ends at or below its peak, wherever the peak is put
        said["min_lr"] = min(base.min_lr, said["lr"])
    return dataclasses.replace(base, **said)


def _number(field: str, name: str, low: float, high: float, value: float, **options: Any) -> Any:
    return st.number_input(
        LABELS[field],
        low,
        high,
        value,
        key=f"training_{field}_{name}",
        help=help_for(TrainConfig, field),
        persist_state="session",
        **options,
    )


def _submit(model: GPTConfig, config: TrainConfig) -> None:
    """Check everything that can be checked beforehand, then queue the run; it starts within moments."""
    prepare(thread.text(), model, config)
    check_memory(_memory(model, config), "this run")
    thread.follow(thread.store().create(thread.text(), model, config))
    st.rerun()


def _sized(model: GPTConfig, config: TrainConfig) -> GPTConfig:
    """The model as it will be trained: a compact vocabulary has the size that the text gives it."""
    counts = resources.text_counts(thread.text().text, model.context_length, config)
    return dataclasses.replace(model, vocab_size=counts.vocab_size)


def _memory(model: GPTConfig, config: TrainConfig) -> int:
    return sum(training_memory(_sized(model, config), config.batch_size).values())


left, right = st.columns([1, 2.4], gap="medium")
with left:
    choices.text("training")
    chosen = st.selectbox(
        "Model and settings",
        [*TRAIN_PRESETS, choices.MY_MODEL],
        key="training_preset",
        help="A preset, or the model chosen in the lesson on parameters with the settings of the preset nearest to it.",
        persist_state="session",
    )
    mine = chosen == choices.MY_MODEL
    model = thread.model() if mine else MODEL_PRESETS[chosen]
    try:
        config = _settings(nearest_preset(model) if mine else chosen, model)
        counts = resources.text_counts(thread.text().text, model.context_length, config)
        st.caption(
            f"{count_parameters(_sized(model, config)):,} parameters, {counts.train.windows:,} + "
            f"{counts.validation.windows:,} windows of {model.context_length} tokens, about "
            f"{_memory(model, config) / 2**20:,.0f} MiB of memory."
        )
        if st.button("Train", type="primary", icon=":material/play_arrow:", key="training_start", width="stretch"):
            _submit(model, config)
    except (ValueError, MemoryError) as error:
        frame.refuse(error)
with right:
    live.view(thread.run())

run = thread.run()
status = run.status
best = status.get("best")
rows = resources.metrics(run)
later = 0 if best is None else int((rows["val_loss"].notna() & (rows["step"] > best["step"])).sum())
frame.notice(
    f"The best validation loss is {best['val_loss']:.2f}, at step {best['step']}: what the model learnt after that, it "
    "learnt about this text alone."
    if best and later
    else "The validation loss tells how well the model guesses text that it never trains on.",
    "Batches are noisy: each is another piece of text"
    + (", seen with dropout on. Evaluations look with dropout off." if run.model_config.drop_rate else "."),
    f"Step n is the state after update n + 1: each update sees {run.train_config.batch_size} windows of "
    f"{run.model_config.context_length} tokens.",
)
if "untrained" in status:
    first = status["untrained"]["train_loss"]
    lines = resources.reference_lines(run.text.text, run.train_config)
    nearest = min(lines, key=lambda name: abs(lines[name] - first))
    predict.choice(
        "training",
        "Before any update, which line is this run's loss nearest to?",
        [name.rstrip(":") for name in lines],
        nearest.rstrip(":"),
        f"The untrained loss is {first:.2f}, and that line lies at {lines[nearest]:.2f}.",
    )
frame.code_behind(training.train, training.update, training.evaluate)
frame.next_lesson("training")

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

frame.lesson("training")


def _settings(preset: str) -> dict[str, Any]:
    """The settings in sight and those behind "More", starting from a preset's."""
    base = TRAIN_PRESETS[preset]
    counts = resources.text_counts(thread.text().text, MODEL_PRESETS[preset].context_length, base)
    steps = st.number_input(
        "Steps",
        1,
        100_000,
        base.steps or min(max(1, base.epochs * counts.train.batches), 1_000),
        key=f"training_steps_{preset}",
        help=help_for(TrainConfig, "steps"),
    )
    lr = st.number_input(
        "Learning rate",
        0.0,
        10.0,
        base.lr,
        step=1e-4,
        format="%.5f",
        key=f"training_lr_{preset}",
        help=help_for(TrainConfig, "lr"),
    )
    said: dict[str, Any] = {"steps": int(steps), "lr": float(lr)}
    with st.expander("More"):
        for name, low, high in (("batch_size", 1, 512), ("eval_every", 1, 10_000), ("seed", 0, 2**31)):
            said[name] = st.number_input(
                name.replace("_", " ").capitalize(),
                low,
                high,
                getattr(base, name),
                key=f"training_{name}_{preset}",
                help=help_for(TrainConfig, name),
            )
        said["compact_vocab"] = st.toggle(
            "Compact vocabulary",
            base.compact_vocab,
            key=f"training_compact_{preset}",
            help=help_for(TrainConfig, "compact_vocab"),
        )
        said["reference"] = st.toggle(
            "The book's digits",
            base.reference,
            key=f"training_reference_{preset}",
            help=help_for(TrainConfig, "reference"),
        )
    return said


def _submit(model: GPTConfig, config: TrainConfig) -> None:
    """Check everything that can be checked beforehand, then queue the run; it starts within moments."""
    prepare(thread.text(), model, config)
    counts = resources.text_counts(thread.text().text, model.context_length, config)
    shape = dataclasses.replace(model, vocab_size=counts.vocab_size)
    check_memory(sum(training_memory(shape, config.batch_size).values()), "this run")
    thread.follow(thread.store().create(thread.text(), model, config))
    st.rerun()


left, right = st.columns([1, 2.4], gap="medium")
with left:
    choices.text("training")
    names = list(TRAIN_PRESETS)
    preset = st.selectbox("Preset", names, key="training_preset", persist_state="session") or names[0]
    said = _settings(preset)
    try:
        config = dataclasses.replace(TRAIN_PRESETS[preset], **said)
        counts = resources.text_counts(thread.text().text, MODEL_PRESETS[preset].context_length, config)
        shape = dataclasses.replace(MODEL_PRESETS[preset], vocab_size=counts.vocab_size)
        memory = sum(training_memory(shape, config.batch_size).values())
        st.caption(
            f"{count_parameters(shape):,} parameters, {counts.train.windows:,} + {counts.validation.windows:,} windows "
            f"of {shape.context_length} tokens, about {memory / 2**20:,.0f} MiB of memory."
        )
        if st.button("Train", type="primary", icon=":material/play_arrow:", key="training_start", width="stretch"):
            _submit(MODEL_PRESETS[preset], config)
    except (ValueError, MemoryError) as error:
        frame.refuse(error)
with right:
    live.view(thread.run())

run = thread.run()
status = run.status
best = status.get("best")
frame.notice(
    f"The best validation loss so far is {best['val_loss']:.2f}, at step {best['step']}: what a model learns "
    "after that, it learns about this text alone."
    if best
    else "The validation loss tells how well the model guesses text that it never trains on.",
    "Batches are noisy: each is another piece of text, seen with dropout on. Evaluations look with dropout off.",
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

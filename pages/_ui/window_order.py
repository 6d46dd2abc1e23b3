"""The order in which a run meets its windows: shuffled anew for each epoch, by a seed, so that it can be met again."""

from __future__ import annotations

from typing import Any

import streamlit as st

from gptcore.batches import epoch_order
from gptcore.checked import help_for
from gptcore.config import MAX_SEED, TrainConfig
from gptcore.figures.windows import order_figure
from pages._ui import charts
from pages._ui.kept import kept
from pages._ui.window_view import counted

LISTED = 8  # windows of a batch that are named


def section(windows: int, batch_size: int, settings: TrainConfig) -> None:
    """Draw the order of one epoch.

    Args:
        windows: Of the training part, at least one batch.
        batch_size: Windows in a batch; a last one that is not full is left out, as in every run.
        settings: Of the thread's run.
    """
    st.subheader("The order in which a run meets them", anchor=False)
    left, right = st.columns([2, 5], gap="medium")
    with left:
        epoch = st.number_input("Epoch", 1, 1_000_000, 1, key="windows_epoch", persist_state="session")
        seed = st.number_input(
            "Seed",
            0,
            min(MAX_SEED, 2**53 - 1),
            min(settings.seed, 2**53 - 1),
            key="windows_seed",
            help=help_for(TrainConfig, "seed"),
            persist_state="session",
        )
    figure, begins = _drawn(windows, batch_size, seed, epoch)
    batches = windows // batch_size
    first = ", ".join(f"{window + 1:,}" for window in begins)
    more = " and more" if batch_size > LISTED else ""
    with right:
        charts.draw(
            st,
            figure,
            key="windows_order",
            alt=f"Which window stands in which of the {batches:,} batches of epoch {epoch}, shuffled by seed {seed}; "
            f"the first batch takes {first}{more}.",
        )
    named = f"windows {first}{more}" if batch_size > 1 else f"window {first}"
    left_out = windows - batches * batch_size
    st.markdown(
        f"With seed {seed}, epoch {epoch:,} begins with {named}. Read in the order of the text, neighbouring batches "
        "would be about the same scene, and each update would undo a part of the one before."
        + (f" This epoch leaves out {counted(left_out, 'window', 'windows')}, the next one others." if left_out else "")
    )
    st.caption(
        "A run shuffles by its seed and the number of the epoch alone, so evaluations change nothing. The book's "
        "digits follow PyTorch's own generator, in which each dropout mask and each evaluation moves what comes next."
    )


@kept(64)
def _drawn(windows: int, batch_size: int, seed: int, epoch: int) -> tuple[Any, list[int]]:
    """The figure of an epoch's order, and the first windows of its first batch."""
    order = epoch_order(windows, seed, epoch - 1).tolist()
    whole = windows // batch_size * batch_size
    return order_figure(order[:whole], batch_size), order[: min(batch_size, LISTED)]

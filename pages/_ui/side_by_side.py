"""Chosen runs side by side on screen: their curves, what came of them, and what was set differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pandas as pd
import streamlit as st

from gptcore import comparison
from gptcore.baselines import uniform_loss
from gptcore.comparison import Compared, cuts
from gptcore.figures.comparison import AXES, Axis, Shown, comparison_curves
from pages._ui import charts, compared, frame, shape
from pages._ui import settings as controls
from pages._ui.compared import Offer
from pages._ui.kept import kept
from pages._ui.live import POLL_SECONDS

LABELS = controls.LABELS | shape.LABELS | {"text_sha256": "Text's fingerprint", "qkv_bias": "Bias in q, k, v"}
SMALLEST_SHOWN = 0.0005  # nats; less is 0 in three digits
EMPTY = {  # what an empty setting means, where it is not just none
    "steps": "by epochs",
    "epochs": "by steps",
    "stride": "one context",
    "min_lr": "constant rate",
    "sample_prompt": "the text's own",
    "threads": "all",
    "max_minutes": "no limit",
}


def view(chosen: Sequence[Offer]) -> None:
    """Draw the runs; while one of them lives, draw them again and again unless the reader holds them still."""
    left, middle, right = st.columns([3, 4, 2], vertical_alignment="center")
    shown: Shown = left.segmented_control(
        "Curves",
        get_args(Shown),
        default="both",
        required=True,
        format_func=str.capitalize,
        key="compare_shown",
        label_visibility="collapsed",
        persist_state="session",
    )
    x: Axis = middle.segmented_control(
        "Count along the axis in",
        list(AXES),
        default="step",
        required=True,
        format_func=AXES.__getitem__,
        key="compare_axis",
        label_visibility="collapsed",
        persist_state="session",
    )
    live = compared.is_live(chosen) and right.toggle("Live", value=True, key="compare_live")
    st.fragment(_look, run_every=POLL_SECONDS if live else None)(chosen, x, shown)


def _look(chosen: Sequence[Offer], x: Axis, shown: Shown) -> None:
    runs = compared.side_by_side(chosen)
    if len(runs) < len(chosen):  # deleted under our eyes: the whole page finds others
        st.rerun()
    found, settings = _compared(tuple(runs))
    _figure(runs, x, shown, _in_words(found, shown))
    _judged(runs)
    _results(found)
    if len(runs) > 1:
        _settings(settings)
        best = _best(found) if comparison.are_judged_alike(runs) else []
        frame.notice(_cause(comparison.causes(settings)), *best)
    live = compared.is_live(chosen)
    if st.session_state.get("compare_watched") and not live:
        st.session_state["compare_watched"] = False
        st.rerun()  # the whole page, so that polling stops
    st.session_state["compare_watched"] = live


def _figure(runs: Sequence[Compared], x: Axis, shown: Shown, alt: str) -> None:
    figure = _curves(tuple(runs), x, shown)
    camera = {"format": st.session_state.get("compare_image", "svg"), "filename": "runs-compared"}
    config = {"displaylogo": False, "toImageButtonOptions": camera}
    charts.draw(st, figure, key="compare_curves", config=config, alt=alt)
    if missing := [run.name for run in runs if x not in run.metrics]:
        st.text(f"Not drawn, because no times were recorded: {', '.join(missing)}")


@kept(64)  # a class looks at the same few
def _compared(runs: tuple[Compared, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What came of the runs, and the settings in which they differ."""
    return comparison.results(runs), comparison.differences(runs)


@kept(64)  # drawing one takes tens of milliseconds
def _curves(runs: tuple[Compared, ...], x: Axis, shown: Shown) -> Any:
    return comparison_curves(compared.evaluated(runs), _vocabularies(runs), x, shown)


def _in_words(found: pd.DataFrame, shown: Shown) -> str:
    what = "Training and validation loss" if shown == "both" else f"{shown.capitalize()} loss"
    ends = [
        f"{row['run']} ends at {row['train_loss']:.2f} and {row['val_loss']:.2f}"
        for row in found.to_dict("records")
        if pd.notna(row["train_loss"]) and pd.notna(row["val_loss"])
    ]
    return f"{what} of {len(found)} runs. " + "; ".join(ends)


def _vocabularies(runs: Sequence[Compared]) -> list[int]:
    return sorted({run.model.vocab_size for run in runs})


def _judged(runs: Sequence[Compared]) -> None:
    """What stands in the way of a comparison."""
    sizes = _vocabularies(runs)
    if len(sizes) > 1:
        guesses = " and ".join(f"ln {size:,} = {uniform_loss(size):.2f}" for size in sizes)
        st.warning(
            f"Losses of different vocabularies can't be compared: a blind guess among their tokens costs {guesses} "
            "nats. Compare each curve with its own dotted line."
        )
    if len({(run.sha256, *cuts(run)) for run in runs}) > 1:
        st.warning("These runs are judged by different validation texts: one of them may simply be easier to guess.")


def _results(found: pd.DataFrame) -> None:
    st.markdown("**What came of them**, losses in nats a token")
    number = st.column_config.NumberColumn
    st.dataframe(
        found.dropna(axis="columns", how="all"),
        hide_index=True,
        key="compare_results",
        column_config={
            "run": "Run",
            "best_validation": number("Best validation", format="%.3f"),
            "best_step": number("at step", format="localized"),
            "train_loss": number("Last training", format="%.3f", help="In evaluation mode: without dropout."),
            "val_loss": number("Last validation", format="%.3f"),
            "updates": number("Updates", format="localized"),
            "seconds": number("Seconds", format="%.1f", help="On the machine that it ran on; not kept of a curve."),
            "tokens_a_second": number("Tokens/s", format="%.0f"),
            "state": "State",
        },
    )


def _settings(table: pd.DataFrame) -> None:
    if table.empty:
        st.markdown("**What was set differently**: nothing. Every setting, the text and the seed are the same.")
        return
    st.markdown("**What was set differently**, and nothing else")
    said = pd.DataFrame(
        [[_say(str(name), value) for value in row] for name, row in zip(table.index, table.to_numpy(), strict=True)],
        columns=table.columns,
        index=[label(str(name)) for name in table.index],
    )
    st.dataframe(said, key="compare_settings")


def label(name: str) -> str:
    """A setting as its control is called."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _say(name: str, value: Any) -> str:
    """A setting's value as one reads it."""
    if value is None:
        return EMPTY.get(name, "none")
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) and name != "seed" else str(value)


def _best(found: pd.DataFrame) -> list[str]:
    """How far apart the best moments of the runs are, where two or more have one."""
    bests = found.dropna(subset="best_validation").sort_values("best_validation")
    if len(bests) < 2:
        return []
    first, last = bests.iloc[0], bests.iloc[-1]
    behind = last["best_validation"] - first["best_validation"]
    if behind < SMALLEST_SHOWN:
        return [f"At its best each of them has a validation loss of {first['best_validation']:.3f} nats a token."]
    worse = f"the best moment of {frame.plain(last['run'])} is {behind:.3f} nats worse."
    best = f"with a validation loss of {first['best_validation']:.3f} nats a token at step {first['best_step']:,}"
    return [f"Best of all is {frame.plain(first['run'])}, {best}; {worse}"]


def _cause(names: Sequence[str]) -> str:
    """What the differences between the curves may come from."""
    if not names:
        return "They differ in nothing that was set: whatever differs between the curves comes from the machine."
    if names == ["seed"]:
        return "They differ in their seed alone: what lies between the curves is chance."
    if len(names) == 1:
        return (
            f"They differ in one setting alone, {label(names[0]).lower()}: what lies between the curves comes from it, "
            "or from chance. The recorded seeds show how much chance can do."
        )
    return (
        f"They differ in {len(names)} settings: no curve tells which of them made the difference. To learn that, "
        "change one at a time."
    )

"""What makes it fast: each technique's recorded gain, and a race that a student starts here.

How to read it: ``card`` is what the training lesson draws, folded away behind its title. Nothing of it is drawn before:
a table alone takes two megabytes of script.
"""

from __future__ import annotations

import streamlit as st

from gptcore import techniques
from gptcore.race import Race, race
from pages._ui import frame

BOX, HELD = "made_fast_box", "made_fast_race"


@st.fragment
def card() -> None:
    """Draw the card."""
    box = st.expander("What makes it fast?", icon=":material/speed:", key=BOX, on_change="rerun")
    if not box.open:
        return
    with box:
        _gains()
        st.markdown(
            "**Race.** One small model with GPT-2's vocabulary is trained twice from the same weights on the same "
            "batch: by the plain loop, as a textbook writes it, and by the one that runs here use."
        )
        if st.button("Run the race here", icon=":material/flag:", key="made_fast_run"):
            st.session_state[HELD] = race()
        if (seen := st.session_state.get(HELD)) is not None:
            _result(seen)


def _gains() -> None:
    """The recorded table, and what stands out in it."""
    date, about, gains = techniques.recorded()
    st.dataframe(
        {
            "technique": [gain.name for gain in gains],
            "times quicker": [round(gain.times, 2) for gain in gains],
            "plain, ms": [round(gain.plain, 2) for gain in gains],
            "quick, ms": [round(gain.quick, 2) for gain in gains],
            "what it changes": [gain.changes for gain in gains],
        },
        hide_index=True,
        width="stretch",
        key="made_fast_table",
    )
    slower = [gain for gain in gains if gain.times < 1]
    st.caption(
        f"Recorded on {date}, on one core ({frame.plain(about['processor'])}), PyTorch {about['torch']}. Each line "
        "is a task of its own, so the gains don't multiply."
        + "".join(
            f" {gain.name} cost time there, {1 / gain.times:.1f} times as much: that processor multiplies no "
            "quicker in it. Others do."
            for gain in slower
            if "bfloat16" in gain.name
        )
    )


def _result(seen: Race) -> None:
    """What came out: the same losses, in different times."""
    st.dataframe(
        {
            "update": list(range(1, len(seen.plain) + 1)),
            "plain loss": [lap.loss for lap in seen.plain],
            "quick loss": [lap.loss for lap in seen.quick],
            "plain, ms": [1e3 * lap.seconds for lap in seen.plain],
            "quick, ms": [1e3 * lap.seconds for lap in seen.quick],
        },
        column_config={
            **{name: st.column_config.NumberColumn(format="%.6f") for name in ("plain loss", "quick loss")},
            **{name: st.column_config.NumberColumn(format="%.1f") for name in ("plain, ms", "quick, ms")},
        },
        hide_index=True,
        width="stretch",
        key="made_fast_laps",
    )
    apart = max(abs(one.loss - other.loss) for one, other in zip(seen.plain, seen.quick, strict=True))
    plain, quick = (1e3 * sum(lap.seconds for lap in laps) for laps in (seen.plain, seen.quick))
    count = len(seen.quick)
    frame.notice(
        f"The quick loop took {quick:.0f} ms of a core for {count} {'update' if count == 1 else 'updates'} of "
        f"{seen.tokens} tokens, the plain one {plain:.0f} ms: {seen.times:.1f} times as long.",
        f"Their losses are at most {apart:.1g} nats apart: it is the same learning.",
    )

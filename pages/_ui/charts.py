"""Every chart of the program is drawn here, so that each can be taken home: its picture, and its numbers.

A picture is made in the browser, by the camera in a chart's own bar of tools. Numbers are written down when they are
asked for: figures are kept only while the box that offers them is open.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from gptcore.figures import numbers

BOX, DRAWN, FORMAT = "charts_box", "charts_drawn", "charts_format"
FORMATS = ("svg", "png")
PNG_SCALE = 3  # pixels for one of the screen: enough for print


def begin() -> None:
    """Forget the charts of the page before."""
    st.session_state[DRAWN] = {}


def draw(where: Any, figure: Any, *, key: str, config: dict[str, Any] | None = None, **rest: Any) -> Any:
    """Draw a chart, with a camera that names its picture after it.

    Args:
        where: ``st``, or a column or container.
        figure: From gptcore.figures.
        key: The chart's name, unique on its page.
        config: What else is to be set of Plotly's.
        rest: As for ``st.plotly_chart``.
    """
    camera = {
        "format": st.session_state.get(FORMAT, FORMATS[0]),
        "filename": f"glassbox-{key.replace('_', '-')}",
        "scale": PNG_SCALE,
    }
    if st.session_state.get(BOX):
        st.session_state.setdefault(DRAWN, {})[key] = figure
    chosen = {"displaylogo": False, "toImageButtonOptions": camera} | (config or {})
    return where.plotly_chart(figure, key=key, config=chosen, **rest)


def take_home() -> None:
    """Offer the numbers of each chart on this page, and say how its picture is kept."""
    box = st.expander("Take these charts home", icon=":material/download:", key=BOX, on_change="rerun")
    if not box.open:
        return
    drawn: dict[str, Any] = st.session_state.get(DRAWN, {})
    with box:
        st.segmented_control(
            "Pictures are kept as",
            FORMATS,
            default=FORMATS[0],
            required=True,
            format_func=str.upper,
            key=FORMAT,
            persist_state="session",
        )
        st.caption(
            "Hold the pointer over a chart: the camera at its upper right keeps the picture, in the colours of "
            "the page and without a background. For paper choose the light theme first."
        )
        with st.container(horizontal=True):
            for key in drawn:
                st.download_button(
                    f"Numbers of “{key.replace('_', ' ')}” (CSV)",
                    partial(_numbers, drawn, key),
                    file_name=f"glassbox-{key.replace('_', '-')}.csv",
                    mime="text/csv",
                    key=f"charts_csv_{key}",
                    on_click="ignore",
                )


def _numbers(drawn: dict[str, Any], key: str) -> bytes:
    """Write down what a chart draws in the moment in which it is asked for."""
    return numbers.as_csv(drawn[key])

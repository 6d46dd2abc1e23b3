"""The least that a page of so many elements can cost: each of its kind, and each as small as it can be.

How to read it: run by ``reruns`` as a program of its own, ``streamlit run benchmarks/plain_page.py``; its address says
how many there are to be of each kind, by the names that Streamlit's messages have. What is left out: anything of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st


@st.cache_resource(max_entries=1)
def _figure() -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2, 3], y=[1, 2, 3]))


@st.cache_resource(max_entries=1)
def _frame() -> pd.DataFrame:
    return pd.DataFrame({"one": [1], "two": [2.0]})


_component = st.components.v2.component("plain", html="<i></i>", js="export default () => {}")

ELEMENTS: dict[str, Callable[[str], Any]] = {
    "bidi_component": lambda key: _component(data={"one": 1}, key=key),
    "button": lambda key: st.button("one", key=key),
    "button_group": lambda key: st.segmented_control("one", ["a", "b"], key=key),
    "checkbox": lambda key: st.toggle("one", key=key),
    "code": lambda _: st.code("one"),
    "dataframe": lambda key: st.dataframe(_frame(), key=key),
    "download_button": lambda key: st.download_button("one", b"one", key=key, on_click="ignore"),
    "heading": lambda _: st.header("one", anchor=False),
    "markdown": lambda _: st.markdown("one"),
    "metric": lambda _: st.metric("one", 1),
    "multiselect": lambda key: st.multiselect("one", ["a", "b"], key=key),
    "number_input": lambda key: st.number_input("one", key=key),
    "page_link": lambda _: st.page_link("https://example.org", label="one"),
    "plotly_chart": lambda key: st.plotly_chart(_figure(), key=key),
    "radio": lambda key: st.radio("one", ["a", "b"], key=key),
    "selectbox": lambda key: st.selectbox("one", ["a", "b"], key=key),
    "slider": lambda key: st.slider("one", key=key),
    "table": lambda _: st.table(_frame()),
    "text_area": lambda key: st.text_area("one", key=key),
    "text_input": lambda key: st.text_input("one", key=key),
    "block": lambda _: st.container(),
}

st.title("A plain page", anchor=False)
for kind, number in st.query_params.to_dict().items():
    draw = ELEMENTS.get(kind, lambda _: st.text("one"))
    for place in range(int(number)):
        draw(f"{kind}_{place}")

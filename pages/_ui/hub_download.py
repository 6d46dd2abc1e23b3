"""A download from the hub as a student sees it: one for everybody, with its progress, its end, and a way to stop it."""

from __future__ import annotations

import streamlit as st

from gptcore import hub
from gptcore.config import Precision
from gptcore.footprint import check_fits
from gptcore.hub_errors import HubError
from gptcore.hub_models import HubModel
from gptcore.safetensors_file import WeightsError
from pages._ui import frame

POLL_SECONDS = 1.0
MB = 1_000_000


def offer(model: HubModel, precision: Precision) -> None:
    """Offer a download, or show the one under way; a model that would not fit is refused before anything is fetched."""
    try:
        check_fits(model.config, precision, model.title)
    except WeightsError as error:
        frame.refuse(error)
        return
    current = hub.under_way(model)
    polls = current is not None and not current.has_ended
    st.fragment(_watch, run_every=POLL_SECONDS if polls else None)(model)


def _watch(model: HubModel) -> None:
    current = hub.under_way(model)
    if model.is_here:
        st.rerun()
    if current is None or current.has_ended:
        _ended(model, current)
    else:
        _under_way(current)


def _ended(model: HubModel, last: hub.Download | None) -> None:
    """Nothing is on its way: why not, and a button that changes it."""
    label = "Download"
    if last is not None and last.state == "failed":
        frame.refuse(HubError(last.reason))
        label = "Try again"
    elif last is not None and last.state == "stopped":
        st.caption(f"Stopped; {last.received / MB:,.0f} MB are here, and it goes on from there.")
        label = "Go on"
    if st.button(label, icon=":material/download:", key=f"pretrained_download_{model.key}"):
        hub.fetch(model.key)
        st.rerun()  # the whole page, so that it is looked at again and again
    st.caption(f"From {model.repository} on the Hugging Face hub, once for everybody on this server.")


def _under_way(current: hub.Download) -> None:
    total, received = current.total, current.received
    said = {
        "asking": "asking the hub",
        "loading": f"{received / MB:,.1f} of {total / MB:,.1f} MB",
        "checking": "all is here; its hash is being checked",
    }
    st.progress(received / total if total else 0.0, "stopping" if current.is_stopping else said.get(current.state, ""))
    if st.button(
        "Stop",
        icon=":material/stop_circle:",
        key=f"pretrained_stop_{current.model.key}",
        disabled=current.is_stopping,
        help="It ends for everybody; what has arrived is kept.",
    ):
        current.stop()
        st.rerun()

"""Take it home: a run as one file, and its notebooks, made only when someone asks for them.

The expander is closed at first, and nothing in it is drawn then. A button holds no file: what it offers is built when
it is pressed, so that looking at a run costs nothing.
"""

from __future__ import annotations

import io
from functools import partial

import streamlit as st

from gptcore.runs.store import Run
from gptcore.takehome import archive
from pages._ui import thread

MOST_WEIGHTS = 32 * 2**20  # bytes: a file that is handed out lies in the server's memory, and a class asks together


def offer(run: Run) -> None:
    """Draw the expander of a run."""
    box = st.expander("Take it home", icon=":material/home_storage:", key="take_home", on_change="rerun")
    if not box.open:
        return
    with box:
        st.markdown(_why(run))
        _button("The whole run", run, "run.zip", primary=True)
        st.caption(_what(run))
        with st.container(horizontal=True):
            _button("Notebook that trains it again", run, "reproduce.ipynb")
            _button("The same as a script", run, "reproduce.py")
            _button("Notebook with four gaps", run, "gaps.ipynb")
        st.caption(
            "They run on any machine with PyTorch and tiktoken, on Kaggle or Colab, too. All their code is cut out of "
            "this program's own source. The gaps are the mask, the loss, top-k and temperature; each has its check."
        )


def _why(run: Run) -> str:
    """What may become of a run here."""
    if thread.is_recorded(run):
        return "**This run comes with the program.** Your own runs are kept only as long as this server's disk is."
    return (
        "**This server may forget.** A server in the cloud loses its disk when it restarts, and your run with it: take "
        "it with you."
    )


def _what(run: Run) -> str:
    """What is in the file, and what is not."""
    size = archive.weights_size(run)
    if size is None:
        weights = "there are no weights to go with it"
    elif size > MOST_WEIGHTS:
        weights = (
            f"its weights, {size / 2**20:,.0f} MiB, stay here: more than the {MOST_WEIGHTS / 2**20:,.0f} MiB that are "
            "handed out at once"
        )
    else:
        weights = f"its best weights ({size / 2**20:,.1f} MiB)"
    return (
        f"A zip with its settings, the losses of each update, its samples and its text; {weights}; the notebooks; and "
        "a page that says what each file is."
    )


def _button(label: str, run: Run, name: str, *, primary: bool = False) -> None:
    stem, _, suffix = name.partition(".")
    st.download_button(
        label,
        partial(_build, run, name),
        file_name=archive.file_name(run, f".{suffix}" if primary else f"-{stem}.{suffix}"),
        mime="application/zip" if primary else "text/x-python" if suffix == "py" else "application/x-ipynb+json",
        icon=":material/download:",
        type="primary" if primary else "secondary",
        key=f"take_home_{stem}_{suffix}",
        on_click="ignore",
    )


def _build(run: Run, name: str) -> bytes:
    """Make one file, in the moment in which it is asked for."""
    if name != "run.zip":
        return archive.documents(run)[name]().encode()
    packed = io.BytesIO()
    archive.write(run, packed, MOST_WEIGHTS)
    return packed.getvalue()

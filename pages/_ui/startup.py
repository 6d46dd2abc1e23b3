"""What happens once per server: PyTorch is imported behind the first page, and the dispatcher starts.

Importing PyTorch takes a second or two and would delay the first page, so a thread does it afterwards. Then memory is
frozen: with PyTorch's objects a collection of garbage costs 120 ms, and 10 ms once they are put aside. Streamlit would
collect after every rerun; ``.streamlit/config.toml`` leaves that to Python.
"""

from __future__ import annotations

import functools
import gc
import logging
import threading
import time

import streamlit as st

from gptcore.paths import runs_home
from gptcore.runs.dispatcher import Dispatcher

LOGGER = logging.getLogger(__name__)
PROGRESS_SECONDS = 1.0  # between two lines of progress while a page waits

_begun = threading.Lock()
_torch_is_here = threading.Event()


def put_aside() -> None:
    """Take what is in memory now out of every later garbage collection."""
    gc.collect()
    gc.freeze()


@functools.cache
def put_optimiser_aside() -> None:
    """The same once more, after the first update in this process: for it PyTorch imports another 116,000 objects."""
    put_aside()


def _import_and_freeze() -> None:
    from gptcore import library  # brings PyTorch and all of gptcore

    library.take_one_core()  # the others belong to training runs
    put_aside()
    _torch_is_here.set()
    try:
        Dispatcher(runs_home()).start()  # only now: its processes import PyTorch, too, and would slow this down
    except ValueError as error:  # what the environment says of other machines is refused; the pages work without
        LOGGER.error("no run can be trained: %s", error)  # noqa: TRY400  (a sentence for whoever started it)


def begin() -> None:
    """Start what has to be started, at the first call; any other call returns at once."""
    if _begun.acquire(blocking=False):
        threading.Thread(target=_import_and_freeze, name="import-torch", daemon=True).start()


def torch_is_here() -> bool:
    """Whether models can be run without waiting."""
    return _torch_is_here.is_set()


def wait_for_torch() -> None:
    """Hold a page that needs PyTorch, with a line that says so."""
    begin()
    line = st.empty()  # at every run, needed or not: else all that follows would change its place after the first
    if not _torch_is_here.is_set():
        began = time.monotonic()
        line.caption(loading(0.0))
        while not _torch_is_here.wait(PROGRESS_SECONDS):
            line.caption(loading(time.monotonic() - began))
        line.empty()


def loading(seconds: float) -> str:
    """The line of progress after a cold start, when a page has waited so many seconds."""
    if seconds < PROGRESS_SECONDS:
        return "PyTorch is being loaded; the first page after a start waits two seconds for it."
    return (
        f"PyTorch is being loaded: {seconds:.0f} seconds so far. It happens once, at the start; on a small server it "
        "takes longer. This page goes on by itself."
    )

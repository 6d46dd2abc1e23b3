"""Which process trains a run: written down so that another server finds it again, and never a stranger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psutil

from gptcore.runs.store import Run

SAME_SECONDS = 1.0  # two times of birth that lie closer are one


def _age_of_boot(process: psutil.Process) -> float:
    """When a process was born, in seconds after the machine: a clock that is set does not change it."""
    return process.create_time() - psutil.boot_time()


def describe(process: psutil.Process) -> dict[str, float]:
    """What tells a process from any other: its number, which is given again, and its birth."""
    return {"pid": process.pid, "born": _age_of_boot(process)}


def find(about: Mapping[str, Any]) -> psutil.Process:
    """The process that was described.

    Raises:
        psutil.Error: It is gone.
    """
    process = psutil.Process(int(about["pid"]))
    if abs(_age_of_boot(process) - about["born"]) > SAME_SECONDS:
        raise psutil.NoSuchProcess(process.pid, msg="its number was given to another process")
    return process


def is_gone(about: Mapping[str, Any]) -> bool:
    """Whether the process that was described works no more; one that waits to be buried does not."""
    try:
        return bool(find(about).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def is_elsewhere(run: Run) -> bool:
    """Whether a process of another machine took the run up last."""
    return "machine" in (run.status.get("process") or {})


def process_of(run: Run) -> psutil.Process:
    """The process of this machine that took a run up last.

    Raises:
        psutil.Error: It is gone, or no process of this machine has taken the run up.
    """
    about = run.status.get("process")
    if about is None or "pid" not in about:
        raise psutil.NoSuchProcess(pid=-1, msg="no process of this machine has taken this run up")
    return find(about)

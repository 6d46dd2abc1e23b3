"""What this machine can spare, cores and memory, as a container or a cloud service limits them; and what it is."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
CPU_INFO = Path("/proc/cpuinfo")
MIB = 2**20


def cores(cgroup: Path = CGROUP_QUOTA) -> int:
    """Processor cores that this process may use: those that it may run on, or fewer where a container gets less time.

    Args:
        cgroup: The file in which Linux says how many microseconds a container may compute, and in how many; "max"
            means no limit of its own.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, _, period = cgroup.read_text(encoding="ascii").strip().partition(" ")
    except OSError:  # no such limits on this system
        return there
    return min(there, max(1, int(quota) // int(period))) if quota.isdigit() and period.isdigit() else there


def memory_limit(cgroup: Path = CGROUP_LIMIT) -> int:
    """Bytes that all of this program's processes may hold together: the container's limit, or else the memory there is.

    ``$GPTCORE_MEMORY_MIB`` may ask for less, on a machine that is shared with other programs.

    Args:
        cgroup: The file in which Linux says how much a container may use; "max" means no limit of its own.
    """
    total = psutil.virtual_memory().total
    asked = os.environ.get("GPTCORE_MEMORY_MIB", "")
    if asked.isdigit():
        total = min(int(asked) * MIB, total)
    try:
        limit = cgroup.read_text(encoding="ascii").strip()
    except OSError:  # no such limits on this system
        return total
    return min(int(limit), total) if limit.isdigit() else total


def check_memory(needed: int, what: str) -> None:
    """Refuse, before anything is allocated, what can't fit.

    Raises:
        MemoryError: The sum and the limit, in a sentence.

    >>> check_memory(2**60, "this run")
    Traceback (most recent call last):
    ...
    MemoryError: this run needs 1,099,511,627,776 MiB of ... MiB: choose a smaller model, context or batch
    """
    limit = memory_limit()
    if needed > limit:
        raise MemoryError(
            f"{what} needs {needed // MIB:,} MiB of {limit // MIB:,} MiB: choose a smaller model, context or batch"
        )


@cache
def processor(cpu_info: Path = CPU_INFO) -> str:
    """The processor's name, as far as the system tells it: two kinds may round a sum differently.

    Args:
        cpu_info: The file in which Linux describes each core.
    """
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no such file on this system
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """What a run's last digits may hang on: Python, PyTorch, and the machine."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "machine": platform.machine(),
        "processor": processor(),
    }

"""Locks that refuse in a sentence: what a file lock itself says, when it was waited for in vain, names a path.

How to read it: ``held`` is all of it. What is left out: locks for which nobody waits, as a run's own where it is only
asked whether a process holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout


@contextmanager
def held(lock: FileLock, refusal: Exception) -> Iterator[None]:
    """Hold a lock, or raise the refusal where it does not come free in time."""
    try:
        lock.acquire()
    except Timeout as error:
        raise refusal from error
    try:
        yield
    finally:
        lock.release()

"""What a function answered, kept for all students without a look at what it was asked with.

Streamlit's own caches hash each argument anew at every call, field by field: half a millisecond for a run's settings,
more for a text, and a page asks a dozen times. Here the arguments themselves are the key. What is left out: copies
(an answer is shared by everybody, to be read and never changed), and arguments that can't be a key, such as a frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _Answer(Generic[R]):
    """One answer, found by whoever asks first; the others wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: list[R] = []

    def get(self, find: Callable[[], R]) -> R:
        with self.lock:
            if not self.found:
                self.found.append(find())
            return self.found[0]


def kept(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep a function's answers, at most so many: those asked for last.

    >>> @kept(2)
    ... def double(x: int) -> int:
    ...     print("counting")
    ...     return 2 * x
    >>> double(4), double(4)
    counting
    (8, 8)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        answers: Callable[..., _Answer[Any]] = lru_cache(most)(lambda *_, **__: _Answer())
        one_by_one = threading.Lock()  # else two who ask first would each get an answer of their own

        @wraps(function)
        def ask(*args: P.args, **kwargs: P.kwargs) -> R:
            with one_by_one:
                answer: _Answer[R] = answers(*args, **kwargs)
            return answer.get(lambda: function(*args, **kwargs))

        return ask

    return decorate

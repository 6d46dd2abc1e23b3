"""Loaded models that all students share: each is loaded once, kept while it is used, and bounded by bytes.

How to read it: ``take`` is all. Who asks first loads; who asks meanwhile waits for that; what nobody has asked for in a
while is let go, and so are the models longest unused once all together are too large.

What is left out: what the things are. A model that a page still holds in its hands lives until the page is drawn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
IDLE_SECONDS = 600.0


@dataclass
class _Place(Generic[T]):
    """Where one thing stands: empty until it is loaded, and again when it could not be."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    thing: T | None = None
    size: int = 0
    used: float = 0.0


class Shelf(Generic[T]):
    """Things by their key.

    Args:
        most_bytes: What all together may hold; the one asked for last is kept whatever its size.
        idle_seconds: After how long without use a thing is let go.

    >>> shelf = Shelf[str](most_bytes=lambda: 10)
    >>> [shelf.take(key, lambda: (key.upper(), 4)) for key in "abca"], sorted(shelf.keys())
    (['A', 'B', 'C', 'A'], ['a', 'c'])
    """

    def __init__(self, most_bytes: Callable[[], int], idle_seconds: float = IDLE_SECONDS) -> None:
        self._most_bytes = most_bytes
        self._idle_seconds = idle_seconds
        self._places: dict[Hashable, _Place[T]] = {}
        self._lock = threading.Lock()
        self._alarm: threading.Timer | None = None

    def keys(self) -> list[Hashable]:
        """What stands here now."""
        with self._lock:
            return [key for key, place in self._places.items() if place.thing is not None]

    def things(self) -> list[T]:
        """All that stands here now."""
        with self._lock:
            return [place.thing for place in self._places.values() if place.thing is not None]

    def held(self) -> int:
        """Bytes of all that stands here."""
        with self._lock:
            return sum(place.size for place in self._places.values() if place.thing is not None)

    def take(self, key: Hashable, load: Callable[[], tuple[T, int]]) -> T:
        """The thing of this key, loaded if it is not here.

        Args:
            key: Names it; another version needs another key.
            load: Makes it and says how many bytes it holds. Its errors are the caller's; nothing is kept then.
        """
        with self._lock:
            place = self._places.setdefault(key, _Place())
        with place.lock:
            if place.thing is None:
                place.thing, place.size = load()
            thing, place.used = place.thing, time.monotonic()
        self._make_room(key)
        return thing

    def _make_room(self, key: Hashable) -> None:
        with self._lock:
            now = time.monotonic()
            loaded = {name: place for name, place in self._places.items() if place.thing is not None}
            held = sum(place.size for place in loaded.values())
            for name, place in sorted(loaded.items(), key=lambda item: item[1].used):
                too_old = now - place.used >= self._idle_seconds
                if name != key and (held > self._most_bytes() or too_old):
                    held -= place.size
                    del self._places[name]
            if self._alarm is None and self._places:
                self._alarm = threading.Timer(self._idle_seconds, self._look_again)
                self._alarm.daemon = True
                self._alarm.start()

    def _look_again(self) -> None:
        with self._lock:
            self._alarm = None
        self._make_room(None)

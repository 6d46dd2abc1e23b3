"""Shared models: loaded once, bounded by bytes, let go when nobody asks."""

from __future__ import annotations

import threading
import time

import pytest

from gptcore.shelf import Shelf


def test_two_students_who_ask_at_once_wait_for_one_load() -> None:
    shelf, loads, got = Shelf[object](most_bytes=lambda: 100), [], []

    def load() -> tuple[object, int]:
        loads.append(1)
        time.sleep(0.05)
        return object(), 10

    threads = [threading.Thread(target=lambda: got.append(shelf.take("model", load))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(set(map(id, got))) == 1


def test_what_was_longest_unused_makes_room_and_the_newest_stays_whatever_its_size() -> None:
    shelf = Shelf[str](most_bytes=lambda: 10)
    for key in ("a", "b", "a", "c"):
        shelf.take(key, lambda key=key: (key, 5))  # type: ignore[misc]
    assert set(shelf.keys()) == {"a", "c"}
    shelf.take("large", lambda: ("large", 50))
    assert shelf.keys() == ["large"]
    assert shelf.held() == 50


def test_what_nobody_asks_for_is_let_go_by_itself() -> None:
    shelf = Shelf[str](most_bytes=lambda: 10, idle_seconds=0.05)
    shelf.take("a", lambda: ("a", 5))
    end = time.monotonic() + 5
    while shelf.keys() and time.monotonic() < end:
        time.sleep(0.02)
    assert shelf.keys() == []


def test_a_load_that_failed_is_tried_again_by_the_next() -> None:
    shelf = Shelf[str](most_bytes=lambda: 10)

    def fail() -> tuple[str, int]:
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        shelf.take("a", fail)
    assert shelf.keys() == []
    assert shelf.take("a", lambda: ("mended", 5)) == "mended"

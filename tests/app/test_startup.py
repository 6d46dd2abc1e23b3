"""After a cold start a page says that it waits, and for how long, and goes on by itself."""

from __future__ import annotations

import threading

import pytest

from pages._ui import startup


def test_a_page_that_waits_says_how_long_and_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def note(seconds: float) -> str:
        said.append(line := tell(seconds))
        if len(said) == 3:
            here.set()
        return line

    here, tell = threading.Event(), startup.loading
    monkeypatch.setattr(startup, "_torch_is_here", here)
    monkeypatch.setattr(startup, "begin", lambda: None)
    monkeypatch.setattr(startup, "loading", note)
    monkeypatch.setattr(startup, "PROGRESS_SECONDS", 0.02)
    startup.wait_for_torch()
    assert len(said) == 3
    assert said[0].startswith("PyTorch is being loaded; ")
    assert said[1].startswith("PyTorch is being loaded: 0 seconds so far")


def test_the_line_counts_seconds() -> None:
    assert "two seconds" in startup.loading(0.0)
    assert "17 seconds so far" in startup.loading(17.2)

"""What unit tests share: a run of their own, and a folder for runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptcore.runs.store import Run, RunStore, create_run
from tests.tiny import MODEL, SETTINGS, STORY


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A queued run that lies in no store."""
    return create_run(tmp_path / "run", STORY, MODEL, SETTINGS)


@pytest.fixture
def runs(tmp_path: Path) -> RunStore:
    """A store that holds nothing yet."""
    return RunStore(tmp_path / "runs")

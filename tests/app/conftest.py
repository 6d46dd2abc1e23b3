"""What tests of the pages share: a data folder of their own, a queue that starts nothing, and a way into a lesson."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.paths import runs_home
from gptcore.pretrained import save_gpt2
from gptcore.runs.store import Run, RunStore
from gptcore.runs.worker import execute
from pages._ui import frame, startup
from tests.tiny_gpt2 import tiny

APP = Path(__file__).resolve().parents[2] / "app.py"
SECONDS = 60  # a page may have to wait for PyTorch on a busy machine


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Queued runs stay queued: a dispatcher is one per process and would outlive the test that began it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPTCORE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("GPTCORE_DATA", raising=False)
        patch.setattr(startup, "Dispatcher", lambda root: threading.Thread(name="no dispatcher"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _not_the_first_request() -> Iterator[None]:
    """Every run goes through app.py, as on any server that has shown its menu once.

    AppTest forgets the menu before each run, so that the page's file would run alone, and a click would be lost on
    the way back through the frame. A test of that way back takes ``first_request``.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PagesManager, "uses_pages_directory", False)
        patch.setattr(app_test, "PagesManager", type("SettledPagesManager", (PagesManager,), {}))
        yield


@pytest.fixture
def first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has asked this server for anything yet: Streamlit takes pages/ for the menu and leaves out app.py."""
    monkeypatch.setattr(PagesManager, "uses_pages_directory", None)
    monkeypatch.setattr(app_test, "PagesManager", PagesManager)


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder for this test alone."""
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def ready(data_home: Path) -> Path:
    """A tiny GPT-2 that whoever runs the server laid ready."""
    return save_gpt2(tiny(), data_home / "models" / "tiny-gpt2").parent


@pytest.fixture(scope="session")
def lesson() -> Callable[..., AppTest]:
    """Opens a lesson by its key as the menu does, through app.py; session values may be given."""

    def go(key: str, **session: object) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=SECONDS).run()
        for name, value in session.items():
            app.session_state[name] = value
        return app.switch_page(frame.page_file(key)).run()

    return go


@pytest.fixture
def finished_run(data_home: Path) -> Run:
    """A run of the class preset with a few updates, trained here and done."""
    config = replace(TRAIN_PRESETS["class"], steps=6, eval_every=2, eval_batches=1, sample_tokens=4)
    run = RunStore(runs_home()).create(load_text(OWN_STORY), MODEL_PRESETS["class"], config)
    assert execute(run) == "done"
    return run


def _numbers(values: Any) -> list[Any]:
    """A line's values: as they are, or out of the bytes in which Plotly packs arrays."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"])).tolist()
    return list(values)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., list[dict[str, Any]]]:
    """What a page's chart draws: each trace with its plain lists of x and y."""

    def read(page: AppTest, key: str) -> list[dict[str, Any]]:
        chart = next(chart for chart in page.get("plotly_chart") if chart.key == key)
        traces = json.loads(chart.proto.spec)["data"]
        return [trace | {axis: _numbers(trace[axis]) for axis in ("x", "y")} for trace in traces]

    return read


@pytest.fixture(scope="session")
def offers() -> Callable[[AppTest, str], Any]:
    """Finds what a question offers, by the start of its key: the rest of it changes with what is asked."""

    def find(page: AppTest, key: str) -> Any:
        (found,) = (each for each in page.button_group if re.fullmatch(rf"{key}_\d+_predict_choice", each.key or ""))
        return found

    return find


@pytest.fixture(scope="session")
def refusals() -> Callable[[AppTest], list[str]]:
    """The sentences in a page's error boxes as a student reads them, markdown's backslashes taken off."""
    return lambda page: [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", error.value).strip() for error in page.error]

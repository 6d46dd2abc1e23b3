"""Processes for the tests of this folder; whatever a test leaves behind is ended with it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from benchmarks.lab import Lab
from gptcore.runs.dispatcher import Child, Dispatcher
from gptcore.runs.store import RunStore
from tests.faults.processes import end, end_all_of, rest, serve_runs

PROCESSES = 3  # two that train, and one that can take the place of one that was killed


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """The runs of a data folder of its own."""
    return RunStore(tmp_path / "runs")


@pytest.fixture(scope="session")
def children() -> Iterator[list[Child]]:
    """Workers that wait, handed from test to test: PyTorch takes seconds to load."""
    children: list[Child] = []
    yield children
    for child in children:
        end(child.process)
        child.hang_up()


@pytest.fixture
def dispatcher(store: RunStore, children: list[Child]) -> Iterator[Dispatcher]:
    """A dispatcher that starts real processes; a test makes it look, or starts its thread."""
    dispatcher = Dispatcher(store.root)
    dispatcher.children, dispatcher.most_warm = children, PROCESSES
    store.root.mkdir(exist_ok=True)
    yield dispatcher
    dispatcher.stop()
    if dispatcher.is_alive():
        dispatcher.join()
    rest(children)


@pytest.fixture
def serve(store: RunStore) -> Iterator[Callable[[], Popen[bytes]]]:
    """Starts a ``serve-runs`` on the data folder at each call."""
    home = store.root.parent
    servers: list[Popen[bytes]] = []

    def start() -> Popen[bytes]:
        servers.append(serve_runs(home))
        return servers[-1]

    yield start
    for server in servers:
        end(server)
    end_all_of(home)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("needs distributed: pip install -r requirements-cluster.txt")
    try:
        lab = Lab(tmp_path_factory.mktemp("lab"))
    except OSError as error:
        pytest.skip(f"needs OpenSSL 3 for certificates: {error}")
    yield lab
    lab.close()

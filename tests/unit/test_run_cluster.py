"""What the web machine makes of what a worker says of itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gptcore.runs.cluster import Cluster
from gptcore.runs.machines import Settings
from gptcore.runs.post import Worker
from tests.tiny import awaited

ADDRESS = "tls://10.0.0.6:4000"
TOLD = {"name": "room-1", "cores": 4, "memory": 8 * 2**30, "folder": "/tmp/room-1", "guests": []}


def met(cluster: Cluster, said: dict[str, Any], slots: int = 1) -> Worker | None:
    """The worker that says this, as it is taken into the list."""

    async def run(_function: Any, workers: list[str]) -> dict[str, Any]:
        return {worker: dict(said) for worker in workers}

    client = cast("Any", SimpleNamespace(run=run))
    return awaited(cluster._meet(client, ADDRESS, {"resources": {"run": slots}}))


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(Settings("tls://10.0.0.5:8786"), tmp_path)


def test_a_worker_is_what_it_says_and_one_without_slots_takes_no_run(cluster: Cluster) -> None:
    assert met(cluster, TOLD) == Worker(ADDRESS, 1, "room-1", 4, 8 * 2**30, "/tmp/room-1", ())
    assert met(cluster, TOLD, slots=0) is None


def test_a_run_of_another_data_folder_keeps_its_slot(cluster: Cluster) -> None:
    worker = met(cluster, TOLD | {"guests": ["0123456789abcdef-2"]})
    assert worker is not None
    assert worker.strangers == ("0123456789abcdef-2",)


def test_a_worker_with_another_version_of_the_project_takes_no_run_and_is_named_once(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    former = {name: value for name, value in TOLD.items() if name != "folder"}
    assert (met(cluster, former), met(cluster, former)) == (None, None)
    (complaint,) = caplog.messages
    assert complaint.startswith(f"the worker at {ADDRESS} can't train: TypeError: ")

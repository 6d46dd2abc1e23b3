"""A machine that is lost and one that refuses: the first is no fault of the run, the second may be, three times.

The guest is in this process; all that is left out is the network between the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gptcore.runs import dispatcher, guest
from gptcore.runs.courier import Courier
from gptcore.runs.post import MachineLostError, MachineRefusedError, Post, Worker
from gptcore.runs.queue import look
from gptcore.runs.store import Run, RunStore
from tests.tiny import MODEL, SETTINGS, STORY, awaited, no_file_beyond

WORKER = Worker("tls://10.0.0.6:4000", 1, "room-1", 2, 2**30, "/nowhere", ())


class Client:
    """A connection that needs no network; ``broken`` is what every call ends with, where it is one."""

    status = "running"

    def __init__(self, home: Path, broken: Exception | None = None) -> None:
        self._worker, self._broken = SimpleNamespace(local_directory=str(home)), broken

    async def run(self, function: Callable[..., Any], *arguments: Any, workers: list[str]) -> dict[str, Any]:
        if self._broken is not None:
            raise self._broken
        answer = function(*arguments, *([self._worker] if function is guest.receive else []))
        return {workers[0]: await answer if inspect.isawaitable(answer) else answer}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return RunStore(tmp_path / "home" / "runs").create(STORY, MODEL, SETTINGS)


def carried(run: Run, client: Client) -> Courier:
    """A courier at the end of its attempt, buried where its run did not end well, as the dispatcher does."""

    async def is_machine_alone(_: Courier) -> bool:
        return True

    courier = Courier(cast("Any", client), WORKER, look(run), is_machine_alone)
    awaited(courier.carry())
    if courier.code:
        dispatcher._bury(courier.ticket, courier.fate)
    return courier


def test_a_machine_whose_disk_is_full_is_named_and_ends_a_run_with_the_third_attempt(run: Run, tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        with no_file_beyond(800):  # the first word fits, the text does not
            carried(run, Client(tmp_path / "there"))
        seen.append((run.status["state"], run.status["deaths"]))
    assert seen == [("interrupted", 1), ("interrupted", 2), ("failed", 3)]
    assert run.status["reason"].endswith("can't be begun on room-1: File too large")
    assert list((tmp_path / "there").iterdir()) == [], "the guest was sent away, with what it had taken of the disk"


@pytest.mark.parametrize("what", ["CommClosedError", "reset", "no answer in time", "not reached", "unknown there"])
def test_a_machine_that_is_lost_is_no_death_of_the_run(what: str, run: Run, tmp_path: Path) -> None:
    broken = {
        "reset": ConnectionResetError(104, "Connection reset by peer"),
        "no answer in time": TimeoutError(),
        "not reached": OSError("Timed out trying to connect to tls://10.0.0.6:4000 after 30 s"),
        "unknown there": KeyError(WORKER.address),
    }
    if what == "CommClosedError":
        broken[what] = pytest.importorskip("distributed.comm.core").CommClosedError("in <TLS>: Stream is closed")
    courier = carried(run, Client(tmp_path / "there", broken[what]))
    assert (courier.code, run.status["state"], run.status.get("deaths", 0)) == (0, "interrupted", 0)


@pytest.mark.parametrize(
    ("broken", "expected", "said"),
    [
        (OSError(28, "No space left on device", "/there/secret"), MachineRefusedError, "No space left on device"),
        (PermissionError(13, "Permission denied"), MachineRefusedError, "Permission denied"),
        (OSError("Timed out trying to connect"), MachineLostError, "Timed out trying to connect"),
        (TimeoutError(), MachineLostError, "TimeoutError"),
    ],
    ids=["full", "forbidden", "unreachable", "silent"],
)
def test_who_asks_is_told_whether_a_machine_is_lost_or_refused_and_no_path_of_it(
    broken: OSError, expected: type[Exception], said: str, run: Run, tmp_path: Path
) -> None:
    post = Post(cast("Any", Client(tmp_path, broken)), WORKER, run, 1)
    with pytest.raises(expected, match=f"^{said}$"):
        awaited(post.ask(guest.dismiss, post.key))

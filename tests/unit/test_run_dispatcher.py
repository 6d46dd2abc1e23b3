"""The thread behind the queue: who is started, what becomes of processes that die, and that nothing stops the thread.

The processes are stand-ins that do nothing by themselves, but for one; real deaths are in tests/faults.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import TimeoutExpired
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from gptcore.machine import MIB
from gptcore.runs import dispatcher as dispatchers
from gptcore.runs import processes, queue
from gptcore.runs.dispatcher import MOST_DEATHS, SOMEBODY_ELSES, Dispatcher, start
from gptcore.runs.queue import PROCESS_BYTES, SERVER_BYTES, Place, Ticket, look, place
from gptcore.runs.store import Run, RunStore
from tests.tiny import MODEL, SETTINGS, STORY, losses, until

EVERYTHING = 2**50


class Process:
    """As much of a process as the dispatcher looks at."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.was_waited_for = False

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = 0

    def wait(self, timeout: float) -> None:
        self.was_waited_for = self.code is not None


class Worker:
    """A process that does nothing by itself: a test says what becomes of it and its run."""

    everyone: list[Worker]
    takes_up = True
    keeps = "all"

    def __init__(self, root: Path) -> None:
        self.ticket: Ticket | None = None
        self.process = Process()
        self.orders: list[Run] = []
        self.is_deaf = self.hung_up = False
        self.everyone.append(self)

    def take(self, ticket: Ticket) -> None:
        if self.is_deaf:
            raise BrokenPipeError
        self.ticket = ticket
        self.orders.append(ticket.run)
        if self.takes_up:
            ticket.run.update_status(state="running", attempt=ticket.attempt + 1, keeps=self.keeps)

    def hang_up(self) -> None:
        self.hung_up = True

    def finish(self, state: str = "done", **about: Any) -> None:
        """Its run ends, and it waits for the next."""
        assert self.ticket is not None
        self.ticket.run.update_status(state=state, **about)

    def die(self, code: int = -9) -> None:
        self.process.code = code


def on_a_machine(monkeypatch: pytest.MonkeyPatch, cores: int, memory: int = EVERYTHING) -> None:
    monkeypatch.setattr(queue, "cores", lambda: cores)
    monkeypatch.setattr(dispatchers, "memory_limit", lambda: memory)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """All processes that were ever started, on a machine of two cores and any memory."""
    monkeypatch.setattr(Worker, "everyone", [], raising=False)
    monkeypatch.setattr(dispatchers, "Child", Worker)
    on_a_machine(monkeypatch, cores=2)
    return Worker.everyone


@pytest.fixture
def dispatcher(workers: list[Worker], runs: RunStore) -> Dispatcher:
    """A dispatcher that is ticked by hand."""
    return Dispatcher(runs.root, warm=False)


def add(runs: RunStore, threads: int | None = 1, owner: str | None = None, memory: int = 0) -> Run:
    training = replace(SETTINGS, threads=threads)
    return runs.create(STORY, MODEL, training, owner=owner, plan={"memory": memory, "steps": 10})


def states(*runs: Run) -> list[str]:
    return [run.status["state"] for run in runs]


def taken(workers: list[Worker]) -> list[Run | None]:
    return [worker.ticket.run if worker.ticket else None for worker in workers]


# ------------------------------------------------------------------------------------------------------- who is started


def test_runs_start_while_slots_are_free_and_the_next_when_one_ends(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    first, second, third = (add(runs) for _ in range(3))
    dispatcher.tick()
    dispatcher.tick()
    assert taken(workers) == [first, second]
    workers[0].finish()
    dispatcher.tick()
    assert states(first, second, third) == ["done", "running", "running"]


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_a_process_that_is_done_with_its_run_takes_the_next(
    end: str, dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    made = [add(runs) for _ in range(6)]
    for number in range(6):
        dispatcher.tick()
        workers[number % 2].finish(end)
    assert states(*made) == [end] * 6
    assert len(workers) == 2


def test_a_process_has_its_run_from_the_moment_it_was_handed_over(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a while to take it up; until then its status says what it said before."""
    monkeypatch.setattr(Worker, "takes_up", False)
    new, begun = add(runs), add(runs)
    begun.update_status(state="interrupted", attempt=1)
    for _ in range(3):
        dispatcher.tick()
    assert [worker.orders for worker in workers] == [[new], [begun]]


def test_a_run_that_takes_all_cores_is_not_overtaken_by_smaller_ones(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine(monkeypatch, cores=4)
    small = [add(runs, threads=1) for _ in range(2)]
    large = add(runs, threads=None)  # all cores, so three of four slots
    late = add(runs, threads=1)
    dispatcher.tick()
    assert states(*small, large, late) == ["running", "running", "queued", "queued"]
    workers[0].finish()
    dispatcher.tick()
    assert states(*small, large, late) == ["done", "running", "running", "queued"]


def test_a_run_that_asks_for_more_than_there_is_starts_alone(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    huge, other = add(runs, threads=1_024, memory=2 * EVERYTHING), add(runs)
    dispatcher.tick()
    assert states(huge, other) == ["running", "queued"]


def test_runs_start_while_memory_is_free(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine(monkeypatch, cores=8, memory=SERVER_BYTES + 2 * PROCESS_BYTES + 150 * MIB)
    made = [add(runs, memory=60 * MIB) for _ in range(3)]
    dispatcher.tick()
    assert states(*made) == ["running", "running", "queued"]


def test_owners_take_turns_and_each_run_can_tell_its_place(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    greedy = [add(runs, owner="a") for _ in range(4)]
    late = add(runs, owner="b")
    dispatcher.tick()
    assert states(*greedy, late) == ["running", "queued", "queued", "queued", "running"]
    assert [place(runs, run) for run in greedy] == [None, Place(1, 3, None), Place(2, 3, None), Place(3, 3, None)]
    workers[1].finish(step=9, seconds=20.0, total_steps=10)
    dispatcher.tick()
    assert states(*greedy, late) == ["running", "running", "queued", "queued", "done"]
    assert [place(runs, run) for run in greedy[2:]] == [Place(1, 2, 20.0), Place(2, 2, 20.0)]


def test_the_places_are_cleared_when_nobody_waits_any_more(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    made = [add(runs) for _ in range(3)]
    dispatcher.tick()
    assert place(runs, made[2]) is not None
    workers[0].finish()
    dispatcher.tick()
    assert place(runs, made[2]) is None
    assert json.loads((runs.root / queue.QUEUE_FILE).read_text(encoding="utf-8")) == []


def test_a_run_that_was_reopened_starts_again(dispatcher: Dispatcher, workers: list[Worker], runs: RunStore) -> None:
    run = add(runs)
    assert dispatcher._something_happened()
    dispatcher.tick()
    workers[0].finish("cancelled")
    dispatcher.tick()
    time.sleep(0.005)  # some file systems count time in milliseconds
    run.reopen()
    assert dispatcher._something_happened()
    dispatcher.tick()
    assert (states(run), run.status["attempt"]) == (["running"], 2)


@pytest.mark.parametrize(
    ("name", "written"), [("config", ""), ("config", "{}"), ("config", "[]"), ("status", ""), ("status", "{")]
)
def test_a_folder_that_is_no_run_of_this_version_disturbs_nobody(
    name: str, written: str, dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    broken, whole = add(runs), add(runs)
    (broken.folder / f"{name}.json").write_text(written, encoding="utf-8")
    dispatcher.tick()
    assert taken(workers) == [whole]


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("config", {"number": None}),
        ("config", {"number": "fifth"}),
        ("config", {"number": math.inf}),
        ("config", {"owner": ["somebody"]}),
        ("config", {"plan": {"memory": "much", "steps": "many"}}),
        ("status", {"seconds": "long"}),
        ("status", {"attempt": None}),
        ("status", {"total_steps": "many"}),
        ("status", {"state": ["queued"]}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)
def test_one_odd_value_in_a_folder_keeps_nobody_from_training(
    name: str, odd: dict[str, Any], ended: bool, dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    broken, first, second = add(runs), add(runs), add(runs)
    broken.update_status(state="done" if ended else "queued")
    path = broken.folder / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | odd), encoding="utf-8")
    for _ in range(3):  # whoever is first ends, so that each has its turn
        dispatcher.tick()
        for worker in workers:
            if worker.ticket is not None:
                worker.finish()
    assert states(first, second) == ["done", "done"]


# --------------------------------------------------------------------------------------------------- handing a run over


def test_a_process_that_waits_goes_before_a_new_one(workers: list[Worker], runs: RunStore) -> None:
    started: list[Any] = [Worker(runs.root), Worker(runs.root)]
    first, second = add(runs), add(runs)
    started[0].take(look(first))
    start(look(second), started, runs.root)
    assert taken(started) == [first, second]
    start(look(add(runs)), started, runs.root)
    assert len(started) == 3


@pytest.mark.parametrize("how", ["dead", "deaf"])
def test_a_process_that_died_while_it_waited_is_passed_over(how: str, workers: list[Worker], runs: RunStore) -> None:
    started: list[Any] = [Worker(runs.root)]
    if how == "dead":
        started[0].die()
    else:
        started[0].is_deaf = True  # it died since it was looked at
    run = add(runs)
    start(look(run), started, runs.root)
    assert taken(started) == [None, run]


# ------------------------------------------------------------------------------------------------------------ cancelled


@pytest.mark.parametrize("state", ["queued", "interrupted"])
def test_a_waiting_run_that_is_cancelled_never_starts(
    state: str, dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    run = add(runs)
    run.update_status(state=state)
    run.ask_to_stop()
    dispatcher.tick()
    assert workers == []
    assert states(run) == ["cancelled"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass for the dispatcher alone."""
    now = [1_000.0]
    monkeypatch.setattr(dispatchers, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to process 77, which was born 5 seconds after the machine."""
    done: list[str] = []

    def process(pid: int) -> SimpleNamespace:
        if pid != 77:
            return psutil.Process(pid)  # type: ignore[return-value]
        return SimpleNamespace(
            pid=77,
            create_time=lambda: psutil.boot_time() + 5.0,
            terminate=lambda: done.append("ask"),
            kill=lambda: done.append("kill"),
        )

    fake = SimpleNamespace(Process=process, boot_time=psutil.boot_time, NoSuchProcess=psutil.NoSuchProcess)
    monkeypatch.setattr(processes, "psutil", fake)
    return done


@pytest.mark.parametrize(("step_seconds", "grace"), [(0.1, 20.0), (10.0, 50.0)])
def test_a_cancelled_run_that_does_not_end_by_itself_is_asked_and_then_killed(
    step_seconds: float,
    grace: float,
    dispatcher: Dispatcher,
    runs: RunStore,
    clock: Callable[[float], None],
    signals: list[str],
) -> None:
    run = add(runs)
    dispatcher.tick()
    process = {"pid": 77, "born": 5.0}
    run.update_status(state="running", process=process, step=9, seconds=10 * step_seconds)
    clock(1e6)
    run.ask_to_stop()
    for seconds, expected in ((0.0, []), (grace - 1, []), (2.0, ["ask"]), (5.0, ["ask", "kill"])):
        clock(seconds)
        dispatcher.tick()
        assert signals == expected


def test_a_stranger_with_the_number_of_a_dead_process_is_left_alone(
    dispatcher: Dispatcher, runs: RunStore, clock: Callable[[float], None], signals: list[str]
) -> None:
    run = add(runs)
    dispatcher.tick()
    run.update_status(state="running", process={"pid": 77, "born": 3.0})
    run.ask_to_stop()
    for _ in range(3):
        dispatcher.tick()
        clock(100.0)
    assert signals == []


def test_a_cancelled_run_whose_process_has_not_even_taken_it_up_disturbs_nobody(
    dispatcher: Dispatcher,
    workers: list[Worker],
    runs: RunStore,
    clock: Callable[[float], None],
    signals: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a crowded machine a process may need long before it looks at its first order."""
    monkeypatch.setattr(Worker, "takes_up", False)
    run = add(runs)
    dispatcher.tick()
    run.ask_to_stop()
    for _ in range(3):
        dispatcher.tick()
        clock(100.0)
    assert signals == []
    assert states(run) == ["queued"]


def test_a_run_that_was_cancelled_before_gets_its_full_grace_again(
    dispatcher: Dispatcher,
    workers: list[Worker],
    runs: RunStore,
    clock: Callable[[float], None],
    signals: list[str],
) -> None:
    run = add(runs)
    dispatcher.tick()
    run.ask_to_stop()
    dispatcher.tick()
    workers[0].finish("cancelled")
    dispatcher.tick()
    clock(1e6)
    run.reopen()
    dispatcher._something_happened()
    dispatcher.tick()
    run.update_status(process={"pid": 77, "born": 5.0})
    run.ask_to_stop()  # at once: nobody has looked since it started
    dispatcher.tick()
    assert signals == []


# --------------------------------------------------------------------------------------------------- processes that die


def test_a_run_whose_process_was_killed_goes_on_by_itself_and_the_third_death_ends_it(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine(monkeypatch, cores=1)
    run = add(runs)
    seen: list[str] = []
    monkeypatch.setattr(Run, "update_status", noting_reasons(seen))
    for number in range(MOST_DEATHS):
        dispatcher.tick()
        assert (states(run), run.status["attempt"]) == (["running"], number + 1)
        workers[-1].die(-9)
    dispatcher.tick()
    lost = "the process was killed (signal 9); the run goes on from its last checkpoint by itself"
    end = "its process died 3 times, as happens when memory runs out; the last one was killed (signal 9)"
    assert seen == [lost, lost, end]
    assert (states(run), run.status["deaths"], run.status["can_go_on"]) == (["failed"], 3, True)
    assert len(workers) == 3
    assert all(worker.hung_up for worker in workers)
    assert dispatcher.children == []


def noting_reasons(seen: list[str]) -> Callable[..., None]:
    """``Run.update_status``, with every reason that is given also put on a list."""
    update = Run.update_status

    def note(run: Run, **changes: Any) -> None:
        seen.extend([changes["reason"]] if changes.get("reason") else [])
        update(run, **changes)

    return note


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_run_that_keeps_no_checkpoint_is_not_offered_to_go_on_after_its_process_died(
    cancelled: bool, dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has no room for one; "go on" would mean to start again."""
    monkeypatch.setattr(Worker, "keeps", "best")
    run = add(runs)
    for _ in range(MOST_DEATHS):
        dispatcher.tick()
        if cancelled:
            run.ask_to_stop()
        workers[-1].die()
    dispatcher.tick()
    assert run.has_ended
    assert not run.status.get("can_go_on")


def test_a_run_that_is_reopened_after_three_deaths_may_die_three_times_again(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    run = add(runs)
    run.update_status(state="failed", deaths=3)
    run.reopen()
    dispatcher.tick()
    workers[0].die()
    dispatcher.tick()
    assert (states(run), run.status["deaths"]) == (["running"], 1)


def test_a_process_that_ends_with_an_error_has_died_and_its_neighbour_has_not(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, well = add(runs), add(runs)
    dispatcher.tick()
    seen: list[str] = []
    monkeypatch.setattr(Run, "update_status", noting_reasons(seen))
    workers[0].die(1)
    dispatcher.tick()
    assert seen == ["the process ended with code 1; the run goes on from its last checkpoint by itself"]
    assert states(broken, well) == ["running", "running"]
    assert (broken.status["deaths"], well.status.get("deaths")) == (1, None)


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
@pytest.mark.parametrize("code", [0, 1, -9])
def test_a_process_that_ends_after_its_run_did_is_no_death(
    end: str, code: int, dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    run = add(runs)
    dispatcher.tick()
    workers[0].finish(end)
    workers[0].die(code)
    dispatcher.tick()
    assert states(run) == [end]
    assert "deaths" not in run.status


def test_a_cancelled_run_whose_process_is_killed_is_cancelled(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    run = add(runs)
    dispatcher.tick()
    run.ask_to_stop()
    workers[0].die()
    dispatcher.tick()
    assert (states(run), run.status["reason"], run.status["can_go_on"]) == (["cancelled"], None, True)


def test_a_run_that_somebody_else_trains_is_left_alone(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "takes_up", False)
    run = add(runs)
    dispatcher.tick()
    run.update_status(state="running", attempt=1)
    with run.lock.acquire():  # python -m gptcore train --resume, say
        workers[0].die(SOMEBODY_ELSES)
        dispatcher.tick()
        assert (states(run), len(workers)) == (["running"], 1)
    dispatcher.tick()
    assert (run.status["deaths"], len(workers)) == (1, 2)


def test_a_run_that_nobody_trains_any_more_goes_on_and_one_that_somebody_trains_is_left_alone(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    """A server that was killed left them behind; the next one finds them."""
    lost, alive, waiting = (add(runs) for _ in range(3))
    for run in (lost, alive):
        run.update_status(state="running", attempt=1)
    with alive.lock.acquire():
        dispatcher.tick()
        assert taken(workers) == [lost]  # the other two cores are taken
    assert (lost.status["deaths"], lost.status["attempt"]) == (1, 2)
    assert states(alive, waiting) == ["running", "queued"]


def test_a_run_of_another_machine_whose_server_died_goes_on_and_it_was_not_the_runs_fault(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    run = add(runs)
    for attempt in range(1, 2 * MOST_DEATHS):
        run.update_status(state="running", attempt=attempt, process={"machine": "lab-07"})
        dispatcher._settle(look(run))
        assert (run.status["state"], run.status["deaths"]) == ("interrupted", 0)
        assert not workers


def test_a_folder_that_is_deleted_ends_nobody_elses_queue(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    gone, other, following = (add(runs) for _ in range(3))
    dispatcher.tick()
    runs.delete(gone)
    dispatcher.tick()
    assert [worker.process.poll() for worker in workers] == [0, None, None]  # it was asked to end
    dispatcher.tick()
    assert states(other, following) == ["running", "running"]
    assert len(dispatcher.children) == 2
    assert not gone.folder.exists()


def test_a_status_that_cannot_be_read_ends_nobody_elses_queue(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore
) -> None:
    broken, other = add(runs), add(runs)
    dispatcher.tick()
    (broken.folder / "status.json").write_text("", encoding="utf-8")  # by whatever hand
    workers[1].finish()
    following = add(runs)
    dispatcher.tick()
    assert states(other, following) == ["done", "running"]


def test_a_run_whose_processes_die_before_they_take_it_up_is_not_tried_for_ever(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch can't be loaded, say, or memory runs out while it is."""
    monkeypatch.setattr(Worker, "takes_up", False)
    run = add(runs)
    for _ in range(10):
        dispatcher.tick()
        for worker in workers:
            worker.die(1)
    assert states(run) == ["failed"]
    assert len(workers) == MOST_DEATHS


# -------------------------------------------------------------------------------------------------- processes that wait


@pytest.mark.parametrize(
    ("cores", "memory", "most"),
    [
        (2, EVERYTHING, 2),
        (64, EVERYTHING, 4),
        (4, SERVER_BYTES + 3 * PROCESS_BYTES, 3),
        (4, SERVER_BYTES, 0),
        (4, SERVER_BYTES // 2, 0),
    ],
)
def test_processes_are_kept_ready_as_far_as_cores_and_memory_allow(
    cores: int, memory: int, most: int, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine(monkeypatch, cores, memory)
    assert Dispatcher(runs.root).most_warm == most
    assert Dispatcher(runs.root, warm=False).most_warm == 0


def test_processes_are_made_ready_one_a_second_and_those_that_train_count(
    workers: list[Worker], runs: RunStore, clock: Callable[[float], None]
) -> None:
    dispatcher = Dispatcher(runs.root)
    add(runs)
    dispatcher.tick()
    made = []
    for _ in range(4):
        dispatcher._keep_warm()
        dispatcher._keep_warm()
        made.append(len(workers))
        clock(1.0)
    assert made == [2, 2, 2, 2]
    workers[1].die(-9)
    workers[0].finish()
    dispatcher.tick()
    assert len(dispatcher.children) == 1


@pytest.mark.parametrize(
    ("code", "had_a_run", "waits"),
    [(1, False, True), (0, False, False), (1, True, False), (SOMEBODY_ELSES, True, False)],
)
def test_after_a_process_that_could_not_even_wait_the_next_is_tried_later(
    code: int,
    had_a_run: bool,
    waits: bool,
    workers: list[Worker],
    runs: RunStore,
    clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_a_machine(monkeypatch, cores=1)
    runs.root.mkdir()
    dispatcher = Dispatcher(runs.root)
    dispatcher._keep_warm()
    if had_a_run:
        workers[0].take(look(add(runs)))
        workers[0].finish()
    workers[0].die(code)
    dispatcher.tick()
    clock(2.0)
    dispatcher._keep_warm()
    assert (len(workers) == 1) is waits
    clock(100.0)
    dispatcher._keep_warm()
    assert len(workers) == 2


# -------------------------------------------------------------------------------------------------------- when it looks


def test_it_looks_when_the_bell_rings_when_a_process_ends_and_now_and_then(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, clock: Callable[[float], None]
) -> None:
    def looked() -> bool:
        happened = dispatcher._something_happened()
        if happened:
            dispatcher.tick()
        return happened

    assert looked()
    assert not looked()
    run = add(runs)
    assert looked()
    assert not looked()
    time.sleep(0.005)  # some file systems count time in milliseconds
    run.ask_to_stop()
    assert looked()
    assert not looked()
    workers[0].die()
    assert looked()
    assert not looked()
    clock(dispatchers.RESCAN_SECONDS)
    assert looked()


# ----------------------------------------------------------------------------------------------------------- the thread


@pytest.fixture
def thread(
    workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Dispatcher]]:
    """Starts a dispatcher at each call; all are stopped in the end."""
    monkeypatch.setattr(dispatchers, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(dispatchers, "RESCAN_SECONDS", 0.05)
    begun: list[Dispatcher] = []

    def begin() -> Dispatcher:
        begun.append(Dispatcher(runs.root, warm=False))
        begun[-1].start()
        return begun[-1]

    yield begin
    for dispatcher in begun:
        dispatcher.stop()
        dispatcher.join()


def test_one_dispatcher_works_on_a_folder_and_the_next_takes_over(
    thread: Callable[[], Dispatcher], runs: RunStore
) -> None:
    first = thread()
    run = add(runs)
    until(lambda: taken(first.children) == [run])  # type: ignore[arg-type]
    second = thread()
    following = add(runs)
    until(lambda: len(first.children) == 2)
    assert second.children == []
    with run.lock.acquire(), following.lock.acquire():  # their processes live on
        first.stop()
        first.join()
        assert first.children[0].process.poll() is None
        looked = second._looked
        until(lambda: second._looked > looked)
        assert second.children == []
        assert states(run, following) == ["running", "running"]
    until(lambda: len(second.children) == 2)


def test_a_disk_that_refuses_delays_the_queue_and_ends_nothing(
    thread: Callable[[], Dispatcher], workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Path] = []

    def refuse(path: Path, value: Any) -> None:
        refused.append(path)
        raise OSError(28, "No space left on device")

    made = [add(runs) for _ in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(dispatchers, "replace_json", refuse)
        dispatcher = thread()
        until(lambda: len(refused) > 2)
        assert dispatcher.is_alive()
        assert workers == []  # a run that could not even say that it runs
    until(lambda: taken(workers) == made[:2])


def test_where_nothing_can_be_written_the_thread_ends_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("no folder", encoding="utf-8")
    dispatcher = Dispatcher(tmp_path / "home" / "runs", warm=False)
    dispatcher.run()
    assert "no run can be trained: " in caplog.text


def test_closing_asks_all_processes_to_end_and_waits_for_them(
    thread: Callable[[], Dispatcher], workers: list[Worker], runs: RunStore
) -> None:
    add(runs), add(runs)
    dispatcher = thread()
    until(lambda: len(workers) == 2)
    dispatcher.close()
    assert not dispatcher.is_alive()
    assert all(worker.process.was_waited_for and worker.hung_up for worker in workers)


def test_a_process_that_does_not_end_holds_up_the_farewell_only_so_long(
    dispatcher: Dispatcher, workers: list[Worker], runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(runs), add(runs)
    dispatcher.tick()

    def never(timeout: float) -> None:
        assert timeout <= dispatchers.FAREWELL_SECONDS
        raise TimeoutExpired("worker", timeout)

    monkeypatch.setattr(workers[0].process, "wait", never)
    dispatcher.close()
    assert all(worker.hung_up for worker in workers)


# ------------------------------------------------------------------------------------------------------- a real process


def test_a_real_process_trains_what_is_queued_and_is_there_for_the_next_run(runs: RunStore) -> None:
    dispatcher = Dispatcher(runs.root, warm=False)
    try:
        first = add(runs)
        until(lambda: first.has_ended and dispatcher.children[0].ticket is None, dispatcher.tick)
        assert states(first) == ["done"], (runs.root / "workers.log").read_text(encoding="utf-8")
        second = add(runs)
        until(lambda: second.has_ended, dispatcher.tick)
        (child,) = dispatcher.children
        assert first.status["process"] == second.status["process"]
        assert first.status["process"]["pid"] == child.process.pid
        assert losses(first) == losses(second)
    finally:
        dispatcher.close()
    assert child.process.poll() == 0
    assert (runs.root / "workers.log").read_bytes() == b""

"""Who may train, and when: what a run needs, whose turn it is, how long the others wait.

How to read it: ``look`` reads a run's ticket; ``turns`` is the whole rule of fairness; ``waits`` plays it through.
Everything here is a function of what the folders say. What is left out: the way into the queue (``requests``), and the
thread that acts on it (``dispatcher``).

The rule: among those who wait, first whoever has the fewest runs under way, then whoever has used the least of the
machine so far, then whoever came first. So thirty students take turns, and one who submits many delays nobody else.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from gptcore.config import GPTConfig, TrainConfig
from gptcore.machine import MIB, cores, memory_limit
from gptcore.parameters import training_disk, training_memory
from gptcore.runs.store import ENDED, Run, RunStore

WAITING = ("queued", "interrupted")
LEAST_DISK = 100 * MIB  # a run may always use this much
PROCESS_BYTES = 400 * MIB  # Python with PyTorch, before there is a model
SERVER_BYTES = 600 * MIB  # left to the server
SMALL_BYTES = 3 * 1024 * MIB  # a machine with less, as in a free cloud, leaves what one run doesn't take to the models
QUEUE_FILE = "queue.json"  # the dispatcher's view, for pages: derived from the folders, safe to lose


class Needs(NamedTuple):
    """What a run takes from the machine, in bytes, apart from the process itself."""

    memory: int
    disk: int


def needs(shape: GPTConfig, training: TrainConfig) -> Needs:
    """What a run will need, from its configuration alone.

    Args:
        shape: The model as it is trained: with a compact vocabulary, the size that the text gives it.
        training: The settings.
    """
    memory = sum(training_memory(shape, training).values())
    return Needs(memory, max(LEAST_DISK, sum(training_disk(shape, training.optimiser).values())))


class Ticket(NamedTuple):
    """One look at a run.

    Attributes:
        attempt: How often a process has taken it up.
        threads: Cores that it asks for.
        memory: Bytes that it needs beside the process itself.
        used: Core-seconds that it has used so far.
        kind: Runs of one kind take equally long for a step.
        step_seconds: Seconds a step so far; None before the first.
        steps_left: None where the number of steps is not known yet.
    """

    run: Run
    number: int
    owner: str
    state: str
    attempt: int
    threads: int
    memory: int
    used: float
    kind: str
    step_seconds: float | None
    steps_left: int | None


def look(run: Run) -> Ticket:
    """Read what the queue has to know of a run.

    Raises:
        OSError: The folder was deleted.
        ValueError: The folder holds something that is no run of this version.
    """
    try:
        return _ticket(run, run.config, run.status)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{run.folder} holds no run of this version") from error


def _ticket(run: Run, config: dict[str, Any], status: dict[str, Any]) -> Ticket:
    """A ticket of nothing but what it should be: one odd number would stop the line, which sorts and sums them all."""
    training, plan = config["training"], config.get("plan", {})
    threads = min(int(training["threads"] or cores()), cores())
    done, seconds = int(status.get("step", -1)) + 1, float(status.get("seconds", 0.0))
    total = status.get("total_steps", plan.get("steps"))
    alike = {name: training[name] for name in ("batch_size", "precision", "compact_vocab", "reference", "eval_every")}
    return Ticket(
        run=run,
        number=int(config.get("number", 0)),
        owner=str(config.get("owner") or run.id),
        state=str(status["state"]),
        attempt=int(status.get("attempt", 0)),
        threads=threads,
        memory=int(plan.get("memory", 0)),
        used=seconds * threads,
        kind=json.dumps([config["model"], alike, threads], sort_keys=True),
        step_seconds=seconds / done if done > 0 else None,
        steps_left=None if total is None else max(0, int(total) - done),
    )


def slots() -> int:
    """How many runs of one thread may train at once: one per core; one where memory is small."""
    return 1 if memory_limit() < SMALL_BYTES else cores()


def slots_of(ticket: Ticket) -> int:
    """The slots that a run takes: all but one at most, so that others can always start."""
    return min(ticket.threads, max(1, slots() - 1))


def runs_at_once(memory: int, limit: int) -> int:
    """How many runs of one kind, of one thread each, may train beside each other; one always may.

    Args:
        memory: Bytes that each needs beside its process.
        limit: Bytes for the server and all of them.
    """
    return max(1, min(slots(), (limit - SERVER_BYTES) // (memory + PROCESS_BYTES)))


def turns(tickets: Sequence[Ticket]) -> list[Ticket]:
    """Those who wait, in the order in which they are to start."""
    taken = Counter(ticket.owner for ticket in tickets if ticket.state == "running")
    used: defaultdict[str, float] = defaultdict(float)
    for ticket in tickets:
        used[ticket.owner] += ticket.used
    lines: defaultdict[str, deque[Ticket]] = defaultdict(deque)  # of each owner's runs the first comes first
    for ticket in sorted(tickets, key=lambda ticket: ticket.number):
        if ticket.state in WAITING:
            lines[ticket.owner].append(ticket)
    standings = [(taken[owner], used[owner], line[0].number, owner) for owner, line in lines.items()]
    heapq.heapify(standings)  # looking for the least anew each time would take seconds for a few thousand
    order = []
    while standings:
        under_way, _, _, owner = heapq.heappop(standings)
        order.append(lines[owner].popleft())
        if lines[owner]:
            heapq.heappush(standings, (under_way + 1, used[owner], lines[owner][0].number, owner))
    return order


def fits(ticket: Ticket, running: Sequence[Ticket], limit: int) -> bool:
    """Whether a run may start beside those that run; alone it always may, because it was checked when submitted."""
    taken = sum(map(slots_of, running)) + slots_of(ticket)
    memory = SERVER_BYTES + sum(each.memory + PROCESS_BYTES for each in (*running, ticket))
    return not running or (taken <= slots() and memory <= limit)


def _seconds_left(tickets: Sequence[Ticket]) -> dict[str, float]:
    """How long each run will still take, from its own pace or that of others of its kind; infinite if unknown."""
    paces: defaultdict[str, list[float]] = defaultdict(list)
    for ticket in tickets:
        if ticket.step_seconds is not None:
            paces[ticket.kind].append(ticket.step_seconds)

    def left(ticket: Ticket) -> float:
        pace = ticket.step_seconds or (median(paces[ticket.kind]) if ticket.kind in paces else math.inf)
        return pace * (math.inf if ticket.steps_left is None else ticket.steps_left)

    return {ticket.run.id: left(ticket) for ticket in tickets if ticket.state not in ENDED}


class Wait(NamedTuple):
    """How long a run that waits still does.

    Attributes:
        seconds: Until it is expected to start; None where that can't be said yet, because no run of a kind that comes
            before has been seen yet, or no slot.
        memory: Bytes that have to come free first, where a free slot alone will not do; None where it will.
    """

    ticket: Ticket
    seconds: float | None
    memory: int | None


class _Share(NamedTuple):
    """What a run holds while it is under way."""

    slots: int
    memory: int


class _Machine:
    """What is free while a queue is played through, and who lets go of more when; the rule of ``fits``, in sums."""

    def __init__(self, slots: int, memory: float) -> None:
        self.slots, self.memory = slots, memory
        self._ends: list[tuple[float, str, _Share]] = []

    def enter(self, ticket: Ticket, share: _Share, end: float) -> None:
        """Have a run hold its share until its end."""
        heapq.heappush(self._ends, (end, ticket.run.id, share))
        self.slots -= share.slots
        self.memory -= share.memory

    def leave(self) -> float:
        """Have the first one end; when that is, which is never where nobody is under way."""
        if not self._ends:
            return math.inf
        end, _, share = heapq.heappop(self._ends)
        self.slots += share.slots
        self.memory += share.memory
        return end

    def has_memory(self, share: _Share) -> bool:
        """Whether enough is free; alone a run always fits, because it was checked when submitted."""
        return not self._ends or share.memory <= self.memory


def _share(ticket: Ticket) -> _Share:
    return _Share(slots_of(ticket), ticket.memory + PROCESS_BYTES)


def waits(tickets: Sequence[Ticket], elsewhere: int | None = None, limit: float = math.inf) -> list[Wait]:
    """Those who wait, in order, with the time until each is expected to start: nobody overtakes.

    Args:
        tickets: All runs.
        elsewhere: The slots of other machines, each for one run of any size, where these train instead of this one.
        limit: Bytes for the server and all runs of this machine.
    """
    if elsewhere is not None:
        tickets = [ticket._replace(threads=1) for ticket in tickets]
    left = _seconds_left(tickets)
    machine = _Machine(slots(), limit - SERVER_BYTES) if elsewhere is None else _Machine(elsewhere, math.inf)
    for ticket in tickets:
        if ticket.state == "running":
            machine.enter(ticket, _share(ticket), left[ticket.run.id])
    expected, now = [], 0.0
    for ticket in turns(tickets):
        share, wanted = _share(ticket), None
        while now < math.inf and not (share.slots <= machine.slots and machine.has_memory(share)):
            wanted = share.memory if share.slots <= machine.slots else None
            now = max(now, machine.leave())
        expected.append(Wait(ticket, now if now < math.inf else None, wanted))
        machine.enter(ticket, share, now + left[ticket.run.id])
    return expected


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands in the queue: 1 starts next.

    Attributes:
        place: Its own.
        waiting: How many wait.
        seconds: The expected wait, where it can be told.
        memory: Bytes that have to come free first, where a free slot alone will not do.
    """

    place: int
    waiting: int
    seconds: float | None
    memory: int | None = None


def places(store: RunStore) -> dict[str, Place]:
    """The place of each run that waits, by its id, as the dispatcher last saw them; empty before it has looked."""
    try:
        queue: list[dict[str, Any]] = json.loads((store.root / QUEUE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        row["run"]: Place(index + 1, len(queue), row["seconds"], row.get("memory")) for index, row in enumerate(queue)
    }


def place(store: RunStore, run: Run) -> Place | None:
    """A run's place as the dispatcher last saw it; None where it does not wait, or nobody has looked yet."""
    return places(store).get(run.id)

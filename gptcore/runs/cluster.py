"""The other machines: a connection to their scheduler, who is there, which slots are free, and what runs where.

The engine is dask.distributed. It knows its workers, carries calls to them, and sees to it that a worker has one run at
a time; whose turn it is stays with the queue, and what a run is stays in its folder. So the engine may lose its memory
at any time: a new scheduler finds new workers, and the runs go on from their last checkpoints.

How to read it: ``_serve`` is the thread, one look a second at all workers; ``start`` is called by the dispatcher, and a
``Courier`` does the rest. What is left out: two data folders
that share a scheduler see each other's runs a second late, so one may wait for a slot that the other has just taken.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gptcore.runs import guest
from gptcore.runs.child import SOMEBODY_ELSES
from gptcore.runs.courier import Courier
from gptcore.runs.machines import ClusterNow, Machine, Settings, tell
from gptcore.runs.post import Worker
from gptcore.runs.queue import Ticket
from gptcore.runs.store import Run, RunStore

if TYPE_CHECKING:
    from distributed import Client

LOGGER = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
CONNECT_SECONDS = 5.0
MEET_SECONDS = 5.0  # a worker that does not answer for so long takes no run


class Cluster:
    """All that the dispatcher has to know of the other machines.

    Args:
        settings: Where they are.
        root: The folder of runs.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings, self.store = settings, RunStore(root)
        self._workers: tuple[Worker, ...] = ()  # replaced whole, as two threads look at it
        self._couriers: tuple[Courier, ...] = ()
        self._complaints: set[str] = set()
        self._client: Client | None = None
        self._engine = ""  # a scheduler that was started anew has another name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()  # set in the thread of its loop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="cluster", daemon=True)

    def begin(self) -> None:
        """Connect, and connect again whenever that is needed."""
        if not self._thread.is_alive():
            self._thread.start()

    def close(self, seconds: float) -> None:
        """Have all runs saved and ended, as far as that is done in time, and disconnect."""
        deadline = time.monotonic() + seconds
        for courier in self._couriers:
            courier.terminate()
        while any(self._under_way()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(LOOK_SECONDS + CONNECT_SECONDS)

    # ------------------------------------------------------------------------------------- what the dispatcher asks for

    @property
    def slots(self) -> int:
        """Runs that all machines take at a time."""
        return sum(worker.slots for worker in self._workers)

    @property
    def free(self) -> int:
        """Runs that could be started now."""
        return sum(max(0, worker.slots - self._taken(worker)) for worker in self._workers)

    @property
    def has_news(self) -> bool:
        """Whether a run has ended since ``ended`` was called."""
        return any(courier.code is not None for courier in self._couriers)

    def start(self, ticket: Ticket) -> None:
        """Give a run to the machine that has least to do; where none is free any more the run goes on waiting."""
        free = [worker for worker in self._workers if self._taken(worker) < worker.slots]
        if not free or self._client is None or self._loop is None:
            return
        busy = [courier.machine for courier in self._under_way()]
        chosen = min(free, key=lambda worker: (busy.count(worker.name), -worker.memory))
        courier = Courier(self._client, chosen, ticket, self._is_machine_alone)
        self._couriers = (*self._couriers, courier)
        self._loop.call_soon_threadsafe(self._launch, courier)

    def carrier_of(self, run: Run) -> Courier | None:
        """Who carries a run; None where nobody does."""
        return next((courier for courier in self._couriers if courier.run == run), None)

    def ended(self) -> list[tuple[Ticket, str]]:
        """Forget those who are done; the runs among them whose end is not written down, with how they ended."""
        over = [courier for courier in self._couriers if courier.code is not None]
        self._couriers = tuple(courier for courier in self._couriers if courier not in over)
        return [(courier.ticket, courier.fate) for courier in over if courier.code not in (0, SOMEBODY_ELSES)]

    def _under_way(self) -> Iterator[Courier]:
        return (courier for courier in self._couriers if courier.code is None)

    def _taken(self, worker: Worker) -> int:
        """Slots that are taken: by our runs, and by those of another data folder."""
        mine = sum(courier.address == worker.address for courier in self._under_way())
        return mine + len(worker.strangers)

    # --------------------------------------------------------------------------------------------------- the connection

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._closing.is_set():
            why_not = f"the connection to {self.settings.scheduler} was lost"
            try:
                self._client = await self._connect()
                await self._look_after(self._client)
            except (OSError, TimeoutError) as error:
                why_not = f"{self.settings.scheduler} can't be reached: {error}"
            await self._disconnect()
            self._tell(why_not)
            await self._rest()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), LOOK_SECONDS)

    async def _connect(self) -> Client:
        from distributed import Client, Security

        ours = self.settings
        security = Security(
            require_encryption=ours.ca is not None,
            tls_ca_file=ours.ca and str(ours.ca),
            tls_client_cert=ours.cert and str(ours.cert),
            tls_client_key=ours.key and str(ours.key),
        )
        return await Client(
            ours.scheduler,
            security=security,
            timeout=CONNECT_SECONDS,
            asynchronous=True,
            set_as_default=False,
            name="glassbox",
        )

    async def _disconnect(self) -> None:
        """Give up what can't be reached any more: each courier writes down that its run is interrupted."""
        self._workers = ()
        carrying = [courier.task for courier in self._under_way() if courier.task is not None]
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(client.close(), CONNECT_SECONDS)

    def _launch(self, courier: Courier) -> None:
        courier.task = asyncio.create_task(courier.carry())

    async def _identity(self) -> dict[str, Any]:
        if self._client is None or self._client.status != "running":
            raise OSError("no connection")
        scheduler: Any = self._client.scheduler  # answers to all its names
        identity: dict[str, Any] = await asyncio.wait_for(scheduler.identity(n_workers=-1), MEET_SECONDS)
        return identity

    async def _is_machine_alone(self, courier: Courier) -> bool:
        """Take a machine that was lost out of the list; whether the scheduler is there, and still the same one."""
        self._workers = tuple(worker for worker in self._workers if worker.address != courier.address)
        try:
            return bool((await self._identity())["id"] == self._engine)
        except (OSError, TimeoutError):
            return False

    async def _look_after(self, client: Client) -> None:
        """Look at all workers, again and again, until the scheduler is lost or replaced."""
        self._engine = (await self._identity())["id"]
        while not self._closing.is_set():
            identity = await self._identity()
            if identity["id"] != self._engine:
                return
            found = await asyncio.gather(*(self._meet(client, *each) for each in identity["workers"].items()))
            self._workers = tuple(worker for worker in found if worker is not None)
            self._tell(None)
            await self._rest()

    async def _meet(self, client: Client, address: str, about: dict[str, Any]) -> Worker | None:
        """What a worker says of itself; None where it takes no runs."""
        slots = int(about["resources"].get("run", 0))
        if not slots:
            return None
        try:
            call = client.run(guest.report, workers=[address])
            told = (await asyncio.wait_for(call, MEET_SECONDS))[address]
            strangers = [key for key in told.pop("guests") if not await self._is_ours(client, address, key)]
            return Worker(address=address, slots=slots, strangers=tuple(strangers), **told)
        except (OSError, KeyError, TimeoutError):
            return None
        except Exception as error:  # noqa: BLE001  it lacks the project, or has another version of it
            if address not in self._complaints:
                LOGGER.warning("the worker at %s can't train: %s: %s", address, type(error).__name__, error)
            self._complaints.add(address)
            return None

    async def _is_ours(self, client: Client, address: str, key: str) -> bool:
        """Whether a guest is of a run of ours; one that nobody carries any more is sent away."""
        if any((courier.address, courier.key) == (address, key) for courier in self._under_way()):
            return True
        if self.store.find(guest.run_of(key)) is None:
            return False
        await asyncio.wait_for(client.run(guest.dismiss, key, workers=[address]), MEET_SECONDS)
        return True

    def _tell(self, why_not: str | None) -> None:
        """Write down who is there, for the pages."""
        found: dict[str, Machine] = {}
        for worker in self._workers:
            slots = worker.slots + (found[worker.name].slots if worker.name in found else 0)
            runs = tuple(courier.run.id for courier in self._under_way() if courier.machine == worker.name)
            found[worker.name] = Machine(worker.name, slots, worker.cores, worker.memory, runs)
        machines = tuple(found[name] for name in sorted(found))
        with suppress(OSError):  # a full disk, say: the next look tries again
            tell(self.store.root, ClusterNow(self.settings.scheduler, why_not, machines, time.time()))

"""What the dispatcher's look at all runs costs, and a submission, when many wait: where one dispatcher ends.

Nothing is trained: as many runs as there are cores look as if they were under way, so that all the others wait. Seconds
of one core, which a busy machine changes little.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.machine import cores
from gptcore.runs.dispatcher import Dispatcher
from gptcore.runs.requests import submit
from gptcore.runs.store import Run, RunStore, create_run

WAITING = (30, 300, 1_000, 3_000)
SHAPE, SETTINGS = MODEL_PRESETS["class"], TRAIN_PRESETS["class"]


def _work(action: Callable[[], object]) -> float:
    """Seconds of one core that something takes."""
    before = time.process_time()
    action()
    return time.process_time() - before


def _crowd(store: RunStore, waiting: int, held: ExitStack) -> None:
    """Fill a store; ``RunStore.create`` looks at all runs for the next number, which here is known."""
    text = load_text(OWN_STORY)

    def create(number: int) -> Run:
        folder = store.root / f"{number:016x}"
        return create_run(folder, text, SHAPE, SETTINGS, number=number, owner=f"student {number}")

    store.root.mkdir()
    for number in range(1, cores() + 1):
        run = create(number)
        held.enter_context(run.lock.acquire())  # whoever holds it trains, as far as a dispatcher can see
        run.update_status(state="running")
    for number in range(cores() + 1, cores() + 1 + waiting):
        create(number)


def measure(waiting: int) -> tuple[float, float]:
    """Seconds of a core for one look, and for one submission, with so many runs waiting."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as held:
        store = RunStore(Path(name) / "runs")
        _crowd(store, waiting, held)
        look = _work(Dispatcher(store.root, warm=False).tick)
        return look, _work(lambda: submit(store, load_text(OWN_STORY), SHAPE, SETTINGS, "one more"))


def main() -> None:
    """Print the table."""
    measure(1)  # PyTorch is loaded, and the text is cut
    print(f"{'runs that wait':>14} {'one look, ms':>14} {'one submission, ms':>20}")
    for waiting in WAITING:
        look, one_more = measure(waiting)
        print(f"{waiting:14,} {1e3 * look:14.0f} {1e3 * one_more:20.0f}", flush=True)


if __name__ == "__main__":
    main()

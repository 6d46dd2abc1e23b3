"""How the process that answers students shares the machine with the runs that it trains."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from gptcore.library import take_one_core


def in_a_new_thread(ask: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


def test_one_core_holds_for_every_thread_that_begins_later() -> None:
    torch.set_num_threads(2)
    assert in_a_new_thread(torch.get_num_threads) == 2
    in_a_new_thread(take_one_core)
    assert in_a_new_thread(torch.get_num_threads) == 1

"""What the program holds in a free cloud: without GPT-2, and with GPT-2's 124M shape in bfloat16 and one run.

A real server that is told to have no more memory than Streamlit Community Cloud gives, so that it keeps one process
ready and trains one run at a time. Sessions open the lessons one after the other. Held is the PSS of the server and all
that it started: what a container counts, with shared pages counted once. GPT-2's weights are random, written into the
server's data folder as ``python -m gptcore fetch gpt2`` would lay them.

How to read it: ``measure`` plays; ``_settled`` is one figure: the most of several looks.
What is left out: the cloud itself. Neither its kernel nor its limit was there.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from benchmarks import server
from benchmarks.results import Row
from benchmarks.server import Server
from benchmarks.student import visit
from gptcore.machine import MIB
from gptcore.paths import REPOSITORY

LIMIT_MIB = 2_700  # the most that Streamlit's documentation names
GOAL_MIB, GOAL_GPT2_MIB = 1_000, 2_000
LESSONS = ("", "tokens", "windows", "forward", "training", "sampling")  # with PyTorch, a model that speaks, and charts
SETTLE_SECONDS = 15.0  # until processes that wait for runs are there
LOOKS, LOOK_SECONDS = 8, 1.0
IN_BFLOAT16 = "v=1&pretrained_precision=bfloat16"
WRITE = """
import sys
from gptcore.config import MODEL_PRESETS
from gptcore.library import new_model
from gptcore.pretrained import save_gpt2
save_gpt2(new_model(MODEL_PRESETS["gpt2-small"], 0), sys.argv[1])
"""


def _settled(running: Server) -> float:
    """MiB that all processes hold together, the most of several looks."""
    held = []
    for _ in range(LOOKS):
        held.append(running.memory() / MIB)
        time.sleep(LOOK_SECONDS)
    return max(held)


def measure() -> list[Row]:
    """What is held, and the goals."""
    with server.running(GPTCORE_MEMORY_MIB=str(LIMIT_MIB)) as running:
        asyncio.run(visit(running.port, *LESSONS))
        time.sleep(SETTLE_SECONDS)
        without = _settled(running)
        processes = len(running.family())
        weights = running.home / "models" / "gpt2"
        weights.mkdir(parents=True)
        subprocess.run([sys.executable, "-c", WRITE, str(weights)], cwd=REPOSITORY, check=True)
        asyncio.run(visit(running.port, "pretrained", link=IN_BFLOAT16))
        with_gpt2 = _settled(running)
        running.train()
        asyncio.run(visit(running.port, "pretrained", link=IN_BFLOAT16))
        with_run = _settled(running)
    limit = f"told to have {LIMIT_MIB:,} MiB; {processes} processes"
    return [
        Row("all processes, six lessons open, without GPT-2", without, "MiB", most=GOAL_MIB, limit=limit),
        Row("the same with GPT-2's 124M shape in bfloat16", with_gpt2, "MiB"),
        Row("the same, and one run training", with_run, "MiB", most=GOAL_GPT2_MIB, limit="random weights"),
    ]

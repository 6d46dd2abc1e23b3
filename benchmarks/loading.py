"""How long GPT-2's small shape takes to load, and what it holds at most: ours and transformers, in fresh processes.

The weights are random, written into a folder that is gone afterwards, and lie in the system's file cache, as they do
the second time. Timed is the call alone, imports excluded; ours includes the check that all values are finite. The peak
is the whole process, Python and PyTorch included, after a first pass over eight tokens.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from gptcore.config import MODEL_PRESETS
from gptcore.paths import REPOSITORY

ROUNDS = 3
MIB = 2**20
IDS = [[6109, 3626, 6100, 345, 13, 632, 318, 257]]
CASES = (("ours", "float32", 0.05, 730), ("ours", "bfloat16", 0.25, 560))
THEIRS = (("transformers", "float32"), ("transformers", "bfloat16"))


class Measured(NamedTuple):
    """Seconds of the call, by the clock and of a processor's core, and bytes of the process at its peak."""

    seconds: float
    core: float
    peak: int


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _ours(folder: str, precision: str) -> Measured:
    import torch

    from gptcore.pretrained import load_gpt2

    torch.set_num_threads(1)
    began, core = time.perf_counter(), time.process_time()
    model = load_gpt2(folder, precision="bfloat16" if precision == "bfloat16" else "float32")
    seconds, core = time.perf_counter() - began, time.process_time() - core
    with torch.inference_mode():
        model(torch.tensor(IDS))
    return Measured(seconds, core, _peak())


def _transformers(folder: str, precision: str) -> Measured:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(1)
    began, core = time.perf_counter(), time.process_time()
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, precision))
    seconds, core = time.perf_counter() - began, time.process_time() - core
    with torch.inference_mode():
        model(torch.tensor(IDS))
    return Measured(seconds, core, _peak())


def measure(who: str, folder: str, precision: str) -> Measured:
    """The middle of a few fresh processes."""
    command = [sys.executable, "-m", "benchmarks.loading", who, folder, precision]
    done = [
        Measured(*json.loads(subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout))
        for _ in range(ROUNDS)
    ]
    return Measured(
        statistics.median(each.seconds for each in done),
        statistics.median(each.core for each in done),
        max(each.peak for each in done),
    )


def main() -> None:
    """Print the table."""
    from gptcore.library import new_model
    from gptcore.pretrained import save_gpt2

    with tempfile.TemporaryDirectory() as folder:
        save_gpt2(new_model(MODEL_PRESETS["gpt2-small"], 0), folder)
        theirs = {precision: measure(who, folder, precision) for who, precision in THEIRS}
        print(f"{'loading, 124M':24} {'s':>7} {'core':>7} {'goal':>6} {'MiB':>6} {'goal':>5} {'quicker':>8}")
        for who, precision, seconds, mib in CASES:
            ours, other = measure(who, folder, precision), theirs[precision]
            row = f"{precision:24} {ours.seconds:7.3f} {ours.core:7.3f} {seconds:6.2f} {ours.peak / MIB:6,.0f} {mib:5}"
            print(f"{row} {other.core / ours.core:7.1f}x")
            name = f"transformers, {precision}"
            print(f"{name:24} {other.seconds:7.3f} {other.core:7.3f} {'':6} {other.peak / MIB:6,.0f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps((_ours if sys.argv[1] == "ours" else _transformers)(*sys.argv[2:])))
    else:
        main()

"""How long GPT-2's small shape takes to load, and what it holds at most: ours and transformers, in fresh processes.

The weights are random, written into a folder that is gone afterwards, and lie in the system's file cache, as they do
the second time. Timed is the call alone, imports excluded; ours includes the check that all values are finite. The peak
is the whole process, Python and PyTorch included, after a first pass over eight tokens. The limit is a profile of one
more process: in which functions it spends its time.
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
from typing import Any, NamedTuple

from benchmarks.results import Row
from gptcore.config import MODEL_PRESETS
from gptcore.machine import MIB
from gptcore.paths import REPOSITORY

ROUNDS = 3
PROFILE = "profile"
IDS = [[6109, 3626, 6100, 345, 13, 632, 318, 257]]
GOALS = (("float32", 0.05, 730), ("bfloat16", 0.25, 560))  # seconds, MiB


class Measured(NamedTuple):
    """Seconds that a core spends on the call, and bytes of the process at its peak."""

    seconds: float
    peak: int


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _ours(folder: str, precision: str) -> Measured:
    import torch

    from gptcore.pretrained import load_gpt2

    torch.set_num_threads(1)
    began = time.process_time()
    model = load_gpt2(folder, precision="bfloat16" if precision == "bfloat16" else "float32")
    seconds = time.process_time() - began
    with torch.inference_mode():
        model(torch.tensor(IDS))
    return Measured(seconds, _peak())


def _transformers(folder: str, precision: str) -> Measured:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(1)
    began = time.process_time()
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, precision))
    seconds = time.process_time() - began
    with torch.inference_mode():
        model(torch.tensor(IDS))
    return Measured(seconds, _peak())


LOADERS = {"ours": _ours, "transformers": _transformers}


def _profile(folder: str, precision: str) -> str:
    """Where the seconds of a fresh process's call go, and how many there are under the profiler's eyes."""
    import cProfile
    import pstats

    import torch

    from gptcore.pretrained import load_gpt2

    torch.set_num_threads(1)
    seen = cProfile.Profile(time.process_time)
    seen.runcall(load_gpt2, folder, precision="bfloat16" if precision == "bfloat16" else "float32")
    stats = pstats.Stats(seen)
    total = stats.total_tt  # type: ignore[attr-defined]
    spent = sorted(
        ((own, where[2]) for where, (_, _, own, _, _) in stats.stats.items()),  # type: ignore[attr-defined]
        reverse=True,
    )
    return ", ".join(f"{name.strip('<>')} {own / total:.0%}" for own, name in spent[:4])


def _told(who: str, folder: str, precision: str) -> Any:
    """What a fresh process says."""
    command = [sys.executable, "-m", "benchmarks.loading", who, folder, precision]
    return json.loads(subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout)


def _middle(who: str, folder: str, precision: str) -> Measured:
    """The middle of a few fresh processes."""
    done = [Measured(*_told(who, folder, precision)) for _ in range(ROUNDS)]
    return Measured(statistics.median(each.seconds for each in done), max(each.peak for each in done))


def measure() -> list[Row]:
    """Time and peak memory in both precisions."""
    from gptcore.library import new_model
    from gptcore.pretrained import save_gpt2

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2(new_model(MODEL_PRESETS["gpt2-small"], 0), folder)
        for precision, seconds, mib in GOALS:
            ours, theirs = (_middle(who, folder, precision) for who in LOADERS)
            what, peer = f"GPT-2 small loads, {precision}", "transformers"
            profile = _told(PROFILE, folder, precision)
            rows.append(Row(what, ours.seconds, "s", theirs.seconds, peer, most=seconds, limit=profile))
            rows.append(Row(f"{what}: peak", ours.peak / MIB, "MiB", theirs.peak / MIB, peer, most=mib))
    return rows


if __name__ == "__main__":
    print(json.dumps((LOADERS | {PROFILE: _profile})[sys.argv[1]](*sys.argv[2:])))

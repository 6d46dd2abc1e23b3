"""The evening before: would this machine carry the class? ``make class-check N=30`` plays it, and says so in sentences.

How to read it: ``sums`` holds what is needed against what there is, before anything is started; ``judge`` looks at a
class run that was really played (``classroom``: one server, N sessions, N runs of the class preset); ``report`` says
both. The exit code is 0 where the class fits, else 1.

What is left out: the room's network. The students are played on the machine itself, and cost it a little.
"""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NamedTuple

import psutil

from benchmarks import classroom
from benchmarks.classroom import Played
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS
from gptcore.footprint import footprint
from gptcore.hub_models import MODELS
from gptcore.machine import MIB, memory_limit
from gptcore.parameters import training_disk, training_memory
from gptcore.paths import home
from gptcore.runs.queue import PROCESS_BYTES, SERVER_BYTES, runs_at_once

STUDENTS = 30
PRESET = "class"
GPT2 = "gpt2"
LONGEST_SECONDS = 300.0  # a lesson has not more than five minutes for a run


class Machine(NamedTuple):
    """What there is: bytes of memory and of disk, and whether GPT-2's weights lie here."""

    memory: int
    disk: int
    has_gpt2: bool


def this_machine() -> Machine:
    """What this machine has left for the program, beside all that runs on it now."""
    folder = next(folder for folder in (home().absolute(), *home().absolute().parents) if folder.is_dir())
    memory = min(memory_limit(), psutil.virtual_memory().available)
    return Machine(memory, shutil.disk_usage(folder).free, MODELS[GPT2].is_here)


class Sums(NamedTuple):
    """What a class takes: runs at once, bytes of memory with and without GPT-2, bytes of disk."""

    slots: int
    memory: int
    gpt2: int
    disk: int


def sums(students: int, machine: Machine) -> Sums:
    """What the server, its runs and GPT-2 take, from the configuration alone.

    >>> sums(30, Machine(8 * 2**30, 2**40, has_gpt2=False)).gpt2
    0
    """
    shape, training = MODEL_PRESETS[PRESET], TRAIN_PRESETS[PRESET]
    gpt2 = footprint(MODELS[GPT2].config).total if machine.has_gpt2 else 0
    run = sum(training_memory(shape, training).values())
    slots = runs_at_once(run, machine.memory - gpt2)
    disk = students * sum(training_disk(shape, training.optimiser).values())
    return Sums(slots, SERVER_BYTES + slots * (PROCESS_BYTES + run), gpt2, disk)


def too_little(needs: Sums, machine: Machine) -> list[str]:
    """What would not fit, each as a sentence with its sum; empty where all does."""
    said = []
    memory = needs.memory + needs.gpt2
    if memory > machine.memory:
        gpt2 = f", with GPT-2's {needs.gpt2 // MIB:,} MiB," if needs.gpt2 else ""
        said.append(
            f"the server and one run{gpt2} need {memory // MIB:,} MiB of memory and {machine.memory // MIB:,} MiB are "
            "free: end other programs, or take a larger machine"
        )
    if needs.disk > machine.disk:
        said.append(
            f"the runs need {needs.disk // MIB:,} MiB of disk under {home()} and {machine.disk // MIB:,} MiB are free: "
            "delete old runs, or let GPTCORE_HOME name another disk"
        )
    return said


def judge(played: Played) -> list[str]:
    """What went wrong when the class was played, each as a sentence; empty where nothing did."""
    said = []
    if missing := len(played.seen) - len(played.finished):
        said.append(f"{missing} of {len(played.seen)} runs were not done within {classroom.PATIENCE_SECONDS:.0f} s")
    elif took(played) > LONGEST_SECONDS:
        said.append(
            f"a class run takes {took(played):.0f} s for all, and a lesson has {LONGEST_SECONDS:.0f} s for it: let "
            "two students share a run, or take a machine with more cores"
        )
    if played.faults:
        said.append(f"screens showed errors ({'; '.join(played.faults)})")
    return said


def took(played: Played) -> float:
    """Seconds from the first click to the last run that was done."""
    return max((each.done for each in played.finished), default=0.0)


def report(students: int, machine: Machine, needs: Sums, played: Played | None, wrong: Sequence[str]) -> str:
    """All of it in sentences."""
    who = f"{students} {'student' if students == 1 else 'students'}"
    gpt2 = f"GPT-2 cached: {'yes' if machine.has_gpt2 else 'no (python -m gptcore fetch gpt2 brings it)'}"
    if wrong:
        first = f"{who} would not fit: {'; '.join(wrong)}; {gpt2}"
    else:
        first = f"{who} fit; a class run takes {took(played) if played else 0.0:.0f} s for all; {gpt2}"
    runs = "1 run trains" if needs.slots == 1 else f"{needs.slots} runs train"
    second = (
        f"{runs} at a time, in fair turns. The sum: at most {(needs.memory + needs.gpt2) // MIB:,} of "
        f"{machine.memory // MIB:,} MiB of memory, {needs.disk // MIB:,} of {machine.disk // MIB:,} MiB of disk"
    )
    lines = [first, second]
    if played and (answers := played.answers):
        lines.append(
            f"Measured: the server and its runs held {played.held // MIB:,} MiB at most; 95 of 100 answers came within "
            f"{answers[int(0.95 * len(answers))] * 1e3:.0f} ms"
        )
    return "".join(f"{line}.\n" for line in lines)


def check(students: int, machine: Machine) -> tuple[str, bool]:
    """Count, then play where the sum allows it: what to say, and whether the class fits."""
    needs = sums(students, machine)
    wrong = too_little(needs, machine)
    played = None if wrong else classroom.play(students)
    if played is not None:
        wrong = judge(played)
    return report(students, machine, needs, played, wrong), not wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Say whether the class fits; 0 where it does."""
    parser = ArgumentParser(prog="python -m benchmarks.class_check", description="would this machine carry the class?")
    parser.add_argument("students", nargs="?", type=int, default=STUDENTS, help="how many students (default 30)")
    students = parser.parse_args(arguments).students
    if students < 1:
        parser.error(f"N={students}: a class has one student at least")
    seconds = classroom.SPREAD_SECONDS * students
    sys.stdout.write(f"Playing a class of {students}: a minute to start, {seconds:.0f} s of clicks, then their runs.\n")
    sys.stdout.flush()
    said, fits = check(students, this_machine())
    sys.stdout.write(said)
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())

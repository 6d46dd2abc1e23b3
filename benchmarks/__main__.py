"""``make bench``: every measurement of this project, one table after the other.

Absolute figures belong to one machine; ratios travel better. Nothing here is a test: a slow machine fails nothing.
``make bench ARGS="steps generation"`` measures only these. Parts that are compared with a peer or a goal write their
rows into RESULTS.md, each when it is done, so that the rest can be measured later.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from benchmarks import (
    classroom,
    cloud,
    cluster,
    cold_start,
    dispatching,
    forward,
    generation,
    lesson,
    loading,
    memorization,
    memory,
    next_token,
    paint,
    presets,
    queue_simulation,
    reruns,
    results,
    runs,
    steps,
    techniques,
    timing,
    verdict,
    writing,
)

COMPARED: dict[str, Callable[[], list[results.Row]]] = {
    "presets": presets.measure,
    **{f"step-{letter.lower()}": partial(steps.measure, letter) for letter in steps.SHAPES},
    "generation": generation.measure,
    "next-token": next_token.measure,
    "loading": loading.measure,
    "techniques": techniques.measure,
    "paint": paint.measure,
    "cold-start": cold_start.measure,
    "runs": runs.measure,
    "classroom": classroom.measure,
    "crowds-alone": lesson.alone,
    "reruns": reruns.measure,
    "lesson": lesson.measure,
    "cloud": cloud.measure,
    "cluster": cluster.measure,
}
UNASKED = {
    f"verdict-{name}": partial(verdict.measure, name) for name in ("book", "float32", "bfloat16")
}  # minutes each
OTHERS = {
    "memory": memory.main,
    "dispatching": dispatching.main,
    "queue_simulation": queue_simulation.main,
    "memorization": memorization.main,
    "forward": forward.main,
    "writing": writing.main,
}
GROUPS = {"steps": [part for part in COMPARED if part.startswith("step-")]}
ORDER = [*COMPARED, "verdict"]


def measure(part: str) -> None:
    """Measure one part, print its table, and keep it."""
    if part in OTHERS:
        OTHERS[part]()
        return
    before = timing.load()
    rows = (COMPARED | UNASKED)[part]()
    about = results.measured_on(before)
    print(f"{part}: {about}")
    results.show(rows)
    results.keep("verdict" if part in UNASKED else part, rows, about, ORDER)


def main() -> None:
    """Measure the parts that were named, or all of them but those that take long."""
    choices = [*COMPARED, *OTHERS, *GROUPS, *UNASKED]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*choices, []], help="what to measure; all of it when left empty")
    for asked in parser.parse_args().part or [*COMPARED, *OTHERS]:
        for part in GROUPS.get(asked, [asked]):
            measure(part)
            print()


if __name__ == "__main__":
    main()

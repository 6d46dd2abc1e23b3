"""``make bench``: every measurement of this project, one table after the other.

Absolute figures belong to one machine; ratios travel better. Nothing here is a test: a slow machine fails nothing.
``make bench ARGS="runs classroom"`` measures only these.
"""

from __future__ import annotations

import argparse

from benchmarks import classroom, forward, memorization, memory, pages, runs, steps, writing

PARTS = {
    "steps": steps.main,
    "memory": memory.main,
    "runs": runs.main,
    "pages": pages.main,
    "classroom": classroom.main,
    "memorization": memorization.main,
    "forward": forward.main,
    "writing": writing.main,
}


def main() -> None:
    """Measure the parts that were named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="what to measure; all of it when left empty")
    for part in parser.parse_args().part or PARTS:
        PARTS[part]()
        print()


if __name__ == "__main__":
    main()

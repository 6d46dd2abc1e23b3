"""Lesson plans: a page of prose for each lesson, with this class's numbers in it.

How to read it: the prose is ``assets/plans/<lesson>.md``, always under the five headings of ``HEADINGS``; a name in
braces is a number of ``thread_numbers.Numbers``. ``read`` puts the two together.
"""

from __future__ import annotations

import re
from functools import cache

from gptcore.paths import ASSETS
from pages._ui.thread_numbers import Numbers

FOLDER = ASSETS / "plans"
HEADINGS = ("Minutes", "Aim", "Steps", "Questions", "What goes wrong")


@cache
def prose(lesson: str) -> str:
    """A lesson's plan as it is written, with the names of its numbers."""
    return (FOLDER / f"{lesson}.md").read_text(encoding="utf-8")


def read(lesson: str, numbers: Numbers) -> dict[str, str]:
    """A lesson's plan with these numbers, heading by heading."""
    return {heading: body.format(**numbers.words()) for heading, body in parts(prose(lesson)).items()}


def parts(text: str) -> dict[str, str]:
    r"""A text's parts by their headings.

    >>> parts("## Aim\nTo see.\n\n## Steps\n1. Look.\n")
    {'Aim': 'To see.', 'Steps': '1. Look.'}
    """
    _, *rest = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {heading: body.strip() for heading, body in zip(rest[::2], rest[1::2], strict=True)}


def minutes(lesson: str) -> int:
    """How long it takes in all: the first number under its heading."""
    return int(parts(prose(lesson))["Minutes"].partition(" ")[0])

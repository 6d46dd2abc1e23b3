"""Dataclasses that check themselves: each field carries its limits and the sentence that explains it to a student.

How to read it: ``described`` declares a field, ``Checked`` holds every value to it. A value that arrives from a form, a
link, a file or the command line is refused in the same words. What is left out: the configs themselves (``config``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any


def described(default: Any, sentence: str, low: float = -math.inf, high: float = math.inf, choices: Any = ()) -> Any:
    """A dataclass field: its default, the sentence that explains it to a student, and what it may be."""
    return field(default=default, metadata={"help": sentence, "low": low, "high": high, "choices": choices})


def help_for(config: type, name: str) -> str:
    """The help sentence of one field, as shown beside its control.

    >>> from gptcore.config import GPTConfig
    >>> help_for(GPTConfig, "n_heads")
    'Attention heads in each block; they share the embedding width equally.'
    """
    return next(str(f.metadata["help"]) for f in fields(config) if f.name == name)


def _expect(fine: bool, refusal: str) -> None:
    if not fine:
        raise ValueError(refusal)


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    try:
        finite = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        finite = False
    _expect(finite, f"{name}={str(value)[:40] if isinstance(value, int) else repr(value)} is not a finite number")
    limit = f"outside {low:g} to {high:g}" if math.isfinite(high) else f"below {low:g}"
    _expect(low <= value <= high, f"{name}={value:g} is {limit}")


def _check_field(name: str, kind: str, value: Any, allowed: Mapping[str, Any]) -> None:
    """Hold one value to its field's type and limits; the message names both."""
    if "None" in kind and value is None:
        return
    if allowed["choices"]:
        _expect(value in allowed["choices"], f"{name}={value!r} is not one of {', '.join(allowed['choices'])}")
    elif kind.startswith("bool"):
        _expect(isinstance(value, bool), f"{name}={value!r} is neither true nor false")
    elif kind.startswith("str"):
        _expect(isinstance(value, str), f"{name}={value!r} is not a text")
    elif kind.startswith("float"):
        _check_number(name, value, allowed["low"], allowed["high"])
    else:
        _expect(isinstance(value, int) and not isinstance(value, bool), f"{name}={value!r} is not a whole number")
        low, high = allowed["low"], allowed["high"]
        _expect(low <= value <= high, f"{name}={value:,} is outside {low:,} to {high:,}")


class Checked:
    """A frozen dataclass that checks each of its fields when it is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            _check_field(each.name, str(each.type), getattr(self, each.name), each.metadata)
        self._check_together()

    def _check_together(self) -> None:
        """Refuse values that are fine one by one and impossible side by side."""

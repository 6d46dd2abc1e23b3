"""One control that can travel in a link: how its value is written there, and what is taken for it.

How to read it: ``Control.say`` and ``Control.read`` are each other's inverse; what ``read`` refuses it names, beside
the limits. What is left out: which controls there are (``controls``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import streamlit as st

SHOWN = 40  # characters of a value that is refused
ANYTHING = object()  # no value is the usual one: such a control is in every link


class Control(NamedTuple):
    """One control, or one value that a lesson keeps.

    Attributes:
        key: Its key in the session, which is its name in the link.
        kind: int, float, bool, str, or list for several texts.
        low: The least number.
        high: The greatest number, or the most characters of a text, or the most parts of a list.
        choices: All that it may be, where that is known beforehand.
        empty: Whether it may hold nothing.
        usual: Its value before anybody touched it, by its full key; None where Streamlit knows.
    """

    key: str
    kind: type
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[Any, ...] = ()
    empty: bool = False
    usual: Callable[[str], Any] | None = None

    def say(self, value: Any) -> str:
        """A value as it stands in a link.

        >>> Control("rate", float).say(0.001), Control("live", bool).say(True), Control("stride", int).say(None)
        ('0.001', 'yes', '')
        """
        if value is None:
            return ""
        if self.kind is bool:
            return "yes" if value else "no"
        return "~".join(value) if self.kind is list else str(value)

    def read(self, said: str) -> Any:
        """The value that a link asks for.

        Raises:
            ValueError: It is not what this control can be; the message holds both.
        """
        if said == "" and self.empty:
            return None
        if self.choices:
            for choice in self.choices:
                if str(choice) == said:
                    return choice
            raise ValueError(f"{short(said)} is not one of {', '.join(map(str, self.choices))}")
        if self.kind in (int, float):
            return self._number(said)
        if self.kind is bool:
            if said not in ("yes", "no"):
                raise ValueError(f"{short(said)} is neither yes nor no")
            return said == "yes"
        parts = said.split("~") if self.kind is list else said
        if len(parts) > self.high:
            raise ValueError(f"{len(parts):,} of at most {self.high:,.0f} {'parts' if self.kind is list else 'signs'}")
        return parts

    def _number(self, said: str) -> Any:
        form = r"-?\d{1,19}" if self.kind is int else r"-?\d{1,19}(\.\d{0,20})?([eE][+-]?\d{1,3})?"
        if not re.fullmatch(form, said, re.ASCII):
            raise ValueError(f"{short(said)} is not a {'whole number' if self.kind is int else 'number'}")
        value = self.kind(said)
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise ValueError(f"{short(said)} is outside {self.low:g} to {self.high:g}")
        return value


def short(said: str) -> str:
    """A value in quotes, cut where it is long."""
    return f"“{said[:SHOWN]}{'…' * (len(said) > SHOWN)}”"


def among(key: str, options: Collection[Any]) -> None:
    """Forget a choice that is not on offer, here or any more: a selectbox would go on with it."""
    if key in st.session_state and st.session_state[key] not in options:
        del st.session_state[key]

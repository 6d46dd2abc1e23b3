"""What each technique gains, measured on small shapes and kept for the training lesson's card.

The pairs and what they may change are in ``gptcore.techniques``; its table on screen is what this wrote last.
"""

from __future__ import annotations

from benchmarks.results import Row
from benchmarks.timing import one_thread
from gptcore import techniques


def measure() -> list[Row]:
    """The rows; the table that the lesson shows is written anew."""
    one_thread()
    gains = [techniques.measure(technique) for technique in techniques.TECHNIQUES]
    techniques.save(gains)
    return [Row(gain.name, gain.quick, "ms", gain.plain, "the plain way", limit=gain.changes) for gain in gains]

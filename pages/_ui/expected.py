"""What a voice expects after a prompt, in one figure and a few numbers, kept: a class asks for the same ones."""

from __future__ import annotations

from typing import Any, NamedTuple

from gptcore.config import SamplingConfig
from gptcore.figures.bars import next_token_bars
from pages._ui import resources
from pages._ui.kept import kept
from pages._ui.resources import Voice


class Expected(NamedTuple):
    """What may come next.

    Attributes:
        figure: The likeliest tokens as bars.
        first: The largest probability.
        tokens: How many there are to choose from.
        choices: Among how many equally likely tokens a draw would be as unsure.
    """

    figure: Any
    first: float
    tokens: int
    choices: float


def after(voice: Voice, prompt: str, colour: str, height: int) -> Expected:
    """What a voice expects after a prompt, nothing cut.

    Raises:
        ValueError: The prompt can't be written in the voice's vocabulary, or the weights can't be loaded.
    """
    return _after(voice, resources.version(voice), prompt, colour, height)


@kept(64)
def _after(voice: Voice, version: float, prompt: str, colour: str, height: int) -> Expected:
    del version  # part of the key only
    table = resources.next_tokens(voice, prompt, SamplingConfig())
    figure = next_token_bars(table, colour=colour, height=height)
    return Expected(figure, float(table["probability"].max()), len(table), resources.effective_choices(table))

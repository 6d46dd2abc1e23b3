"""A run whose end was moved: the updates up to there were made under other settings, which are kept in its config.

Where a run is to end decides how its learning rate falls from the first update on. So a run of 30 updates that goes on
to 60 is not the run that was begun with 60, and whoever does it again goes by its stretches.

How to read it: ``of`` lists the stretches, ``moved`` is the config with one more of them. What is left out: a run that
is only given more minutes, because they change no number.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from gptcore.config import TrainConfig, from_json, to_json


class Stretch(NamedTuple):
    """Updates in a row that were made under the same settings.

    Attributes:
        until: Updates of the run that are done at its end; None for the last stretch, which goes to the run's end.
    """

    until: int | None
    training: TrainConfig


def of(config: dict[str, Any]) -> list[Stretch]:
    """The stretches of a run by its config, in their order; one where its end was never moved."""
    earlier = [Stretch(each["until"], from_json(TrainConfig, each["training"])) for each in config.get("earlier", [])]
    return [*earlier, Stretch(None, from_json(TrainConfig, config["training"]))]


def moved(config: dict[str, Any], folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """The config of a run that goes on under other settings, from its last checkpoint.

    Args:
        config: As it is.
        folder: Of the run.
        changes: Settings to go on with.

    Raises:
        ValueError: Settings that can't be.
    """
    former = of(config)
    now = replace(former[-1].training, **changes)
    first_minutes = config.get("first_minutes", former[-1].training.max_minutes)
    new = config | {"training": to_json(now), "first_minutes": first_minutes}
    if replace(now, max_minutes=None) == replace(former[-1].training, max_minutes=None):
        return new
    done = _updates_kept(folder)
    kept = [stretch for stretch in former if stretch.until is not None and stretch.until < done]
    if done:  # the settings under which the last of these updates was made
        kept.append(former[len(kept)]._replace(until=done))
    return new | {"earlier": [{"until": stretch.until, "training": to_json(stretch.training)} for stretch in kept]}


def _updates_kept(folder: Path) -> int:
    """How many updates the newest checkpoint holds; 0 where there is none."""
    names = (path.stem for path in (folder / "checkpoints").glob("step-*.safetensors"))
    return max((int(name.removeprefix("step-")) for name in names), default=0)

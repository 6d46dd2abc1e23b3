"""Which settings? Many short runs that differ in a few of them, within a budget of core-seconds stated beforehand.

How to read it: an ``Axis`` is a setting with the values to try, a ``Sweep`` is several of them around one plan.
``following`` says what to try next: on a grid every combination, in a drawn order, so that a budget that ends early has
looked everywhere; in a study, what Optuna makes of the results so far.

What is left out: stopping a bad trial early, which would judge slow starters too soon; what came of the trials
(``sweep_results``); and who trains them, within the budget and in turn with everybody else (``runs.sweeping``). For the
learning rate alone, ``rates`` is quicker. Source: Bergstra et al. 2011, the sampler that Optuna takes.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from gptcore.config import GPTConfig, TrainConfig, from_json, to_json
from gptcore.rates import to_two_digits

Method = Literal["grid", "study"]
Values = dict[str, float]  # a trial's settings, by axis
TUNABLE: dict[str, type[int | float]] = {
    "lr": float,
    "weight_decay": float,
    "grad_clip": float,
    "warmup_steps": int,
    "batch_size": int,
    "context_length": int,
    "emb_dim": int,
    "n_heads": int,
    "n_layers": int,
    "drop_rate": float,
}
SHAPE = {field.name for field in fields(GPTConfig)}
MOST_TRIALS = 200
OVER = ("done", "failed", "cancelled")
WIDE = 5.0  # a range that spans this factor is searched by factors, not by differences


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting and the values to try, from the smallest to the largest.

    Raises:
        ValueError: No such setting, or fewer than two values.

    >>> Axis.read("emb_dim=64,32")
    Axis(name='emb_dim', values=(32, 64))
    """

    name: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.name not in TUNABLE:
            raise ValueError(f"{self.name!r} can't be swept; these can: {', '.join(TUNABLE)}")
        if len(set(self.values)) < 2:
            raise ValueError(f"{self.name} needs at least two different values to choose among")

    @classmethod
    def read(cls, said: str) -> Axis:
        """An axis as it is typed: a name, "=", and values with commas between them."""
        name, _, values = said.partition("=")
        kind = TUNABLE.get(name, float)
        try:
            return cls(name, tuple(sorted({kind(value) for value in values.split(",")})))
        except ValueError as error:
            if "could not convert" in str(error) or "invalid literal" in str(error):
                raise ValueError(f"{said!r} is no list of values: write {name or 'lr'}=1,2,3") from error
            raise

    @property
    def is_continuous(self) -> bool:
        """Whether a study may look between the values; whole numbers are taken as they are."""
        return TUNABLE[self.name] is float

    @property
    def is_wide(self) -> bool:
        """Whether the axis is better cut by factors than by differences."""
        return min(self.values) > 0 and max(self.values) / min(self.values) >= WIDE


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is tried, and how much it may cost.

    Attributes:
        model: The shape that the axes change.
        training: The settings that the axes change.
        budget: Core-seconds that all trials together may use: none is begun that would go beyond, by the estimate.
        most_trials: Of a study; a grid ends with its last combination.
        seed: Of the order, or of the study.

    Raises:
        ValueError: Nothing to choose, too much to try, values that exclude each other, or trials of unequal length.
    """

    model: GPTConfig
    training: TrainConfig
    axes: tuple[Axis, ...]
    budget: float
    method: Method = "grid"
    most_trials: int = 12
    seed: int = 123

    def __post_init__(self) -> None:
        names = [axis.name for axis in self.axes]
        if not names or len(set(names)) < len(names):
            raise ValueError("a sweep needs one axis or more, each named once")
        if not self.budget > 0:
            raise ValueError(f"budget={self.budget:g} core-seconds leave nothing to compute: give more")
        if not 1 <= self.planned <= MOST_TRIALS:
            raise ValueError(f"{self.planned:,} trials are not 1 to {MOST_TRIALS}: give fewer values, or make a study")
        if self.training.steps is None:
            raise ValueError("the trials of a sweep are equally long: give their updates as steps, not as epochs")
        for combination in itertools.islice(itertools.product(*(axis.values for axis in self.axes)), MOST_TRIALS):
            self.plan(dict(zip(names, combination, strict=True)))  # refuses values that exclude each other

    @property
    def planned(self) -> int:
        """Trials, where the budget allows."""
        return math.prod(len(axis.values) for axis in self.axes) if self.method == "grid" else self.most_trials

    def plan(self, values: Values) -> tuple[GPTConfig, TrainConfig]:
        """The shape and settings of one trial; where the rate falls along a cosine, its end moves with the peak."""
        training = {name: value for name, value in values.items() if name not in SHAPE}
        if "lr" in training and self.training.min_lr is not None:
            training["min_lr"] = to_two_digits(training["lr"] * self.training.min_lr / self.training.lr)
        shape: dict[str, Any] = {name: value for name, value in values.items() if name in SHAPE}
        changed: dict[str, Any] = dict(training)
        return replace(self.model, **shape), replace(self.training, **changed)


def to_plain(sweep: Sweep) -> dict[str, Any]:
    """A sweep as plain values, for a JSON file."""
    return asdict(sweep) | {"model": to_json(sweep.model), "training": to_json(sweep.training)}


def from_plain(values: dict[str, Any]) -> Sweep:
    """The sweep that ``to_plain`` wrote."""
    axes = tuple(Axis(axis["name"], tuple(axis["values"])) for axis in values["axes"])
    kinds = {"model": from_json(GPTConfig, values["model"]), "training": from_json(TrainConfig, values["training"])}
    return Sweep(**(values | kinds | {"axes": axes}))


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a sweep as it stands.

    Attributes:
        loss: The best validation loss, nats a token; infinite where it diverged, None where there is none yet.
        core_seconds: Used so far.
        estimate: What it was expected to use, by the formula, before any was seen.
    """

    run: str
    values: Values
    state: str
    loss: float | None
    core_seconds: float
    estimate: float

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in OVER


def following(sweep: Sweep, trials: Sequence[Trial]) -> Values | None:
    """What to try next, None where all has been tried; the same results give the same answer.

    Raises:
        RuntimeError: A study without Optuna.
    """
    if len(trials) >= sweep.planned:
        return None
    return _on_the_grid(sweep, len(trials)) if sweep.method == "grid" else _in_the_study(sweep, trials)


def _on_the_grid(sweep: Sweep, tried: int) -> Values:
    combinations = list(itertools.product(*(axis.values for axis in sweep.axes)))
    random.Random(sweep.seed).shuffle(combinations)
    return dict(zip((axis.name for axis in sweep.axes), combinations[tried], strict=True))


def _in_the_study(sweep: Sweep, trials: Sequence[Trial]) -> Values:
    """Ask Optuna, which is told all results anew each time: so nothing has to be kept beside the runs."""
    try:
        import optuna
    except ImportError as error:
        raise RuntimeError(
            "a study needs Optuna: pip install -r requirements-sweep.txt, or take a grid, which needs nothing"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        axis.name: optuna.distributions.FloatDistribution(axis.values[0], axis.values[-1], log=axis.is_wide)
        if axis.is_continuous
        else optuna.distributions.CategoricalDistribution(axis.values)
        for axis in sweep.axes
    }
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=sweep.seed + len(trials)))
    for trial in trials:
        if trial.is_over and trial.loss is not None:
            study.add_trial(optuna.trial.create_trial(params=dict(trial.values), distributions=space, value=trial.loss))
    found = study.ask(space).params
    return {
        axis.name: min(max(float(f"{found[axis.name]:.3g}"), axis.values[0]), axis.values[-1])
        if axis.is_continuous
        else found[axis.name]
        for axis in sweep.axes
    }

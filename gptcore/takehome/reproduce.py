"""The notebook, and the script, that train one run again with PyTorch and tiktoken alone.

How to read it: ``cells`` is the whole notebook in its order. All code in it is gptcore's own (``source``); of the run
itself there are its text, its settings and its first losses, written as Python.

What is left out: charts, because a machine that has only PyTorch and tiktoken can't draw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from gptcore.config import GPTConfig, SamplingConfig, TrainConfig
from gptcore.corpora import CATALOGUE, Text
from gptcore.runs.store import Run
from gptcore.runs.stretches import Stretch
from gptcore.runs.stretches import of as stretches_of
from gptcore.takehome.cells import Cell, parts_as_cells
from gptcore.takehome.extract import Extract, collect
from gptcore.takehome.source import Name, source_of

FIRST_STEPS = 50  # updates whose losses a notebook holds, to be compared with
MOST_EVALUATIONS = 200
MOST_EMBEDDED = 300_000  # characters; a longer text is fetched, where it has a fixed address
STANDALONE = "gptcore.takehome.standalone"
CONFIG = "gptcore.config"
SHOWN_ONLY = frozenset({"spans"})  # methods that only charts need; they need more than PyTorch and tiktoken
ENCODING = Name("gptcore.tokenizer", "gpt2_encoding")
VARIANTS = Name("gptcore.variants", "VARIANTS")

HEAD = """\
# A training run, once more

This file trains a model again from its first update, on any machine with Python 3.11, PyTorch 2.4 or newer and \
tiktoken; Kaggle and Colab will do. Where tiktoken is missing, `pip install tiktoken` brings it. All code is that of \
Glassbox GPT, cut out of its source.

tiktoken fetches GPT-2's vocabulary once. With no network: set the environment variable `TIKTOKEN_CACHE_DIR` to the \
folder `tiktoken` of the downloaded run, before this file is run."""

RUN = """\
## The run

Its text, the shape of its model, its settings (what is not named has the value that the code above gives it), and \
the losses that were recorded: of the batch, then, where both parts of the text were evaluated, of training and \
validation."""

MOVED = """\
The end of this run was moved while it lasted. Where a run ends decides how its learning rate falls, so it is trained \
again in the same stretches: `EARLIER` says up to which update which settings held; from there on, `SETTINGS` do."""

TRAIN = """\
## Train it again

`UPDATES` stops it early; `None` goes to the end."""

COMPARE = """\
## Are they the same numbers?

With the same version of PyTorch on the same kind of processor the difference is zero. Elsewhere sums are rounded \
differently: the first losses agree to five digits or more, and the small differences grow from update to update."""

TALK = """\
## Let it talk

Temperature 0 takes the likeliest token each time, as the samples of the run do."""

WEIGHTS = """\
## The weights of the run itself

They lie beside this file when it is opened in the unpacked folder of a downloaded run; the losses are then those \
of the run's best evaluation."""


def recorded_losses(run: Run) -> dict[int, tuple[float, float | None, float | None]]:
    """The first losses of a run and its evaluations, by step; lines that are not yet whole are left out."""
    found: dict[int, tuple[float, float | None, float | None]] = {}
    evaluations = 0
    for row in _rows(run):
        evaluated = row["train_loss"] is not None
        if row["step"] < FIRST_STEPS or (evaluated and evaluations < MOST_EVALUATIONS):
            evaluations += evaluated
            found[row["step"]] = (row["batch_loss"], row["train_loss"], row["val_loss"])
    return found


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    """The rows of metrics.jsonl, one after the other, however many there are."""
    try:
        with (run.folder / "metrics.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)
    except FileNotFoundError:
        return


def as_call(config: GPTConfig | TrainConfig) -> str:
    """A config as Python makes it; settings that have their default value are left out.

    >>> print(as_call(TrainConfig(batch_size=2, lr=4e-4)))
    TrainConfig(
        batch_size=2,
        lr=0.0004,
    )
    """
    shape = isinstance(config, GPTConfig)
    named = [(each.name, getattr(config, each.name), each.default) for each in fields(config)]
    lines = [f"    {name}={value!r},\n" for name, value, default in named if shape or value != default]
    return f"{type(config).__name__}(\n{''.join(lines)})"


def earlier_code(stretches: Sequence[Stretch]) -> str:
    """The stretches before the last as Python makes them: by what was moved since.

    >>> print(earlier_code([Stretch(30, TrainConfig(steps=30)), Stretch(None, TrainConfig(steps=60))]))
    EARLIER = [(30, replace(SETTINGS, steps=30))]
    """
    *before, (_, last) = stretches
    said = []
    for until, training in before:
        named = [(each.name, getattr(training, each.name), getattr(last, each.name)) for each in fields(training)]
        moved = [f"{name}={value!r}" for name, value, then in named if value != then and name != "max_minutes"]
        said.append(f"({until}, replace({', '.join(['SETTINGS', *moved])}))")
    return f"EARLIER = [{', '.join(said)}]"


def as_literal(text: str) -> str:
    r"""A text as Python source, a line of it on each line; what can't be seen is written as an escape.

    >>> print(as_literal("a\nb"))
    (
        'a\n'
        'b'
    )
    """
    lines = text.split("\n")
    pieces = [line + "\n" for line in lines[:-1]] + lines[-1:]
    return "(\n" + "".join(f"    {piece!r}\n" for piece in pieces if piece or len(pieces) == 1) + ")"


def has_address(text: Text) -> bool:
    """Whether a text is long, and can be fetched just as it is from a fixed address with a known hash."""
    source = CATALOGUE.get(text.key)
    known = source is not None and source.url is not None and source.clean is str and source.sha256 == text.sha256
    return known and len(text.text) > MOST_EMBEDDED


def text_code(text: Text) -> str:
    """The cell that holds a run's text, or fetches it."""
    source = CATALOGUE.get(text.key)
    if source is not None and has_address(text):
        letters = f"fetch(\n    {source.url!r},\n    {source.sha256!r},\n)"
    else:
        letters = as_literal(text.text)
    return f"LETTERS = {letters}\nTEXT = Text({text.key!r}, {text.title!r}, LETTERS, {text.prompt!r})"


def variant_code(variant: str) -> str:
    """The table of variants with only what one run needs: as it should be, or its one deliberate change."""
    from gptcore.variants import VARIANTS as KNOWN  # brings PyTorch

    classes = {"none": "Unchanged", variant: type(KNOWN[variant]).__name__}  # type: ignore[index]  # checked by TrainConfig
    entries = ", ".join(f'"{name}": {kind}()' for name, kind in classes.items())
    return f"VARIANTS: dict[Variant, Unchanged] = {{{entries}}}"


def code_of(training: TrainConfig, fetched: bool = False) -> Extract:
    """The functions of gptcore that train and talk, as code of their own.

    Args:
        training: The settings of the run: they decide which variant is needed.
        fetched: Whether the text has to be fetched.
    """
    names = ["run_again", "compare", "go_on", "take_weights", *(["fetch"] if fetched else [])]
    wanted = [Name(STANDALONE, name) for name in names] + [Name("gptcore.training", "evaluate")]
    instead = {ENCODING: source_of(Name(STANDALONE, ENCODING.name)), VARIANTS: variant_code(training.variant)}
    return collect(wanted, instead, SHOWN_ONLY)


def cells(run: Run) -> list[Cell]:
    """The notebook of a run.

    Raises:
        OSError: The run is gone, or can't be read.
        ValueError: Its config can't be read.
    """
    text, shape, training = run.text, run.model_config, run.train_config
    stretches = stretches_of(run.config)
    was_moved = len(stretches) > 1
    moved = [Cell("markdown", MOVED), Cell("code", earlier_code(stretches))] if was_moved else []
    code = code_of(training, has_address(text))
    losses = "".join(f"    {step}: {values!r},\n" for step, values in recorded_losses(run).items())
    greedy = SamplingConfig(temperature=0.0)
    asked = f"SamplingConfig(temperature={greedy.temperature})"
    return [
        Cell("markdown", HEAD),
        Cell("code", code.imports),
        *parts_as_cells(code),
        Cell("markdown", RUN),
        Cell("code", text_code(text)),
        Cell("code", f"SHAPE = {as_call(shape)}\nSETTINGS = {as_call(training)}"),
        *moved,
        Cell("code", f"RECORDED = {{\n{losses}}}"),
        Cell("markdown", TRAIN),
        Cell(
            "code",
            f"UPDATES = None\nstate, records = run_again(TEXT, SHAPE, SETTINGS, UPDATES{', EARLIER' * was_moved})",
        ),
        Cell("markdown", COMPARE),
        Cell("code", "difference = compare(records, RECORDED)"),
        Cell("markdown", TALK),
        Cell("code", f"print(go_on(state, state.data.prompt, {asked}, SETTINGS.sample_tokens))"),
        Cell("code", "print(go_on(state, state.data.prompt, SamplingConfig(temperature=0.8, top_k=40, seed=123)))"),
        Cell("markdown", WEIGHTS),
        Cell(
            "code",
            'WEIGHTS = "best.safetensors"\n'
            "if Path(WEIGHTS).is_file():\n"
            "    take_weights(state.model, WEIGHTS)\n"
            '    print("train and validation loss:", evaluate(state))\n'
            f"    print(go_on(state, state.data.prompt, {asked}))",
        ),
    ]

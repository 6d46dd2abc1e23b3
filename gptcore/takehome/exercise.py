"""The notebook with gaps: four functions of gptcore, each without the lines that make it what it is.

How to read it: a ``Gap`` names a function and the lines to take out of it, by how they begin; ``solution`` is the
function as it stands in gptcore, so that no solution is written twice. After each gap a cell checks what was filled
in; at the end a small model learns the run's text through it.

What is left out: the size of the run. The class preset learns here, whatever the run was.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.runs.store import Run
from gptcore.takehome.cells import Cell, parts_as_cells
from gptcore.takehome.extract import collect
from gptcore.takehome.reproduce import (
    ENCODING,
    SHOWN_ONLY,
    STANDALONE,
    VARIANTS,
    as_call,
    has_address,
    text_code,
    variant_code,
)
from gptcore.takehome.source import Name, SourceError, source_of
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text

CHECKS = "gptcore.takehome.checks"
UPDATES = 60

HEAD = """\
# Four gaps

A GPT with four gaps. Fill each: take out the line that raises an error, and write your own. The cell after it \
checks what you wrote. At the end a small model learns a text through your functions.

It needs Python 3.11, PyTorch 2.4 or newer and tiktoken (`pip install tiktoken`). tiktoken fetches GPT-2's vocabulary \
once; with no network, set the environment variable `TIKTOKEN_CACHE_DIR` to the folder `tiktoken` of the downloaded \
run before this file is run."""

GIVEN = """\
## All the rest

What follows is given: it is the code of Glassbox GPT as it stands, and it calls your functions."""

TOGETHER = """\
## Put to work

The model's attention and its loss are now yours. An untrained model guesses blindly and pays about ln V nats; \
after sixty updates it pays less."""

TALK = """\
## Let it talk

Your top-k and your temperature draw the tokens. Change both, and see what changes."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines to be taken out of a function.

    Attributes:
        name: What is missing, as it is said to the student.
        function: Where.
        first: How the first line that is taken out begins.
        last: How the last statement that is taken out begins.
        task: What to write, in a sentence or two.
        check: The function that checks it.
    """

    name: str
    function: Name
    first: str
    last: str
    task: str
    check: str


GAPS = (
    Gap(
        "the mask",
        Name("gptcore.model", "attention_step_by_step"),
        "past = ",
        "scores = scores.masked_fill",
        "`scores` holds how well each key fits each query. Set the scores of all keys that come after their query to "
        "minus infinity. The queries belong to the last `queries` of the `keys` tokens. (`torch.ones`, `tril` and "
        "`masked_fill` help.)",
        "check_mask",
    ),
    Gap(
        "the loss",
        Name("gptcore.loss", "mean_loss"),
        "return ",
        "return ",
        "Return the mean of -ln p(target) over all positions, where p is the softmax of the logits. "
        "(`F.cross_entropy` wants one row a guess; `torch.log_softmax` and `gather` do as well.)",
        "check_loss",
    ),
    Gap(
        "top-k",
        Name("gptcore.sampling", "cut_top_k"),
        "smallest_kept = ",
        "return kept | ",
        "Mark the k largest logits with True, exactly k of them: where some are equal at the edge, those with the "
        "lowest ids stay. (`torch.topk` finds the smallest that is kept; `cumsum` counts the equals.)",
        "check_top_k",
    ),
    Gap(
        "temperature",
        Name("gptcore.sampling", "_softmax"),
        "centred = ",
        "centred = ",
        "Divide the logits by the temperature, and call the result `centred`. Take off the largest of them first, "
        "so that a tiny temperature can't overflow.",
        "check_temperature",
    ),
)


def solution(gap: Gap) -> str:
    """The function as it stands in gptcore."""
    return source_of(gap.function)


def with_gap(gap: Gap) -> str:
    """The function without the lines of its gap, which raises an error there.

    Raises:
        SourceError: The function has changed and holds no such lines.
    """
    lines = solution(gap).split("\n")
    places = [
        next((number for number, line in enumerate(lines) if line.strip().startswith(beginning)), None)
        for beginning in (gap.first, gap.last)
    ]
    first, last = places
    if first is None or last is None or last < first:
        raise SourceError(f"{gap.function.name} has no lines from {gap.first!r} to {gap.last!r}")
    number = GAPS.index(gap) + 1
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    hole = [f"# Gap {number}, {gap.name}: your lines stand here.", f'raise NotImplementedError("gap {number} is open")']
    return "\n".join([*lines[:first], *(indent + line for line in hole), *lines[last + 1 :]])


def _lesson_text(run: Run) -> tuple[Text, GPTConfig, TrainConfig]:
    """The run's text if it is long enough for the class preset, or else our own story; and that preset."""
    shape, training = MODEL_PRESETS["class"], TRAIN_PRESETS["class"]
    text = run.text
    part, _ = split_text(text.text, training.train_fraction)
    needed = shape.context_length * training.batch_size + 1
    if len(load_tokenizer().encode(part[: 64 * needed])) < needed:
        text = load_text(OWN_STORY)
    return text, shape, training


def _gap_cells(gap: Gap) -> list[Cell]:
    number = GAPS.index(gap) + 1
    task = "\n".join(textwrap.wrap(gap.task, 110))
    return [
        Cell("markdown", f"## Gap {number}: {gap.name}\n\n{task}"),
        Cell("code", with_gap(gap)),
        Cell("code", f"{source_of(Name(CHECKS, gap.check))}\n\n\n{gap.check}()"),
    ]


def cells(run: Run) -> list[Cell]:
    """The notebook with gaps, on the text of a run.

    Raises:
        OSError: The run is gone, or can't be read.
        ValueError: Its config can't be read.
    """
    text, shape, training = _lesson_text(run)
    fetched = has_address(text)
    checks = [Name(CHECKS, gap.check) for gap in GAPS]
    wanted = [*checks, Name(CHECKS, "learn"), Name(STANDALONE, "go_on")]
    wanted += [Name(STANDALONE, "fetch")] if fetched else []
    instead = {ENCODING: source_of(Name(STANDALONE, ENCODING.name)), VARIANTS: variant_code("none")}
    given = collect(wanted, instead, SHOWN_ONLY, left=[*checks, *(gap.function for gap in GAPS)])
    return [
        Cell("markdown", HEAD),
        Cell("code", given.imports),
        *(cell for gap in GAPS for cell in _gap_cells(gap)),
        Cell("markdown", GIVEN),
        *parts_as_cells(given),
        Cell("code", text_code(text)),
        Cell("code", f"SHAPE = {as_call(shape)}\nSETTINGS = {as_call(training)}"),
        Cell("markdown", TOGETHER),
        Cell(
            "code",
            f"torch.set_num_threads(1)\nstate, losses = learn(TEXT, SHAPE, SETTINGS, updates={UPDATES})\n"
            "V = state.data.tokenizer.vocab_size\n"
            'print(f"ln V = {math.log(V):.3f}, first loss {losses[0]:.3f}, last loss {losses[-1]:.3f}")\n'
            'assert abs(losses[0] - math.log(V)) < 0.5, "an untrained model should guess blindly"\n'
            'assert losses[-1] < losses[0] - 1, "it should have learnt something by now"',
        ),
        Cell("markdown", TALK),
        Cell(
            "code",
            "for temperature in (0.2, 0.8, 1.5):\n"
            "    rules = SamplingConfig(temperature=temperature, top_k=20, seed=123)\n"
            "    print(temperature, go_on(state, state.data.prompt, rules, 30))",
        ),
    ]

"""What each command does: one function a command, from parsed arguments to an exit code.

How to read it: ``COMMANDS`` at the end is the list; ``__main__`` says which arguments each one takes. What is heavy is
imported inside the functions, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

from tqdm import tqdm

from gptcore import weights_commands
from gptcore.config import MODEL_PRESETS, PRESET, TRAIN_PRESETS, SamplingConfig, TrainConfig
from gptcore.runs.store import Run
from gptcore.takehome import command as takehome

TRAIN_OVERRIDES: dict[str, Callable[[str], Any]] = {
    "epochs": int,
    "steps": int,
    "batch_size": int,
    "lr": float,
    "weight_decay": float,
    "seed": int,
    "eval_every": int,
    "eval_batches": int,
    "stride": int,
    "sampled_vocab": int,
    "train_fraction": float,
    "sealed_fraction": float,
    "sample_at": str,
    "sample_prompt": str,
    "sample_tokens": int,
    "optimiser": str,
    "precision": str,
    "warmup_steps": int,
    "min_lr": float,
    "grad_clip": float,
    "threads": int,
    "max_minutes": float,
    "variant": str,
}

DEVICES = ("cpu", "cuda", "mps")
RECORDED_LESSONS = ("seeds", "judges", "floor", "gallery", "sanity", "rates")  # modules that name their plans in PLANS
TRAIN_FLAGS = ("reference", "compact_vocab", "end_of_text")
TRAIN_FIELDS = (*TRAIN_OVERRIDES, *TRAIN_FLAGS)
BEGINNING = ("text", "preset", "out")
MOVABLE = ("epochs", "steps", "max_minutes")  # where a run ends may be moved when it goes on


def _settings(arguments: argparse.Namespace) -> TrainConfig:
    """The preset's settings with what was said on the command line."""
    base, said = TRAIN_PRESETS[arguments.preset or PRESET], _said(arguments, TRAIN_FIELDS)
    if base.min_lr is not None and "lr" in said:  # the cosine ends at or below its peak, wherever the peak is put
        said.setdefault("min_lr", min(base.min_lr, said["lr"]))
    return replace(base, **said)


def _said(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """What was given on the command line, by field of TrainConfig."""
    said = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if "epochs" in said and "steps" not in said:
        said["steps"] = None  # epochs were asked for, so a number of steps set before gives way
    return said


def train(arguments: argparse.Namespace) -> int:
    """Train in this process with a progress bar, or in several (``torchrun``); the folder is as for any other run."""
    from gptcore import device, several
    from gptcore.runs.worker import assist, execute

    resumed = arguments.resume is not None
    if resumed and not (arguments.resume / "config.json").is_file():
        raise ValueError(f"{arguments.resume} holds no run to go on with")
    if not resumed and (arguments.text is None or arguments.out is None):
        raise ValueError("train needs --text and --out, or --resume")
    settings = Run(arguments.resume).train_config if resumed else _settings(arguments)
    where = device.choose(arguments.device, reference=settings.reference)
    if arguments.precision is None and not (resumed or settings.reference):
        settings = replace(settings, precision=device.best_precision(where) or settings.precision)
    run, pace = Run(arguments.resume or arguments.out), device.Pace()
    with several.gathered(where) as team:
        team.check(settings)
        if team.leads:
            _reopen(arguments) if resumed else _create(arguments, settings)
        team.wait()  # until the folder is whole
        if not team.leads:
            assist(run, team)
            return 0
        print(several.said(team), file=sys.stderr)
        with tqdm(unit="step", dynamic_ncols=True, disable=None) as bar, _stopping_gently(run, team.size):
            end = execute(run, lambda record, state: _report(bar, record, state, pace), team)
    if end == "failed":
        raise RuntimeError(run.status["reason"])
    if end == "cancelled":
        print(f"gptcore: stopped and saved; go on with --resume {run.folder}", file=sys.stderr)
        return 130
    print(f"{end}: {run.folder}")
    print(device.how_fast(pace, run.train_config, where, team.size), file=sys.stderr)
    return 0


def _reopen(arguments: argparse.Namespace) -> None:
    """Make the run of --resume ready to go on."""
    run = Run(arguments.resume)
    if run.is_alive:  # before its status is touched
        raise RuntimeError(f"another process is training {run.folder}; wait for it, or cancel it")
    if fixed := sorted(set(_said(arguments, (*BEGINNING, *TRAIN_FIELDS))) - {*MOVABLE}):
        raise ValueError(f"a run goes on as it began: {', '.join(fixed)} can't be changed with --resume")
    run.reopen(**_said(arguments, MOVABLE))


def _create(arguments: argparse.Namespace, settings: TrainConfig) -> None:
    """Make the folder of --out."""
    from gptcore.batches import prepare
    from gptcore.corpora import find_text
    from gptcore.runs.store import create_run

    text, model = find_text(arguments.text), MODEL_PRESETS[arguments.preset or PRESET]
    prepare(text, model, settings)  # a text that can't be used is refused before there is a folder
    create_run(arguments.out, text, model, settings)


@contextmanager
def _stopping_gently(run: Run, processes: int) -> Iterator[None]:
    """Let Ctrl-C end a run after its step, saved; a second Ctrl-C ends it at once.

    With several processes it is ``torchrun`` that hears the key as well and sends on a signal of its own: the second.
    """
    signals = (signal.SIGINT,) if processes == 1 else (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(_signal: int, _frame: object) -> None:
        if processes == 1:
            signal.signal(signal.SIGINT, before[signal.SIGINT])
        run.ask_to_stop()

    for number in signals:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(bar: tqdm[Any], record: Any, state: Any, pace: Any) -> None:
    """One record on the terminal: the bar moves, evaluations and samples stand above it."""
    if bar.total is None:
        bar.total = state.total_steps
        bar.initial = bar.n = max(0, state.step - 1)
    step = getattr(record, "step", -1)
    bar.update(state.step - bar.n)
    pace.see(record, state.model.config)
    if pace.step_seconds is not None and not bar.disable:
        tokens = state.config.batch_size * state.model.config.context_length
        bar.set_postfix_str(f"{tokens / pace.step_seconds:,.0f} tokens/s", refresh=False)
    if record.train_loss is not None:
        validation = "-" if record.val_loss is None else f"{record.val_loss:.3f}"
        name = "untrained" if step < 0 else f"step {step}"
        bar.write(f"{name}: train loss {record.train_loss:.3f}, validation loss {validation}")
    if record.sample is not None:
        bar.write(f"  {record.sample.text!r}")


def generate(arguments: argparse.Namespace) -> int:
    """Print the prompt and what a model makes of it, token by token."""
    from gptcore.library import load_model
    from gptcore.sampling import generate as draw_tokens

    config = SamplingConfig(
        temperature=arguments.temperature, top_k=arguments.top_k, top_p=arguments.top_p, seed=arguments.seed
    )
    model, tokenizer = load_model(arguments.model, arguments.weights)
    ids = tokenizer.encode(arguments.prompt)
    for drawn in draw_tokens(model, ids, config, arguments.max_new_tokens):
        ids.append(drawn.token_id)
    print(tokenizer.decode(ids))
    return 0


def tokens(arguments: argparse.Namespace) -> int:
    """Print each visible piece of a text with its ids."""
    from gptcore.tokenizer import load_tokenizer

    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    spans = load_tokenizer().spans(text, special=arguments.special)
    for span in spans:
        print(f"{' '.join(map(str, span.ids)):>20}  {span.text!r}")
    print(f"{sum(len(span.ids) for span in spans):,} tokens, {len(text):,} characters")
    return 0


def parameters(arguments: argparse.Namespace) -> int:
    """Print the ledger of a preset."""
    from gptcore.parameters import count_parameters, parameter_table, part_groups

    config = MODEL_PRESETS[arguments.preset]
    total = count_parameters(config)
    if arguments.all:
        for row in parameter_table(config).itertuples():
            print(f"{row.part:40} {row.formula:40} {row.count:>15,}")
    else:
        for part, count in part_groups(config).items():
            print(f"{part:20} {count:>15,} {count / total:>7.1%}")
    print(f"{'total':20} {total:>15,}")
    return 0


def serve_runs(_arguments: argparse.Namespace) -> int:
    """Train queued runs until Ctrl-C or a signal to end; runs under way are then saved, and go on at the next start."""
    from gptcore.paths import runs_home
    from gptcore.runs.dispatcher import Dispatcher

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    dispatcher = Dispatcher(runs_home())
    dispatcher.start()
    print(f"training what is queued in {runs_home()}; Ctrl-C ends it", file=sys.stderr)
    try:
        while dispatcher.is_alive():
            dispatcher.join(1)
    except KeyboardInterrupt:
        dispatcher.close()
        return 0
    raise RuntimeError(f"no run can be trained in {runs_home()}: it can't be written")


def record(arguments: argparse.Namespace) -> int:
    """Train the plans of one lesson and keep their curves."""
    from gptcore import recordings

    for plan in import_module(f"gptcore.{arguments.lesson}").PLANS:
        recording = recordings.record(plan)
        print(f"{recordings.save(recording)}: {recording.reason or f'{len(recording.metrics)} updates'}")
    return 0


def keep(arguments: argparse.Namespace) -> int:
    """Keep all that can be looked back at of a run, but for its weights and its text."""
    from gptcore import timeline

    if not Run(arguments.run).exists:
        raise ValueError(f"{arguments.run} holds no run")
    path = timeline.TIMELINES / f"{arguments.name}.json"
    timeline.save(timeline.look_back(Run(arguments.run)), path)
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def sweep(arguments: argparse.Namespace) -> int:
    """Try several settings through the queue."""
    from gptcore import sweep_commands

    return sweep_commands.sweep(arguments)


def books(arguments: argparse.Namespace) -> int:
    """Write the books one after the other; those that are here already are not fetched again."""
    from gptcore import books as shelf

    draft = arguments.out.with_name(f".{arguments.out.name}.part")
    with draft.open("w", encoding="utf-8", newline="\n") as out:
        for book, prose in tqdm(shelf.library(), total=len(shelf.books()), unit="book", disable=None):
            out.write(prose)
            tqdm.write(f"{book.title} ({book.author}): {len(prose):,} characters", file=sys.stderr)
    draft.replace(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": train,
    "generate": generate,
    "tokens": tokens,
    "parameters": parameters,
    "serve-runs": serve_runs,
    "record": record,
    "keep": keep,
    "books": books,
    "sweep": sweep,
    "notebook": takehome.notebook,
    "pack": takehome.pack,
    **weights_commands.COMMANDS,
}

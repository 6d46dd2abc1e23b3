"""The command line: ``python -m gptcore train | generate | tokens | parameters | serve-runs | record | keep``.

Exit codes: 0 all is well; 1 the work failed; 2 the request can't be carried out as it stands; 130 interrupted.
An error is one line that says what, which value, and what to do.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gptcore.checked import help_for
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, SamplingConfig, TrainConfig
from gptcore.runs.store import Run

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

RECORDED_LESSONS = ("seeds", "judges", "floor", "gallery", "sanity", "rates")  # modules that name their plans in PLANS
TRAIN_FLAGS = ("reference", "compact_vocab", "end_of_text")
TRAIN_FIELDS = (*TRAIN_OVERRIDES, *TRAIN_FLAGS)
MOVABLE = ("epochs", "steps", "max_minutes")  # where a run ends may be moved when it goes on


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gptcore", description="Train and question a GPT in the open.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _train_arguments(commands.add_parser("train", help="train a model; everything is written to one folder"))
    _generate_arguments(commands.add_parser("generate", help="go on with a prompt"))
    tokens = commands.add_parser("tokens", help="show a text's tokens and their ids")
    tokens.add_argument("text", help="the text itself, or - to read it from standard input")
    tokens.add_argument("--special", action="store_true", help="read <|endoftext|> as the special token 50256")
    ledger = commands.add_parser("parameters", help="count a model's parameters, part by part")
    ledger.add_argument("--preset", choices=MODEL_PRESETS, default="book-124m", help="the model's shape")
    ledger.add_argument("--all", action="store_true", help="every tensor instead of five lines")
    commands.add_parser("serve-runs", help="train what the pages queue, in a process that outlives the web server")
    recorded = commands.add_parser("record", help="make the recorded curves of a lesson again, in assets/")
    recorded.add_argument("lesson", choices=RECORDED_LESSONS, help="whose curves")
    kept = commands.add_parser("keep", help="keep a finished run among those that can be looked back at, in assets/")
    kept.add_argument("run", type=Path, metavar="DIR", help="its folder")
    kept.add_argument("name", help="of the recording")
    return parser


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", metavar="FILE|NAME", help="a file, or a key such as the-verdict")
    parser.add_argument("--preset", choices=MODEL_PRESETS, default="class", help="model and settings to start from")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the run")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the run in this folder; --epochs, --steps or --max-minutes move its end",
    )
    for flag in TRAIN_FLAGS:
        name = f"--{flag.replace('_', '-')}"
        parser.add_argument(name, action=argparse.BooleanOptionalAction, help=help_for(TrainConfig, flag))
    for name, kind in TRAIN_OVERRIDES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=help_for(TrainConfig, name))


def _generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR|FILE", help="a run's folder, or weights")
    parser.add_argument("--prompt", required=True, help="what to go on with")
    parser.add_argument("--temperature", type=float, default=1.0, help=help_for(SamplingConfig, "temperature"))
    parser.add_argument("--top-k", type=int, help=help_for(SamplingConfig, "top_k"))
    parser.add_argument("--top-p", type=float, help=help_for(SamplingConfig, "top_p"))
    parser.add_argument("--seed", type=int, default=123, help=help_for(SamplingConfig, "seed"))
    parser.add_argument("--max-new-tokens", type=int, default=50, help="how many tokens to add")
    parser.add_argument("--weights", choices=("best", "last"), default="best", help="which weights of a run's folder")


def _settings(arguments: argparse.Namespace) -> TrainConfig:
    """The preset's settings with what was said on the command line."""
    base, said = TRAIN_PRESETS[arguments.preset], _said(arguments, TRAIN_FIELDS)
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
    """Train in this process with a progress bar; the folder is written as for any other run."""
    from gptcore.batches import prepare
    from gptcore.corpora import find_text
    from gptcore.runs.store import create_run
    from gptcore.runs.worker import execute

    if arguments.resume is not None:
        if not (arguments.resume / "config.json").is_file():
            raise ValueError(f"{arguments.resume} holds no run to go on with")
        run = Run(arguments.resume)
        if run.is_alive:  # before its status is touched
            raise RuntimeError(f"another process is training {run.folder}; wait for it, or cancel it")
        if fixed := sorted(set(_said(arguments, TRAIN_FIELDS)) - {*MOVABLE}):
            raise ValueError(f"a run goes on as it began: {', '.join(fixed)} can't be changed with --resume")
        run.reopen(**_said(arguments, MOVABLE))
    elif arguments.text is None or arguments.out is None:
        raise ValueError("train needs --text and --out, or --resume")
    else:
        text, model, settings = find_text(arguments.text), MODEL_PRESETS[arguments.preset], _settings(arguments)
        prepare(text, model, settings)  # a text that can't be used is refused before there is a folder
        run = create_run(arguments.out, text, model, settings)
    with tqdm(unit="step", dynamic_ncols=True, disable=None) as bar, _stopping_gently(run):
        end = execute(run, lambda record, state: _report(bar, record, state))
    if end == "failed":
        raise RuntimeError(run.status["reason"])
    if end == "cancelled":
        print(f"gptcore: stopped and saved; go on with --resume {run.folder}", file=sys.stderr)
        return 130
    print(f"{end}: {run.folder}")
    return 0


@contextmanager
def _stopping_gently(run: Run) -> Iterator[None]:
    """Let Ctrl-C end a run after its step, saved; a second Ctrl-C ends it at once."""

    def ask(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        run.ask_to_stop()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _report(bar: tqdm[Any], record: Any, state: Any) -> None:
    """One record on the terminal: the bar moves, evaluations and samples stand above it."""
    if bar.total is None:
        bar.total = state.total_steps
        bar.initial = bar.n = max(0, state.step - 1)
    step = getattr(record, "step", -1)
    bar.update(state.step - bar.n)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see the module's head for the exit codes."""
    arguments = _arguments().parse_args(argv)
    commands = {
        "train": train,
        "generate": generate,
        "tokens": tokens,
        "parameters": parameters,
        "serve-runs": serve_runs,
        "record": record,
        "keep": keep,
    }
    try:
        return commands[arguments.command](arguments)
    except (ValueError, FileExistsError) as error:
        print(f"gptcore: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RuntimeError, MemoryError, OSError) as error:
        print(f"gptcore: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gptcore: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""The command line: ``python -m gptcore train | generate | tokens | parameters | ...``; ``--help`` names all commands.

Exit codes: 0 all is well; 1 the work failed; 2 the request can't be carried out as it stands; 130 interrupted.
An error is one line that says what, which value, and what to do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gptcore import weights_commands
from gptcore.checked import help_for
from gptcore.commands import COMMANDS, DEVICES, RECORDED_LESSONS, TRAIN_FLAGS, TRAIN_OVERRIDES
from gptcore.config import MODEL_PRESETS, PRESET, SamplingConfig, TrainConfig
from gptcore.takehome import command as takehome


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
    books = commands.add_parser("books", help="fetch the 129 books that the pocket model read, as one text")
    books.add_argument("out", type=Path, metavar="FILE", help="where to write it, about 48 MB")
    takehome.add_to(commands)
    weights_commands.add(commands)
    _sweep_arguments(commands.add_parser("sweep", help="try several settings through the queue, and name the best"))
    return parser


def _sweep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", metavar="FILE|NAME", help="a file, or a key such as the-verdict")
    parser.add_argument(
        "--preset", choices=MODEL_PRESETS, help=f"model and settings to start from; {PRESET} without it"
    )
    parser.add_argument("--vary", action="append", metavar="NAME=A,B,...", help="a setting and its values; repeatable")
    parser.add_argument("--budget", type=float, metavar="CORE-SECONDS", help="what all trials together may use")
    parser.add_argument("--steps", type=int, help="updates of each trial; the preset's without it")
    parser.add_argument("--study", type=int, metavar="TRIALS", help="let Optuna choose so many, instead of a grid")
    parser.add_argument("--resume", metavar="ID", help="go on with a sweep that was interrupted")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write down what came of it, as JSON")


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", metavar="FILE|NAME", help="a file, or a key such as the-verdict")
    parser.add_argument(
        "--preset", choices=MODEL_PRESETS, help=f"model and settings to start from; {PRESET} without it"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the run")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the run in this folder; --epochs, --steps or --max-minutes move its end",
    )
    parser.add_argument("--device", choices=DEVICES, help="where to compute; without it the quickest there is")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see the module's head for the exit codes."""
    arguments = _arguments().parse_args(argv)
    try:
        return COMMANDS[arguments.command](arguments)
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

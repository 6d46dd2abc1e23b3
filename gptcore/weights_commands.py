"""The commands of ``python -m gptcore`` that are about GPT-2's weights: fetch, verify, export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gptcore.hub_models import MODELS

POLL_SECONDS = 0.2


def add(commands: Any) -> None:
    """Describe the commands."""
    fetched = commands.add_parser("fetch", help="download one of GPT-2's sizes into models/, for all lessons")
    fetched.add_argument("size", choices=MODELS, help="which")
    verified = commands.add_parser("verify", help="hold GPT-2's weights to the figures that were published of them")
    verified.add_argument("path", type=Path, metavar="PATH", help="a .safetensors file, or a folder with one")
    exported = commands.add_parser("export", help="write a model so that transformers reads it")
    exported.add_argument("model", type=Path, metavar="DIR|FILE", help="a run's folder, or weights")
    exported.add_argument("out", type=Path, metavar="OUT", help="a folder, or the name of a .safetensors file")
    exported.add_argument("--weights", choices=("best", "last"), default="best", help="which weights of a run's folder")
    exported.add_argument("--bfloat16", action="store_true", help="round to three digits, in half the space")


def fetch(arguments: argparse.Namespace) -> int:
    """Download a model with a progress bar; Ctrl-C keeps what has arrived for the next time."""
    from gptcore import hub

    download = hub.fetch(arguments.size)
    with tqdm(unit="B", unit_scale=True, dynamic_ncols=True, disable=None) as bar:
        try:
            while not download.has_ended:
                download.wait(POLL_SECONDS)
                bar.total = download.total or None
                bar.update(download.received - bar.n)
        except KeyboardInterrupt:
            download.stop()
            download.wait()
            raise
    if download.state != "done":
        raise RuntimeError(download.reason or "the download was stopped")
    print(f"{download.model.title}: {download.model.path}")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Print each published figure beside the measured one, and whether all agree."""
    from gptcore import verification
    from gptcore.corpora import TextError, load_text
    from gptcore.pretrained import load_gpt2

    model = load_gpt2(arguments.path)
    verification.published_size(model.config)  # before a text is fetched
    try:
        text, missing = load_text("the-verdict").text, ""
    except TextError as error:
        text, missing = None, str(error)
    checks = verification.verify(model, text)
    for check in checks:
        print(f"{'pass' if check.passed else 'FAIL'}  {check.what}: published {check.published}, here {check.measured}")
    if missing:
        print(f"      not measured: the losses on The Verdict ({missing})")
    failed = sum(not check.passed for check in checks)
    if failed or not checks:
        print(f"fail: {failed} of {len(checks)} figures differ")
        return 1
    print(f"pass: all {len(checks)} figures agree")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write a model under GPT-2's names."""
    import torch

    from gptcore.export import export as write
    from gptcore.library import load_model

    dtype = torch.bfloat16 if arguments.bfloat16 else None
    for file in write(*load_model(arguments.model, arguments.weights), arguments.out, dtype):
        print(f"{file}: {file.stat().st_size:,} bytes")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"fetch": fetch, "verify": verify, "export": export}

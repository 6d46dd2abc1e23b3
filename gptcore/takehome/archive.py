"""A run in one file: its settings, numbers, samples and weights, its notebooks, and a page that says what is what.

How to read it: ``write`` packs a run's folder into a zip, piece by piece, so that no more of it is in memory than a
chunk, however large the weights are. A run that is still being trained may write on meanwhile: lines are taken up to
the last whole one, and every other file is replaced as a whole, so that an opened one stays what it was.

What is left out: checkpoints with the optimiser's memory, three times as large as the weights; the owner's name; what
is too large to be handed out (``most_bytes``), which is then said in the README of the zip.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from gptcore.paths import ASSETS
from gptcore.runs.store import Run
from gptcore.takehome import exercise, reproduce
from gptcore.takehome.cells import Cell, notebook, script

CHUNK_BYTES = 2**20
RANKS_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken"
ASKED_FOR = (
    "text",
    "model",
    "training",
    "earlier",
    "versions",
    "created",
)  # of config.json; whose run it was is nobody's matter
KEPT_STATUS = ("state", "reason", "step", "total_steps", "batches_per_epoch", "seconds", "untrained", "best")

README = """\
A training run of Glassbox GPT, to take home
=============================================

config.json       what was asked for: the text's name and hash, the model's shape, the settings, the versions
status.json       how far it came: state, step, seconds, the losses before any update, the best evaluation
metrics.jsonl     a line of JSON for each update: step, epoch, tokens_seen, batch_loss, grad_norm (the gradient's
                  length), lr (learning rate), seconds, and, where both parts of the text were evaluated, train_loss
                  and val_loss. Losses are in nats a token. Step n is the state after update n + 1.
metrics.csv       the same for a spreadsheet
samples.jsonl     what the model said on the way; step -1 is before any update
text.txt          the text, in UTF-8
{weights}
reproduce.ipynb   trains the run again with PyTorch and tiktoken alone (for Jupyter, Kaggle, Colab)
reproduce.py      the same as a script:  python reproduce.py
gaps.ipynb        four gaps to fill: the mask, the loss, top-k, temperature; each with a check
tiktoken/         GPT-2's vocabulary (OpenAI, MIT licence), for machines without a network: set the environment
                  variable TIKTOKEN_CACHE_DIR to this folder's full name before Python is started
{use}{state}"""
USE = """
To talk with the model, unpack this file and open reproduce.ipynb in its folder: its last cell reads the weights.
Where Glassbox GPT itself is at hand:  python -m gptcore generate --model FOLDER --prompt "..."
"""
NOT_ENDED = "\nThis run had not ended when it was packed: its files tell how far it was.\n"
BEST = """\
best.safetensors  the weights with the best validation loss, as safetensors: a table in JSON, then plain numbers;
                  nothing in it can run"""
NONE_YET = "                  (there are no weights yet: the run had not kept any when this was packed)"
TOO_LARGE = """\
                  (the weights are not in here: {size:,} MiB are more than the {most:,} MiB that are handed out at once.
                  On the machine of the run: python -m gptcore pack RUN FILE.zip)"""


def write(run: Run, file: IO[bytes], most_bytes: int | None = None) -> None:
    """Pack a run as a zip.

    Args:
        run: Any run, also one that is under way.
        file: To be written to, from its beginning.
        most_bytes: Weights that are larger are left out; None takes all.

    Raises:
        OSError: The run is gone, or the file can't be written.
        ValueError: The run's config can't be read.
    """
    metrics, samples = run.folder / "metrics.jsonl", run.folder / "samples.jsonl"
    metrics_end, samples_end = _size(metrics), _size(samples)  # what comes later stays out of every file alike
    with zipfile.ZipFile(file, "w") as archive:
        weights = _pack_weights(archive, run, most_bytes)
        use, state = (USE if weights == BEST else ""), ("" if run.has_ended else NOT_ENDED)
        _pack(archive, "README.txt", [README.format(weights=weights, use=use, state=state).encode()])
        for name, make in documents(run).items():
            _pack(archive, name, [make().encode()])
        _pack(archive, metrics.name, _whole_lines(metrics, metrics_end))
        _pack(archive, "metrics.csv", _as_csv(_whole_lines(metrics, metrics_end)))
        _pack(archive, samples.name, _whole_lines(samples, samples_end))
        _pack(archive, "text.txt", _chunks(run.folder / "text.txt"))
        cached = hashlib.sha1(RANKS_ADDRESS.encode(), usedforsecurity=False).hexdigest()  # how tiktoken names its files
        _pack(archive, f"tiktoken/{cached}", _chunks(ASSETS / "gpt2.tiktoken"))


def documents(run: Run) -> dict[str, Callable[[], str]]:
    """The files of a run that are written anew when they are asked for, by name."""

    def reproduction() -> list[Cell]:
        return reproduce.cells(run)

    return {
        "config.json": lambda: _as_json(run.config, ASKED_FOR),
        "status.json": lambda: _as_json(run.status, KEPT_STATUS),
        "reproduce.ipynb": lambda: notebook(reproduction()),
        "reproduce.py": lambda: script(reproduction()),
        "gaps.ipynb": lambda: notebook(exercise.cells(run)),
    }


def file_name(run: Run, suffix: str = ".zip") -> str:
    """A name for the file: the day of the run, and the beginning of its id."""
    created = float(run.config.get("created", 0.0))
    day = datetime.fromtimestamp(created, tz=UTC).strftime("%Y-%m-%d")
    letters = "".join(letter for letter in run.id if letter.isascii() and (letter.isalnum() or letter == "-"))
    return f"gpt-run-{day}-{letters[:24]}{suffix}"


def _as_json(values: dict[str, Any], names: tuple[str, ...]) -> str:
    return json.dumps({name: values[name] for name in names if name in values}, indent=1) + "\n"


def weights_size(run: Run) -> int | None:
    """Bytes of the weights that are packed; None where there are none (yet)."""
    path = run.weights("best")
    return None if path is None else _size(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _pack_weights(archive: zipfile.ZipFile, run: Run, most_bytes: int | None) -> str:
    """Pack the best weights, as they are: numbers hardly shrink. Returns the line of the README."""
    path = run.folder / "best.safetensors"
    try:
        with path.open("rb") as weights:  # if better ones take its place meanwhile, this stays the file it was
            size = weights.seek(0, io.SEEK_END)
            if most_bytes is not None and size > most_bytes:
                return TOO_LARGE.format(size=size // 2**20, most=most_bytes // 2**20)
            weights.seek(0)
            _pack(archive, path.name, iter(lambda: weights.read(CHUNK_BYTES), b""), zipfile.ZIP_STORED)
    except FileNotFoundError:
        return NONE_YET
    return BEST


def _pack(
    archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes], compression: int = zipfile.ZIP_DEFLATED
) -> None:
    about = zipfile.ZipInfo(name, date_time=datetime.now(tz=UTC).timetuple()[:6])
    about.compress_type = compression
    with archive.open(about, "w", force_zip64=True) as entry:
        for chunk in chunks:
            entry.write(chunk)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _whole_lines(path: Path, end: int) -> Iterator[bytes]:
    """The lines of a file that is being written to, as far as they are whole before ``end``; none without a file."""
    try:
        with path.open("rb") as lines:
            for line in lines:
                end -= len(line)
                if end < 0 or not line.endswith(b"\n"):
                    return
                yield line
    except FileNotFoundError:
        return


def _as_csv(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Rows of JSON as rows of a table: all of them numbers, an empty field where nothing was measured."""
    names: list[str] = []
    for line in lines:
        row = json.loads(line)
        written = io.StringIO()
        if not names:
            names = list(row)
            csv.writer(written).writerow(names)
        csv.writer(written).writerow([row.get(name) for name in names])
        yield written.getvalue().encode()

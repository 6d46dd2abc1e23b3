"""What pages share and what is worth keeping: counted texts, loaded models, their scores, a run's rows.

Every cache is bounded, and nothing that has to live is in one: any visitor may clear them all. Models are shared by all
students, in evaluation mode, and never changed. PyTorch is imported inside the functions that need it, because the
first page is there before PyTorch is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pandas as pd
import streamlit as st

from gptcore import baselines
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, Precision, SamplingConfig, TrainConfig
from gptcore.corpora import Text
from gptcore.language import floor_line
from gptcore.memorization import CopiedSpan, CopyIndex
from gptcore.recitation import written_tokens
from gptcore.runs.files import Stamp, stamp_of
from gptcore.runs.store import Run
from gptcore.tokenizer import END_OF_TEXT_ID, CompactTokenizer, Tokenizer, load_tokenizer
from gptcore.windows import WindowCounts, open_parts, seal_text, window_counts
from pages._ui import shared_models
from pages._ui.kept import kept

if TYPE_CHECKING:
    from gptcore.model import GPTModel
    from gptcore.pretrained import Watch
    from gptcore.sampling import Logits

METRIC_COLUMNS = ["step", "epoch", "tokens_seen", "batch_loss", "grad_norm", "lr", "seconds", "train_loss", "val_loss"]
METRIC_TYPES = {name: "int64" if name in ("step", "epoch", "tokens_seen") else "float64" for name in METRIC_COLUMNS}
MODELS_KEPT = 4
Written = tuple[Stamp | None, ...]
CHUNK_BYTES = 2**23  # of metrics read at once: a million lines would fill a gigabyte on the way


@dataclass(frozen=True, slots=True)
class TextCounts:
    """What a text comes to under one run's settings.

    Attributes:
        tokens: Tokens of the whole text.
        train: Counts of the training part (a last short batch is left out).
        validation: Counts of the validation part.
        vocab_size: Tokens the model has to know.
    """

    tokens: int
    train_tokens: int
    validation_tokens: int
    train: WindowCounts
    validation: WindowCounts
    vocab_size: int

    @property
    def windows(self) -> int:
        """Windows of both parts."""
        return self.train.windows + self.validation.windows


@st.cache_data(max_entries=32, show_spinner=False)
def token_ids(text: str, special: bool = False) -> list[int]:
    """A text's GPT-2 tokens."""
    return load_tokenizer().encode(text, special=special)


@kept(64)
def text_counts(text: str, context_length: int, config: TrainConfig) -> TextCounts:
    """Tokens, windows and batches of a text as a run would see it."""
    special = config.reference or config.end_of_text
    train_ids, validation_ids = (token_ids(part, special) for part in open_parts(text, config))
    sealed_ids = token_ids(seal_text(text, config.sealed_fraction)[1], special)
    stride = config.stride or context_length
    return TextCounts(
        tokens=len(token_ids(text, special)),
        train_tokens=len(train_ids),
        validation_tokens=len(validation_ids),
        train=window_counts(len(train_ids), context_length, stride, config.batch_size, drop_last=True),
        validation=window_counts(len(validation_ids), context_length, stride, config.batch_size, drop_last=False),
        vocab_size=len({*train_ids, *validation_ids, *sealed_ids})
        if config.compact_vocab
        else load_tokenizer().vocab_size,
    )


class _Followed:
    """The metric rows of one run as far as they were read: a poll reads what is new, not a million lines again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rows = _frame([])
        self.counted: tuple[pd.DataFrame, int, pd.DataFrame] | None = None
        self.offset = 0
        self.lock = threading.Lock()

    def with_epochs(self) -> pd.DataFrame:
        """All rows so far, with how often the text had been read; the same frame until something is new."""
        with self.lock:
            rows, batches = self._read(), self.run.status.get("batches_per_epoch", 1)
            if self.counted is None or self.counted[0] is not rows or self.counted[1] != batches:
                self.counted = rows, batches, rows.assign(epochs_read=(rows["step"] + 1) / batches)
            return self.counted[2]

    def _read(self) -> pd.DataFrame:
        """All rows so far; read from the start again where the run went back to its last checkpoint."""
        new, self.offset = self.run.metrics(self.offset, CHUNK_BYTES)
        if new and new[0]["step"] != len(self.rows):
            self.rows = _frame([])
            new, self.offset = self.run.metrics(0, CHUNK_BYTES)
        parts = [self.rows]
        while new:
            parts.append(_frame(new))
            new, self.offset = self.run.metrics(self.offset, CHUNK_BYTES)
        if len(parts) > 1:
            self.rows = pd.concat(parts, ignore_index=True)
        return self.rows


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=METRIC_COLUMNS).astype(METRIC_TYPES)


@kept(128)  # a class board looks at sixty again and again
def _followed(folder: Path) -> _Followed:
    return _Followed(Run(folder))


def metrics(run: Run) -> pd.DataFrame:
    """A run's metric rows as a frame, shared by everybody; empty before the first update."""
    return _followed(run.folder).with_epochs()


def written(run: Run) -> Written:
    """Changes whenever something is written into a run's folder: part of the key of what is made of it."""
    files = (run.folder / name for name in ("status.json", "metrics.jsonl", "samples.jsonl"))
    return tuple(stamp_of(file.stat()) if file.exists() else None for file in files)


@kept(32)
def reference_lines(text: str, config: TrainConfig) -> dict[str, float]:
    """Levels to measure a curve by: a blind guess, what counting reaches, and the text's floor where it is known."""
    counts = text_counts(text, 1, config)
    parts = [token_ids(part) for part in open_parts(text, config)]
    return baselines.reference_lines(parts[0], parts[1], counts.vocab_size) | floor_line(text)


@kept(8)
def copy_index(part: str) -> CopyIndex:
    """A part of a text, ready to be searched for copied passages."""
    return CopyIndex(token_ids(part))


def copied_spans(
    text: Text, config: TrainConfig, generated: str, min_tokens: int, prompt: str = ""
) -> list[CopiedSpan]:
    """Passages of a generated text that stand verbatim in the training part; its prompt is not counted."""
    written = written_tokens(generated, prompt)
    given = len(token_ids(generated)) - len(written)
    spans = copy_index(open_parts(text.text, config)[0]).spans(written, min_tokens)
    return [replace(span, start=span.start + given) for span in spans]


def run_model_config(run: Run) -> GPTConfig:
    """A run's model as it is trained: a compact vocabulary has the size that the text gives it."""
    counts = text_counts(run.text.text, run.model_config.context_length, run.train_config)
    return replace(run.model_config, vocab_size=counts.vocab_size)


class Voice(NamedTuple):
    """A model that can be asked, by where its weights lie; no path means a model before its first update."""

    label: str
    path: Path | None
    weights: str = "best"
    precision: Precision = "float32"


UNTRAINED = Voice("untrained", None)


def _changed(path: Path, weights: str) -> float:
    """When the weights were last written: newer ones are another entry in the cache."""
    file = path / f"{weights}.safetensors" if (path / "text.txt").is_file() else path
    return file.stat().st_mtime if file.exists() else 0.0


def version(voice: Voice) -> float:
    """Changes whenever a voice's weights do: part of the key of all that is computed with them."""
    return 0.0 if voice.path is None else _changed(voice.path, voice.weights)


@kept(MODELS_KEPT)
def untrained_model(config: GPTConfig, seed: int) -> GPTModel:
    """A model as it is before its first update."""
    from gptcore.library import new_model

    return new_model(config, seed)


def loaded(voice: Voice, path: Path, watch: Watch | None = None) -> shared_models.Loaded:
    """A voice's model, loaded now if nobody has asked for it yet; ``watch`` is then told of each tensor.

    Raises:
        ValueError: The weights can't be loaded; the message says why.
    """
    return shared_models.take(path, voice.weights, voice.precision, _changed(path, voice.weights), watch)


def speak(voice: Voice) -> tuple[GPTModel, Tokenizer]:
    """A voice's model and tokenizer, shared by everybody: to be read, never changed.

    Raises:
        ValueError: The weights can't be loaded; the message says why.
    """
    if voice.path is None:
        return untrained_model(MODEL_PRESETS["class"], TRAIN_PRESETS["class"].seed), load_tokenizer()
    found = loaded(voice, voice.path)
    return found.model, found.tokenizer


_turn = threading.Lock()
T = TypeVar("T")


def in_turn(steps: Iterator[T]) -> Iterator[T]:
    """Take each step of something that is computed while no other student's is: all go on, token by token.

    Thirty threads that compute at once would leave everybody who only looks a thirtieth of a processor.
    """
    while True:
        with _turn:
            step = next(steps, None)
        if step is None:
            return
        yield step


@kept(64)
def _scores(voice: Voice, changed: float, ids: tuple[int, ...]) -> Logits:
    del changed  # part of the key only
    from gptcore.sampling import next_logits

    return next_logits(speak(voice)[0], list(ids))


def scores(voice: Voice, ids: Sequence[int]) -> Logits:
    """What a voice gives every token as the next one: the model runs once for a text, whatever is made of its scores.

    Raises:
        ValueError: The weights can't be loaded.
    """
    return _scores(voice, version(voice), tuple(ids))


def next_tokens(voice: Voice, prompt: str, config: SamplingConfig) -> pd.DataFrame:
    """The frame of ``sampling.next_token_table`` for a prompt.

    The model runs once per prompt: temperature, top-k and top-p only work on the scores that are kept.

    Raises:
        ValueError: The prompt can't be written in the model's vocabulary, or the weights can't be loaded.
    """
    from gptcore.sampling import next_token_table

    _, tokenizer = speak(voice)
    return next_token_table(scores(voice, prompt_ids(tokenizer, prompt)), tokenizer, config)


def effective_choices(table: pd.DataFrame) -> float:
    """Among how many equally likely tokens the draw of this table is as unsure."""
    from gptcore import draws

    return draws.effective_choices(table["probability"].to_numpy())


def prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """A prompt's tokens; an empty prompt starts from the end of another text where the vocabulary has that token.

    Raises:
        ValueError: The prompt can't be written in a compact vocabulary.
    """
    if prompt:
        return tokenizer.encode(prompt)
    if isinstance(tokenizer, CompactTokenizer):
        raise ValueError("this model has no token to start from: type at least one letter")
    return [END_OF_TEXT_ID]

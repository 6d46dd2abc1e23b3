"""The texts to learn from: our own story, public-domain classics on request, a made language, what a student brings.

How to read it: ``CATALOGUE`` names the texts; ``load_text`` fetches one; ``read_bytes`` turns a file that someone
brings into text, or says in a sentence why it can't. A text that is downloaded is checked by its hash, always.

What is left out: nothing under copyright is bundled or fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gptcore.encodings import ENCODING_NAMES, readable_as
from gptcore.paths import ASSETS, prepared_text, texts_home
from gptcore.tokenizer import load_tokenizer

MAX_TEXT_BYTES = 5_000_000
MAX_TEXT_TOKENS = 2_000_000
DOWNLOAD_SECONDS = 10
OWN_STORY = "the-glass-clock"
LANGUAGE = "a-language-with-a-floor"
BOOK_PROMPT = "Every effort moves you"


class TextError(ValueError):
    """A text that can't be used; the message says why and what to do."""


class EncodingError(TextError):
    """Bytes that are no UTF-8.

    Attributes:
        readable_as: Another encoding in which they are a text, of ``ENCODING_NAMES``; None where there is none.
    """

    def __init__(self, message: str, readable_as: str | None) -> None:
        super().__init__(message)
        self.readable_as = readable_as


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is ready to be tokenised.

    Attributes:
        key: Its name in links, files and on the command line.
        title: Its name on screen.
        text: The characters.
        prompt: A beginning whose continuation shows what a model has learnt.
        notes: What was changed while reading it, in sentences.
    """

    key: str
    title: str
    text: str
    prompt: str
    notes: tuple[str, ...] = field(default=())

    @property
    def sha256(self) -> str:
        """The hash of the text as UTF-8."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text of the catalogue comes from."""

    key: str
    title: str
    prompt: str
    licence: str
    url: str | None = None  # None: bundled
    sha256: str | None = None  # of the finished text
    clean: Callable[[str], str] = str
    make: Callable[[], str] | None = None  # computes the text where it is no file


def _write_language() -> str:
    """The text of the language whose best loss is known."""
    from gptcore.language import the_text  # brings NumPy, which no other text needs

    return the_text()


def _clean_play(raw: str) -> str:
    """The play between the e-text's markers, without producer's credits and illustration lines."""
    raw = raw.removeprefix("\ufeff").replace("\r\n", "\n")
    inside = re.split(r"^\*\*\* ?(?:START|END).*$", raw, flags=re.MULTILINE)
    play = inside[1] if len(inside) > 1 else raw
    kept = [line for line in play.split("\n") if not line.startswith(("Produced by", "[Illustration"))]
    return "\n".join(kept).strip() + "\n"


_RAW = "https://raw.githubusercontent.com"

CATALOGUE: dict[str, Source] = {
    source.key: source
    for source in (
        Source(
            key=OWN_STORY,
            title="The Glass Clock (our own story)",
            prompt="The starling knew every hour",
            licence="written for this project, MIT",
        ),
        Source(
            key="the-verdict",
            title="The Verdict (Edith Wharton, 1908)",
            prompt=BOOK_PROMPT,
            licence="public domain in the USA and where authors are free 70 years after death",
            url=f"{_RAW}/rasbt/LLMs-from-scratch/28c65cdfbc3338e2e040016eea4b7fdf556e4d57/"
            "ch02/01_main-chapter-code/the-verdict.txt",
            sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
        ),
        Source(
            key="tiny-shakespeare",
            title="Tiny Shakespeare (scenes from the plays)",
            prompt="What say you",
            licence="public domain",
            url=f"{_RAW}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
        Source(
            key="julius-caesar",
            title="Julius Caesar (William Shakespeare)",
            prompt="Friends, Romans, countrymen",
            licence="public domain",
            url=f"{_RAW}/GITenberg/Julius-Caesar_1522/5a0f0756ea357d1f4337443aa024764590151c3a/1522-0.txt",
            sha256="df308a5388eb53c7fe7ff8bd5f08f5bcaccbae82c1d6a127157c7398bda310a9",
            clean=_clean_play,
        ),
        Source(
            key=LANGUAGE,
            title="A language with a floor (made by rules)",
            prompt=" Then that",
            licence="made by this program, MIT",
            sha256="efb1bbf43aceba19be9475c354d07efb3906fc482c63faeacbdf83e3f8c61372",
            make=_write_language,
        ),
    )
}


def load_text(key: str) -> Text:
    """A text of the catalogue: bundled, computed, laid ready by a teacher, downloaded before, or downloaded now.

    Args:
        key: A key of ``CATALOGUE``.

    Raises:
        TextError: An unknown key; no network; a file whose hash is not the known one.

    >>> load_text("the-glass-clock").text.splitlines()[0]
    'The Glass Clock'
    """
    if key not in CATALOGUE:
        raise TextError(f"no text is called {key[:40]!r}; there are {', '.join(CATALOGUE)}")
    source = CATALOGUE[key]
    text = source.make() if source.make else _read(source)
    _check_hash(source, text)
    return Text(key, source.title, text, source.prompt)


def _read(source: Source) -> str:
    """The file of a text, which is downloaded where it is neither bundled nor at hand."""
    if source.url is None:
        path = ASSETS / "texts" / f"{source.key}.txt"
    else:
        path = prepared_text(source.key) or texts_home() / f"{source.key}.txt"
        if not path.is_file():
            _download(source, path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{source.title} is not the file that was expected: {path.name} is no UTF-8 text") from error


def is_at_hand(key: str) -> bool:
    """Whether a text of the catalogue can be loaded without a network."""
    return CATALOGUE[key].url is None or prepared_text(key) is not None or (texts_home() / f"{key}.txt").is_file()


def _check_hash(source: Source, text: str) -> None:
    found = hashlib.sha256(text.encode("utf-8")).hexdigest()
    if source.sha256 is not None and found != source.sha256:
        cure = (
            f"delete the copy in {texts_home().name}/ and load it again"
            if source.url
            else "it comes with the program, so install that again"
        )
        raise TextError(
            f"{source.title} is not the text that was expected (SHA-256 {found[:12]}..., not "
            f"{source.sha256[:12]}...); {cure}"
        )


def _download(source: Source, path: Path) -> None:
    """Fetch a text, check it, and only then keep it."""
    try:
        with urllib.request.urlopen(str(source.url), timeout=DOWNLOAD_SECONDS) as answer:  # noqa: S310  (https, fixed)
            text = source.clean(answer.read(MAX_TEXT_BYTES + 1).decode("utf-8"))
    except (urllib.error.URLError, TimeoutError, OSError, UnicodeDecodeError) as error:
        raise TextError(
            f"{source.title} could not be downloaded ({error}); choose our own story, upload the text as a file, "
            f"or lay it ready as texts/{source.key}.txt in the folder that GPTCORE_DATA names"
        ) from error
    _check_hash(source, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)


def _decode(raw: bytes, name: str, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise EncodingError(
            f"{name[:60]!r} is not {ENCODING_NAMES.get(encoding, 'UTF-8')} text: byte {error.start:,} is "
            f"0x{raw[error.start]:02x}; save it as UTF-8 (plain text) and try again",
            readable_as(raw),
        ) from error


def _check_tokens(text: str, name: str) -> None:
    """Refuse what has too many tokens; a text has at most as many as it has bytes, so few have to be counted."""
    if len(text.encode("utf-8")) <= MAX_TEXT_TOKENS:
        return
    tokens = len(load_tokenizer().encode(text))
    if tokens > MAX_TEXT_TOKENS:
        raise TextError(f"{name[:60]!r} has {tokens:,} tokens; the limit is {MAX_TEXT_TOKENS:,}")


def read_bytes(raw: bytes, name: str, most_bytes: int | None = MAX_TEXT_BYTES, encoding: str = "utf-8") -> Text:
    r"""Turn a file's bytes into a text.

    Args:
        raw: The file's content.
        name: Its name, for messages and for the screen.
        most_bytes: The limit for what visitors bring, who are also held to MAX_TEXT_TOKENS; None lifts both.
        encoding: How characters are written in it: UTF-8, or what an ``EncodingError`` offered.

    Raises:
        TextError: Over a limit, or nothing but white space.
        EncodingError: Not a text in this encoding.

    >>> read_bytes(b"\xef\xbb\xbfOne\r\nTwo", "a.txt").notes
    ('a byte-order mark was removed', 'Windows line ends became plain ones')
    """
    if most_bytes is not None and len(raw) > most_bytes:
        raise TextError(f"{name[:60]!r} has {len(raw):,} bytes; the limit is {most_bytes:,}")
    text = _decode(raw, name, encoding)
    notes = [f"its bytes were taken for {ENCODING_NAMES[encoding]}"] if encoding in ENCODING_NAMES else []
    if text.startswith("\ufeff"):
        text = text.removeprefix("\ufeff")
        notes.append("a byte-order mark was removed")
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
        notes.append("Windows line ends became plain ones")
    if not text.strip():
        raise TextError(f"{name[:60]!r} holds nothing but white space, so there is nothing to learn from")
    if most_bytes is not None:
        _check_tokens(text, name)
    beginning = " ".join(text.split()[:4])[:60]
    key = "own-" + hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]
    return Text(key, name[:60], text, beginning, tuple(notes))


def read_file(path: Path) -> Text:
    """A text of any size from a file on this machine.

    Raises:
        TextError: As ``read_bytes``, or the file can't be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TextError(f"{str(path)[:200]!r} can't be read: {error.strerror or error}") from error
    return read_bytes(raw, path.name, most_bytes=None)


def find_text(name: str) -> Text:
    """A text by its key in the catalogue, or else by the path of a file.

    Raises:
        TextError: Neither, or the text can't be used.
    """
    return load_text(name) if name in CATALOGUE else read_file(Path(name))

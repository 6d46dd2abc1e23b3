"""The books that the pocket model read: 129 of them, in the public domain, each from its pinned address.

How to read it: ``fetch`` brings one book and holds it to its hash; ``clean`` takes a book's prose out of its e-text;
``library`` joins them, with ``<|endoftext|>`` after each. `python -m gptcore books FILE` writes the result.

What is left out: the model's own file (see its card in assets/models) went through an older, longer list of such rules,
book by book. What ``library`` makes are the same books with a few lines more or less, not the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from gptcore.corpora import DOWNLOAD_SECONDS, TextError
from gptcore.paths import ASSETS, texts_home
from gptcore.tokenizer import END_OF_TEXT

RAW = "https://raw.githubusercontent.com"
MOST_BYTES = 10_000_000
PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--", "_": ""}
)
CREDITS = ("produced by", "e-text prepared", "transcribed", "[illustration", "[footnote", "[transcriber")


@dataclass(frozen=True, slots=True)
class Book:
    """One book and where its e-text lies.

    Attributes:
        repository: On GitHub, owner/name.
        path: Of the e-text in the repository.
        sha256: Of the file's bytes.
        encoding: How its characters are written.
    """

    title: str
    author: str
    repository: str
    commit: str
    path: str
    sha256: str
    encoding: str

    @property
    def url(self) -> str:
        """The address of this very version."""
        return f"{RAW}/{self.repository}/{self.commit}/{self.path}"


def books() -> list[Book]:
    """All of them, in the order in which they were read: simple prose first, then adventure, then novels."""
    return [Book(**entry) for entry in json.loads((ASSETS / "texts" / "books.json").read_text(encoding="utf-8"))]


def fetch(book: Book) -> str:
    """A book's e-text, from this machine's copy or from its address; kept once its hash is right.

    Raises:
        TextError: No network, or another file than the one that is known.
    """
    path = texts_home() / "books" / f"{book.sha256}.txt"
    raw = path.read_bytes() if path.is_file() else _download(book)
    if hashlib.sha256(raw).hexdigest() != book.sha256:
        path.unlink(missing_ok=True)
        raise TextError(
            f"{book.title} is not the file that was expected; try again, or leave the pocket model as it is"
        )
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return raw.decode(book.encoding)


def _download(book: Book) -> bytes:
    try:
        with urllib.request.urlopen(book.url, timeout=DOWNLOAD_SECONDS) as answer:  # noqa: S310  (https, fixed)
            raw: bytes = answer.read(MOST_BYTES + 1)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise TextError(
            f"{book.title} could not be downloaded from {book.url} ({error}); what came before it is kept, so the same "
            "command goes on from here"
        ) from error
    return raw


def clean(raw: str) -> str:
    r"""A book's prose: what stands between an e-text's marks, one line a paragraph, quotes and dashes as ASCII.

    >>> clean("*** START ***\n\nShe said,\n\u201cNo.\u201d\n\n* * *\n\n[Illustration: a cat]\n\nEnd.\n*** END ***")
    'She said, "No."\n\nEnd.'
    """
    text = raw.removeprefix("\ufeff").replace("\r\n", "\n")
    inside = re.split(r"^\*\*\* ?(?:START|END).*$", text, flags=re.MULTILINE)
    text = (inside[1] if len(inside) > 1 else text).translate(PLAIN)
    return "\n\n".join(_paragraphs(text))


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs that are prose or verse, each on one line; verse, which is indented, keeps its lines."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in block.split("\n") if line.strip()]
        flat = " ".join(line.strip() for line in lines)
        if not re.search(r"[A-Za-z]", flat) or flat.lower().startswith(CREDITS):
            continue
        is_verse = len(lines) > 1 and all(line.startswith("  ") for line in lines)
        yield "\n".join(line.strip() for line in lines) if is_verse else flat


def library() -> Iterator[tuple[Book, str]]:
    """Each book with its prose, the separator at its end; stops at the first that can't be had.

    Raises:
        TextError: As ``fetch``.
    """
    for book in books():
        yield book, f"{clean(fetch(book))}\n{END_OF_TEXT}\n"

"""The pocket model's books: pinned, held to their hashes, fetched once, and cleaned of all that is not the book."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from gptcore import books
from gptcore.__main__ import main
from gptcore.books import Book, clean, fetch
from gptcore.corpora import TextError

RAW = "\ufeffThe Title\r\n*** START OF THE BOOK ***\r\n\r\nA caf\u00e9 was\r\nopen.\r\n*** END ***\r\nLicence\r\n"


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        del format
        self.asked.append(str(args[0]))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two books on a server of our own, and a fresh data folder; yields what the server was asked for."""
    asked: list[str] = []
    served = tmp_path / "served" / "owner" / "name" / "c0ffee"
    served.mkdir(parents=True)
    found = []
    for name, encoding in (("one", "utf-8"), ("two", "latin-1")):
        raw = RAW.removeprefix("" if encoding == "utf-8" else "\ufeff").encode(encoding)
        (served / f"{name}.txt").write_bytes(raw)
        digest = hashlib.sha256(raw).hexdigest()
        found.append(Book(name, "N. N.", "owner/name", "c0ffee", f"{name}.txt", digest, encoding))
    handler = partial(type("Handler", (Quiet,), {"asked": asked}), directory=str(tmp_path / "served"))
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(books, "RAW", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(books, "books", lambda: found)
        monkeypatch.setenv("GPTCORE_HOME", str(tmp_path / "home"))
        yield asked
        server.shutdown()


def test_129_books_are_pinned_by_commit_and_hash() -> None:
    all_books = books.books()
    assert len(all_books) == 129
    assert all(len(book.commit) == 40 and len(book.sha256) == 64 for book in all_books)
    assert all_books[0].url.startswith("https://raw.githubusercontent.com/GITenberg/The-Tale-of-Peter-Rabbit_14838/")
    assert len({book.sha256 for book in all_books}) == 129


def test_the_command_writes_all_books_and_asks_for_each_once(shelf: list[str], tmp_path: Path) -> None:
    out = tmp_path / "books.txt"
    assert main(["books", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == "A café was open.\n<|endoftext|>\n" * 2
    assert main(["books", str(out)]) == 0
    assert len(shelf) == 2


def test_another_file_than_the_known_one_is_refused_and_not_kept(shelf: list[str]) -> None:
    del shelf
    one = books.books()[0]
    wrong = Book(one.title, one.author, one.repository, one.commit, one.path, "0" * 64, one.encoding)
    with pytest.raises(TextError, match="one is not the file that was expected"):
        fetch(wrong)
    assert not list(books.texts_home().rglob("*.txt"))


def test_without_a_network_the_command_says_which_book_is_missing(
    shelf: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del shelf
    monkeypatch.setattr(books, "RAW", "http://127.0.0.1:9")
    out = tmp_path / "books.txt"
    assert main(["books", str(out)]) == 2
    assert "one could not be downloaded from http://127.0.0.1:9/owner/name/c0ffee/one.txt" in capsys.readouterr().err
    assert not out.exists()


def test_what_is_not_the_book_goes_and_verse_keeps_its_lines() -> None:
    verse, prose = "  O rose,\n  thou art sick!", "_Long_ lines\nare joined\u2014yes."
    raw = f"Produced by X\n\n{verse}\n\n* * *\n\n[Footnote 1: so]\n\n{prose}"
    assert clean(raw) == "O rose,\nthou art sick!\n\nLong lines are joined--yes."

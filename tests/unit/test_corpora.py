"""The texts: bundled, laid ready, downloaded or brought along; each checked, and every refusal in a sentence."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gptcore import corpora
from gptcore.corpora import (
    CATALOGUE,
    LANGUAGE,
    MAX_TEXT_BYTES,
    OWN_STORY,
    EncodingError,
    Text,
    TextError,
    find_text,
    is_at_hand,
    load_text,
    read_bytes,
    read_file,
)
from gptcore.encodings import ENCODING_NAMES, readable_as
from gptcore.paths import texts_home

DOWNLOADED = [key for key, source in CATALOGUE.items() if source.url is not None]
RAW_PLAY = """\ufeffThe e-text's own header

*** START OF THIS E-TEXT JULIUS CAESAR ***

Produced by A. Volunteer

[Illustration: a crown]
THE TRAGEDY

 CASCA. Speak, hands, for me!

*** END OF THIS E-TEXT JULIUS CAESAR ***
Its licence
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for what is downloaded, and nothing laid ready."""
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GPTCORE_DATA", raising=False)
    return tmp_path / "home"


@pytest.fixture
def laid_ready(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCORE_DATA", str(shared_data))


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception) -> list[str]:
    """Let the network give this answer; returns the addresses that are asked."""
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        assert 0 < timeout <= 10
        asked.append(url)
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


# -------------------------------------------------------------------------------------------------------- the catalogue


def test_our_own_story_is_bundled_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, OSError("no network"))
    story = load_text(OWN_STORY)
    assert story.prompt in story.text
    assert is_at_hand(OWN_STORY)
    assert asked == []


def test_the_catalogue_names_each_text_by_its_key_and_checks_what_it_downloads() -> None:
    assert list(CATALOGUE) == [OWN_STORY, "the-verdict", "tiny-shakespeare", "julius-caesar", LANGUAGE]
    for key, source in CATALOGUE.items():
        assert source.key == key
        assert source.title
        assert source.licence
        assert (source.url is None and source.make is None) == (source.sha256 is None)
        assert source.url is None or source.url.startswith("https://")


@pytest.mark.parametrize(
    ("key", "characters"), [("the-verdict", 20_479), ("tiny-shakespeare", 1_115_394), ("julius-caesar", 116_643)]
)
def test_a_text_that_a_teacher_laid_ready_is_taken(laid_ready: None, key: str, characters: int) -> None:
    assert is_at_hand(key)
    text = load_text(key)
    assert len(text.text) == characters
    assert text.sha256 == CATALOGUE[key].sha256


@pytest.mark.parametrize("key", ["tiny-shakespeare", "julius-caesar"])
def test_a_plays_prompt_stands_in_its_text(laid_ready: None, key: str) -> None:
    text = load_text(key)
    assert text.prompt in text.text


def test_the_verdict_is_asked_to_go_on_with_the_books_prompt() -> None:
    assert CATALOGUE["the-verdict"].prompt == "Every effort moves you"


def test_an_unknown_key_is_refused_with_the_keys_that_exist() -> None:
    with pytest.raises(TextError, match=r"no text is called 'moby-dick'; there are the-glass-clock, the-verdict, "):
        load_text("moby-dick")
    with pytest.raises(TextError) as caught:
        load_text("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_a_file_laid_ready_that_is_another_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "the-verdict.txt").write_text("I had always thought Jack Gisburn", encoding="utf-8")
    monkeypatch.setenv("GPTCORE_DATA", str(tmp_path))
    with pytest.raises(TextError, match=r"The Verdict .* is not the text that was expected \(SHA-256 [0-9a-f]{12}"):
        load_text("the-verdict")


def test_a_file_laid_ready_that_is_no_text_is_refused_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "the-verdict.txt").write_bytes(b"caf\xe9")
    monkeypatch.setenv("GPTCORE_DATA", str(tmp_path))
    with pytest.raises(TextError, match="The Verdict"):
        load_text("the-verdict")


def test_a_text_that_is_computed_is_held_to_its_hash_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, OSError("no network"))
    assert is_at_hand(LANGUAGE)
    assert load_text(LANGUAGE).sha256 == CATALOGUE[LANGUAGE].sha256
    assert asked == []
    monkeypatch.setitem(CATALOGUE, LANGUAGE, replace(CATALOGUE[LANGUAGE], make=lambda: "another text"))
    with pytest.raises(TextError, match=r"is not the text that was expected .*; it comes with the program, so install"):
        load_text(LANGUAGE)


# ------------------------------------------------------------------------------------------------------------ downloads


def known(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let the catalogue expect this text where it has The Verdict."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    source = corpora.Source(key="the-verdict", title="A text", prompt="A", licence="-", url="https://x", sha256=sha256)
    monkeypatch.setitem(CATALOGUE, "the-verdict", source)


def test_a_download_is_kept_and_not_asked_for_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, "A téxt\n")
    asked = answer_with(monkeypatch, "A téxt\n".encode())
    assert not is_at_hand("the-verdict")
    assert [load_text("the-verdict").text for _ in range(2)] == ["A téxt\n"] * 2
    assert is_at_hand("the-verdict")
    assert asked == ["https://x"]
    assert [path.name for path in (home / "texts").iterdir()] == ["the-verdict.txt"]


def test_a_download_with_another_hash_is_refused_and_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, "A text\n")
    answer_with(monkeypatch, b"<html>Log in to this network</html>")
    with pytest.raises(TextError, match="is not the text that was expected"):
        load_text("the-verdict")
    assert not (home / "texts").exists()


@pytest.mark.parametrize("key", DOWNLOADED)
@pytest.mark.parametrize(
    "answer",
    [
        urllib.error.URLError("Name or service not known"),
        urllib.error.HTTPError("https://x", 404, "Not Found", hdrs=None, fp=None),  # type: ignore[arg-type]
        TimeoutError("timed out"),
        ConnectionResetError("reset"),
        b"\xff\xfe",
    ],
    ids=["offline", "404", "timeout", "cut", "not text"],
)
def test_a_download_that_fails_says_why_and_what_to_do(
    key: str, answer: bytes | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, answer)
    with pytest.raises(TextError) as caught:
        load_text(key)
    message = str(caught.value)
    assert CATALOGUE[key].title in message
    assert "could not be downloaded" in message
    assert "upload the text" in message
    assert f"texts/{key}.txt" in message
    assert "\n" not in message
    assert not texts_home().exists()


def test_a_play_is_freed_of_what_is_not_the_play() -> None:
    assert corpora._clean_play(RAW_PLAY.replace("\n", "\r\n")) == "THE TRAGEDY\n\n CASCA. Speak, hands, for me!\n"


def test_cleaning_a_play_twice_changes_nothing() -> None:
    once = corpora._clean_play(RAW_PLAY)
    assert corpora._clean_play(once) == once


# ------------------------------------------------------------------------------------------------- what somebody brings


def test_a_plain_text_is_taken_as_it_is() -> None:
    text = read_bytes("Gift — 語 \U0001f642\n\ttab\rlone return".encode(), "mine.txt")
    assert text.text == "Gift — 語 \U0001f642\n\ttab\rlone return"
    assert text.title == "mine.txt"
    assert text.notes == ()


def test_a_byte_order_mark_and_windows_line_ends_go_and_it_is_said() -> None:
    text = read_bytes(b"\xef\xbb\xbfOne\r\nTwo\r\n", "a.txt")
    assert text.text == "One\nTwo\n"
    assert text.notes == ("a byte-order mark was removed", "Windows line ends became plain ones")


def test_the_same_text_has_the_same_key_whatever_its_file_is_called() -> None:
    first, second = read_bytes(b"One\r\nTwo", "a.txt"), read_bytes(b"One\nTwo", "b.txt")
    assert first.key == second.key != read_bytes(b"One Two", "a.txt").key
    assert first.key.startswith("own-")
    assert first.key not in CATALOGUE


def test_the_limit_is_for_visitors_and_counts_bytes() -> None:
    raw = b"a" * (MAX_TEXT_BYTES + 1)
    assert len(read_bytes(raw[:-1], "a.txt").text) == MAX_TEXT_BYTES
    with pytest.raises(TextError, match=r"'a\.txt' has 5,000,001 bytes; the limit is 5,000,000"):
        read_bytes(raw, "a.txt")
    assert len(read_bytes(raw, "a.txt", most_bytes=None).text) == MAX_TEXT_BYTES + 1


def test_a_long_name_is_cut_in_titles_and_messages() -> None:
    assert len(read_bytes(b"a text", "n" * 5_000).title) == 60
    with pytest.raises(TextError) as caught:
        read_bytes(b"\xff", "n" * 5_000)
    assert len(str(caught.value)) < 200


def test_the_hash_of_a_text_is_that_of_its_utf8() -> None:
    assert Text("k", "t", "é", "é").sha256 == hashlib.sha256("é".encode()).hexdigest()
    assert len(Text("k", "t", "\ud800", "é").sha256) == 64


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Déjà vu", "latin-1"), ("“Déjà vu” …", "cp1252"), ("Every effort — 語", "utf-16")],
    ids=["latin-1", "cp1252", "utf-16"],
)
def test_bytes_in_another_encoding_are_refused_with_that_encoding_and_then_read_in_it(text: str, encoding: str) -> None:
    raw = text.encode(encoding)
    with pytest.raises(EncodingError, match="is not UTF-8 text: byte ") as caught:
        read_bytes(raw, "a.txt")
    assert caught.value.readable_as == encoding
    read = read_bytes(raw, "a.txt", encoding=encoding)
    assert read.text == text
    assert read.notes == (f"its bytes were taken for {ENCODING_NAMES[encoding]}",)


@pytest.mark.parametrize(
    "raw",
    [b"\x89PNG\r\n\x1a\n\0\rIHDR", b"PK\x03\x04\xff", "é 語".encode("utf-16-le"), b"\xff\xfeodd", bytes(range(256))],
    ids=["png", "zip", "utf-16 without a mark", "half of utf-16", "all bytes"],
)
def test_what_is_no_text_in_any_encoding_gets_no_offer(raw: bytes) -> None:
    assert readable_as(raw) is None


def test_a_text_in_the_wrong_encoding_is_refused_in_the_same_words() -> None:
    with pytest.raises(EncodingError, match=r"^'a\.txt' is not UTF-16 text: byte \d+ is 0x"):
        read_bytes(b"\xff\xfea", "a.txt", encoding="utf-16")


# ------------------------------------------------------------------------------------------------------ names and files


def test_find_text_takes_a_key_or_else_a_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Once there was a lamp.", encoding="utf-8")
    assert find_text(OWN_STORY).key == OWN_STORY
    assert find_text(str(file)).text == "Once there was a lamp."


def test_a_file_on_this_machine_may_be_of_any_size(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_bytes(b"a b " * (MAX_TEXT_BYTES // 4 + 1))
    assert len(read_file(file).text) > MAX_TEXT_BYTES


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere.txt", "No such file"), (".", "Is a directory"), ("n" * 5_000, "too long")]
)
def test_a_path_that_cannot_be_read_says_why(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextError, match=f"can't be read: .*{reason}") as caught:
        find_text(name)
    assert len(str(caught.value)) < 300


def test_a_text_error_is_a_value_error_so_that_everybody_shows_it_alike() -> None:
    error: Any = TextError("why")
    assert isinstance(error, ValueError)

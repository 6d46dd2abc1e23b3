"""A text beside what was made of it: a file of its own, and what else is known of it in a JSON file.

How to read it: ``write`` says what the JSON file is to hold, ``read`` takes it. What is left out: where texts come from
(``gptcore.corpora``). A lone carriage return or half a surrogate pair in a student's text stays what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gptcore.corpora import Text

FILE = "text.txt"


def write(folder: Path, text: Text) -> dict[str, str]:
    """Write a text into a folder; what is to be kept of it beside the file."""
    with (folder / FILE).open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        file.write(text.text)
    return {"key": text.key, "title": text.title, "prompt": text.prompt, "sha256": text.sha256}


def read(folder: Path, about: Mapping[str, str]) -> Text:
    """The text of a folder, by what was kept of it."""
    with (folder / FILE).open(encoding="utf-8", errors="surrogatepass", newline="") as file:
        return Text(about["key"], about["title"], file.read(), about["prompt"])

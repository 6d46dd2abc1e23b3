"""In which way of writing characters as bytes a file is a text, if it is not UTF-8.

How to read it: ``readable_as`` tries the ways that text files of this world still come in.

What is left out: guessing among the many older encodings of single languages, which need statistics.
"""

from __future__ import annotations

import codecs
import re

ENCODING_NAMES = {"latin-1": "Latin-1", "cp1252": "Windows-1252", "utf-16": "UTF-16"}
CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")  # no text has them: bytes that mean something else


def readable_as(raw: bytes) -> str | None:
    r"""An encoding other than UTF-8 in which bytes are a text without control characters.

    Latin-1 has a character for every byte, so that it "reads" pictures, too: their control characters give them away.

    >>> readable_as("D\xe9j\xe0 vu".encode("latin-1")), readable_as(b"\x89PNG\r\n\x1a\n")
    ('latin-1', None)
    """
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("latin-1", "cp1252"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not CONTROL.search(text):
            return encoding
    return None

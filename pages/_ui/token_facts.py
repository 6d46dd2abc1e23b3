"""All there is to say of one token: its bytes, the merge that made it, its neighbours, where it stands in a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict

from gptcore.bpe import BYTES, parents
from gptcore.tokenizer import END_OF_TEXT_ID, load_tokenizer, show_token

NEIGHBOURS = 3  # on each side
PLACES = 3  # of its occurrences that are quoted
AROUND = 5  # tokens before and after it in a quotation


class Where(NamedTuple):
    """A text in which a token is looked up: its name, and its tokens, which are only fetched when there is one."""

    name: str
    ids: Callable[[], Sequence[int]]


Named = tuple[str, int]  # a token as it is shown, and its id


class Facts(TypedDict):
    """What is told of a token: the token itself, and rows of a name, a sentence and tokens to go on to."""

    token: str
    rows: list[tuple[str, str, list[Named]]]


def spelt(token_id: int) -> str:
    """A token's bytes in hexadecimal.

    >>> spelt(262)
    '20 74 68 65'
    """
    return load_tokenizer().token_bytes(token_id).hex(" ")


def _named(token_id: int) -> Named:
    return show_token(load_tokenizer().token_bytes(token_id)), token_id


def about(token_id: int, beside: Sequence[Where]) -> Facts:
    """Everything about one token.

    Args:
        token_id: In 0..50256.
        beside: Texts in which it is looked up.
    """
    raw = load_tokenizer().token_bytes(token_id)
    size = f"{len(raw)} byte{'s' * (len(raw) > 1)} in hexadecimal"
    near = range(max(0, token_id - NEIGHBOURS), min(load_tokenizer().vocab_size, token_id + NEIGHBOURS + 1))
    return {
        "token": show_token(raw),
        "rows": [
            (
                "Bytes",
                f"{spelt(token_id)} ({size})" if token_id != END_OF_TEXT_ID else "none: it stands for no characters",
                [],
            ),
            ("Made of", *_origin(token_id, raw)),
            ("Before and after it in the vocabulary", "", [_named(i) for i in near if i != token_id]),
            *((f"In {where.name}", _places(token_id, where.ids()), []) for where in beside),
        ],
    }


def _origin(token_id: int, raw: bytes) -> tuple[str, list[Named]]:
    """How a token came into the vocabulary."""
    ranks = load_tokenizer().ranks
    if token_id == END_OF_TEXT_ID:
        return "nothing: the special token, which tells that one text ends and another begins", []
    pair = parents(raw, ranks)
    if pair is None:
        return f"itself: one of the {BYTES} bytes from which everything starts", []
    merge = token_id - BYTES + 1
    return f"two tokens, by merge {merge:,} of {len(ranks) - BYTES:,}: ", [_named(ranks[part]) for part in pair]


def _places(token_id: int, ids: Sequence[int]) -> str:
    """How often a token stands in a text, and its first places with what is around them."""
    places = [place for place, other in enumerate(ids) if other == token_id]
    if not places:
        return "nowhere"
    times = "once" if len(places) == 1 else f"{len(places):,} times"
    quoted = " · ".join(f"…{_around(ids, place)}…" for place in places[:PLACES])
    return f"{times} among {len(ids):,} tokens, {len(places) / len(ids):.2%}: {quoted}"


def _around(ids: Sequence[int], place: int) -> str:
    """A few tokens in one line; halves of characters at its ends are left out."""
    token_bytes = load_tokenizer().token_bytes
    raw = b"".join(token_bytes(i) for i in ids[max(0, place - AROUND) : place + AROUND + 1])
    return " ".join(raw.decode("utf-8", errors="ignore").split())

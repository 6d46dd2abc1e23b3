"""A text beside its tokens: chips and ids linked both ways, page by page; a click on one tells all about it.

How to read it: ``draw`` shows a text; ``record`` is what the browser gets of it: one page of tokens, never all of a
long text, and what is known of the one token that was asked for. What the browser reports may be anything: it is
checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import streamlit as st

from gptcore.paths import ASSETS
from gptcore.tokenizer import END_OF_TEXT_ID, Span, group_spans, load_tokenizer
from pages._ui import token_facts
from pages._ui.chips import TOKEN_COLOURS

TOKENS_A_PAGE = 600

View = Literal["text", "bytes"]
VIEWS: tuple[View, ...] = ("text", "bytes")


class Look(NamedTuple):
    """How tokens are shown.

    Attributes:
        view: Whether a chip shows a token's characters or its bytes.
        marks: Whether spaces and line ends are shown as marks.
    """

    view: View = "text"
    marks: bool = True


AS_TEXT = Look()

_view = st.components.v2.component(
    "glassbox_token_view",
    html=(ASSETS / "components" / "token_view.html").read_text(encoding="utf-8"),
    css=(ASSETS / "components" / "token_view.css").read_text(encoding="utf-8"),
    js=(ASSETS / "components" / "token_view.js").read_text(encoding="utf-8"),
)


class Box(NamedTuple):
    """A box to type in, beside the tokens.

    Attributes:
        text: What stands in it when it is drawn first, and after each new ``taken``.
        taken: How many texts were put into it by a click.
        heard: How many of the texts that were typed have arrived.
        most: Characters that it takes.
    """

    text: str
    taken: int
    heard: int
    most: int


def reported(key: str, name: str) -> Any:
    """What the browser last reported under a name; None where it has not."""
    return st.session_state.get(key, {}).get(name)


def draw(
    ids: Sequence[int],
    key: str,
    label: str,
    *,
    look: Look = AS_TEXT,
    box: Box | None = None,
    beside: Sequence[token_facts.Where] = (),
    on_typed: Callable[[], None] = lambda: None,
) -> None:
    """Draw a text's tokens.

    Args:
        ids: All of them.
        key: Of the component.
        label: What the text is, in words.
        look: How they are shown.
        box: The box in which the text is typed; None for a text that is only read.
        beside: The texts in which a token that was asked for is looked up.
        on_typed: Called when another text was typed.
    """
    pages = max(1, -(-len(ids) // TOKENS_A_PAGE))
    asked, page = reported(key, "asked"), reported(key, "page")
    given = record(
        ids,
        min(page, pages - 1) if isinstance(page, int) and page > 0 else 0,
        asked if isinstance(asked, int) and 0 <= asked < load_tokenizer().vocab_size else None,
        beside,
    )
    typed = {"editable": box is not None, **(box or Box("", 0, 0, 0))._asdict()}
    _view(
        data={"label": label, **look._asdict(), **typed, **given},
        key=key,
        on_typed_change=on_typed,
        on_asked_change=lambda: None,
        on_page_change=lambda: None,
    )


def record(
    ids: Sequence[int], page: int, asked: int | None, beside: Sequence[token_facts.Where] = ()
) -> dict[str, Any]:
    """What the browser gets: the tokens of one page, and what there is to say of the one that was asked for."""
    start, spans = page_spans(ids, page)
    return {
        "pieces": [[span.text, list(span.ids), [token_facts.spelt(i) for i in span.ids]] for span in spans],
        "first": start,
        "tokens": sum(len(span.ids) for span in spans),
        "count": len(ids),
        "page": page,
        "pages": max(1, -(-len(ids) // TOKENS_A_PAGE)),
        "colours": TOKEN_COLOURS,
        "special": END_OF_TEXT_ID,
        "asked": asked,
        "facts": None if asked is None else token_facts.about(asked, beside),
    }


def page_spans(ids: Sequence[int], page: int, tokens_a_page: int = TOKENS_A_PAGE) -> tuple[int, list[Span]]:
    """The spans of one page, and the place of its first token; a page never begins within a character."""
    token_bytes = load_tokenizer().token_bytes
    start, end = (_whole(ids, place * tokens_a_page) for place in (page, page + 1))
    pieces = [token_bytes(i) for i in ids[start:end]]
    return start, group_spans(b"".join(pieces).decode("utf-8"), ids[start:end], pieces)


def _whole(ids: Sequence[int], place: int) -> int:
    """The first place from here on where a token begins with the first byte of a character."""
    token_bytes = load_tokenizer().token_bytes
    while place < len(ids) and token_bytes(ids[place])[0] & 0xC0 == 0x80:
        place += 1
    return place

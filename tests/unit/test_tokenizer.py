"""GPT-2's tokenizer: the published ids, the text back whole, and never a part of a character on screen."""

from __future__ import annotations

import hashlib
import json
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from gptcore.paths import ASSETS
from gptcore.tokenizer import (
    END_OF_TEXT,
    END_OF_TEXT_ID,
    GPT2_PATTERN,
    RANKS_SHA256,
    CompactTokenizer,
    group_spans,
    load_tokenizer,
    replace_surrogates,
    show_token,
)

GPT2 = load_tokenizer()
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # three people joined into one picture
ZALGO = "Z" + "\u0351\u036b\u0343\u036a" * 5 + "a"

# Everything that a string can hold, lone surrogates included.
ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
AWKWARD = st.lists(
    st.sampled_from(
        [FAMILY, ZALGO, "\r\n", "\u202e", "\x00", "\ud83d", "\ude00", " ", "\n", "<|endoftext|>", "é", "語", "a"]
    ),
    max_size=12,
).map("".join)


def ranks() -> dict[bytes, int]:
    return GPT2._encoding._mergeable_ranks


def merged(piece: bytes) -> list[int]:
    """Byte-pair encoding as it is defined: again and again the pair of lowest rank becomes one."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while True:
        pairs = [(ranks()[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks()]
        if not pairs:
            return [ranks()[part] for part in parts]
        _, i = min(pairs)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


# ---------------------------------------------------------------------------------------------------- published numbers


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Every effort moves you", [6109, 3626, 6100, 345]),
        ("Akwirw ier", [33901, 86, 343, 86, 220, 959]),
        ("", []),
        (" ", [220]),
        ("hello", [31373]),
        (" hello", [23748]),
    ],
)
def test_published_ids(text: str, ids: list[int]) -> None:
    assert GPT2.encode(text) == ids
    assert GPT2.decode(ids) == text


def test_the_books_example_with_the_special_token() -> None:
    text = "Hello, do you like tea? <|endoftext|> In the sunlit terraces of someunknownPlace."
    ids = [15496, 11, 466, 345, 588, 8887, 30, 220, 50256, 554, 262, 4252, 18250, 8812, 2114]
    ids += [286, 617, 34680, 27271, 13]
    assert GPT2.encode(text, special=True) == ids
    assert GPT2.decode(ids) == text


def test_the_vocabulary_is_256_bytes_50000_merges_and_one_special_token() -> None:
    assert len(ranks()) == 256 + 50_000
    assert {raw for raw in ranks() if len(raw) == 1} == {bytes([b]) for b in range(256)}
    assert GPT2.vocab_size == 50_257
    assert END_OF_TEXT_ID == 50_256
    assert GPT2.token_bytes(END_OF_TEXT_ID) == END_OF_TEXT.encode()


def test_the_rank_file_is_openais() -> None:
    raw = (ASSETS / "gpt2.tiktoken").read_bytes()
    assert len(raw) == 835_554
    assert hashlib.sha256(raw).hexdigest() == RANKS_SHA256
    assert RANKS_SHA256.startswith("306cd27f03c1a714")
    assert RANKS_SHA256.endswith("d930")


def test_the_rank_file_is_the_one_beside_the_repository(shared_data: Path) -> None:
    assert (shared_data / "gpt2.tiktoken").read_bytes() == (ASSETS / "gpt2.tiktoken").read_bytes()


def test_the_published_prompts_and_next_tokens_have_our_ids(shared_data: Path) -> None:
    published = json.loads((shared_data / "gpt2_next_token.json").read_text(encoding="utf-8"))["prompts"]
    assert len(published) == 5
    for entry in published:
        assert GPT2.encode(entry["prompt"]) == entry["token_ids"]
        assert len(entry["top20"]) == 20
        for token in entry["top20"]:
            assert show_token(GPT2.token_bytes(token["id"])) == token["text"]


# ---------------------------------------------------------------------------------------------------- encoding and back


@given(ANY_TEXT | AWKWARD)
@example("\ud800")
@example("\udc00\ud800")
@example("a\ud83d\ude00b")
@example("\ufeff\ud800")
@example("'s 'LL I'll")
def test_every_text_comes_back_with_only_lone_surrogates_replaced(text: str) -> None:
    ids = GPT2.encode(text)
    assert all(0 <= i < 50_256 for i in ids)
    assert GPT2.decode(ids) == replace_surrogates(text)


@given(ANY_TEXT)
def test_encoding_is_byte_pair_encoding_of_the_patterns_pieces(text: str) -> None:
    text = replace_surrogates(text)
    pieces = regex.findall(GPT2_PATTERN, text)
    assert "".join(pieces) == text
    assert GPT2.encode(text) == [i for piece in pieces for i in merged(piece.encode())]


@given(ANY_TEXT)
def test_each_lone_surrogate_becomes_one_replacement_character_and_nothing_else_changes(text: str) -> None:
    pairs_joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    expected = "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in pairs_joined)
    assert replace_surrogates(text) == expected


@pytest.mark.parametrize("special", [False, True])
def test_end_of_text_is_thirteen_plain_characters_unless_asked_for(special: bool) -> None:
    ids = GPT2.encode(f"one{END_OF_TEXT}two", special=special)
    assert (END_OF_TEXT_ID in ids) is special
    assert GPT2.decode(ids) == f"one{END_OF_TEXT}two"
    if not special:
        assert ids == [i for piece in ("one", "<|", "endoftext", "|>", "two") for i in GPT2.encode(piece)]


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("after", ["", "x", END_OF_TEXT], ids=["nothing", "a letter", "end of text"])
@pytest.mark.parametrize(
    "blank", [" ", "\n", "\u00a0", "\r\n", "\x1c"], ids=["space", "newline", "nbsp", "crlf", "0x1c"]
)
def test_a_long_run_of_white_space_gives_the_librarys_own_tokens(blank: str, after: str, special: bool) -> None:
    """At these lengths the library still works, so the detour round its limit can be held to it."""
    allowed = {END_OF_TEXT} if special else set()
    for length in (99_999, 100_000, 100_001):
        text = "a " + (blank * length)[:length] + after
        expected = GPT2._encoding.encode(text, allowed_special=allowed, disallowed_special=())
        assert GPT2.encode(text, special=special) == expected, length


# ---------------------------------------------------------------------------------------------------------------- spans


def assert_spans_fit(text: str, *, special: bool = False) -> None:
    spans = GPT2.spans(text, special=special)
    text = replace_surrogates(text)
    assert "".join(span.text for span in spans) == text
    assert [i for span in spans for i in span.ids] == GPT2.encode(text, special=special)
    assert all(span.text and span.ids for span in spans)
    visible = {0}
    for grapheme in regex.findall(r"\X", text):
        visible.add(max(visible) + len(grapheme.encode()))
    reached = 0
    for span in spans:
        ends = list(accumulate((len(GPT2.token_bytes(i)) for i in span.ids), initial=reached))
        reached = ends[-1]
        assert reached in visible, f"{span} ends within a visible character"
        assert visible.isdisjoint(ends[1:-1]), f"{span} could be two"


@given(ANY_TEXT | AWKWARD, st.booleans())
@example("\r\n", False)
@example("a\r\n\r\nb", False)
@example(f"{END_OF_TEXT}\u0301", True)
@example("\U0001f1e9\U0001f1ea\U0001f1eb", False)
def test_spans_join_to_the_text_and_its_ids_and_never_cut_a_character(text: str, special: bool) -> None:
    assert_spans_fit(text, special=special)


@pytest.mark.parametrize("text", ["\U0001f642", FAMILY, ZALGO[:-1], "語", "e\u0301", "\U0001f1e9\U0001f1ea"])
def test_one_visible_character_of_several_tokens_is_one_span(text: str) -> None:
    assert len(GPT2.encode(text)) > 1
    assert [span.text for span in GPT2.spans(text)] == [text]


def test_spans_of_plain_english_are_its_tokens() -> None:
    spans = GPT2.spans("Every effort moves you")
    assert [(span.text, span.ids) for span in spans] == [
        ("Every", (6109,)),
        (" effort", (3626,)),
        (" moves", (6100,)),
        (" you", (345,)),
    ]


def test_spans_are_as_fine_as_the_characters_allow() -> None:
    texts = [span.text for span in GPT2.spans("naïve café — 語 \U0001f642")]
    assert texts == ["na", "ïve", " café", " —", " 語", " \U0001f642"]


def test_group_spans_takes_pieces_that_end_within_a_character() -> None:
    raw = "é".encode()
    assert [span.ids for span in group_spans("éa", [1, 2, 3], [raw[:1], raw[1:], b"a"])] == [(1, 2), (3,)]


# -------------------------------------------------------------------------------------------------------- single tokens


def test_no_token_is_ever_shown_as_a_replacement_character_that_it_does_not_hold() -> None:
    for token_id in range(50_257):
        raw = GPT2.token_bytes(token_id)
        assert "\ufffd" not in show_token(raw) or "\ufffd".encode() in raw, token_id


def test_a_part_of_a_character_is_shown_as_escapes() -> None:
    assert [show_token(GPT2.token_bytes(i)) for i in GPT2.encode("語")] == [r"\xe8\xaa", r"\x9e"]


@pytest.mark.parametrize("token_id", [-1, 50_257, 2**63, -(2**40)])
def test_an_id_outside_the_vocabulary_is_named(token_id: int) -> None:
    for refused in (lambda: GPT2.token_bytes(token_id), lambda: GPT2.decode([0, token_id])):
        with pytest.raises(ValueError, match=f"token id {token_id} is outside 0 to 50256"):
            refused()


def test_half_a_character_at_the_end_decodes_to_a_replacement_character() -> None:
    assert GPT2.decode(GPT2.encode("語")[:-1]).endswith("\ufffd")


def test_there_is_one_tokenizer_and_it_is_read_once() -> None:
    assert load_tokenizer("gpt2") is load_tokenizer("gpt2")
    with pytest.raises(ValueError, match="tokenizer 'gpt4' is unknown"):
        load_tokenizer("gpt4")


# --------------------------------------------------------------------------------------------------- compact vocabulary

STORY = "The lamp burned low. The keeper slept by the lamp — and dreamed of \U0001f642."


def test_a_compact_vocabulary_holds_the_texts_own_tokens_in_the_order_of_their_ids() -> None:
    full = GPT2.encode(STORY)
    compact = CompactTokenizer(GPT2, full)
    assert compact.vocab_size == len(set(full))
    assert compact.kept == tuple(sorted(set(full)))
    assert [compact.kept[i] for i in compact.encode(STORY)] == full


def test_a_compact_tokenizer_reads_and_writes_like_the_full_one() -> None:
    compact = CompactTokenizer(GPT2, GPT2.encode(STORY))
    ids = compact.encode(STORY)
    assert set(ids) == set(range(compact.vocab_size))
    assert compact.decode(ids) == STORY
    assert b"".join(map(compact.token_bytes, ids)).decode() == STORY
    assert [span.text for span in compact.spans(STORY)] == [span.text for span in GPT2.spans(STORY)]
    assert [i for span in compact.spans(STORY) for i in span.ids] == ids


def test_a_token_that_a_compact_vocabulary_lacks_is_named() -> None:
    compact = CompactTokenizer(GPT2, GPT2.encode(STORY))
    with pytest.raises(
        ValueError, match=r"knows only the \d+ tokens of its own text; it has no token ' quick', ' fox'"
    ):
        compact.encode("The quick fox")


@pytest.mark.parametrize("token_id", [-1, 4])
def test_an_id_outside_a_compact_vocabulary_is_named(token_id: int) -> None:
    compact = CompactTokenizer(GPT2, [1, 2, 3, 9, 9])
    with pytest.raises(ValueError, match=f"token id {token_id} is outside 0 to 3"):
        compact.decode([token_id])

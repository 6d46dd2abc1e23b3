"""Texts and prompts that are wrong, huge or hostile: a clear sentence, nothing lost, shown as they are.

Rows of FAULTS.md, "Texts and prompts", as far as ``gptcore`` answers for them; what is shown on screen is the pages'
matter.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import regex
import torch

from gptcore.batches import prepare
from gptcore.config import SamplingConfig
from gptcore.corpora import MAX_TEXT_BYTES, MAX_TEXT_TOKENS, Text, TextError, read_bytes, read_file
from gptcore.model import GPTModel
from gptcore.runs.store import create_run
from gptcore.runs.worker import execute
from gptcore.sampling import generate
from gptcore.tokenizer import END_OF_TEXT, END_OF_TEXT_ID, load_tokenizer, replace_surrogates
from gptcore.windows import window_counts
from tests import tiny
from tests.tiny import MODEL

GPT2 = load_tokenizer()
SETTINGS = replace(tiny.SETTINGS, batch_size=1, steps=2, eval_every=1, eval_batches=1, sample_tokens=2)
STORY = tiny.STORY.text

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:1)",
    r"$\href{javascript:1}{x}$",
    ":red[x] **bold** `code`",
    '=HYPERLINK("http://x")',
    "../../etc/passwd",
    "a\u202egnp.exe",
    "line\nbreak\ttab\x1b[2J",
    '{"state": "done"}',
)


def zipped(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("story.txt", text)
    return file.getvalue()


# -------------------------------------------------------------------------------------------------------- nothing in it


@pytest.mark.parametrize(
    "raw", [b"", b" ", b"\n\r\n\t ", b"\xef\xbb\xbf", b"\xef\xbb\xbf \r\n", "\u00a0\u3000\u2028".encode()], ids=repr
)
def test_a_file_with_nothing_to_learn_from_is_refused_by_its_name(raw: bytes) -> None:
    with pytest.raises(
        TextError, match=r"^'blank\.txt' holds nothing but white space, so there is nothing to learn from"
    ):
        read_bytes(raw, "blank.txt")


# ------------------------------------------------------------------------------------------------------- no text at all


@pytest.mark.parametrize(
    ("raw", "offset", "byte"),
    [
        ("Déjà vu".encode("latin-1"), 1, 0xE9),
        (b"a" * 70_000 + b"\xff", 70_000, 0xFF),
        ("Every effort".encode("utf-16"), 0, 0xFF),
        ("\ufeffEvery effort".encode("utf-16-be"), 0, 0xFE),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 0, 0x89),
        (b"caf\xc3", 3, 0xC3),  # cut within a character
        (b"\xed\xa0\x80", 0, 0xED),  # a surrogate, which UTF-8 does not have
        (b"\xc0\xaf", 0, 0xC0),  # an overlong slash
    ],
    ids=["latin-1", "late", "utf-16-le", "utf-16-be", "png", "cut", "surrogate", "overlong"],
)
def test_what_is_not_utf8_is_refused_with_the_place_of_the_first_bad_byte(raw: bytes, offset: int, byte: int) -> None:
    with pytest.raises(
        TextError, match=rf"^'a\.txt' is not UTF-8 text: byte {offset:,} is 0x{byte:02x}; save it as UTF-8"
    ):
        read_bytes(raw, "a.txt")


def test_a_zip_named_txt_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "story.txt"
    file.write_bytes(zipped(STORY))
    with pytest.raises(TextError, match="is not UTF-8 text: byte "):
        read_file(file)


# ------------------------------------------------------------------------------------------------------------- too long


def test_a_file_over_the_limit_is_refused_at_once_with_both_figures_and_never_cut() -> None:
    with pytest.raises(TextError, match=f"has {MAX_TEXT_BYTES + 7:,} bytes; the limit is {MAX_TEXT_BYTES:,}$"):
        read_bytes(b"\xff" * (MAX_TEXT_BYTES + 7), "a.txt")  # the size is looked at first


def test_a_text_over_two_million_tokens_is_refused_with_both_figures_though_its_bytes_are_within_the_limit() -> None:
    raw = b" " * MAX_TEXT_TOKENS + b"x"  # GPT-2 has a token for each of these spaces
    assert len(read_bytes(raw, "a.txt").text) == len(raw) < MAX_TEXT_BYTES
    with pytest.raises(TextError, match=r"^'a\.txt' has 2,000,001 tokens; the limit is 2,000,000$"):
        read_bytes(b" " + raw, "a.txt")


# ------------------------------------------------------------------------------------------------------------ too short


@pytest.mark.parametrize("n_tokens", range(10))
def test_a_text_shorter_than_a_window_is_refused_with_the_sum_or_trained_on(n_tokens: int) -> None:
    text = Text("k", "A title", " lamp" * n_tokens, " lamp")
    settings = replace(SETTINGS, train_fraction=1.0)
    if n_tokens >= 9:
        assert len(prepare(text, MODEL, settings).train_ids) == n_tokens
        return
    with pytest.raises(TextError, match=rf"has {n_tokens} tokens; a context of 8 needs at least 8 \+ 1 = 9: "):
        prepare(text, MODEL, settings)


@pytest.mark.parametrize("n_tokens", range(9))
def test_the_context_that_a_refusal_advises_fits(n_tokens: int) -> None:
    text = Text("k", "A title", " lamp" * n_tokens, " lamp")
    settings = replace(SETTINGS, train_fraction=1.0)
    with pytest.raises(TextError) as caught:
        prepare(text, MODEL, settings)
    if advised := re.search(r"a context of at most (\d+)", str(caught.value)):
        prepare(text, replace(MODEL, context_length=int(advised[1])), settings)


@pytest.mark.parametrize("train_fraction", [0.0, 0.001, 1.0])
def test_a_split_that_leaves_a_part_empty_gives_a_sentence_or_no_curve_and_never_nan(
    train_fraction: float, tmp_path: Path
) -> None:
    run = create_run(
        tmp_path / "run", Text("k", "t", STORY, "The"), MODEL, replace(SETTINGS, train_fraction=train_fraction)
    )
    end = execute(run)
    if train_fraction == 1.0:
        assert end == "done"
        assert {row["val_loss"] for row in run.metrics()[0]} == {None}
    else:
        assert end == "failed"
        assert "needs at least 8 + 1 = 9" in run.status["reason"]
    assert "NaN" not in "".join(path.read_text(encoding="utf-8") for path in run.folder.glob("*.json*"))


def test_a_validation_part_without_a_window_is_counted_as_such() -> None:
    counts = window_counts(5, 8, 8, 2, drop_last=False)
    assert (counts.windows, counts.batches, counts.targets_used, counts.never_targets) == (0, 0, 0, 5)


# ---------------------------------------------------------------------------------------------- texts that break things


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (" " * 1_000_000 + "x", 1_000_000),
        ("\n" * 1_000_000 + "x", None),
        ("a" * 1_000_000, None),
        ("^" * 1_000_000, None),
        ("\0" * 1_000_000, 1_000_000),
    ],
    ids=["spaces", "newlines", "a", "carets", "nul"],
)
def test_a_million_of_one_character_become_tokens_and_come_back(text: str, tokens: int | None) -> None:
    ids = GPT2.encode(text)
    assert tokens is None or len(ids) == tokens
    assert GPT2.decode(ids) == text


def test_white_space_beyond_the_librarys_limit_is_tokenised_as_below_it() -> None:
    """tiktoken itself panics at 999,999; a run of spaces is one token each, whatever its length."""
    ids = GPT2.encode(" " * 1_000_001 + "x" + "\n" * 1_000_000)
    assert ids[:1_000_000] == [220] * 1_000_000
    assert ids[1_000_000:1_000_001] == GPT2.encode(" x")
    assert GPT2.decode(ids[1_000_001:]) == "\n" * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "a\0b",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "Z" + "\u0351\u036b\u0343\u036a" * 500 + "algo",
        "\u202eright to left\u202c",
        "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
        "\ufeff\ufeff",
        "\r\n\r\r\n",
        *HOSTILE,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_awkward_characters_become_spans_that_are_whole_and_join_to_the_text(text: str) -> None:
    spans = GPT2.spans(text)
    assert "".join(span.text for span in spans) == text
    assert [i for span in spans for i in span.ids] == GPT2.encode(text)
    visible = regex.findall(r"\X", text)
    assert sum(len(regex.findall(r"\X", span.text)) for span in spans) == len(visible)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc00\ud800", "x" * 9 + "\ud83d"], ids=ascii)
def test_a_lone_surrogate_is_shown_as_what_it_was_replaced_by(text: str) -> None:
    shown = "".join(span.text for span in GPT2.spans(text))
    assert shown == replace_surrogates(text) == re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert GPT2.decode(GPT2.encode(text)) == shown


# ---------------------------------------------------------------------------------------------------------- end of text


def test_end_of_text_in_somebodys_text_is_plain_text_unless_the_switch_says_special() -> None:
    text = Text("k", "t", (STORY + END_OF_TEXT) * 3, "The")
    plain = replace(SETTINGS, compact_vocab=False)
    assert END_OF_TEXT_ID not in prepare(text, MODEL, plain).train_ids
    assert END_OF_TEXT_ID in prepare(text, MODEL, replace(plain, end_of_text=True)).train_ids
    assert END_OF_TEXT_ID not in GPT2.encode(f"a prompt {END_OF_TEXT}")


# -------------------------------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: repr(text)[:20])
def test_a_hostile_text_title_and_prompt_come_through_a_run_as_they_are(hostile: str, tmp_path: Path) -> None:
    given = Text("k", hostile, f"{hostile} {STORY} {hostile}", f"{hostile} The")
    run = create_run(tmp_path / "run", given, MODEL, SETTINGS)
    assert execute(run) == "done", run.status["reason"]
    assert run.text == given
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    for sample in run.samples():
        assert sample["prompt"] == given.prompt
        assert sample["text"].startswith(given.prompt)
    for line in (run.folder / "samples.jsonl").read_bytes().split(b"\n")[:-1]:
        json.loads(line)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: repr(text)[:20])
def test_a_hostile_file_name_is_a_title_and_never_a_path_or_a_second_line(hostile: str) -> None:
    text = read_bytes(STORY.encode(), hostile)
    assert text.title == hostile
    assert re.fullmatch(r"own-[0-9a-f]{12}", text.key)
    with pytest.raises(TextError) as caught:
        read_bytes(b"\xff", hostile)
    assert repr(hostile) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()


# -------------------------------------------------------------------------------------------------------------- prompts


@pytest.fixture(scope="module")
def model() -> GPTModel:
    torch.manual_seed(0)
    return GPTModel(replace(MODEL, vocab_size=GPT2.vocab_size)).eval()


def go_on(model: GPTModel, ids: list[int]) -> list[int]:
    return [drawn.token_id for drawn in generate(model, ids, SamplingConfig(temperature=0), 3)]


def test_an_empty_prompt_is_told_of_and_the_end_of_text_token_serves_instead(model: GPTModel) -> None:
    assert GPT2.encode("") == []
    with pytest.raises(ValueError, match="the prompt holds no token; a model can only go on from something"):
        generate(model, [], SamplingConfig(), 3)
    assert len(go_on(model, [END_OF_TEXT_ID])) == 3


def test_a_trailing_space_is_a_token_of_its_own_which_a_warning_can_look_for() -> None:
    assert GPT2.encode("Every effort ")[-1] == 220
    assert GPT2.encode("Every effort moves")[-1] != GPT2.encode("Every effort ")[-1]


def test_of_a_prompt_longer_than_the_context_the_last_tokens_are_read(model: GPTModel) -> None:
    ids = GPT2.encode(STORY)
    assert len(ids) > 100
    assert go_on(model, ids) == go_on(model, ids[-8:])


@pytest.mark.parametrize("make", [lambda: "x" * 300_000, lambda: " " * 1_000_000 + "x"], ids=["letters", "spaces"])
def test_a_prompt_of_a_megabyte_is_read_by_its_end(make: Callable[[], str], model: GPTModel) -> None:
    ids = GPT2.encode(make())
    assert go_on(model, ids) == go_on(model, ids[-8:])

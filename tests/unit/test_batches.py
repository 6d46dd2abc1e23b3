"""What a run trains on: a text made ready, or refused in a sentence, and the order in which its windows are met."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from gptcore.batches import book_plain_order, book_shuffled_order, choose_tokenizer, epoch_order, prepare
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import CATALOGUE, Text, TextError, load_text, read_bytes
from gptcore.tokenizer import END_OF_TEXT, END_OF_TEXT_ID, CompactTokenizer, load_tokenizer

MODEL = GPTConfig(context_length=8, emb_dim=8, n_heads=2, n_layers=1)
SETTINGS = TrainConfig(batch_size=2)
STORY = Text("story", "A story", "The lamp burned low. The keeper slept by the lamp.\n" * 20, "The lamp")

# --------------------------------------------------------------------------------------------------------------- orders


@given(st.integers(0, 60), st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_an_epochs_order_meets_every_window_once(windows: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(windows, seed, epoch).tolist()) == list(range(windows))


def test_an_epochs_order_follows_from_seed_and_epoch_alone() -> None:
    first = epoch_order(50, 123, 7)
    torch.manual_seed(5)
    torch.rand(3)
    assert torch.equal(epoch_order(50, 123, 7), first)
    assert not torch.equal(epoch_order(50, 123, 8), first)
    assert not torch.equal(epoch_order(50, 124, 7), first)


def test_an_epochs_order_draws_no_global_random_number() -> None:
    before = torch.get_rng_state()
    epoch_order(50, 123, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("windows", [1, 2, 18, 1_000])
def test_the_books_orders_are_those_of_a_dataloader_and_leave_the_same_random_state(
    shuffle: bool, windows: int
) -> None:
    for seed in (0, 123):
        torch.manual_seed(seed)
        loader = DataLoader(torch.arange(windows), batch_size=2, shuffle=shuffle)  # type: ignore[arg-type,var-annotated]
        theirs = [torch.cat(list(loader)) for _ in range(3)]
        their_state = torch.get_rng_state()
        torch.manual_seed(seed)
        ours = [book_shuffled_order(windows) if shuffle else book_plain_order(windows) for _ in range(3)]
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert torch.equal(torch.get_rng_state(), their_state)


def test_a_loader_that_is_left_early_has_drawn_all_it_draws() -> None:
    """The book stops its training loader after five batches when it evaluates."""
    torch.manual_seed(123)
    next(iter(DataLoader(torch.arange(18), batch_size=2, shuffle=True, drop_last=True)))  # type: ignore[arg-type]
    their_state = torch.get_rng_state()
    torch.manual_seed(123)
    book_shuffled_order(18)
    assert torch.equal(torch.get_rng_state(), their_state)


# ---------------------------------------------------------------------------------------------------- a text made ready


def test_a_text_becomes_two_parts_tokenised_alone() -> None:
    data = prepare(STORY, MODEL, SETTINGS)
    cut = int(0.9 * len(STORY.text))
    encode = load_tokenizer().encode
    assert data.train_ids.tolist() == encode(STORY.text[:cut])
    assert data.validation_ids.tolist() == encode(STORY.text[cut:])
    assert data.train_ids.dtype == data.validation_ids.dtype == torch.int64
    assert data.prompt == "The lamp"


def test_the_verdict_becomes_what_the_book_trains_on(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTCORE_DATA", str(shared_data))
    settings = replace(TRAIN_PRESETS["book-124m"], reference=True)
    data = prepare(load_text("the-verdict"), MODEL_PRESETS["book-124m"], settings)
    assert (len(data.train_ids), len(data.validation_ids)) == (4_612, 534)
    assert data.prompt == "Every effort moves you"
    assert data.tokenizer.vocab_size == 50_257


@pytest.mark.parametrize(
    ("changes", "special"), [({}, False), ({"end_of_text": True}, True), ({"reference": True}, True)]
)
def test_end_of_text_is_special_only_in_a_reference_run_or_when_asked_for(
    changes: dict[str, bool], special: bool
) -> None:
    text = replace(STORY, text=STORY.text.replace("\n", END_OF_TEXT))
    data = prepare(text, MODEL, replace(SETTINGS, **changes))  # type: ignore[arg-type]
    assert (END_OF_TEXT_ID in data.train_ids) is special


def test_a_compact_vocabulary_is_that_of_both_parts() -> None:
    text = replace(STORY, text=STORY.text + " Zebras!" * 9)
    data = prepare(text, MODEL, replace(SETTINGS, compact_vocab=True))
    assert isinstance(data.tokenizer, CompactTokenizer)
    both = torch.cat([data.train_ids, data.validation_ids])
    assert set(both.tolist()) == set(range(data.tokenizer.vocab_size))
    assert data.tokenizer.decode(both.tolist()) == text.text


def test_the_full_vocabulary_is_the_one_tokenizer_that_all_share() -> None:
    assert choose_tokenizer(STORY, SETTINGS) is load_tokenizer()


def test_the_settings_prompt_goes_before_the_texts_own() -> None:
    assert prepare(STORY, MODEL, replace(SETTINGS, sample_prompt="The keeper")).prompt == "The keeper"


def test_a_prompt_that_a_compact_vocabulary_cannot_write_is_refused_by_its_tokens() -> None:
    settings = replace(SETTINGS, compact_vocab=True, sample_prompt="The dragon")
    with pytest.raises(ValueError, match="it has no token ' dragon'"):
        prepare(STORY, MODEL, settings)


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_text_of_the_catalogue_can_be_learnt_with_the_class_preset(
    key: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its vocabulary is compact, so the text's own prompt has to be made of the text's own tokens."""
    if CATALOGUE[key].url is not None:
        monkeypatch.setenv("GPTCORE_DATA", str(request.getfixturevalue("shared_data")))
    data = prepare(load_text(key), MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    assert data.tokenizer.encode(data.prompt)


@pytest.mark.parametrize(
    "beginning",
    ["Once there was a lamp. ", "\n\n  Once there was a lamp. ", "Chapter One\n\nOnce there was. ", "Donau" * 20 + " "],
    ids=["plain", "blanks first", "a heading", "a word of 100 letters"],
)
def test_whatever_a_student_brings_can_be_learnt_with_the_class_preset(beginning: str) -> None:
    text = read_bytes((beginning * 100).encode(), "mine.txt")
    data = prepare(text, MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    assert data.tokenizer.encode(data.prompt)


# ------------------------------------------------------------------------------------------------------------ too short


def test_a_text_without_a_window_is_refused_with_the_numbers_and_a_context_that_fits() -> None:
    text = replace(STORY, text="One two three four five six seven eight nine ten")
    with pytest.raises(TextError, match=r"has 9 tokens; a context of 9 needs at least 9 \+ 1 = 10: .* at most 8$"):
        prepare(text, replace(MODEL, context_length=9), replace(SETTINGS, batch_size=1))
    prepare(text, replace(MODEL, context_length=8), replace(SETTINGS, batch_size=1))


def test_a_text_without_a_batch_is_refused_with_a_batch_size_that_fits() -> None:
    windows = (len(prepare(STORY, MODEL, SETTINGS).train_ids) - 1) // 8
    with pytest.raises(
        TextError, match=f"gives {windows} windows, fewer than one batch of {windows + 1}: .*{windows}$"
    ):
        prepare(STORY, MODEL, replace(SETTINGS, batch_size=windows + 1))
    prepare(STORY, MODEL, replace(SETTINGS, batch_size=windows))


def test_a_compact_vocabulary_finds_a_beginning_of_whole_characters() -> None:
    greek = Text("greek", "Greek", "".join(map(chr, range(0x1F00, 0x1F10))) * 200, "not in this text")
    data = prepare(greek, MODEL_PRESETS["class"], TRAIN_PRESETS["class"])
    assert greek.text.startswith(data.prompt)
    assert data.tokenizer.encode(data.prompt)

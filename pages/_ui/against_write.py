"""The columns write: all together, a token each in turn, with the same seed; what each wrote is measured.

How to read it: ``lay`` draws the columns with what they wrote last, or with their first words; ``write`` lets them
write anew. Small models have written something before anyone asks; a large one waits for the button.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptcore.against import timed
from gptcore.config import SamplingConfig
from gptcore.memorization import MIN_COPIED
from gptcore.parameters import count_parameters
from gptcore.published import GPT2_SAMPLE
from gptcore.recitation import Copying, copying, written_tokens
from gptcore.sampling import generate
from gptcore.windows import open_parts
from pages._ui import against, chips, frame, predict, resources, thread
from pages._ui.against import PUBLISHED, Rules
from pages._ui.resources import Voice
from pages._ui.rules import in_words

WRITTEN = "pretrained_written"
SMALL = 20_000_000  # parameters; such a model writes 40 tokens in well under a second


@dataclass(frozen=True, slots=True)
class Written:
    """What one model wrote, as far as it got.

    Attributes:
        prompt: What it was given.
        how: The rules, in words.
        pieces: The bytes of each token that it wrote.
        seconds: What they took, waiting for others not counted.
        nats: What the model itself says of them, -ln p summed.
        refused: Why it wrote nothing, or nothing more.
    """

    prompt: str
    how: str
    pieces: tuple[bytes, ...] = ()
    seconds: float = 0.0
    nats: float = 0.0
    refused: str = ""

    @property
    def text(self) -> str:
        """Prompt and continuation; a character may be spread over several tokens."""
        return self.prompt + b"".join(self.pieces).decode("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Asked:
    """One column: who writes, by which rules, and where it stands on the page."""

    voice: Voice
    config: SamplingConfig
    spot: DeltaGenerator

    @property
    def key(self) -> tuple[Voice, float]:
        """Under which its text is kept: other weights of the same name have not been asked yet."""
        return self.voice, resources.version(self.voice)


def _steps(voice: Voice, prompt: str, config: SamplingConfig, most: int) -> Iterator[Written]:
    """A text as it grows, measured after each token."""
    written = Written(prompt, in_words(config))
    try:
        model, tokenizer = resources.speak(voice)
        ids = resources.prompt_ids(tokenizer, prompt)
        for drawn, seconds in resources.in_turn(timed(generate(model, ids, config, most))):
            written = replace(
                written,
                pieces=(*written.pieces, tokenizer.token_bytes(drawn.token_id)),
                seconds=written.seconds + seconds,
                nats=written.nats - drawn.log_probability,
            )
            yield written
    except ValueError as error:
        yield replace(written, refused=str(error))


@st.cache_data(max_entries=64, show_spinner=False)
def _first_words(voice: Voice, version: float, prompt: str, config: SamplingConfig, most: int) -> Written:
    del version  # part of the key only
    return list(_steps(voice, prompt, config, most))[-1]


def kept() -> Mapping[tuple[Voice, float], Written]:
    """What was written last, by model."""
    texts: Mapping[tuple[Voice, float], Written] = st.session_state.get(WRITTEN, {})
    return texts


def lay(voices: Sequence[Voice], prompt: str, rules: Rules) -> list[Asked]:
    """Draw the columns with what each wrote, and ask about it."""
    asked = []
    for place, (column, voice) in enumerate(zip(st.columns(len(voices), gap="small"), voices, strict=True)):
        column.markdown(f"**{frame.plain(voice.label)}**")
        own = rules.own and voice != PUBLISHED
        config = against.own_rules(column, place, rules.config) if own else rules.config
        asked.append(Asked(voice, config, column.empty()))
    texts = [_text_of(one, prompt, rules.most) for one in asked]
    rules_met = {written.how for written in texts if written and written.pieces}
    for place, (one, written) in enumerate(zip(asked, texts, strict=True)):
        _show(one, place, written, how=f" · {written.how}" if written and len(rules_met) > 1 else "")
    if len(rules_met) == 1:
        st.caption(f"Written with {rules_met.pop()}. Copied: in the training part of the thread's text, word for word.")
    frame.notice(*_notices(voices))
    _ask({one.voice.label: written for one, written in zip(asked, texts, strict=True) if written and written.pieces})
    return asked


def _ask(texts: Mapping[str, Written]) -> None:
    """What does one seed do in two models?"""
    if len(texts) < 2:
        return
    (one, a), (other, b) = list(texts.items())[-2:]
    pairs = list(zip(a.pieces, b.pieces, strict=False))
    same = sum(x == y for x, y in pairs)
    answered = predict.number(
        "pretrained_same",
        f"One seed, so the same random numbers: at how many of {len(pairs)} places did {against.named(one)} and "
        f"{against.named(other)} write the same token?",
        same,
    )
    if answered:
        st.caption(
            "A random number only says how far down the list of tokens to go, the likeliest first. Each model has a "
            "list of its own, and each token that differs changes what the next one follows."
        )


def _text_of(one: Asked, prompt: str, most: int) -> Written | None:
    """What a model wrote when it was last asked; until anyone asks, a small one writes its first words unasked."""
    if one.voice == PUBLISHED or kept():
        return kept().get(one.key)
    try:
        small = _parameters(one.voice) <= SMALL
    except ValueError as error:
        return Written(prompt, "", refused=str(error))
    return _first_words(*one.key, prompt, one.config, most) if small else None


def _parameters(voice: Voice) -> int:
    return count_parameters(resources.speak(voice)[0].config)


def write(asked: Sequence[Asked], prompt: str, most: int) -> None:
    """All go on from the prompt together; what is written so far stays when somebody stops them."""
    growing = {
        place: _steps(one.voice, prompt, one.config, most) for place, one in enumerate(asked) if one.voice != PUBLISHED
    }
    texts: dict[tuple[Voice, float], Written] = {}
    st.session_state[WRITTEN] = texts
    while growing:
        for place, steps in list(growing.items()):
            written = next(steps, None)
            if written is None:
                del growing[place]
                continue
            texts[asked[place].key] = written
            asked[place].spot.code(written.text, language=None, wrap_lines=True)
    st.rerun()


def copied(written: Written) -> Copying:
    """How much of a text stands word for word in the training part of the thread's text."""
    index = resources.copy_index(open_parts(thread.text().text, thread.training())[0])
    return copying(index, written_tokens(written.text, written.prompt), MIN_COPIED)


def _show(one: Asked, place: int, written: Written | None, how: str) -> None:
    with one.spot.container():
        if one.voice == PUBLISHED:
            st.code(GPT2_SAMPLE, language=None, wrap_lines=True)
            st.caption(
                "Published (the book, section 5.5): GPT-2 124M after “Every effort moves you”, temperature 1.5, "
                "top-k 50, seed 123. Other versions of the library draw another text."
            )
        elif written is None:
            st.caption("Not asked yet.")
        else:
            _measured(written, place, how)


def _measured(written: Written, place: int, how: str) -> None:
    if written.pieces:
        found = copied(written)
        given = len(resources.token_ids(written.text)) - found.written
        spans = [replace(span, start=span.start + given) for span in found.spans]
        chips.copied(written.prompt, written.text, spans, key=f"pretrained_text_{place}")
        tokens = len(written.pieces)
        st.caption(
            f"{tokens} tokens, {tokens / written.seconds:,.0f} a second · {found.share:.0%} copied · "
            f"{written.nats / tokens:.2f} nats a token by its own count{how}"
        )
    if written.refused:
        st.caption(f"({frame.plain(written.refused)})")


def _notices(voices: Sequence[Voice]) -> list[str]:
    """What to notice, in the numbers of these columns."""
    said = []
    sizes = _sizes(voices)
    if len(sizes) > 1:
        small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        said.append(
            f"One code wrote all columns, only the numbers in it differ: {against.named(small)} has {sizes[small]:,} "
            f"parameters, {against.named(large)} {sizes[large]:,}."
        )
    said.append(
        f"Orange stands word for word in the training part of {frame.plain(thread.text().title)}, in passages of "
        f"{MIN_COPIED} tokens or more: who was trained on one story recites it, who has read a library goes on with "
        "almost anything, true or not."
    )
    said.append(
        "GPT-2 adds biases to its queries, keys and values, and its head is the token embedding again; the book's "
        "model does neither. Otherwise the same lines run."
    )
    return said


def _sizes(voices: Sequence[Voice]) -> dict[str, int]:
    """Parameters by column; a model that can't be loaded has none."""
    sizes = {}
    for voice in voices:
        if voice != PUBLISHED:
            try:
                sizes[voice.label] = _parameters(voice)
            except ValueError:
                continue
    return sizes

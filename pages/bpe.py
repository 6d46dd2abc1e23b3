"""BPE: how a token is built merge by merge, how merges are learnt from a text, and what other cuts would cost."""

import streamlit as st

from gptcore.bpe import cut_pieces, learn_merges, learnt_ranks, merge_trace
from gptcore.figures.theme import marked
from gptcore.tokenizer import load_tokenizer
from gptcore.vocabularies import ways
from pages._ui import chips, choices, four_ways, frame, locks, merge_steps, own_bpe, predict, quiz

WORDS = (" unbelievably", " accomodation", " hippopotamuses", " 123456", " \U0001f989", "        return")
MOST_CHARACTERS = 60
GUESSED = " Donaudampfschiff"

frame.lesson("bpe")


def _take_word() -> None:
    if word := st.session_state.bpe_word:
        st.session_state.bpe_typed = word


def _leave_word() -> None:
    text = st.session_state.bpe_typed
    st.session_state.bpe_word = text if text in WORDS else None


def _text() -> str:
    """Type a word or take one; both know of each other."""
    if "bpe_typed" not in st.session_state:
        st.session_state.bpe_typed = WORDS[0]
    if "bpe_word" not in st.session_state:
        _leave_word()
    left, right = st.columns([2, 5], gap="medium", vertical_alignment="bottom")
    with left:
        text = st.text_input(
            "A word, with the space before it",
            key="bpe_typed",
            persist_state="session",
            max_chars=MOST_CHARACTERS,
            live=True,
            on_change=_leave_word,
        )
    with right:
        st.pills(
            "Words to try",
            WORDS,
            key="bpe_word",
            persist_state="session",
            format_func=lambda word: frame.plain(marked(word)),
            on_change=_take_word,
            label_visibility="collapsed",
        )
    return text


def _one_of(pieces: list[str]) -> str:
    """The piece to build: a text is cut into pieces before anything is merged."""
    if len(pieces) == 1:
        return pieces[0]
    place = st.segmented_control(
        f"GPT-2's pattern cuts this into {len(pieces)} pieces first; merges never cross a cut",
        range(len(pieces)),
        default=pieces.index(max(pieces, key=len)),
        required=True,
        format_func=lambda place: frame.plain(marked(pieces[place])),
        key=f"bpe_piece_{len(pieces)}",
    )
    return pieces[place]


@locks.fragment
def _build() -> None:
    """One piece, from bytes to tokens."""
    pieces = cut_pieces(_text())
    if not pieces:
        st.info("There is nothing to build from. Type a word.", icon=":material/keyboard:")
        return
    steps = merge_steps.trace(_one_of(pieces))
    merge_steps.draw(steps, key="bpe_steps")
    counted = merge_steps.counted
    frame.notice(
        f"{counted(len(steps[0].parts), 'byte')} became {counted(len(steps[-1].parts), 'token')} in "
        f"{counted(len(steps) - 1, 'merge')}. The number below two neighbours is the rank of what they would make: the "
        "lower, the earlier it was learnt, and the lowest goes first. How frequent a pair is here plays no part any "
        "more: learning is over."
    )


@locks.fragment
def _learn() -> None:
    """The text's own vocabulary, and how it compares."""
    part = own_bpe.part()
    size = own_bpe.learn(part)
    if size is not None:
        st.subheader("Four ways to cut the same text", anchor=False)
        four_ways.compare(part, size)


_build()

st.subheader("Merges learnt from your text", anchor=False)
choices.text("bpe")
_learn()

answer = len(merge_steps.trace(GUESSED)) - 1
question = f"How many merges build `{marked(GUESSED)}`, of {len(GUESSED)} bytes?"
if predict.number("bpe", question, answer):
    chips.tokens(load_tokenizer().spans(GUESSED), key="bpe_answer")

quiz.section("bpe")
frame.code_behind(merge_trace, learn_merges, learnt_ranks, ways)
frame.next_lesson("bpe")

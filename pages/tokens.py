"""Tokens: a text cut into the pieces that a model reads, each with its number."""

import streamlit as st

from gptcore.tokenizer import END_OF_TEXT, GPT2Tokenizer, group_spans, load_tokenizer
from pages._ui import chips, choices, frame, locks, own_text, predict, quiz, resources, thread, token_counts, token_view
from pages._ui.token_counts import TokenCounts
from pages._ui.token_examples import BY_NAME, named
from pages._ui.token_facts import Where

QUESTION = "Unbelievably, 1,000,000 owls!"
NO_CHARACTER = "\ufffd"

frame.lesson("tokens")


def _look() -> tuple[token_view.Look, bool]:
    """How tokens are shown, and what counts as one."""
    view = st.segmented_control(
        "Show tokens as",
        token_view.VIEWS,
        default="text",
        required=True,
        format_func={"text": "Text", "bytes": "Bytes"}.__getitem__,
        key="tokens_as",
        persist_state="session",
        label_visibility="collapsed",
        width="stretch",
    )
    with st.popover("More", icon=":material/tune:", width="stretch"):
        marks = st.toggle("Show spaces and line ends as marks", value=True, key="tokens_marks", persist_state="session")
        special = st.toggle(
            f"Read {END_OF_TEXT} as the special token",
            key="tokens_special",
            persist_state="session",
            help="Off, the marker is plain text, as in any text that somebody typed.",
        )
    return token_view.Look(view, marks), special


def _of_the_thread() -> Where:
    return Where("the text of all lessons", lambda: resources.token_ids(thread.text().text))


def _warn(own: str, ids: list[int]) -> None:
    """Say what in this text has to be known before it is used."""
    if not ids:
        st.info("This text has no tokens. Type something, or take an example.", icon=":material/keyboard:")
    if own.endswith(" "):
        st.warning(
            f"This text ends with a space, a token of its own (id {ids[-1]}). As a prompt that spoils what follows: "
            "GPT-2's tokens bring their space along in front: leave the last space out.",
            icon=":material/space_bar:",
        )
    if lost := own.count(NO_CHARACTER):
        st.info(
            f"The sign {NO_CHARACTER} stands {lost:,} times for something that is no character, and is cut as such."
        )


def _notice(own: str, ids: list[int], characters_cut: int) -> None:
    example = named(own)
    if example:
        frame.notice(BY_NAME[example].to_notice())
    elif ids:
        frame.notice(
            f"{len(own):,} characters became {len(ids):,} tokens, {len(set(ids)):,} of them different. "
            f"{characters_cut:,} tokens begin within a character: they can't be shown alone."
        )


@locks.fragment
def _your_text() -> None:
    """What is typed and its tokens: while somebody types, only this part of the page runs."""
    left, right = st.columns([4, 1], gap="medium")
    with left:
        own_text.examples()
    with right:
        look, special = _look()
    own = own_text.current()
    ids = load_tokenizer().encode(own, special=special)
    token_view.draw(
        ids,
        own_text.VIEW,
        "your text's tokens",
        look=look,
        box=own_text.box(),
        beside=[Where("this text", lambda: ids), _of_the_thread()],
        on_typed=own_text.hear,
    )
    token_counts.show(TokenCounts(len(ids), len(own), len(set(ids))))
    _warn(own, ids)
    _notice(own, ids, token_counts.within_characters(ids))


@locks.fragment
def _threads_text() -> None:
    """The text of all lessons, page by page."""
    of_thread = _of_the_thread()
    token_counts.show(token_counts.of_text(thread.text().text))
    token_view.draw(of_thread.ids(), "tokens_thread", "the text of all lessons", beside=[of_thread])


_your_text()
st.subheader("The text that your model will learn from", anchor=False)
left, right = st.columns([2, 5], gap="medium")
with left:
    choices.text("tokens")
    st.caption("All lessons go on with this text.")
with right:
    _threads_text()

question = f"How many tokens has `{QUESTION}`? A million owls, and a capital letter."
if predict.number("tokens", question, len(load_tokenizer().encode(QUESTION))):
    chips.tokens(load_tokenizer().spans(QUESTION), key="tokens_answer")

quiz.section("tokens")
frame.code_behind(load_tokenizer, GPT2Tokenizer.encode, GPT2Tokenizer.token_bytes, group_spans)
frame.next_lesson("tokens")

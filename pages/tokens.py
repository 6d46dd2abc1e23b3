"""Tokens: a text cut into the pieces that a model reads, each with its number."""

import streamlit as st

from gptcore.tokenizer import GPT2Tokenizer, group_spans, load_tokenizer
from pages._ui import chips, choices, frame, predict, thread, token_counts
from pages._ui.token_counts import TokenCounts
from pages._ui.token_examples import BY_NAME, EXAMPLES, named

MOST_CHARACTERS = 20_000  # of one's own; a longer text is the thread's, chosen further down
SHOWN_OF_THREAD = 72
QUESTION = "Unbelievably, 1,000,000 owls!"

frame.lesson("tokens")


def _take_example() -> None:
    if name := st.session_state.tokens_example:
        st.session_state.tokens_own = BY_NAME[name].text


def _leave_example() -> None:
    st.session_state.tokens_example = named(st.session_state.tokens_own)


def _own_text() -> str:
    """Type a text or take an example; both know of each other."""
    if "tokens_own" not in st.session_state:
        st.session_state.tokens_own = EXAMPLES[0].text
        st.session_state.tokens_example = EXAMPLES[0].name
    own = st.text_area(
        "Your text",
        height=110,
        max_chars=MOST_CHARACTERS,
        key="tokens_own",
        persist_state="session",
        on_change=_leave_example,
        help="Press Ctrl and Enter, or click elsewhere, to see its tokens.",
    )
    st.pills(
        "Examples, each with something to notice",
        list(BY_NAME),
        key="tokens_example",
        persist_state="session",
        on_change=_take_example,
        wrap=True,
    )
    return own


def _switches() -> tuple[bool, bool]:
    with st.expander("More", icon=":material/tune:"):
        marks = st.toggle("Show spaces and line ends as marks", value=True, key="tokens_marks", persist_state="session")
        special = st.toggle(
            "Read <|endoftext|> as the special token",
            key="tokens_special",
            persist_state="session",
            help="Off, the marker is plain text, as in any text that somebody typed.",
        )
    return marks, special


left, right = st.columns([2, 3], gap="medium")
with left:
    own = _own_text()
    marks, special = _switches()

spans = load_tokenizer().spans(own, special=special)
ids = [token_id for span in spans for token_id in span.ids]
with right:
    token_counts.show(TokenCounts(len(ids), len(own), len(set(ids))))
    if ids:
        chips.tokens(spans, key="tokens_chips", marks=marks)
        st.caption("Each chip is what can be seen of one token; below it stand its ids. Hover over a chip for more.")
    else:
        st.info("This text has no tokens. Type something, or take an example.", icon=":material/keyboard:")
    if own.endswith(" "):
        st.warning(
            f"This text ends with a space, a token of its own (id {ids[-1]}). As a prompt that spoils what follows: "
            "GPT-2's tokens bring their space along in front: leave the last space out.",
            icon=":material/space_bar:",
        )

grouped = sum(len(span.ids) > 1 for span in spans)
example = named(own)
if example:
    frame.notice(BY_NAME[example].to_notice())
elif ids:
    frame.notice(
        f"{len(own):,} characters became {len(ids):,} tokens, {len(set(ids)):,} of them different. "
        f"{grouped:,} of the {len(spans):,} chips need more than one token."
    )

st.subheader("The text that your model will learn from", anchor=False)
left, right = st.columns([2, 3], gap="medium")
with left:
    choices.text("tokens")
with right:
    token_counts.show(token_counts.of_text(thread.text().text))
    first = token_counts.beginning(thread.text().text, SHOWN_OF_THREAD)
    chips.tokens(first, key="tokens_thread", marks=marks)
    st.caption(f"The first {sum(len(span.ids) for span in first):,} tokens. All lessons go on with this text.")

question = f"How many tokens has `{QUESTION}`? A million owls, and a capital letter."
if predict.number("tokens", question, len(load_tokenizer().encode(QUESTION))):
    chips.tokens(load_tokenizer().spans(QUESTION), key="tokens_answer", marks=marks)

frame.code_behind(load_tokenizer, GPT2Tokenizer.encode, GPT2Tokenizer.spans, group_spans)
frame.next_lesson("tokens")

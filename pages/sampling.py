"""Sampling: the next token's probabilities under temperature and top-k, and a text drawn from them."""

from collections.abc import Iterator
from dataclasses import replace

import streamlit as st

from gptcore import sampling
from gptcore.config import SamplingConfig
from gptcore.corpora import CATALOGUE, OWN_STORY
from gptcore.figures.bars import next_token_bars, percent
from gptcore.sampling import generate
from pages._ui import choices, frame, predict, resources, thread
from pages._ui.rules import sampling_rules

CHARACTERS_AT_ONCE = 2_000  # a prompt may be long; the model reads only its last tokens anyway

frame.lesson("sampling")


def _go_on(voice: resources.Voice, prompt: str, config: SamplingConfig, most: int) -> Iterator[str]:
    """The text as it grows, drawn by these rules."""
    model, tokenizer = resources.speak(voice)
    ids = resources.prompt_ids(tokenizer, prompt)
    given = len(ids)
    for drawn in generate(model, ids.copy(), config, most):
        ids.append(drawn.token_id)
        yield tokenizer.decode(ids[given:])


def _in_words(voice: resources.Voice, config: SamplingConfig) -> str:
    """By whom and how a text was drawn; it stays true when the controls move on."""
    cuts = [f"top-k {config.top_k}"] if config.top_k else []
    cuts += [f"top-p {config.top_p:g}"] if config.top_p else []
    rules = [f"temperature {config.temperature:g}", *(cuts or ["no cut"]), f"seed {config.seed}"]
    return f"Drawn by {voice.label}: {', '.join(rules)}."


def _close() -> None:
    frame.code_behind(sampling.choose, sampling.cut_top_k, sampling.cut_top_p, sampling.generate)
    frame.next_lesson("sampling")


left, right = st.columns([1, 1.8], gap="medium")
with left:
    default = thread.text().prompt or CATALOGUE[OWN_STORY].prompt
    prompt = st.text_area(
        "Prompt",
        default,
        height=80,
        max_chars=CHARACTERS_AT_ONCE,
        key=f"sampling_prompt_{thread.text().key}",
        persist_state="session",
    )
    voice = choices.voice("sampling")
    config = sampling_rules()
    most = st.number_input("Tokens to add", 1, 400, 50, key="sampling_most", persist_state="session")
    go = st.button("Go on", type="primary", icon=":material/play_arrow:", key="sampling_go", width="stretch")

try:
    table = resources.next_tokens(voice, prompt, config)
except ValueError as error:
    with right:
        frame.refuse(error)
    _close()
    st.stop()

with right:
    if prompt.endswith(" "):
        st.warning("This prompt ends with a space. A space belongs to the token after it, so what follows is spoilt.")
    likeliest = table["probability"].max()
    kept = int((table["probability"] > 0).sum())
    choices_left = resources.effective_choices(table)
    st.plotly_chart(
        next_token_bars(table),
        key="sampling_bars",
        alt=f"Probabilities of the next token; the likeliest has {likeliest:.1%}.",
    )
    spot = st.empty()
    if go:
        for text in _go_on(voice, prompt, config, int(most)):
            spot.code(prompt + text, language=None, wrap_lines=True)
            st.session_state["sampling_drawn"] = (prompt + text, _in_words(voice, config))
    if "sampling_drawn" in st.session_state:
        drawn, how = st.session_state["sampling_drawn"]
        spot.code(drawn, language=None, wrap_lines=True)
        st.caption(how)

frame.notice(
    f"{kept:,} of {len(table):,} tokens may be drawn, and the choice is as wide as among {choices_left:,.1f} equally "
    "likely ones.",
    "Temperature divides the scores before the softmax: it stretches or shrinks the differences between tokens, never "
    "their order. It has no opinion about truth.",
    "The bars and the draw follow from the same numbers, and all probabilities sum to "
    f"{table['probability'].sum():.6f}.",
)
colder = resources.next_tokens(voice, prompt, replace(config, temperature=config.temperature / 2))
now, then = table["probability"].max(), colder["probability"].max()
predict.choice(
    "sampling",
    "Halve the temperature: what happens to the likeliest token's probability?",
    ["it falls", "it stays", "it rises"],
    "it rises" if then > now + 1e-9 else "it stays",
    f"At temperature {config.temperature:g} it is {percent(now)}, at {config.temperature / 2:g} it would be "
    f"{percent(then)}.",
)
_close()

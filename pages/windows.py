"""Windows: one long row of tokens becomes many small exercises, inputs and targets one token further."""

import streamlit as st

from gptcore.batches import epoch_order, prepare
from gptcore.corpora import TextError
from gptcore.figures.windows import Part
from gptcore.windows import make_windows, over_epochs, split_text, window_counts
from pages._ui import charts, frame, predict, quiz, thread, window_controls, window_order, window_view
from pages._ui.window_view import counted

frame.lesson("windows")

text, settings = thread.text(), thread.training()
try:
    data = window_view.token_parts(text, window_view.cut_only(settings))
except TextError:
    st.error(
        f"The training part of this text, {settings.train_fraction:.0%} of its {len(text.text):,} characters, is too "
        "short: even a context of 1 needs at least 1 + 1 = 2 tokens. Choose a longer text in the lesson on tokens."
    )
    frame.next_lesson("windows")
    st.stop()
n_train, n_validation = len(data.train_ids), len(data.validation_ids)

left, right = st.columns([2, 5], gap="medium")
with left:
    chosen = window_controls.choose(n_train)
    window_controls.take_to_training(chosen)
T, S, B = chosen.context_length, chosen.stride, chosen.batch_size
train = window_counts(n_train, T, S, B, chosen.drop_last)
validation = window_counts(n_validation, T, S, B, drop_last=False)
never = over_epochs(n_train, T, S, B, chosen.drop_last).never_targets
parts = (Part("training", 0, n_train, train), Part("validation", n_train, n_validation, validation))

with right:
    st.markdown(
        f"**{train.windows:,} + {validation.windows:,}** windows · "
        f"**{train.batches:,} + {validation.batches:,}** batches · "
        f"**{never:,} + {validation.never_targets:,}** never a target · training + validation"
    )
    if chosen.window is None:
        fits = window_controls.fitting_context(n_train, n_validation)
        window_controls.offer(
            f"A context of {T:,} needs at least {T:,} + 1 = {T + 1:,} tokens; the training part has {n_train:,}.",
            f"Take a context of {fits:,}",
            "windows_context",
            fits,
        )
    figure = window_view.window_strip(parts, T, S, B, chosen.window)
    charts.draw(
        st,
        figure,
        key="windows_strip",
        alt=f"{train.windows:,} windows of the training part's {n_train:,} tokens in {train.batches:,} batches, and "
        f"{validation.windows:,} of the validation part's {n_validation:,} in {validation.batches:,}; "
        f"{never:,} and {validation.never_targets:,} tokens are never a target.",
    )
    if chosen.window is not None:
        inputs, targets = (rows[chosen.window].tolist() for rows in make_windows(data.train_ids, T, S))
        window_view.pairs(inputs, targets, chosen.window * S, chosen.position, chosen.view)

if train.windows and not train.batches:
    window_controls.offer(
        f"The training part gives {counted(train.windows, 'window', 'windows')}, fewer than one batch of "
        f"{B:,}: with its last batch dropped, nothing is left to train on.",
        f"Take batches of {train.windows:,}",
        "windows_batch",
        train.windows,
    )
if train.windows and not validation.windows:
    sentence = (
        f"The validation part is too short to judge by: a context of {T:,} needs at least {T:,} + 1 = {T + 1:,} "
        f"tokens, and it has {n_validation:,}. A run would show no validation curve."
    )
    if n_validation > 1:
        fits = window_controls.fitting_context(n_train, n_validation)
        window_controls.offer(sentence, f"Take a context of {fits:,}", "windows_context", fits)
    else:
        st.warning(sentence, icon=":material/straighten:")

if train.windows:
    distance = (
        f"neighbours share {counted(train.overlap, 'token', 'tokens')}"
        if train.overlap
        else f"in between {counted(S - T, 'token is', 'tokens are')} never an input, and as many never a target"
        if S > T
        else "windows touch and share nothing"
    )
    apart = f"{counted(S, 'token', 'tokens')} apart"
    frame.notice(
        "The target row is the input row moved by one token, always. The stride is another thing: windows start "
        f"{apart}, so {distance}. A window holds {counted(T, 'exercise', 'exercises')}, one a position; an epoch of "
        f"{counted(train.batches, 'batch', 'batches')} has {train.predictions:,}.",
        f"{never:,} of the {n_train:,} training tokens {'is' if never == 1 else 'are'} never a target"
        + (
            f"; each epoch leaves out {counted(train.dropped_windows, 'window', 'windows')}, other ones each time."
            if train.batches and train.dropped_windows
            else "."
        ),
        window_view.judged_by(validation.windows, settings.eval_batches * B),
    )

for column, part, drop in zip(st.columns(2, gap="medium"), parts, (chosen.drop_last, False), strict=True):
    with column:
        st.markdown(f"**{part.name.capitalize()} part**, n = {part.tokens:,} tokens")
        window_view.show_formulas(window_view.formulas(part.tokens, T, S, B, drop, part.counts))
st.caption(
    f"The text is cut after {settings.train_fraction:.0%} of its characters"
    + (
        f", of those before the last {settings.sealed_fraction:.0%}, which stay sealed"
        if settings.sealed_fraction
        else ""
    )
    + (f"; of the first part {settings.train_share:.0%} is used" if settings.train_share < 1 else "")
    + ", and each part becomes tokens on its own. "
    "⌊ ⌋ rounds down, ⌈ ⌉ rounds up."
)

if train.batches:
    window_order.section(train.windows, B, settings)

stride = 1 if S > 1 else max(T, 2)
question = f"Context {T:,}, but a stride of {stride:,}: how many windows would the {n_train:,} training tokens give?"
answer = window_counts(n_train, T, stride, B, drop_last=False).windows
if train.windows and predict.number("windows", question, answer):
    st.caption(
        f"The last window must leave one token for its last target: ({n_train:,} − {T:,} − 1) / {stride:,}, rounded "
        "down, and the first window makes one more."
    )

quiz.section("windows")
frame.code_behind(split_text, prepare, window_counts, over_epochs, make_windows, epoch_order)
frame.next_lesson("windows")

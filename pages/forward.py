"""Forward pass: one prompt through one model, every stage to be opened, down to the arithmetic of a single weight."""

import streamlit as st

from gptcore import forward
from gptcore.config import MODEL_PRESETS
from gptcore.dropout import dropout_losses
from gptcore.figures.bars import percent
from gptcore.model import attention_step_by_step
from gptcore.sampling import next_token_table
from pages._ui import attention, charts, chips, forward_pass, forward_steps, forward_views, frame, quiz
from pages._ui.forward_pass import Pass

frame.lesson("forward")


def _tokens(seen: Pass, at: int) -> None:
    """The prompt's tokens in their places, the one that is followed outlined."""
    pieces: list[chips.Piece] = [
        {
            "text": token,
            "note": str(number + 1),
            "title": f"token {number + 1}: {token!r}, id {seen.ids[number]}",
            "colour": chips.TOKEN_COLOURS[number % len(chips.TOKEN_COLOURS)],
            "kind": "asked" if number == at else "",
        }
        for number, token in enumerate(seen.tokens)
    ]
    chips.noted(pieces, "forward_tokens", "the prompt's tokens and their places")


def _notice(seen: Pass, at: int) -> None:
    """What to notice, with the numbers of this pass."""
    lengths, weights = forward_pass.lengths(seen), forward_pass.trace(seen).weights
    L, H, T = seen.config.n_layers, seen.config.n_heads, len(seen.ids)
    first = float(weights[:, :, -1, 0].mean())
    frame.notice(
        "A block replaces nothing: what its attention and its feed-forward make is added to the stream. At token "
        f"{at + 1} it enters with length {lengths[0, at]:.2f} and leaves block {L} with {lengths[-1, at]:.2f}.",
        "Only attention looks at other tokens, and only at earlier ones. On average over all "
        f"{L * H} heads the last token gives {percent(first)} of its weight to the first; evenly spread it would be "
        f"{percent(1 / T)}.",
        "A score is q · k before the softmax, a weight is a share after it. Weights say what is read, not why the "
        "model answers as it does: attention is not explanation.",
    )


def _slip() -> None:
    """A sentence from the sources that doesn't hold, beside the number that shows it."""
    C = MODEL_PRESETS["gpt2-small"].emb_dim
    st.markdown(
        f"""**A slip you may meet**
- *"The attention output projection has 59 M parameters."* In GPT-2's small shape it is a matrix of {C} × {C} =
  {C * C:,}: {C * C / 1e6:.2f} M."""
    )


def _close() -> None:
    frame.code_behind(
        forward.trace,
        forward.block_stages,
        attention_step_by_step,
        forward.layer_norm,
        forward.gelu,
        forward.logit_lens,
        forward.lens_table,
        dropout_losses,
        next_token_table,
    )
    frame.next_lesson("forward")


try:
    seen, at = forward_pass.choose()
    table = forward_pass.next_tokens(seen)
except ValueError as error:
    frame.refuse(error)
    _close()
    st.stop()

_tokens(seen, at)
map_side, answer_side = st.columns([13, 7], gap="medium")
with map_side:
    attention.maps(seen, at)
with answer_side:
    charts.draw(
        st,
        forward_pass.bars(seen),
        key="forward_bars",
        alt=f"Probabilities of the next token; the likeliest has {table['probability'].max():.1%}.",
    )
    st.caption(f"What may follow the last token, out of {len(table):,}, by {frame.plain(seen.voice.label)}.")

st.markdown(f"**The way through the model**, followed at token {at + 1}. Open a part to see its numbers.")
forward_steps.draw(seen, at, table)
_notice(seen, at)
forward_views.draw(seen, at)
_slip()
quiz.section("forward")
_close()

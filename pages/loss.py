"""Loss: one window of the thread's text, from scores to one number, step by step."""

import pandas as pd
import streamlit as st

from gptcore import baselines, loss
from gptcore.config import GPTConfig
from gptcore.figures.bars import loss_bars
from gptcore.figures.theme import marked
from gptcore.parameters import part_groups
from pages._ui import chips, frame, passage, predict
from pages._ui.passage import Passage

PRICES = (0.9, 0.5, 0.1, 0.01, 0.001)

frame.lesson("loss")


def _steps(seen: Passage, at: int) -> None:
    """The whole way from scores to perplexity, with the shapes, followed at one guess."""
    row = seen.table.iloc[at]
    T, V = len(seen.tokens), seen.vocab_size
    st.markdown(
        f"""
1. **Logits** (1, {T}, {V:,}) → ({T}, {V:,}): the token that came scored {row["target_logit"]:.2f}, place
   {row["rank"]:,.0f} of {V:,}.
2. **Softmax** ({T}, {V:,}): scores become shares; each row sums to 1.
3. **Its probability** ({T}): *p* = {passage.chance(row["probability"])}
4. **−ln *p*** ({T}): {row["loss"]:.3f} nats
5. **Mean** of all {T}: **{seen.loss:.4f}** nats a token
6. **exp** of it: perplexity **{seen.perplexity:,.1f}**"""
    )
    st.caption(f"Steps 2 to 5 in one call, as a training run does it: {seen.in_one_call:.4f}.")


def _favourites(seen: Passage, at: int) -> None:
    """What the model would rather have seen."""
    st.markdown(f"**The model's own favourites** at guess {at + 1}, and what they would have cost")
    mine = seen.favourites[seen.favourites["position"] == at]
    st.dataframe(
        pd.DataFrame(
            {
                "token": [marked(token) for token in mine["token"]],
                "probability": mine["probability"].to_numpy(),
                "loss": mine["probability"].map(loss.surprise).to_numpy(),
            }
        ),
        hide_index=True,
        column_config={
            "probability": st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0),
            "loss": st.column_config.NumberColumn("loss (nats)", format="%.2f"),
        },
        key="loss_favourites",
    )
    others = seen.vocab_size - len(mine)
    st.caption(f"The other {others:,} tokens share {max(0.0, 1 - mine['probability'].sum()):.1%}.")


def _prices(seen: Passage) -> None:
    """What any guess costs, whoever makes it."""
    st.markdown("**What a guess costs** that gave the token that came this probability")
    given = [*PRICES, 1 / seen.vocab_size]
    st.dataframe(
        pd.DataFrame(
            {
                "probability": [*(f"{p:.1%}" for p in PRICES), f"1 in {seen.vocab_size:,} (blind)"],
                "loss": [loss.surprise(p) for p in given],
                "among": [loss.perplexity(loss.surprise(p)) for p in given],
            }
        ),
        hide_index=True,
        column_config={
            "loss": st.column_config.NumberColumn("loss (nats)", format="%.2f"),
            "among": st.column_config.NumberColumn("as if among N tokens", format="localized"),
        },
        key="loss_prices",
    )


def _try_it(seen: Passage) -> None:
    halved = seen.table["probability"].map(lambda p: loss.surprise(p / 2)).mean()
    double, more, same = (f"{offer:.2f}" for offer in (2 * seen.loss, halved, seen.loss))
    predict.choice(
        "loss",
        f"The mean loss is {seen.loss:.2f} nats. If the model had given each token that came only *half* as much "
        "probability, what would it be?",
        [double, more, same],
        more,
        f"Half the probability costs {loss.surprise(0.5):.2f} nats more (ln 2), whatever the token cost before. The "
        f"perplexity doubles, to {loss.perplexity(halved):,.1f}.",
    )


def _slips(seen: Passage) -> None:
    """Two sentences from the sources that don't hold, each beside the number that shows it."""
    V, C = seen.vocab_size, seen.width
    said, meant = baselines.uniform_loss(47_678), baselines.uniform_loss(48_725)
    head = part_groups(GPTConfig())["output head"]
    st.markdown(
        f"""**Two slips you may meet**
- *"A perplexity of 48,725 means choosing among 47,678 tokens."* The perplexity is itself the number of choices:
  ln 48,725 = {meant:.3f} is the loss in question, ln 47,678 would be {said:.3f}.
- *"The softmax layer has 38.4 M parameters."* The output head before it has: {head:,} in GPT-2's small shape,
  {V:,} × {C:,} = {V * C:,} here. Softmax turns scores into shares; it has nothing to learn."""
    )


seen = passage.choose("loss")
chart_side, step_side = st.columns([3, 2], gap="medium")
with chart_side:
    chips.graded(passage.pieces(seen), "loss_passage", "the window, each token the bluer the more its guess cost")
    st.plotly_chart(
        loss_bars(seen.table, seen.tokens, seen.blind, height=330),
        key="loss_bars",
        alt=f"The loss of each of {len(seen.tokens)} guesses; their mean is {seen.loss:.2f} nats, "
        f"a blind guess costs {seen.blind:.2f}.",
    )
with step_side:
    number = len(seen.tokens)
    if number > 1:
        number = passage.slider("Look closely at guess", 1, number, number, key="loss_at")
    _steps(seen, number - 1)
frame.notice(*passage.notices(seen))
_try_it(seen)
left, right = st.columns(2, gap="medium")
with left:
    _favourites(seen, number - 1)
with right:
    _prices(seen)
_slips(seen)
frame.code_behind(loss.window_logits, loss.loss_table, loss.mean_loss, loss.perplexity, loss.favourites, loss_bars)
frame.next_lesson("loss")

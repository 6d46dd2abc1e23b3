"""What the loss lesson shows around its window: the way from scores to one number, prices, an edit, and slips."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from gptcore import baselines, loss
from gptcore.config import GPTConfig
from gptcore.figures.theme import marked
from gptcore.language import the_entropies
from gptcore.parameters import part_groups
from pages._ui import chips, passage, resources, thread
from pages._ui.passage import Passage

PRICES = (0.9, 0.5, 0.1, 0.01, 0.001)
BATCH, LENGTH = 2, 4  # the windows that the shapes are followed through
SAID, MEANT = 47_678, 48_725  # a perplexity, as a source explains it and as it is


def steps(seen: Passage, at: int) -> None:
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
    st.caption(
        f"Steps 2 to 5 in one call, as a training run does it: {seen.in_one_call:.4f}. In bits: "
        f"{seen.bits_per_byte:.3f} a byte."
    )


def favourites(seen: Passage, at: int) -> None:
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


def prices(seen: Passage) -> None:
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


def batch(seen: Passage) -> None:
    """The same steps for a batch, as a training run takes them, every shape written out and every number there."""
    rows = passage.batch(seen, BATCH, LENGTH)
    if rows is None:
        return
    N, V, mean = BATCH * LENGTH, seen.vocab_size, rows.table["loss"].mean()
    st.markdown(
        f"**As a batch.** A training run guesses many windows at once. The first {BATCH} windows of this passage go in "
        f"as ({BATCH}, {LENGTH}) tokens; logits ({BATCH}, {LENGTH}, {V}) → ({N}, {V}), targets ({BATCH}, {LENGTH}) → "
        f"({N}): for the loss it does not matter which window a guess belongs to. Then each row goes its own way:"
    )
    st.dataframe(
        pd.DataFrame(
            {
                "window": [at // LENGTH + 1 for at in range(N)],
                "last read": [marked(token) for token in rows.read],
                "target": [marked(token) for token in rows.targets],
                "id": rows.table["target"],
                "its logit": rows.table["target_logit"],
                "ln Σ exp": rows.table["target_logit"] + rows.table["loss"],
                "probability": rows.table["probability"],
                "−ln p": rows.table["loss"],
            }
        ),
        hide_index=True,
        column_config={
            "its logit": st.column_config.NumberColumn(format="%.3f"),
            "ln Σ exp": st.column_config.NumberColumn(format="%.3f"),
            "probability": st.column_config.NumberColumn(format="%.3g"),
            "−ln p": st.column_config.NumberColumn(format="%.3f"),
        },
        key="loss_batch",
    )
    summed = " + ".join(f"{price:.3f}" for price in rows.table["loss"])
    st.markdown(
        f"({summed}) / {N} = **{mean:.4f}** nats; e to that is {loss.perplexity(mean):,.1f}. In one call: "
        f"{rows.in_one_call:.4f}. The second window does not see the first, so its tokens cost something else "
        "than above."
    )


def edit(seen: Passage, before: Passage | None) -> None:
    """What changing some words did to all that comes after them."""
    if before is None:
        return
    chips.graded(passage.pieces(before), "loss_before", "the window before the edit")
    change = seen.loss - before.loss
    said = (
        f"**As it stands now** (first, {seen.loss:.2f} nats a token) **and as it stood** (second, {before.loss:.2f}): "
        f"the edit made this passage {abs(change):.2f} nats a token {'dearer' if change > 0 else 'cheaper'}."
    )
    same = passage.common_ending(before, seen)
    if same:
        now, then = (each.table["loss"].to_numpy()[-same:] for each in (seen, before))
        moved = int(abs(now - then).argmax())
        said += (
            f" Its last {same:,} tokens are the same, and yet they cost {now.mean():.2f} instead of {then.mean():.2f} "
            f"each: a guess depends on all that was read. Number {len(seen.tokens) - same + moved + 1} changed most, "
            f"from {then[moved]:.2f} to {now[moved]:.2f} nats."
        )
    st.markdown(said)


def slips(seen: Passage) -> None:
    """Sentences from the sources that don't hold, each beside the number that shows it."""
    V, C = seen.vocab_size, seen.width
    said, meant = baselines.uniform_loss(SAID), baselines.uniform_loss(MEANT)
    shape = GPTConfig()
    head = part_groups(shape)["output head"]
    st.markdown(
        f"""**Slips you may meet**
- *"A perplexity of {MEANT:,} means choosing among {SAID:,} tokens."* The perplexity is itself the number of choices:
  ln {MEANT:,} = {meant:.3f} is the loss in question, and e to that is {loss.perplexity(meant):,.0f} again; ln {SAID:,}
  would be {said:.3f}.
- *"The softmax layer has 38.4 M parameters."* The output head before it has: {head:,} in GPT-2's small shape,
  {V:,} × {C:,} = {V * C:,} here. Softmax turns scores into shares; it has nothing to learn.
- *"The loss goes to zero when a model is trained well."* {_floor()}"""
    )


def _floor() -> str:
    """Why no good model's loss on new text is zero, in numbers of the thread's run and of a language that is known."""
    rows = resources.metrics(thread.run())
    evaluated = rows[rows["val_loss"].notna()] if len(rows) else rows
    known = "New text always holds something that nobody can know. In the language of the lesson Floor that is "
    known += f"{the_entropies().floor:.2f} nats a token, worked out: no model, however large, gets below it."
    if evaluated.empty:
        return known
    kind = "the recorded run" if thread.is_recorded(thread.run()) else "your run"
    train, new = evaluated["train_loss"].min(), evaluated["val_loss"].min()
    return f"In {kind} the loss on text read before fell to {train:.2f}, on new text never below {new:.2f}. {known}"

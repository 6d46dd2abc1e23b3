"""Loss: one window of the thread's text, from scores to one number, step by step."""

import streamlit as st

from gptcore import loss
from gptcore.baselines import Tally
from gptcore.figures.bars import loss_bars
from pages._ui import charts, chips, frame, loss_views, passage, predict, quiz, three_judges, window_choice
from pages._ui.passage import Passage

frame.lesson("loss")


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


seen, before = window_choice.choose("loss")
chart_side, step_side = st.columns([3, 2], gap="medium")
with chart_side:
    chips.graded(passage.pieces(seen), "loss_passage", "the window, each token the bluer the more its guess cost")
    loss_views.edit(seen, before)
    charts.draw(
        st,
        passage.bars(seen),
        key="loss_bars",
        alt=f"The loss of each of {len(seen.tokens)} guesses; their mean is {seen.loss:.2f} nats. For comparison: "
        + ", ".join(f"{name} {level:.2f}" for name, level in seen.lines.items()),
    )
with step_side:
    number = len(seen.tokens)
    if number > 1:
        number = window_choice.slider("Look closely at guess", 1, number, number, key="loss_at")
    loss_views.steps(seen, number - 1)
frame.notice(*passage.notices(seen))
_try_it(seen)
three_judges.side_by_side(seen)
loss_views.batch(seen)
left, right = st.columns(2, gap="medium")
with left:
    loss_views.favourites(seen, number - 1)
with right:
    loss_views.prices(seen)
loss_views.slips(seen)
quiz.section("loss")
frame.code_behind(
    loss.batch_logits,
    loss.loss_table,
    loss.mean_loss,
    loss.perplexity,
    loss.bits_per_byte,
    loss.favourites,
    Tally,
    loss_bars,
)
frame.next_lesson("loss")

"""Floor: a language whose best loss is known, and what it takes to come down to it."""

from dataclasses import replace

import streamlit as st
from filelock import Timeout

from gptcore import floor
from gptcore.estimate import machine_speed, run_seconds
from gptcore.figures.floor import lowest_by_share, share_curves
from gptcore.language import TOKENS, Language, entropy, make_language, the_entropies, the_language
from gptcore.loss import perplexity
from gptcore.published import BITS_OF_A_LETTER
from pages._ui import frame, made_language, quiz, way_down
from pages._ui.way_down import PAIRS

frame.lesson("floor")


def _controls() -> float:
    """The share to look at, and a button that trains it."""
    left, right = st.columns([3, 2], vertical_alignment="bottom", gap="medium")
    share = left.segmented_control(
        "Share of the training text",
        floor.SHARES,
        default=floor.SHARES[0],
        required=True,
        format_func=lambda share: f"{share:.0%}",
        key="floor_share",
        help="The validation text stays the same, and so does the number of updates.",
        persist_state="session",
    )
    if right.button(
        f"Train on {share:.0%} yourself", icon=":material/play_arrow:", key="floor_train", help=_before(share)
    ):
        try:
            way_down.train(share)
        except (ValueError, MemoryError, OSError, Timeout) as error:
            frame.refuse(error)
    return float(share)


def _before(share: float) -> str:
    """What a click sets going."""
    training, shape = floor.plan(share).training, replace(floor.MODEL, vocab_size=len(TOKENS))
    updates = training.steps or 0
    seconds = run_seconds(shape, training, updates, machine_speed())
    return (
        f"{updates:,} updates of the class model in a process of its own, about {seconds:,.0f} s on one core. Your "
        "thread then goes on with this text."
    )


def _notice(share: float) -> None:
    """What more text did, what counting can't do, and what is left, in live numbers."""
    least, looked = the_entropies(), way_down.look(share)
    low, best = (floor.lowest(way_down.look(each).rows) for each in (share, 1.0))
    other = floor.SHARES[0] if share == 1 else 1.0
    another = floor.lowest(way_down.look(other).rows)
    start = (least.one - least.floor) / floor.MODEL.context_length
    frame.notice(
        f"{looked.whose.capitalize()} came down to {low:.3f} nats a token on text that it never reads, "
        f"{low - least.floor:.3f} above the floor. With {other:.0%} of the text the model comes to {another:.3f}, "
        f"{another - least.floor:.3f} above: nothing but the amount of text differs.",
        f"Counting pairs comes to {way_down.lines(1.0)[PAIRS]:.3f} with all of the text, and more would not bring it "
        f"below {least.one:.3f}: it looks one token back, and this language looks two. Attention does so, too.",
        f"Of the {best - least.floor:.3f} nats that all of the text leaves, about {start:.3f} are the windows' doing, "
        "whose first guess has one token to go by; the rest is not learnt yet. On this very validation text the rules "
        f"themselves score {the_language().score(floor.judged()):.3f}: a sample may be luckier or unluckier than the "
        "floor.",
    )


def _slip(share: float) -> None:
    """A sentence from the sources that doesn't hold, beside the numbers that show it."""
    looked, least, (low, high) = way_down.look(share), the_entropies(), BITS_OF_A_LETTER
    last = looked.rows[looked.rows["val_loss"].notna()].iloc[-1]
    st.markdown(
        f"""**A slip you may meet**
- *"The loss goes to zero when trained well."* On the text that it reads again and again it may: {looked.whose} ends at
  a training loss of {last["train_loss"]:.2f}, and at a validation loss of {last["val_loss"]:.2f}. On new text it can go
  no lower than {least.floor:.2f} here, because each token is drawn by chance: even who knows all the rules is as unsure
  as in a choice among exp({least.floor:.2f}) = {perplexity(least.floor):.1f} tokens.

**And real text?** It has such a floor as well, for nobody can know what a writer will say next. How low it lies nobody
knows: the rules are not written down, so a model's loss only shows that it is no higher than that. Shannon let people
guess letter by letter and put English between {low} and {high} bits a letter (published, 1951)."""
    )


st.markdown(
    "A text made by rules that are written down, so the least loss that it allows is known. One small model reads more "
    "and more of it, with as many updates each time."
)
share = _controls()
way_down.view(share)
_notice(share)
made_language.section()
_slip(share)
quiz.section("floor")
frame.code_behind(make_language, Language.shares, Language.entropies, entropy, share_curves, lowest_by_share)
frame.next_lesson("floor")

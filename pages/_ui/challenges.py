"""A class's challenge on its board: how it stands while the seal is closed, how it is opened, and who is scored.

How to read it: ``section`` is what everybody sees; ``teacher`` begins a challenge and opens its seal; ``_score`` reads
the sealed part with each run's model in the teacher's visit, a window at a time, so that others go on meanwhile.

What is left out: which runs leave the sealed part out (``sealing``), and what an open seal shows (``unsealed``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from filelock import Timeout

from gptcore.challenge import Standings, Terms, best_of_each, propose, standings, unscored
from gptcore.corpora import CATALOGUE, Text, is_at_hand, load_text
from gptcore.outcome import outcome
from gptcore.runs.store import RunStore
from gptcore.seal import Held
from pages._ui import classmates, frame, resources, sealing, teaching, thread, unsealed

BUDGET_SECONDS = 60.0  # of one pass; a run that has begun by then is scored to its end
REFUSED = "classroom_challenge_refused"
BOX = "classroom_challenge"  # the teacher's box on the board
DRAWN = "classroom_challenge_drawn"  # the challenge, as it stood when the page was drawn
OWN = "own text"


@st.cache_resource(ttl=classmates.SHARED_SECONDS, max_entries=4, show_spinner=False)
def _standings(root: Path, key: str, terms: Terms, ended: bool) -> Standings:
    del key  # another class is another challenge
    return standings(RunStore(root), teaching.register().members(), terms, ended=ended)


def standing(held: Held, *, ended: bool = False) -> Standings:
    """How the challenge stands, read once for all who look; of ended runs alone, how it would if it were opened."""
    return _standings(thread.store().root, teaching.register().key, held.terms, ended)


def is_open() -> bool:
    """Whether there is a challenge whose seal is open."""
    held = sealing.challenge().held()
    return held is not None and not held.is_sealed


def beside(board: Callable[[], None]) -> None:
    """Draw the board and the challenge: below it while it is sealed, above it once there is something to see."""
    st.session_state[DRAWN] = sealing.challenge().held()
    for draw in (section, board) if is_open() else (board, section):
        draw()


def has_changed() -> bool:
    """Whether a challenge was begun or opened since the page was drawn; asked whenever the board is drawn anew."""
    return bool(st.session_state[DRAWN] != sealing.challenge().held())


def code() -> list[Callable[..., Any]]:
    """The functions behind what is on screen; while the seal is closed nothing reads the sealed part."""
    if not is_open():
        return [] if sealing.challenge().held() is None else [standings]
    from gptcore import unsealing

    return [unsealing.score, outcome]


def section() -> None:
    """The challenge, if there is one: looked at again and again until all runs are scored."""
    challenge = sealing.challenge()
    held = challenge.held()
    if held is None:
        return
    if not held.is_sealed and teaching.is_teacher():
        _score(held)
    waits = held.is_sealed or any(unscored(held.tried, challenge.scores()))

    def draw() -> None:
        if held.is_sealed:
            _sealed(held)
        else:
            unsealed.draw(held)

    st.fragment(draw, run_every=classmates.LOOK_SECONDS if waits else None)()


def _sealed(held: Held) -> None:
    """Who leads by validation; the sealed part itself is read by nobody."""
    terms, now = held.terms, standing(held)
    st.subheader("Challenge: who foretells the sealed part best?", anchor=False)
    st.markdown(
        f"The last {terms.sealed_fraction:.0%} of {frame.plain(terms.title)}, {terms.sealed_tokens:,} tokens, is "
        "sealed until the teacher opens it: no run that is ranked trains on it or is judged by it, and no number about "
        "it is computed. Until then the lowest validation loss leads. Then, of each person's runs that have ended, the "
        "one with the lowest counts."
    )
    leaders = best_of_each(now.tried)
    if leaders:
        st.dataframe(
            pd.DataFrame(
                {
                    "place": [1 + sum(x.validation < each.validation for x in leaders) for each in leaders],
                    "who": [each.label for each in leaders],
                    "run": classmates.watch(each.run for each in leaders),
                    "lowest validation loss": [each.validation for each in leaders],
                    "runs tried": [sum(x.seat == each.seat for x in now.tried) for each in leaders],
                }
            ),
            hide_index=True,
            key="classroom_challenge_table",
            column_config=unsealed.COLUMNS,
        )
    unsealed.left_out(now)
    st.caption(
        "Sealed means that this program reads it nowhere. The text itself is open: who copies its end out by hand and "
        "asks a model about it, breaks the seal."
    )


def teacher() -> None:
    """Open the seal, or begin a challenge."""
    held = sealing.challenge().held()
    if refused := st.session_state.pop(REFUSED, None):
        frame.refuse(ValueError(refused))
    if held is not None and held.is_sealed:
        _opening(held)
    _beginning(held)


def _opening(held: Held) -> None:
    now = standing(held, ended=True)
    st.markdown(
        f"Runs that count: {len(now.tried)}; people who made them: {len(best_of_each(now.tried))}."
        + (f" Still training or waiting, so not counted: {now.live}." if now.live else "")
    )
    sure = st.checkbox("Open it for good: what has not ended by then counts no more", key="classroom_challenge_sure")
    st.button(
        "Open the seal",
        type="primary",
        icon=":material/lock_open:",
        key="classroom_challenge_open",
        disabled=not (sure and now.tried),
        on_click=_open,
        help="Once. Each person's run with the lowest validation loss then reads the sealed part, and the other runs "
        f"after them, for {BUDGET_SECONDS:.0f} seconds at most; what is left then waits for another click.",
    )


def _open() -> None:
    challenge = sealing.challenge()
    held = challenge.held()
    if not teaching.is_teacher() or held is None:
        return
    try:
        challenge.open(standings(thread.store(), teaching.register().members(), held.terms, ended=True))
        st.session_state[BOX] = False  # what came of it must not lie behind the box
    except (ValueError, OSError, Timeout) as error:
        st.session_state[REFUSED] = str(error)


def _texts() -> dict[str, str]:
    """Titles of the texts for a challenge: those at hand, and the teacher's own, which students need, too."""
    mine = {} if thread.text().key in CATALOGUE else {OWN: thread.text().title}
    return {key: CATALOGUE[key].title for key in filter(is_at_hand, CATALOGUE)} | mine


def _beginning(held: Held | None) -> None:
    titles = _texts()
    chosen = st.selectbox(
        "Text of the challenge",
        list(titles),
        format_func=titles.__getitem__,
        key="classroom_challenge_text",
        help="Whoever is in the class and trains on this text has its last tenth sealed from then on.",
    )
    compact = st.toggle(
        "Compact vocabulary",
        value=True,
        key="classroom_challenge_compact",
        help="Only runs that guess among the same tokens can be ranked. The class preset has a compact vocabulary.",
    )
    label = "Begin a challenge"
    sure = held is None
    if held is not None:
        label = "Begin another challenge"
        sure = st.checkbox("Give up the present one, with its scores", key="classroom_challenge_give_up")
    st.button(label, key="classroom_challenge_begin", disabled=not sure, on_click=_begin, args=(chosen, compact))


def _begin(chosen: str, compact: bool) -> None:
    if not teaching.is_teacher():
        return
    try:
        text: Text = thread.text() if chosen == OWN else load_text(chosen)
        sealing.challenge().begin(propose(text, compact_vocab=compact))
        st.session_state[BOX] = False
    except (ValueError, OSError, Timeout) as error:
        st.session_state[REFUSED] = str(error)
    st.session_state.pop("classroom_challenge_sure", None)
    st.session_state.pop("classroom_challenge_give_up", None)


def _score(held: Held) -> None:
    """Score the runs that have no score, those that were chosen first, as far as the budget goes."""
    challenge = sealing.challenge()
    chosen, others = unscored(held.tried, challenge.scores())
    if not chosen and not (others and st.session_state.pop(unsealed.GO_ON, False)):
        return
    from gptcore import unsealing

    left, end = [*chosen, *others], time.monotonic() + BUDGET_SECONDS
    try:
        with challenge.scoring, st.empty():
            for number, each in enumerate(left):
                if time.monotonic() > end:
                    break
                st.progress(number / len(left), f"Run {number + 1} of {len(left)} reads the sealed part.")
                found = unsealing.score(thread.store(), each, resources.in_turn)
                challenge.add(found if each in chosen else found._replace(blocks=()))
            st.empty()
    except Timeout:
        st.info("The sealed part is being read in another window of a teacher.")
    except OSError as error:
        frame.refuse(error, "What was scored before is kept.")

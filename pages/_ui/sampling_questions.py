"""Predict first: questions of the sampling lesson, each answered from the distribution that is on screen."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pandas as pd

from gptcore.figures.bars import percent
from gptcore.figures.theme import marked
from pages._ui import frame, predict
from pages._ui.desk import Desk
from pages._ui.rules import Rules, chances_in_words

HELD = 0.9


def halve(on: Desk, rules: Rules, table: pd.DataFrame) -> None:
    """What halving the temperature does to the likeliest token."""
    colder = replace(rules.config, temperature=rules.config.temperature / 2)
    now, then = table["probability"].max(), on.table(colder)["probability"].max()
    predict.choice(
        "sampling",
        "Halve the temperature: what happens to the likeliest token's probability?",
        ["it falls", "it stays", "it rises"],
        "it rises" if then > now + 1e-9 else "it stays",
        f"At temperature {rules.config.temperature:g} it is {percent(now)}, at {colder.temperature:g} it would be "
        f"{percent(then)}.",
    )


def hold(on: Desk, rules: Rules, table: pd.DataFrame) -> None:
    """How many tokens hold most of the probability; a guess is for the scores on the desk."""
    from gptcore.draws import nucleus_size

    size = nucleus_size(table["probability"].to_numpy(), HELD)
    predict.number(
        f"sampling_hold_{zlib.crc32(repr((on.voice, on.version, on.ids)).encode())}",
        f"How many tokens together hold {HELD:.0%} of the probability, by the rules on screen "
        f"({chances_in_words(rules.config)})?",
        size,
    )


def lead(on: Desk, rules: Rules) -> None:
    """Which token leads when it is colder."""
    colder = on.table(replace(rules.config, temperature=0.5))
    likeliest = colder.nlargest(3, "logit")
    names = [frame.plain(marked(token)) for token in likeliest["token"]]
    predict.choice(
        "sampling_lead",
        "Which token leads at temperature 0.5?",
        sorted(names),
        names[0],
        f"It has {percent(likeliest['probability'].iloc[0])} there. Temperature never changes the order, so it leads "
        "at every other temperature, too.",
    )


def one(on: Desk, rules: Rules) -> None:
    """What is left to temperature when top-k leaves one token."""
    hot = on.table(replace(rules.config, temperature=5.0, top_k=1))
    token = frame.plain(marked(hot.nlargest(1, "logit")["token"].iloc[0]))
    predict.choice(
        "sampling_one",
        "Top-k 1 at temperature 5: what is drawn?",
        ["any token", "mostly the likeliest", "always the likeliest"],
        "always the likeliest" if hot["probability"].max() == 1 else "mostly the likeliest",
        f"One token is left, {token}, and it has {percent(hot['probability'].max())}: among one there is nothing to "
        "flatten.",
    )

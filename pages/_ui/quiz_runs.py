"""Questions of the lessons that compare runs: the clinic, the comparison, the floor; asked of recorded runs."""

from __future__ import annotations

import math

from gptcore import comparison, floor, overfitting
from gptcore.baselines import uniform_loss
from gptcore.config import TRAIN_PRESETS
from gptcore.language import TOKENS, the_entropies
from gptcore.recordings import load
from gptcore.schedule import learning_rate
from gptcore.slips import SLIPS
from pages._ui import compared, replay, thread
from pages._ui.predict import Question

CURVES = ("gallery-healthy", "gallery-no-mask", "gallery-stuck")
SEEDS = ("seed-123", "seed-124", "seed-125", "seed-126", "seed-127")
SPREADS = {0.01: "less than 0.01 nats", 0.05: "0.01 to 0.05 nats", 0.5: "0.05 to 0.5 nats", math.inf: "more"}
RATES = ("still at its peak", "halfway down", "at its lowest")


def clinic() -> list[Question]:
    """A plan and a curve that do not fit, a healthy start, and a curve that is too good."""
    plan, vocabulary = TRAIN_PRESETS["julius-caesar"], thread.model().vocab_size
    steps, lowest = plan.steps or 0, plan.min_lr or 0.0
    end = learning_rate(steps - 1, steps, plan)
    share = (end - lowest) / (plan.lr - lowest)
    best = {load(name).plan.title: float(load(name).metrics["val_loss"].min()) for name in CURVES}
    winner = min(best, key=best.__getitem__)
    return [
        Question(
            "quiz_clinic_iterations",
            f"“{SLIPS['iterations']}” Where has that plan's learning rate come to at its update {steps:,}?",
            RATES[2] if share < 0.05 else RATES[0] if share > 0.95 else RATES[1],
            f"From {plan.lr:g} it has come down to {end:g}, and the plan ends: {steps:,} updates. A curve at 20,000 "
            "is of another run. Here such curves are shown as recorded, and labelled.",
            RATES,
            slip="iterations",
        ),
        Question(
            "quiz_clinic_start",
            f"A healthy run with {vocabulary:,} tokens has not made an update yet. What is its loss, to the nearest "
            "whole nat?",
            round(uniform_loss(vocabulary)),
            f"Near ln {vocabulary:,} = {uniform_loss(vocabulary):.2f}: far above it something is wrong with the first "
            "weights, far below it an answer leaks in.",
        ),
        Question(
            "quiz_clinic_leak",
            "Recorded: which of these curves came lowest on text that the model never trained on?",
            winner,
            ", ".join(f"{title} {loss:.2f}" for title, loss in best.items())
            + " nats. A model that sees the answer looks better than any honest one.",
            tuple(best),
        ),
    ]


def compare() -> list[Question]:
    """How much of a difference is chance."""
    offers = compared.offers()
    runs = {name: compared.look(offers[f"curve {name}"]) for name in SEEDS}
    bests = [overfitting.best(replay.points(run.metrics)) for run in runs.values()]
    losses, steps = [best.validation for best in bests], sorted({best.step for best in bests})
    wide = max(losses) - min(losses)
    first, second = (runs[name] for name in SEEDS[:2])
    settings = comparison.differences([first, second])
    return [
        Question(
            "quiz_compare_seeds",
            f"Recorded: {len(SEEDS)} runs that differ in the seed alone. How far apart are their best validation "
            "losses at most?",
            next(words for limit, words in SPREADS.items() if wide < limit),
            f"From {min(losses):.3f} to {max(losses):.3f}: {wide:.3f} nats, by chance alone. A smaller "
            "difference between two single runs shows nothing; the means of several seeds each can show less.",
            tuple(SPREADS.values()),
        ),
        Question(
            "quiz_compare_steps",
            f"At how many different steps do these {len(SEEDS)} runs have their best validation loss?",
            len(steps),
            f"At {', '.join(map(str, steps))}. The best step moves with the seed, too.",
        ),
        Question(
            "quiz_compare_settings",
            "In how many settings do two of these runs differ?",
            len(settings),
            f"In {', '.join(map(str, settings.index))}. More than one, and nobody could say what made the difference.",
        ),
    ]


def floor_of_loss() -> list[Question]:
    """What no model gets below, what more text does, and how large a choice is left."""
    from gptcore.loss import perplexity

    least = the_entropies().floor
    few, all_of_it = (floor.lowest(floor.recorded(share).metrics) for share in (floor.SHARES[0], 1.0))
    falls = ("it falls", "it stays", "it rises")
    return [
        Question(
            "quiz_floor_zero",
            f"“{SLIPS['zero']}” This language's rules are known. How low can any model's loss on new text go, in nats "
            "a token?",
            f"{least:.2f}",
            f"{least:.3f} nats, worked out from the rules: the next token is drawn by chance. A blind guess among "
            f"{len(TOKENS)} tokens costs {uniform_loss(len(TOKENS)):.2f}.",
            ("0.00", f"{least:.2f}", f"{uniform_loss(len(TOKENS)):.2f}"),
            slip="zero",
        ),
        Question(
            "quiz_floor_text",
            f"Recorded: the same model with as many updates gets all of the text instead of {floor.SHARES[0]:.0%}. "
            "What does its best validation loss do?",
            falls[1 + (all_of_it > few) - (all_of_it < few)],
            f"From {few:.3f} to {all_of_it:.3f}, and the floor lies at {least:.3f}.",
            falls,
        ),
        Question(
            "quiz_floor_choice",
            "Who knows all the rules is still as unsure as in a choice among how many equally likely tokens, to the "
            "nearest whole?",
            round(perplexity(least)),
            f"e to {least:.3f} is {perplexity(least):.2f}, of {len(TOKENS)} tokens.",
        ),
    ]

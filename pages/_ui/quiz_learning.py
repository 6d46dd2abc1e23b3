"""Questions of the lessons on learning: training, over-fitting, memory; each about the run that the thread holds."""

from __future__ import annotations

from typing import Any

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, SamplingConfig
from gptcore.figures.bars import percent
from gptcore.memorization import MIN_COPIED, copied_tokens
from gptcore.overfitting import parting
from gptcore.published import THE_VERDICT_RUN, THE_VERDICT_TRAIN_TOKENS
from gptcore.recitation import written_tokens
from gptcore.runs.store import Run
from gptcore.slips import SLIPS
from gptcore.windows import WindowCounts, window_counts
from pages._ui import resources, thread, thread_numbers
from pages._ui.predict import Question
from pages._ui.resources import Voice
from pages._ui.thread_numbers import Looked

CLIP = 1.0  # the usual limit
BEGINNING = 40  # characters of a text that comes without a prompt
HOT = SamplingConfig(temperature=2.0, top_k=5)
CHANGES = ("it is smaller", "it is the same", "it is larger")


def _book_epoch() -> WindowCounts:
    """An epoch of the book's run, worked out from its presets and the length of its text."""
    shape, config = MODEL_PRESETS["book-124m"], TRAIN_PRESETS["book-124m"]
    T = shape.context_length
    return window_counts(THE_VERDICT_TRAIN_TOKENS, T, config.stride or T, config.batch_size, drop_last=True)


def training() -> list[Question]:
    """Tokens seen, tokens judged by, and what clipping cuts."""
    looked = thread_numbers.evaluated_run()
    run, rows, config = looked.run, looked.rows, looked.run.train_config
    counts = resources.text_counts(run.text.text, run.model_config.context_length, config)
    epoch, epochs = _book_epoch(), TRAIN_PRESETS["book-124m"].epochs
    judged = min(config.eval_batches, counts.train.batches)
    judged_new = min(config.eval_batches, counts.validation.batches)
    long, longest = int((rows["grad_norm"] > CLIP).sum()), rows["grad_norm"].max()
    return [
        Question(
            "quiz_training_seen",
            f"“{SLIPS['tokens seen']}” The book's run reads {THE_VERDICT_TRAIN_TOKENS:,} training tokens in "
            f"{epoch.batches} whole batches an epoch. How many has it read after {epochs} epochs?",
            epochs * epoch.predictions,
            f"{epochs} × {epoch.batches} updates × {epoch.predictions // epoch.batches} tokens. "
            f"{looked.whose.capitalize()} has read {int(rows['tokens_seen'].iloc[-1]):,} in {len(rows):,} updates.",
            slip="tokens seen",
        ),
        Question(
            "quiz_training_loader",
            f"“{SLIPS['whole loader']}” {looked.whose.capitalize()} has {counts.train.batches:,} training batches an "
            "epoch. How many of them does one evaluation look at?",
            judged,
            f"{judged:,} of {counts.train.batches:,}, and {judged_new:,} of {counts.validation.batches:,} validation "
            "batches: quick, and noisy.",
            slip="whole loader",
        ),
        Question(
            "quiz_training_clipping",
            f"“{SLIPS['clipping']}” What would clipping at {CLIP:g} have shortened in {looked.whose}?",
            "no gradient" if not long else "every gradient" if long == len(rows) else "some gradients",
            f"{long:,} of {len(rows):,} gradients were longer than {CLIP:g}, the longest {longest:.2f}. "
            "They keep their direction; no weight is ever cut.",
            ("the largest weights", "no gradient", "some gradients", "every gradient"),
            slip="clipping",
        ),
    ]


def over_fitting() -> list[Question]:
    """Whether the parting of the curves is the end of learning."""
    looked = thread_numbers.evaluated_run()
    best, last, early = looked.best, looked.looks[-1], parting(looked.looks)
    batches = _book_epoch().batches
    book_step, _, book = min(THE_VERDICT_RUN.evaluations, key=lambda look: look[2])
    when = f"They part in epoch {early.epoch}" if early else "They do not part before the best step"
    updates = int(looked.rows["step"].iloc[-1]) + 1
    return [
        Question(
            "quiz_overfitting_parting",
            f"“{SLIPS['parting']}” {when} in {looked.whose}. In which epoch is its validation loss best?",
            best.epoch,
            f"{best.validation:.2f} nats at step {best.step}. In the book's run, published, it is best at step "
            f"{book_step}, in epoch {book_step // batches + 1}, with {book:.2f}.",
            slip="parting",
        ),
        Question(
            "quiz_overfitting_later",
            f"How many of the {updates:,} updates of {looked.whose} came after its best step?",
            updates - 1 - best.step,
            f"They took the training loss from {best.train:.2f} to {last.train:.2f} and the validation loss from "
            f"{best.validation:.2f} to {last.validation:.2f}.",
        ),
        Question(
            "quiz_overfitting_gap",
            f"The gap between the two losses of {looked.whose} is {best.gap:.2f} nats at the best step. And at the "
            "end?",
            CHANGES[1 + (last.gap > best.gap) - (last.gap < best.gap)],
            f"{last.gap:.2f} nats: {last.validation:.2f} on new text, {last.train:.2f} on text that it has read.",
            CHANGES,
        ),
    ]


def memory() -> list[Question]:
    """What temperature leaves as it is, and what counts as a copy."""
    looked = thread_numbers.evaluated_run()
    said = [sample for sample in looked.run.samples() if sample["step"] <= looked.best.step]
    return [_temperature(), *(_copies(looked, said[-1]) if said else [])]


def _temperature() -> Question:
    mine = thread.run()
    # There is no gap to ask for without weights to speak with, or in a text too short for validation windows.
    run = mine if mine.weights("last") and thread_numbers.look(mine).looks else Run(thread.SMALL_RUN)
    voice, prompt = Voice("the run", run.folder, "last"), run.text.prompt or run.text.text[:BEGINNING]
    plain, hot = (resources.next_tokens(voice, prompt, rules) for rules in (SamplingConfig(), HOT))
    moved = float((plain["logit"] - hot["logit"]).abs().max())
    last = thread_numbers.look(run).looks[-1]
    return Question(
        "quiz_memory_temperature",
        f"“{SLIPS['temperature']}” {'The small recorded run' if thread.is_recorded(run) else 'Your run'} ends "
        f"{last.gap:.2f} nats better on its own text than on new text. How large is that gap at temperature "
        f"{HOT.temperature:g} with top-k {HOT.top_k}?",
        CHANGES[1] if moved == 0 else CHANGES[2],
        f"The loss is made of the model's own scores, and all {len(plain):,} of them stay what they are: they move by "
        f"{moved:.2f}. What moves is the draw: its likeliest token goes from {percent(plain['probability'].max())} to "
        f"{percent(hot['probability'].max())}. It says something else, and knows the same.",
        CHANGES,
        slip="temperature",
    )


def _copies(looked: Looked, sample: dict[str, Any]) -> list[Question]:
    run, config = looked.run, looked.run.train_config
    spans = {
        least: resources.copied_spans(run.text, config, sample["text"], least, sample["prompt"])
        for least in (2, MIN_COPIED)
    }
    copied = {least: copied_tokens(found) for least, found in spans.items()}
    new = len(written_tokens(sample["text"], sample["prompt"]))
    longest = max((span.length for span in spans[MIN_COPIED]), default=0)
    return [
        Question(
            "quiz_memory_copied",
            f"At step {sample['step']} {looked.whose} wrote {new} tokens. How many of them stand in passages of "
            f"{MIN_COPIED} tokens or more that it copied word for word?",
            copied[MIN_COPIED],
            f"{copied[MIN_COPIED]} of {new}; the longest passage has {longest} tokens.",
        ),
        Question(
            "quiz_memory_short",
            f"If two tokens in a row counted as copied, and not only {MIN_COPIED}, how large would that number be?",
            CHANGES[1 + (copied[2] > copied[MIN_COPIED])],
            f"{copied[2]} instead of {copied[MIN_COPIED]}. Two tokens in a row are a common phrase, not memory.",
            CHANGES,
        ),
    ]

"""A challenge: a part of the text that no run reads, who is ranked, what is scored once the seal is open."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gptcore import checkpoint, unsealing
from gptcore.batches import choose_tokenizer, encode_part, prepare
from gptcore.challenge import (
    BLOCK,
    Score,
    Standings,
    Terms,
    Tried,
    best_of_each,
    mismatch,
    propose,
    standings,
    unscored,
)
from gptcore.checkpoint import load_state, load_weights, save_state
from gptcore.classroom import Member
from gptcore.config import TRAIN_PRESETS, GPTConfig, TrainConfig, from_json, to_json
from gptcore.corpora import OWN_STORY, Text, TextError, load_text
from gptcore.figures.challenge import challenge_figure
from gptcore.outcome import Outcome, Place, apart, measure, outcome, t_factor
from gptcore.records import StepRecord
from gptcore.runs.store import Run, RunStore
from gptcore.runs.worker import execute
from gptcore.seal import Challenge, Held
from gptcore.tokenizer import END_OF_TEXT, load_tokenizer
from gptcore.training import evaluate, new_state, train
from gptcore.windows import open_parts, seal_text
from tests.tiny import MODEL, SETTINGS, STORY

SEALED = replace(SETTINGS, sealed_fraction=0.2)
TERMS = Terms(STORY.title, STORY.sha256, 0.2, 0.9, compact_vocab=True, sealed_tokens=40)
ADA, BEN = Member(1, ("ada",), "Ada"), Member(2, ("ben", "ben's next visit"))


def losses(
    text: Text, settings: TrainConfig, shape: GPTConfig = MODEL
) -> list[tuple[float, float | None, float | None]]:
    records = train(new_state(shape, settings, prepare(text, shape, settings)))
    steps = [record for record in records if isinstance(record, StepRecord)]
    return [(record.batch_loss, record.train_loss, record.val_loss) for record in steps]


def trained(store: RunStore, owner: str, settings: TrainConfig = SEALED, text: Text = STORY) -> Run:
    run = store.create(text, MODEL, settings, owner=owner)
    assert execute(run) == "done"
    return run


def as_tried(run: Run, seat: int = 1) -> Tried:
    return Tried(seat, f"Student {seat}", run.id, run.status["best"]["val_loss"])


# --------------------------------------------------------------------------------------------------------------- seal


@pytest.mark.parametrize("sealed", [0.0, 0.1, 0.25, 0.9])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.9, 1.0])
def test_the_three_parts_are_the_text_each_letter_once(sealed: float, fraction: float) -> None:
    settings = TrainConfig(train_fraction=fraction, sealed_fraction=sealed)
    training, validation = open_parts(STORY.text, settings)
    assert training + validation + seal_text(STORY.text, sealed)[1] == STORY.text


def test_a_run_has_the_losses_of_a_run_on_the_text_without_the_sealed_part() -> None:
    whole = replace(SETTINGS, compact_vocab=False, steps=6)
    left = Text("left", "left", seal_text(STORY.text, 0.2)[0], STORY.prompt)
    assert losses(STORY, replace(whole, sealed_fraction=0.2)) == losses(left, whole)
    assert losses(STORY, replace(whole, sealed_fraction=0.2)) != losses(STORY, whole)


def test_what_the_sealed_part_says_changes_no_loss() -> None:
    before, sealed = seal_text(STORY.text, 0.2)
    words = sealed.split(" ")
    other = replace(STORY, text=before + " ".join([words[0], *reversed(words[1:-1]), words[-1]]))
    assert other.text != STORY.text
    assert losses(STORY, SEALED) == losses(other, SEALED)


def test_a_compact_vocabulary_can_write_the_sealed_part() -> None:
    text = replace(STORY, text=STORY.text + " Marmalade for the zebra!" * 9)
    sealed = seal_text(text.text, 0.2)[1]
    tokenizer = choose_tokenizer(text, SEALED)
    assert tokenizer.decode(tokenizer.encode(sealed)) == sealed
    with pytest.raises(ValueError, match="it has no token"):
        choose_tokenizer(STORY, SEALED).encode(sealed)


def test_settings_and_checkpoints_from_before_there_were_seals_can_be_read(tmp_path: Path) -> None:
    former = {name: value for name, value in to_json(SETTINGS).items() if name != "sealed_fraction"}
    assert from_json(TrainConfig, former) == SETTINGS
    data = prepare(STORY, MODEL, SETTINGS)
    save_state(tmp_path / "now.safetensors", new_state(MODEL, SETTINGS, data))
    tensors, meta = checkpoint._load(tmp_path / "now.safetensors")
    checkpoint._save(tmp_path / "former.safetensors", tensors, meta | {"training": former})
    assert load_state(tmp_path / "former.safetensors", data).config == SETTINGS


# -------------------------------------------------------------------------------------------------------------- terms


def test_a_challenge_on_our_story_seals_its_last_tenth() -> None:
    text = load_text(OWN_STORY)
    terms = propose(text)
    sealed = seal_text(text.text, 0.1)[1]
    assert terms.sha256 == text.sha256
    assert terms.sealed_tokens == len(encode_part(choose_tokenizer(text, TrainConfig()), sealed, TrainConfig()))


def test_a_text_too_short_for_three_parts_is_refused_with_the_tokens_of_each() -> None:
    with pytest.raises(TextError, match=r"too short for three parts: .* would have 168, 20 and 23 tokens, .* 129"):
        propose(STORY)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"lr": 0.5, "batch_size": 2, "stride": 3, "eval_batches": 1}, None),
        ({"sealed_fraction": 0.0}, "has read the sealed part"),
        ({"sealed_fraction": 0.3}, "leaves out the last 30% of the text, not 20%"),
        ({"train_fraction": 0.8}, "it cuts at 0.8, not at 0.9"),
        ({"compact_vocab": False}, "guesses among the whole vocabulary, not the compact one"),
        ({"train_share": 0.5}, "learns from 50% of the training part"),
        ({"variant": "train-as-validation"}, "is deliberately changed"),
    ],
    ids=str,
)
def test_only_runs_of_one_exam_are_ranked(changes: dict[str, object], why: str | None) -> None:
    found = mismatch(replace(SEALED, **changes), TERMS)
    assert found is None if why is None else found is not None and why in found


@pytest.mark.parametrize("changes", [{"reference": True}, {"end_of_text": True}], ids=str)
def test_where_the_text_holds_markers_runs_that_read_them_otherwise_are_not_ranked(changes: dict[str, object]) -> None:
    story = load_text(OWN_STORY)
    documents = replace(
        story, text=END_OF_TEXT.join(story.text[at : at + 400] for at in range(0, len(story.text), 400))
    )
    plain = replace(TRAIN_PRESETS["class"], compact_vocab=False, sealed_fraction=0.1)
    other, sealed = replace(plain, **changes), seal_text(documents.text, 0.1)[1]  # type: ignore[arg-type]
    assert len(encode_part(load_tokenizer(), sealed, other)) < len(encode_part(load_tokenizer(), sealed, plain))
    why = "reads <|endoftext|> as one token, where the challenge reads it as plain text"
    found = [mismatch(each, propose(documents, compact_vocab=False)) for each in (plain, other)]
    assert found == [None, why]
    assert mismatch(other, propose(story, compact_vocab=False)) is None


# ---------------------------------------------------------------------------------------------------------- standings


def queued(store: RunStore, owner: str, loss: float | None, settings: TrainConfig = SEALED, text: Text = STORY) -> Run:
    run = store.create(text, MODEL, settings, owner=owner)
    run.update_status(state="running", **({} if loss is None else {"best": {"step": 1, "val_loss": loss}}))
    return run


def test_each_person_stands_with_the_lowest_of_their_runs_and_strangers_do_not(runs: RunStore) -> None:
    queued(runs, "ada", 3.0)
    best, bens = queued(runs, "ada", 2.0), queued(runs, "ben's next visit", 2.5)
    queued(runs, "stranger", 1.0)
    queued(runs, "ada", 1.0, text=replace(STORY, text=STORY.text + "x"))
    now = standings(runs, [ADA, BEN], TERMS)
    assert best_of_each(now.tried) == [Tried(1, "Ada (1)", best.id, 2.0), Tried(2, "Student 2", bens.id, 2.5)]
    assert len(now.tried) == 3
    assert (now.left_out, now.absent) == ({}, 0)


def test_who_is_left_out_is_named_with_the_reason(runs: RunStore) -> None:
    queued(runs, "ada", 1.0, SETTINGS)
    queued(runs, "ben", None)
    now = standings(runs, [ADA, BEN, Member(3, ("cem",))], TERMS)
    assert now.tried == []
    assert now.left_out == {
        "Ada (1)": "has read the sealed part: it was begun outside the challenge",
        "Student 2": "has no validation loss yet",
    }
    assert now.absent == 1


def test_who_has_another_run_that_counts_is_not_left_out(runs: RunStore) -> None:
    queued(runs, "ada", 2.0)
    queued(runs, "ada", 1.0, SETTINGS)
    now = standings(runs, [ADA], TERMS)
    assert [each.validation for each in now.tried] == [2.0]
    assert now.left_out == {}


def test_a_run_that_goes_on_when_the_seal_is_opened_leaves_its_owner_the_best_that_has_ended(runs: RunStore) -> None:
    former, live, bens = queued(runs, "ada", 2.5), queued(runs, "ada", 2.0), queued(runs, "ben", 1.0)
    former.update_status(state="done")
    bens.update_status(state="interrupted")
    queued(runs, "ada", 1.5, SETTINGS)  # it will never count, so it isn't waited for
    now, then = (standings(runs, [ADA, BEN], TERMS, ended=ended) for ended in (False, True))
    assert [each.run for each in best_of_each(now.tried)] == [bens.id, live.id]
    assert [each.run for each in then.tried] == [former.id]
    assert then.left_out == {"Student 2": "had not ended when the seal was opened"}
    assert (now.live, then.live) == (2, 2)


# --------------------------------------------------------------------------------------------------------------- file


def test_a_challenge_is_there_again_after_a_restart_and_opened_once(tmp_path: Path) -> None:
    Challenge(tmp_path, "key").begin(TERMS)
    held = Challenge(tmp_path, "key").held()
    assert held is not None
    assert (held.terms, held.is_sealed) == (TERMS, True)
    tried = [Tried(1, "Ada (1)", "0123456789abcdef", 2.0)]
    now = Standings(tried, {"Student 2": "has no validation loss yet"}, 1)
    Challenge(tmp_path, "key").open(now)
    held = Challenge(tmp_path, "key").held()
    assert held == Held(TERMS, now)
    assert (held.tried, held.is_sealed) == (tried, False)
    with pytest.raises(ValueError, match="open already"):
        Challenge(tmp_path, "key").open(now)


def test_a_seal_stays_closed_while_no_run_counts(tmp_path: Path) -> None:
    challenge = Challenge(tmp_path, "key")
    with pytest.raises(ValueError, match="no seal to open"):
        challenge.open(Standings([], {}, 0))
    challenge.begin(TERMS)
    with pytest.raises(ValueError, match="no run that has ended counts yet"):
        challenge.open(Standings([], {}, 0))


def test_another_class_has_no_challenge_and_no_class_can_begin_none(tmp_path: Path) -> None:
    Challenge(tmp_path, "former").begin(TERMS)
    assert Challenge(tmp_path, "new").held() is None
    with pytest.raises(ValueError, match="needs a class"):
        Challenge(tmp_path, "").begin(TERMS)


def test_scores_are_kept_and_are_gone_with_the_next_challenge(tmp_path: Path) -> None:
    challenge = Challenge(tmp_path, "key")
    challenge.begin(TERMS)
    first, second = Score("a" * 16, "best", 2.5, (2.0, 3.0)), Score("b" * 16, problem="was deleted")
    challenge.add(first)
    challenge.add(second)
    assert Challenge(tmp_path, "key").scores() == {first.run: first, second.run: second}
    challenge.begin(TERMS)
    assert challenge.scores() == {}


@pytest.mark.parametrize("said", ["", "{", "[1]", '{"class": "key"}', "null", '[{"run": "a", "blocks": 3}]'])
def test_files_that_cannot_be_read_are_no_challenge_and_no_scores(tmp_path: Path, said: str) -> None:
    challenge = Challenge(tmp_path, "key")
    challenge.file.write_text(said, encoding="utf-8")
    challenge.scores_file.write_text(said, encoding="utf-8")
    assert challenge.held() is None
    assert challenge.scores() == {}


def test_chosen_runs_are_scored_before_the_others() -> None:
    tried = [
        Tried(1, "", "worse", 3.0),
        Tried(1, "", "best", 2.0),
        Tried(2, "", "bens", 1.0),
        Tried(2, "", "done", 4.0),
    ]
    chosen, others = unscored(tried, {"done"})
    assert [each.run for each in chosen] == ["bens", "best"]
    assert [each.run for each in others] == ["worse"]


# -------------------------------------------------------------------------------------------------------------- score


def test_a_score_is_the_mean_of_minus_ln_p_over_the_sealed_part_by_hand(runs: RunStore) -> None:
    run = trained(runs, "ada")
    model, tokenizer = load_weights(run.folder / "best.safetensors")
    ids = torch.tensor(tokenizer.encode(seal_text(STORY.text, 0.2)[1]))
    T, costs = MODEL.context_length, []
    with torch.no_grad():
        for place in range(1, len(ids)):
            start = (place - 1) // T * T  # windows touch: each begins where the one before ended
            probabilities = torch.softmax(model(ids[None, start:place])[0, -1].double(), dim=0)
            costs.append(-math.log(probabilities[ids[place]].item()))
    found = unsealing.score(runs, as_tried(run))
    assert found.weights == "best"
    assert found.loss == pytest.approx(np.mean(costs), abs=1e-5)
    assert found.blocks == pytest.approx([np.mean(costs[:BLOCK])], abs=1e-4)


def test_a_score_is_what_the_training_loop_would_have_measured_there(
    runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = replace(STORY, text=STORY.text * 2)
    run = trained(runs, "ada", replace(SEALED, sealed_fraction=0.25), text)
    model, tokenizer = load_weights(run.folder / "best.safetensors")
    settings = replace(run.train_config, batch_size=1, eval_batches=1000)
    data = prepare(text, MODEL, settings)
    sealed = encode_part(tokenizer, seal_text(text.text, 0.25)[1], settings)
    whole = len(sealed[1:]) // MODEL.context_length * MODEL.context_length
    state = new_state(MODEL, settings, replace(data, validation_ids=torch.tensor(sealed[: whole + 1])))
    state.model.load_state_dict(model.state_dict())
    monkeypatch.setattr(unsealing, "MOST_GUESSES", whole)  # what is left then fills no window of the loop
    assert unsealing.score(runs, as_tried(run)).loss == pytest.approx(evaluate(state)[1], abs=1e-5)


def test_the_last_weights_serve_where_the_best_were_not_kept(runs: RunStore) -> None:
    run = trained(runs, "ada")
    (run.folder / "best.safetensors").unlink()
    found = unsealing.score(runs, as_tried(run))
    assert found.weights == "last"
    assert found.loss is not None


def test_a_deleted_run_says_so(runs: RunStore) -> None:
    run = trained(runs, "ada")
    mine = as_tried(run)
    runs.delete(run)
    assert unsealing.score(runs, mine) == Score(mine.run, problem="was deleted")


def test_a_damaged_checkpoint_says_so(runs: RunStore) -> None:
    run = trained(runs, "ada")
    path = run.folder / "best.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    found = unsealing.score(runs, as_tried(run))
    assert found.loss is None
    assert found.problem == "can't be scored: best.safetensors is damaged: its numbers don't match their hash"


def test_a_run_without_weights_says_so(runs: RunStore) -> None:
    run = trained(runs, "ada")
    for name in ("best.safetensors", "last.safetensors"):
        (run.folder / name).unlink()
    assert unsealing.score(runs, as_tried(run)).problem == "kept no weights"


def test_a_run_that_got_better_after_the_opening_is_not_scored(runs: RunStore) -> None:
    run = trained(runs, "ada")
    mine = as_tried(run)
    run.update_status(best={"step": 9, "val_loss": mine.validation - 0.1})
    assert unsealing.score(runs, mine).problem == "was trained on after the seal was opened"


def test_a_model_that_takes_too_long_is_left_out(runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsealing, "MOST_SECONDS", -1.0)
    assert "too large to be asked" in unsealing.score(runs, as_tried(trained(runs, "ada"))).problem


# ------------------------------------------------------------------------------------------------------------ outcome


TRIED = [
    Tried(1, "Ada (1)", "a1", 2.0),
    Tried(1, "Ada (1)", "a2", 2.6),
    Tried(2, "Student 2", "b1", 2.1),
    Tried(3, "Student 3", "c1", 2.2),
    Tried(3, "Student 3", "c2", 2.4),
    Tried(4, "Student 4", "d1", 1.0),
]
SCORES = {
    "a1": Score("a1", "best", 2.8, (2.7, 2.9)),
    "a2": Score("a2", "best", 2.9),
    "b1": Score("b1", "best", 2.5, (2.3, 2.7)),
    "c1": Score("c1", "last", 2.6, (2.5, 2.7)),
    "c2": Score("c2", "best", 2.5),
    "d1": Score("d1", problem="was deleted"),
}


@pytest.fixture
def found() -> Outcome:
    return outcome(TRIED, SCORES)


def test_places_are_by_validation_and_on_the_sealed_part(found: Outcome) -> None:
    assert [(place.label, place.by_validation, place.by_sealed, place.tries) for place in found.places] == [
        ("Ada (1)", 1, 3, 2),
        ("Student 2", 2, 1, 1),
        ("Student 3", 3, 2, 2),
    ]
    assert found.missing == {"Student 4": "was deleted"}


def test_the_rise_of_a_chosen_run_is_held_against_its_owners_others_a_person_counting_once(found: Outcome) -> None:
    assert found.rise.mean == pytest.approx((0.8 + 0.4 + 0.4) / 3)
    assert found.by_choosing == pytest.approx((np.mean([0.8 - 0.3, 0.4 - 0.1]), 0.1, 2))
    more = [*TRIED, Tried(1, "Ada (1)", "a3", 3.0)]
    again = outcome(more, SCORES | {"a3": Score("a3", "best", 3.5)})
    assert again.by_choosing == pytest.approx((np.mean([0.8 - (0.3 + 0.5) / 2, 0.4 - 0.1]), 0.05, 2))


def test_who_tried_one_run_alone_has_nothing_to_be_held_against() -> None:
    found = outcome(TRIED[:1], SCORES)
    assert found.by_choosing is None
    assert math.isnan(found.rise.error)


def a_class(noise: np.random.Generator, lucky: float) -> Outcome:
    """Ten people, each with a kind of model that takes the change of text in its own way and 2 to 20 runs of it.

    Args:
        noise: Draws it.
        lucky: By how much a validation loss misses what the model is worth, in nats: choosing then flatters.
    """
    tried, scores = [], {}
    for seat in range(10):
        change = noise.normal(0.2, 0.08)
        for number in range(noise.integers(2, 21)):
            run, worth = f"{seat} {number}", noise.normal(3.0, 0.05)
            tried.append(Tried(seat, "", run, worth + noise.normal(0, lucky) if lucky else worth))
            scores[run] = Score(run, "best", worth + change + noise.normal(0, 0.01))
    return outcome(tried, scores)


@pytest.mark.parametrize(("lucky", "clear"), [(0.0, 0.05), (0.1, 1.0)], ids=["no effect", "an effect"])
def test_an_effect_of_choosing_is_found_where_there_is_one_and_else_1_time_in_20(lucky: float, clear: float) -> None:
    noise = np.random.default_rng(7)
    found = [a_class(noise, lucky).by_choosing for _ in range(500)]
    assert np.mean([each is not None and each.is_clear for each in found]) == pytest.approx(clear, abs=0.02)


def test_two_models_are_compared_block_by_block(found: Outcome) -> None:
    ada, ben, _ = found.places
    assert apart(ben, ada) == pytest.approx((0.3, 0.1, 2))  # both find the second block harder: that is no chance
    assert not apart(ben, ada).is_clear  # two blocks are few
    assert apart(ben, ada)._replace(values=20).is_clear
    assert apart(ben, found.places[2]) == pytest.approx((0.1, 0.1, 2))


def test_a_difference_is_that_of_all_guesses_though_some_fill_no_block() -> None:
    first, second = (Place("", "", 1, 2.0, sealed, 0.1, 1, 1, "best", (2.0, 2.5)) for sealed in (2.25, 2.375))
    assert apart(first, second).mean == 0.125


def test_one_measurement_says_nothing_of_chance() -> None:
    assert not measure([1.0]).is_clear


@pytest.mark.parametrize("freedom", [*range(1, 32), 60, 120, 1000])
def test_students_t_holds_19_of_20_within_its_factor(freedom: int) -> None:
    """By adding up its density between the two: a table's wrong digit and a wrong formula both fail here."""
    t = np.linspace(-t_factor(freedom), t_factor(freedom), 100_001)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    assert np.trapezoid(scale * (1 + t**2 / freedom) ** (-(freedom + 1) / 2), t) == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize(
    ("freedom", "factor"), [(1, 12.706), (3, 3.182), (10, 2.228), (11, 2.201), (29, 2.045), (10_000, 1.960)]
)
def test_the_factor_is_that_of_printed_tables(freedom: int, factor: float) -> None:
    assert t_factor(freedom) == pytest.approx(factor, abs=1e-3)


@pytest.mark.parametrize("values", [2, 3, 4, 16, 60])
def test_of_values_that_are_chance_alone_1_mean_in_20_is_clear(values: int) -> None:
    noise = np.random.default_rng(values).normal(size=(4000, values))
    assert np.mean([measure(row.tolist()).is_clear for row in noise]) == pytest.approx(0.05, abs=0.01)


def test_the_figure_joins_both_losses_of_each_person() -> None:
    place = Place("<b>Ada</b>", "a1", 1, 2.0, 2.5, 0.1, 1, 1, "best", ())
    lines, validation, sealed = challenge_figure([place]).data
    assert list(lines.x) == [2.0, 2.5, None]
    assert (list(validation.x), list(sealed.x)) == ([2.0], [2.5])
    assert list(sealed.error_x.array) == [0.1]
    assert validation.customdata[0] == "&lt;b&gt;Ada&lt;/b&gt;"

"""Probes: two passages of a run's text, and what a model makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from gptcore.batches import TrainingData, prepare
from gptcore.probes import FAVOURITES, MOST_PROBES, choose_passages, is_due, probe, token_texts
from gptcore.runs.store import Run
from gptcore.runs.worker import execute
from gptcore.training import TrainingState, new_state
from tests.tiny import MODEL, SETTINGS, STORY

T = MODEL.context_length


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return prepare(STORY, MODEL, SETTINGS)


@pytest.fixture
def state(data: TrainingData) -> TrainingState:
    return new_state(MODEL, SETTINGS, data)


def test_each_passage_is_a_window_of_its_part_and_the_token_after_it(data: TrainingData) -> None:
    training, validation = choose_passages(data, T, T)
    for passage, part, ids in ((training, "training", data.train_ids), (validation, "validation", data.validation_ids)):
        starts = [start for start in range(0, len(ids) - T, T) if ids[start : start + T + 1].tolist() == passage.ids]
        assert passage.part == part
        assert len(passage.ids) == T + 1
        assert starts


@pytest.mark.parametrize("tokens", [0, 1])
def test_without_unseen_text_only_the_training_part_is_asked_about(data: TrainingData, tokens: int) -> None:
    alone = TrainingData(data.tokenizer, data.train_ids, data.validation_ids[:tokens], data.prompt)
    assert [passage.part for passage in choose_passages(alone, T, T)] == ["training"]


def test_an_unseen_part_shorter_than_a_window_is_asked_about_as_far_as_it_goes(data: TrainingData) -> None:
    short = TrainingData(data.tokenizer, data.train_ids, data.validation_ids[:4], data.prompt)
    assert choose_passages(short, T, T)[1].ids == data.validation_ids[:4].tolist()


def test_a_probe_holds_the_models_own_losses_and_probabilities(state: TrainingState) -> None:
    passages = choose_passages(state.data, T, T)
    found = probe(state.model, state.data.tokenizer, passages)
    for passage, losses, following in zip(passages, found["losses"], found["next"], strict=True):
        ids = torch.tensor([passage.ids])
        with torch.no_grad():
            logits = state.model.eval()(ids[:, :-1])[0]
        assert losses == pytest.approx(F.cross_entropy(logits, ids[0, 1:], reduction="none").tolist(), abs=1e-4)
        likeliest = torch.softmax(logits[-1], dim=0).topk(min(FAVOURITES, len(logits[-1])))
        assert [p for _, p in following] == pytest.approx(likeliest.values.tolist(), abs=1e-5)
        assert [token for token, _ in following] == token_texts(state.data.tokenizer, likeliest.indices.tolist())


def test_a_probe_draws_no_random_number_and_changes_no_weight(state: TrainingState) -> None:
    before, weights = torch.get_rng_state(), [weight.clone() for weight in state.model.parameters()]
    probe(state.model.train(), state.data.tokenizer, choose_passages(state.data, T, T))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(old, new) for old, new in zip(weights, state.model.parameters(), strict=True))


@pytest.mark.parametrize("evaluations", [1, 7, MOST_PROBES, MOST_PROBES + 1, 999, 100_000])
def test_a_run_of_any_length_is_probed_at_its_first_evaluation_and_not_too_often(evaluations: int) -> None:
    due = [number for number in range(evaluations) if is_due(number, evaluations)]
    assert due[0] == 0
    assert min(evaluations, MOST_PROBES) / 2 <= len(due) <= MOST_PROBES


def test_a_run_writes_a_probe_at_each_evaluation_and_names_its_passages_once(run: Run) -> None:
    assert execute(run) == "done"
    probes = run.probes()
    evaluated = [row["step"] for row in run.metrics()[0] if row["train_loss"] is not None]
    assert [probe["step"] for probe in probes] == [-1, *evaluated]
    assert [passage["part"] for passage in probes[0]["passages"]] == ["training", "validation"]
    assert not any("passages" in probe for probe in probes[1:])


def test_a_run_that_goes_on_has_no_probe_twice(run: Run, tmp_path: Path) -> None:
    execute(run)
    whole = (run.folder / "probes.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line)["step"] for line in whole]
    run.reopen(steps=13)
    execute(run)
    assert [probe["step"] for probe in run.probes()] == [*steps, 12]

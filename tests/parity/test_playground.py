"""The playground's sums in the browser's language against gptcore's, on the same two hundred random cases.

What is left out: the drawing, which tests/browser moves by hand.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gptcore.config import SamplingConfig
from gptcore.draws import draw_many, spread
from gptcore.sampling import choose

NODE_TESTS = Path(__file__).resolve().parents[1] / "node"
CASES = 200
TOLERANCE = 1e-6
WHOLE_VOCABULARY = 50_257
HOTTEST = 5.0  # where the playground's slider ends
TEMPERATURES = (0.0, 1e-320, 1e-3, 0.1, 0.5, 1.0, 1.7, 5.0, 100.0, 1e9)


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node here: the playground's sums are only looked at in the browser")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 18:
        pytest.skip(f"node {version.strip()} has no test runner; 18 and later have")
    return found


def some_logits(chance: random.Random) -> list[float]:
    """Scores as float32 holds them: wide or narrow, often with equals, now and then one that can never be drawn."""
    size = chance.choice([1, 2, 9, 60, 400, WHOLE_VOCABULARY] if chance.random() < 0.1 else [1, 2, 9, 60])
    width = chance.choice([0.0, 1e-6, 1.0, 4.0, 30.0])
    scores = [chance.gauss(0, width) for _ in range(size)]
    if chance.random() < 0.4:
        scores = [round(score) + 0.0 for score in scores]
    if chance.random() < 0.2 and size > 2:
        scores = [-math.inf if chance.random() < 0.3 else score for score in scores[1:]] + [scores[0]]
    return torch.tensor(scores, dtype=torch.float32).tolist()


def some_rules(chance: random.Random, size: int) -> dict[str, Any]:
    return {
        "temperature": chance.choice([*TEMPERATURES, round(chance.uniform(0.05, 5), 2)]),
        "topK": chance.choice([None, None, 1, 2, 5, size, size + 1, chance.randint(1, size)]),
        "topP": chance.choice([None, None, 1.0, 1e-9, 0.25, 0.9, 0.99, chance.uniform(0.01, 1)]),
        "topPFirst": chance.random() < 0.4,
    }


def some_case(chance: random.Random) -> dict[str, Any]:
    logits = some_logits(chance)
    rules = some_rules(chance, len(logits))
    return {
        "logits": logits,
        "rules": rules,
        "seed": chance.randrange(2**31),
        "draws": 300,
        "skip": chance.randrange(9),
    }


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    chance = random.Random(7)
    return [some_case(chance) for _ in range(CASES)]


@pytest.fixture(scope="module")
def answers(node: str, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the playground makes of every case."""
    finite = [case | {"logits": [x if math.isfinite(x) else None for x in case["logits"]]} for case in cases]
    asked = [node, str(NODE_TESTS / "answers.mjs")]
    done = subprocess.run(asked, input=json.dumps(finite), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def config_of(case: dict[str, Any]) -> SamplingConfig:
    rules = case["rules"]
    return SamplingConfig(
        temperature=rules["temperature"],
        top_k=rules["topK"],
        top_p=rules["topP"],
        top_p_first=rules["topPFirst"],
        seed=case["seed"],
    )


def test_the_sums_by_hand_hold_in_node(node: str) -> None:
    done = subprocess.run([node, "--test", str(NODE_TESTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 10" in done.stdout


def test_browser_and_python_make_the_same_of_200_random_choices(
    cases: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> None:
    for case, answer in zip(cases, answers, strict=True):
        logits, config = torch.tensor(case["logits"]), config_of(case)
        choice, wide = choose(logits, config), spread(logits, config)
        about = f"{len(logits)} tokens, {case['rules']}"
        for stage in ("softmax", "probability"):
            away = np.abs(np.array(answer[stage]) - getattr(choice, stage).numpy()).max()
            assert away < TOLERANCE, f"{stage} differs by {away}: {about}"
        assert (answer["kept"], answer["other_order"]) == (wide.kept, wide.other_order), about
        assert answer["mass"] == pytest.approx(wide.mass, abs=TOLERANCE), about
        assert answer["entropy"] == pytest.approx(wide.entropy, abs=TOLERANCE), about


def test_the_same_seed_draws_the_same_tokens_in_browser_and_python(
    cases: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> None:
    """Up to the playground's end: at a temperature of 1e9 scores that differ have equal probabilities."""
    for case, answer in zip(cases, answers, strict=True):
        if case["rules"]["temperature"] > HOTTEST:
            continue
        probability = choose(torch.tensor(case["logits"]), config_of(case)).probability
        drawn = draw_many(probability.numpy(), case["draws"], case["seed"], case["skip"])
        assert answer["counts"] == np.bincount(drawn, minlength=len(probability)).tolist(), case["rules"]


def test_the_cases_hold_ties_extremes_and_whole_vocabularies(cases: list[dict[str, Any]]) -> None:
    assert sum(len(set(case["logits"])) < len(case["logits"]) for case in cases) > 50
    assert any(-math.inf in case["logits"] for case in cases)
    assert sum(len(case["logits"]) == WHOLE_VOCABULARY for case in cases) >= 2
    assert {case["rules"]["temperature"] for case in cases} >= set(TEMPERATURES)

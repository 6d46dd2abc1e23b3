"""What one move of a slider costs: from the scores of GPT-2's 50,257 tokens to probabilities, and to the whole table.

The scores fall off as a trained model's do: those of the bundled model for a sentence. The model itself does not run,
as on the page, which keeps its scores. Beside it the model's part: a prompt of 10 tokens read by GPT-2's small shape,
the head on the last position alone, against all positions.
"""

from __future__ import annotations

import copy

import torch

from benchmarks.results import Row
from benchmarks.timing import medians, one_thread, where_time_goes
from gptcore.config import MODEL_PRESETS, SamplingConfig
from gptcore.library import load_model, new_model
from gptcore.paths import POCKET_MODEL
from gptcore.sampling import choose, next_logits, next_token_table

ROUNDS, REPEATS = 9, 10
SENTENCE = "The clock on the wall had stopped, and nobody"
PROMPT = list(range(1_000, 1_010))
RULES = {
    "temperature": SamplingConfig(temperature=0.8),
    "top-k 50": SamplingConfig(top_k=50),
    "top-p 0.9": SamplingConfig(top_p=0.9),
    "top-k and top-p": SamplingConfig(temperature=1.3, top_k=200, top_p=0.95),
}


def measure() -> list[Row]:
    """The rows."""
    one_thread()
    model, tokenizer = load_model(POCKET_MODEL)
    logits = next_logits(model, tokenizer.encode(SENTENCE))
    rows = []
    for name, rules in RULES.items():
        chosen, table = medians(
            lambda rules=rules: [choose(logits, rules) for _ in range(REPEATS)],
            lambda rules=rules: [next_token_table(logits, tokenizer, rules) for _ in range(REPEATS)],
            rounds=ROUNDS,
        )
        profile = where_time_goes(lambda rules=rules: choose(logits, rules))
        rows.append(Row(f"slider to probabilities, {name}", 1e3 * chosen / REPEATS, "ms", most=1.0, limit=profile))
        rows.append(Row(f"slider to the full table, {name}", 1e3 * table / REPEATS, "ms", most=6.0))
    return rows + _model()


def _model() -> list[Row]:
    exact = new_model(MODEL_PRESETS["gpt2-small"], 0)
    rough = copy.deepcopy(exact).to(torch.bfloat16)
    ids = torch.tensor([PROMPT])

    @torch.inference_mode()
    def all_positions() -> object:
        return exact(ids)

    everywhere, last, rounded = medians(
        all_positions, lambda: next_logits(exact, PROMPT), lambda: next_logits(rough, PROMPT), rounds=ROUNDS
    )
    return [
        Row("124M reads 10 tokens, head on the last position", 1e3 * last, "ms", 1e3 * everywhere, "all positions"),
        Row("124M reads 10 tokens, bf16", 1e3 * rounded, "ms", 1e3 * everywhere, "all positions, float32"),
    ]

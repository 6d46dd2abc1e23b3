"""How quickly GPT-2's small shape writes, token by token, beside the book's package and transformers.

Random weights, which cost the same; a prompt of 10 tokens, top-k 50, each with its own cache. The book's chapter 4 has
none, reads everything anew, and takes the likeliest token. Its package also has a module with a cache, which in version
1.0.19 stops with an error at the second token: its mask has the wrong shape.

"bf16" holds the weights in bfloat16, half the bytes to read for each token; its row says what that costs in exactness.
The limit: every weight is read once a token, at the speed at which this machine reads memory. Behind it stands where
the time goes: ``addmm`` and ``mm`` are those products, of a matrix and one token's numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from benchmarks import peers
from benchmarks.results import Row
from benchmarks.timing import bytes_a_second, medians, one_thread, where_time_goes
from gptcore.config import MODEL_PRESETS, SamplingConfig
from gptcore.library import new_model
from gptcore.model import GPTModel
from gptcore.parameters import count_parameters
from gptcore.sampling import generate, next_logits

TOKENS, ROUNDS = 24, 5
PROMPT = list(range(1_000, 1_010))
RULES = SamplingConfig(top_k=50)
SHAPE = MODEL_PRESETS["gpt2-small"]
WHY_NO_INT8 = (
    "PyTorch 2.13 has no supported call for it on a processor: torch.ao.quantization is deprecated, "
    "_weight_int8pack_mm is private, and torchao is no dependency of this program"
)


def ours(model: GPTModel) -> Callable[[], object]:
    """Write with our model."""
    return lambda: list(generate(model, PROMPT, RULES, TOKENS))


def of_transformers(model: torch.nn.Module) -> Callable[[], object]:
    """Write with transformers' ``generate``, which keeps a cache."""
    ids = torch.tensor([PROMPT])
    settings = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": True, "top_k": 50, "pad_token_id": 0}

    @torch.inference_mode()
    def write() -> object:
        return model.generate(ids, attention_mask=torch.ones_like(ids), **settings)

    return write


def of_the_book() -> Callable[[], object]:
    """Write as chapter 4 does; a quarter of the tokens, because all is read anew for each."""
    from llms_from_scratch.ch04 import generate_text_simple

    model, ids = peers.book_model(SHAPE).eval(), torch.tensor([PROMPT])
    return lambda: generate_text_simple(model, ids, TOKENS // 4, SHAPE.context_length)


def _off(exact: GPTModel, rough: GPTModel) -> str:
    """How far the next token's probabilities move when the weights are rounded."""
    first, second = (torch.softmax(next_logits(model, PROMPT).double(), 0) for model in (exact, rough))
    moved = float((first - second).abs().sum() / 2)
    return f"rounding moves {moved:.2%} of the next token's probability to other tokens (random weights)"


def measure() -> list[Row]:
    """The rows."""
    one_thread()
    model = new_model(SHAPE, 0)
    rough = copy.deepcopy(model).to(torch.bfloat16)
    actions = {"float32": ours(model), "bf16": ours(rough)}
    if not peers.missing(peers.TRANSFORMERS):
        peer = peers.transformers_model(SHAPE).eval()
        actions |= {"theirs": of_transformers(peer), "theirs bf16": of_transformers(copy.deepcopy(peer).bfloat16())}
    if not peers.missing(peers.BOOK):
        actions["book"] = of_the_book()
    times = dict(zip(actions, medians(*actions.values(), rounds=ROUNDS), strict=True))
    rates = {name: (TOKENS // 4 if name == "book" else TOKENS) / seconds for name, seconds in times.items()}
    reads, weights = bytes_a_second(), count_parameters(SHAPE)
    floors = {
        name: f"{reads / (size * weights):.0f} tokens/s at {reads / 1e9:.0f} GB/s"
        for name, size in (("float32", 4), ("bf16", 2))
    }
    rows = []
    for what, key, goal in (("float32", "theirs", 1.6), ("bf16", "theirs", 2.9)):
        note = f"{floors[what]}; {where_time_goes(actions[what])}"
        note += "" if what == "float32" else f"; {_off(model, rough)}"
        note = "; ".join(filter(None, (note, peers.missing(peers.TRANSFORMERS))))
        rows.append(
            Row(f"124M, {what}", rates[what], "tokens/s", rates.get(key), "transformers, float32", goal, limit=note)
        )
    rows.append(Row("124M, bf16", rates["bf16"], "tokens/s", rates.get("theirs bf16"), "transformers, bf16"))
    lack = peers.missing(peers.BOOK)
    rows.append(Row("124M, float32", rates["float32"], "tokens/s", rates.get("book"), "book, chapter 4", limit=lack))
    return [*rows, Row("124M, int8", None, "tokens/s", limit=WHY_NO_INT8)]

"""The ledger: the numbers that people meet for "the same" model, by formula, and held to real models."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import memory
from gptcore.config import GPT2_VOCAB_SIZE, MODEL_PRESETS, GPTConfig, TrainConfig
from gptcore.model import GPTModel
from gptcore.parameters import (
    check_ledger,
    count_parameters,
    kept_per_token,
    leaves,
    parameter_table,
    part_groups,
    training_memory,
    well_known_counts,
)
from gptcore.paths import REPOSITORY

BOOK = MODEL_PRESETS["book-124m"]
PUBLISHED = {
    "the book's GPT-2 small": (GPTConfig(), 163_009_536),
    "the book's training model": (BOOK, 162_419_712),
    "GPT-2 small": (MODEL_PRESETS["gpt2-small"], 124_439_808),
    "the book's model with GPT-2's weights": (GPTConfig(qkv_bias=True), 163_037_184),
    "GPT-2 medium": (MODEL_PRESETS["gpt2-medium"], 354_823_168),
    "GPT-2 large": (MODEL_PRESETS["gpt2-large"], 774_030_080),
    "GPT-2 XL": (MODEL_PRESETS["gpt2-xl"], 1_557_611_200),
    "Harry Potter": (MODEL_PRESETS["harry-potter"], 1_622_208),
}


@st.composite
def configs(draw: st.DrawFn) -> GPTConfig:
    heads = draw(st.integers(1, 4))
    return GPTConfig(
        vocab_size=draw(st.integers(1, 40)),
        context_length=draw(st.integers(1, 20)),
        emb_dim=heads * draw(st.integers(1, 6)),
        n_heads=heads,
        n_layers=draw(st.integers(1, 4)),
        qkv_bias=draw(st.booleans()),
        tie_weights=draw(st.booleans()),
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str) -> None:
    config, count = PUBLISHED[name]
    assert count_parameters(config) == count
    assert int(parameter_table(config)["count"].sum()) == count
    assert sum(part_groups(config).values()) == count


@given(configs())
def test_the_formula_counts_what_a_real_model_has(config: GPTConfig) -> None:
    model = GPTModel(config)
    assert count_parameters(config) == sum(p.numel() for p in model.parameters())
    check_ledger(model, config)
    table = parameter_table(config)
    by_name = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert dict(zip(table["part"], table["shape"], strict=True)) == by_name
    assert table["part"].tolist() == list(by_name)  # in the model's own order


@pytest.mark.parametrize("name", MODEL_PRESETS)
def test_every_preset_has_what_the_formula_counts(name: str) -> None:
    """On PyTorch's meta device, where a model has shapes and no numbers."""
    config = MODEL_PRESETS[name]
    with torch.device("meta"):
        model = GPTModel(config)
    assert sum(p.numel() for p in model.parameters()) == count_parameters(config)
    check_ledger(model, config)


@settings(max_examples=15, deadline=None)
@given(configs(), st.integers(1, 64), st.integers(1, 2_000))
def test_the_formula_counts_large_models_as_well(config: GPTConfig, wider: int, longer: int) -> None:
    large = replace(config, emb_dim=wider * config.emb_dim, vocab_size=50_000 + longer, context_length=longer)
    with torch.device("meta"):
        model = GPTModel(large)
    assert sum(p.numel() for p in model.parameters()) == count_parameters(large)


def test_gpt2_small_by_its_parts() -> None:
    groups = part_groups(MODEL_PRESETS["gpt2-small"])
    assert groups == {
        "token embedding": 38_597_376,
        "position embedding": 786_432,
        "blocks": 12 * 7_087_872,
        "final norm": 1_536,
        "output head": 0,
    }


def test_one_block_of_the_book_by_its_parts() -> None:
    table = parameter_table(BOOK)
    block = table[table["part"].str.startswith("blocks.0.")]

    def of(part: str) -> int:
        return int(block.loc[block["part"].str.contains(part), "count"].sum())

    assert (of("attention"), of("feed_forward"), of("norm")) == (2_360_064, 4_722_432, 3_072)
    assert int(block["count"].sum()) == 2_360_064 + 4_722_432 + 3_072


def test_each_number_that_people_give_is_a_ledger_with_a_switch_moved() -> None:
    known = well_known_counts().set_index("said")
    counts = known["count"].dropna().astype(int).to_dict()
    assert counts == {
        "124 M": 124_439_808,
        "124.4 M": 124_412_160,
        "163 M": 163_009_536,
        "163.04 M": 163_037_184,
        "162 M": 162_419_712,
        "85 M": 84_934_656,
        "59 M": 589_824,
    }
    for said, config in known["config"].dropna().items():
        assert count_parameters(config) == counts[str(said)]


def test_the_attention_output_projection_has_not_59_but_0_59_million() -> None:
    table = parameter_table(BOOK).set_index("part")
    assert table.loc["blocks.0.attention.out_proj.weight", "count"] == 768 * 768 == 589_824


def test_the_head_has_38_million_and_softmax_has_none() -> None:
    table = parameter_table(BOOK)
    assert int(table.loc[table["part"] == "head.weight", "count"].iloc[0]) == 38_597_376
    assert not table["part"].str.contains("softmax").any()


def test_the_matrices_alone_of_gpt2_small_are_84_9_million() -> None:
    """Of the blocks, as papers on scaling count: 12 C^2 a layer."""
    matrices = [leaf for leaf in leaves(MODEL_PRESETS["gpt2-small"]) if "blocks" in leaf.part and len(leaf.shape) == 2]
    assert sum(a * b for a, b in (leaf.shape for leaf in matrices)) == 12 * 12 * 768**2 == 84_934_656


def test_the_harry_potter_model_is_nearly_all_dictionary() -> None:
    groups = part_groups(MODEL_PRESETS["harry-potter"])
    dictionary = groups["token embedding"] + groups["output head"]
    assert dictionary == 1_608_224
    assert groups["position embedding"] == 1_024
    assert groups["blocks"] + groups["final norm"] == 12_960
    assert round(100 * dictionary / 1_622_208, 1) == 99.1


def test_the_book_trains_35247_parameters_for_each_of_its_tokens() -> None:
    assert round(count_parameters(BOOK) / 4_608) == 35_247


def test_a_tied_head_counts_nothing_and_says_so() -> None:
    table = parameter_table(MODEL_PRESETS["gpt2-small"]).set_index("part")
    assert table.loc["head.weight", "count"] == 0
    assert table.loc["head.weight", "formula"] == "the token embedding again: 0"
    assert table.loc["head.weight", "shape"] == (GPT2_VOCAB_SIZE, 768)


def test_the_ledger_has_its_columns_and_a_formula_with_todays_numbers() -> None:
    table = parameter_table(BOOK)
    assert table.columns.tolist() == ["part", "shape", "formula", "count"]
    assert table["formula"].iloc[0] == "V x C = 50,257 x 768"
    assert table.set_index("part").loc["blocks.11.feed_forward.up.weight", "formula"] == "4C x C = 3,072 x 768"


@pytest.mark.parametrize(
    "changes", [{"qkv_bias": True}, {"n_layers": 1}, {"tie_weights": True}, {"context_length": 9}, {"emb_dim": 6}]
)
def test_a_ledger_of_another_shape_is_found_out(changes: dict[str, int]) -> None:
    config = GPTConfig(vocab_size=11, context_length=8, emb_dim=4, n_heads=2, n_layers=2)
    with pytest.raises(AssertionError, match="ledger and model disagree on"):
        check_ledger(GPTModel(config), replace(config, **changes))  # type: ignore[arg-type]


def test_counting_needs_no_pytorch() -> None:
    code = (
        "import sys; from gptcore.parameters import parameter_table; from gptcore.config import MODEL_PRESETS;"
        "print(parameter_table(MODEL_PRESETS['gpt2-xl'])['count'].sum(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1557611200", "False"]


def test_the_memory_of_training_is_exact_where_it_can_be() -> None:
    held = training_memory(BOOK, TrainConfig(batch_size=2, reference=True))
    weights = 4 * 162_419_712
    assert (held["weights"], held["gradients"], held["optimiser"]) == (weights, weights, 2 * weights)
    assert held["logits"] == 3 * 4 * 2 * 256 * GPT2_VOCAB_SIZE
    assert training_memory(BOOK, TrainConfig(optimiser="sgd"))["optimiser"] == weights


def test_a_fused_loss_holds_a_chunk_of_the_logits_and_never_more_than_there_are() -> None:
    assert training_memory(BOOK, TrainConfig(batch_size=2))["logits"] == 4 * 250 * GPT2_VOCAB_SIZE
    short = replace(BOOK, context_length=8)
    assert training_memory(short, TrainConfig(batch_size=2))["logits"] == 4 * 16 * GPT2_VOCAB_SIZE


@pytest.mark.parametrize("drop_rate", [0.0, 0.1])
def test_what_a_forward_pass_keeps_for_the_backward_pass_is_counted(drop_rate: float) -> None:
    """Each storage once; the weights, and a few numbers a row for norms and softmax, are not what is meant."""
    config = GPTConfig(vocab_size=50, context_length=32, emb_dim=64, n_heads=2, n_layers=3, drop_rate=drop_rate)
    model, kept = GPTModel(config).train(), {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # the tensor itself: a freed address would be given anew
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.hidden(torch.randint(50, (4, 32)))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    numbers = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in weights) / 4 / (4 * 32)
    assert numbers == pytest.approx(kept_per_token(config), rel=0.03)


def test_the_memory_of_a_model_that_fits_nowhere_is_counted_without_any_being_spent() -> None:
    giant = GPTConfig(vocab_size=1_000_000, emb_dim=65_536, n_heads=64, n_layers=1_000)
    assert sum(training_memory(giant, TrainConfig(batch_size=8)).values()) > 10**14


@pytest.mark.parametrize("case", memory.CASES[:3], ids=lambda case: case.name)
@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux keeps a process's peak that can be set back")
def test_a_real_run_holds_within_15_percent_of_what_the_formula_says(case: memory.Case) -> None:
    peak, formula = memory.measure(case)
    assert formula == pytest.approx(peak, rel=0.15)


def test_real_weights_take_the_memory_that_the_ledger_says() -> None:
    config = GPTConfig(vocab_size=101, context_length=8, emb_dim=16, n_heads=2, n_layers=2)
    model = GPTModel(config)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.tensor([[1, 2]])).sum().backward()
    optimiser.step()
    moments = [state[key] for state in optimiser.state.values() for key in ("exp_avg", "exp_avg_sq")]
    counted = training_memory(config, TrainConfig(batch_size=1))
    assert sum(p.nbytes for p in model.parameters()) == counted["weights"]
    assert sum(m.nbytes for m in moments) == counted["optimiser"]

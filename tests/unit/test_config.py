"""The words that every module uses: presets as their sources give them, and values refused where they are named."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcore.checked import help_for
from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, SamplingConfig, TrainConfig, from_json, to_json

CONFIGS = (GPTConfig, TrainConfig, SamplingConfig)

# Name: V, T, C, H, L, dropout, qkv bias, tied.
SHAPES = {
    "book-124m": (50257, 256, 768, 12, 12, 0.1, False, False),
    "harry-potter": (50257, 64, 16, 4, 4, 0.1, False, False),
    "julius-caesar": (50257, 128, 768, 4, 4, 0.01, True, True),
    "gpt2-small": (50257, 1024, 768, 12, 12, 0.1, True, True),
    "gpt2-medium": (50257, 1024, 1024, 16, 24, 0.1, True, True),
    "gpt2-large": (50257, 1024, 1280, 20, 36, 0.1, True, True),
    "gpt2-xl": (50257, 1024, 1600, 25, 48, 0.1, True, True),
}


def of_type(config: type, *kinds: str) -> list[str]:
    """The fields of a config whose annotation begins with one of these words."""
    return [f.name for f in fields(config) if str(f.type).split(" | ")[0] in kinds]


# -------------------------------------------------------------------------------------------------------------- presets


@pytest.mark.parametrize("name", SHAPES)
def test_a_preset_has_the_shape_that_its_source_gives(name: str) -> None:
    assert tuple(to_json(MODEL_PRESETS[name]).values()) == SHAPES[name]


def test_every_model_preset_has_its_training_preset() -> None:
    assert MODEL_PRESETS.keys() == TRAIN_PRESETS.keys() >= {*SHAPES, "class"}


def test_the_books_training_preset() -> None:
    book = TRAIN_PRESETS["book-124m"]
    assert (book.lr, book.weight_decay, book.batch_size, book.epochs, book.steps) == (4e-4, 0.1, 2, 10, None)
    assert (book.eval_every, book.eval_batches, book.seed, book.sample_tokens) == (5, 5, 123, 50)
    assert (book.optimiser, book.sample_at, book.train_fraction, book.stride) == ("adamw", "epoch", 0.9, None)
    assert book.grad_clip is None
    assert book.min_lr is None
    assert book.warmup_steps == 0


def test_the_harry_potter_training_preset() -> None:
    preset = TRAIN_PRESETS["harry-potter"]
    assert (preset.lr, preset.weight_decay, preset.batch_size, preset.epochs) == (5e-4, 0.01, 16, 1000)


def test_the_julius_caesar_training_preset_ends_below_its_peak_unlike_its_source() -> None:
    preset = TRAIN_PRESETS["julius-caesar"]
    assert (preset.lr, preset.batch_size, preset.steps, preset.warmup_steps) == (1e-4, 8, 10_000, 2_000)
    assert preset.min_lr is not None
    assert 0 < preset.min_lr < preset.lr


@pytest.mark.parametrize("name", MODEL_PRESETS)
def test_a_presets_heads_share_its_width_without_a_rest(name: str) -> None:
    config = MODEL_PRESETS[name]
    assert config.head_dim * config.n_heads == config.emb_dim


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"emb_dim": 770}, "emb_dim=770 is not divisible by n_heads=12"),
        ({"n_heads": 7}, "emb_dim=768 is not divisible by n_heads=7"),
        ({"emb_dim": 0}, "emb_dim=0 is outside 1 to 65,536"),
        ({"emb_dim": 10**9}, "emb_dim=1,000,000,000 is outside 1 to 65,536"),
        ({"emb_dim": 1e400}, "emb_dim=inf is not a whole number"),
        ({"emb_dim": 768.0}, "emb_dim=768.0 is not a whole number"),
        ({"emb_dim": "768"}, "emb_dim='768' is not a whole number"),
        ({"n_layers": -1}, "n_layers=-1 is outside 1 to 1,000"),
        ({"n_layers": True}, "n_layers=True is not a whole number"),
        ({"vocab_size": 0}, "vocab_size=0 is outside 1 to 1,000,000"),
        ({"context_length": 131_073}, "context_length=131,073 is outside 1 to 131,072"),
        ({"drop_rate": 1.0}, "drop_rate=1 would drop every value; it must be below 1"),
        ({"drop_rate": -0.1}, "drop_rate=-0.1 is outside 0 to 1"),
        ({"drop_rate": math.nan}, "drop_rate=nan is not a finite number"),
    ],
)
def test_a_model_is_refused_with_the_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole message is compared)
        GPTConfig(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": -1e-3}, "lr=-0.001 is below 0"),
        ({"lr": math.inf}, "lr=inf is not a finite number"),
        ({"batch_size": 0}, "batch_size=0 is outside 1 to 65,536"),
        ({"steps": 0}, "steps=0 is outside 1 to 10,000,000"),
        ({"epochs": 10**8}, "epochs=100,000,000 is outside 1 to 10,000,000"),
        ({"optimiser": "adam"}, "optimiser='adam' is not one of adamw, sgd"),
        ({"precision": "float16"}, "precision='float16' is not one of float32, bfloat16"),
        ({"sample_at": ["epoch"]}, "sample_at=['epoch'] is not one of epoch, evaluation"),
        ({"train_fraction": 1.01}, "train_fraction=1.01 is outside 0 to 1"),
        ({"sample_tokens": 4097}, "sample_tokens=4,097 is outside 0 to 4,096"),
        ({"seed": -1}, "seed=-1 is outside 0 to 9,223,372,036,854,775,807"),
        ({"grad_clip": 0}, "grad_clip=0 would stop all learning; leave it empty for no clipping"),
    ],
)
def test_a_run_is_refused_with_the_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        TrainConfig(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -0.5}, "temperature=-0.5 is below 0"),
        ({"temperature": math.nan}, "temperature=nan is not a finite number"),
        ({"temperature": math.inf}, "temperature=inf is not a finite number"),
        ({"top_k": 0}, "top_k=0 is outside 1 to 9,223,372,036,854,775,807"),
        ({"top_k": -5}, "top_k=-5 is outside 1 to 9,223,372,036,854,775,807"),
        ({"top_k": 2.5}, "top_k=2.5 is not a whole number"),
        ({"top_p": 0.0}, "top_p=0 is outside (0, 1]"),
        ({"top_p": -0.2}, "top_p=-0.2 is outside (0, 1]"),
        ({"top_p": 1.0001}, "top_p=1.0001 is outside (0, 1]"),
        ({"top_p": math.nan}, "top_p=nan is not a finite number"),
    ],
)
def test_a_draw_is_refused_with_the_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        SamplingConfig(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0},
        {"temperature": 1e-300},
        {"temperature": 1e9},
        {"top_k": 10**12},
        {"top_p": 1},
        {"top_p": 1e-9},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(changes: dict[str, Any]) -> None:
    assert to_json(SamplingConfig(**changes)).items() >= changes.items()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -1, 10**400, True, "1", [1]],
    ids=["nan", "inf", "-inf", "-1", "a whole number of 401 digits", "true", "text", "list"],
)
def test_every_number_of_every_config_refuses_what_is_no_number_for_it(config: type, value: Any) -> None:
    for name in of_type(config, "int", "float"):
        with pytest.raises(ValueError, match=f"^{name}="):
            config(**{name: value})


@pytest.mark.parametrize("config", CONFIGS)
def test_every_switch_of_every_config_is_true_or_false_and_nothing_else(config: type) -> None:
    """The text "no" from a link or a file would count as true."""
    for name in of_type(config, "bool"):
        with pytest.raises(ValueError, match=f"^{name}='no'"):
            config(**{name: "no"})


def test_a_prompt_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^sample_prompt=5"):
        TrainConfig(sample_prompt=5)  # type: ignore[arg-type]


def test_special_tokens_need_the_full_vocabulary() -> None:
    with pytest.raises(ValueError, match="compact_vocab and end_of_text exclude each other"):
        TrainConfig(compact_vocab=True, end_of_text=True)


@pytest.mark.parametrize("changes", [{"optimiser": "sgd"}, {"precision": "bfloat16"}, {"compact_vocab": True}])
def test_a_reference_run_refuses_what_the_book_does_not_do(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a reference run needs optimiser=adamw, precision=float32"):
        TrainConfig(reference=True, **changes)


def test_a_minimum_above_the_peak_is_allowed_for_the_app_warns_of_it() -> None:
    assert TrainConfig(lr=1e-4, min_lr=5e-4).min_lr == 5e-4


# ----------------------------------------------------------------------------------------------- frozen, said, and kept


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_cannot_be_changed_once_made(config: type) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(config(), fields(config)[0].name, 5)


def test_a_changed_copy_is_checked_again() -> None:
    with pytest.raises(ValueError, match="emb_dim=30 is not divisible by n_heads=12"):
        replace(MODEL_PRESETS["book-124m"], emb_dim=30)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_has_a_help_sentence(config: type) -> None:
    for field in fields(config):
        assert help_for(config, field.name).endswith("."), field.name


@given(
    heads=st.integers(1, 16),
    head_dim=st.integers(1, 64),
    drop_rate=st.floats(0, 0.99),
    others=st.tuples(st.integers(1, 60_000), st.integers(1, 2_000), st.integers(1, 99), st.booleans(), st.booleans()),
)
def test_a_model_config_survives_json(heads: int, head_dim: int, drop_rate: float, others: Any) -> None:
    V, T, L, bias, tied = others
    config = GPTConfig(
        vocab_size=V,
        context_length=T,
        emb_dim=heads * head_dim,
        n_heads=heads,
        n_layers=L,
        drop_rate=drop_rate,
        qkv_bias=bias,
        tie_weights=tied,
    )
    assert from_json(GPTConfig, json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize("name", TRAIN_PRESETS)
def test_a_training_preset_survives_json(name: str) -> None:
    preset = TRAIN_PRESETS[name]
    assert from_json(TrainConfig, json.loads(json.dumps(to_json(preset)))) == preset


def test_unknown_fields_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"^SamplingConfig has no field heat, top_q$"):
        from_json(SamplingConfig, {"top_q": 1, "heat": 2, "top_k": 3})


def test_a_value_from_a_file_is_refused_in_the_same_words() -> None:
    with pytest.raises(ValueError, match=r"^n_layers=0 is outside 1 to 1,000$"):
        from_json(GPTConfig, {"n_layers": 0})

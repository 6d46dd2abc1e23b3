"""GPT-2 in our model against GPT-2 in ``transformers``: the same numbers, in both directions.

The models are tiny and random, with every tensor stirred (transformers starts biases at zero and norms at one, where
a swapped name would not show). One test has the full size.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from gptcore import pretrained
from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.model import GPTModel
from gptcore.pretrained import load_gpt2, mapping_rows, save_gpt2, to_gpt2

TINY = GPTConfig(
    vocab_size=101, context_length=24, emb_dim=32, n_heads=4, n_layers=3, drop_rate=0.1, qkv_bias=True, tie_weights=True
)
IDS = torch.tensor([[5, 100, 0, 17, 17, 3], [9, 8, 7, 6, 5, 4]])


def stir(model: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)


def their_model(*, tied: bool = True) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=TINY.vocab_size,
        n_positions=TINY.context_length,
        n_embd=TINY.emb_dim,
        n_head=TINY.n_heads,
        n_layer=TINY.n_layers,
        bos_token_id=None,
        eos_token_id=None,
        tie_word_embeddings=tied,
    )
    model = GPT2LMHeadModel(config)
    stir(model)
    return model.eval()


def our_model(config: GPTConfig) -> GPTModel:
    model = GPTModel(config)
    stir(model)
    return model.eval()


@torch.no_grad()
def assert_same_logits(ours: GPTModel, theirs: GPT2LMHeadModel, ids: Tensor = IDS) -> None:
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=0)


@torch.no_grad()
def greedy(model: GPTModel, ids: list[int], n_tokens: int) -> list[int]:
    for _ in range(n_tokens):
        ids = [*ids, int(model(torch.tensor([ids]))[0, -1].argmax())]
    return ids


def test_a_folder_saved_by_transformers_gives_the_same_logits(tmp_path: Path) -> None:
    theirs = their_model()
    theirs.save_pretrained(tmp_path)
    ours = load_gpt2(tmp_path)
    assert ours.config == TINY
    assert not ours.training
    assert_same_logits(ours, theirs)


def test_greedy_continuation_of_ten_tokens_is_the_same(tmp_path: Path) -> None:
    theirs = their_model()
    theirs.save_pretrained(tmp_path)
    prompt = IDS[:1]
    expected = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=10)
    assert greedy(load_gpt2(tmp_path), prompt[0].tolist(), 10) == expected[0].tolist()


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_names_with_and_without_prefix_give_the_same_logits(tmp_path: Path, prefix: str) -> None:
    theirs = their_model()
    file = tmp_path / "gpt2.safetensors"
    save_file({prefix + name: tensor for name, tensor in theirs.transformer.state_dict().items()}, file)
    assert_same_logits(load_gpt2(file, n_heads=TINY.n_heads), theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    theirs = their_model().to(dtype)
    theirs.save_pretrained(tmp_path)
    ours = load_gpt2(tmp_path)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    assert_same_logits(ours, theirs.float())


def test_a_separate_head_stays_separate(tmp_path: Path) -> None:
    theirs = their_model(tied=False)
    theirs.save_pretrained(tmp_path)
    ours = load_gpt2(tmp_path)
    assert not ours.config.tie_weights
    assert ours.head.weight is not ours.token_embedding.weight
    assert_same_logits(ours, theirs)


def test_a_head_equal_to_the_token_embedding_is_tied(tmp_path: Path) -> None:
    theirs = their_model()
    tensors = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    assert "lm_head.weight" in tensors
    save_file(tensors, tmp_path / "model.safetensors")
    ours = load_gpt2(tmp_path, n_heads=TINY.n_heads)
    assert ours.config.tie_weights
    assert ours.head.weight is ours.token_embedding.weight
    assert_same_logits(ours, theirs)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_mask_buffers_of_older_files_are_ignored(tmp_path: Path, prefix: str) -> None:
    theirs = their_model()
    tensors = {prefix + name: tensor for name, tensor in theirs.transformer.state_dict().items()}
    for n in range(TINY.n_layers):
        tensors[f"{prefix}h.{n}.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.bool).tril()
        tensors[f"{prefix}h.{n}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, tmp_path / "model.safetensors")
    assert_same_logits(load_gpt2(tmp_path, n_heads=TINY.n_heads), theirs)


@pytest.mark.parametrize(
    "config",
    [TINY, replace(TINY, tie_weights=False), replace(TINY, qkv_bias=False, tie_weights=False, drop_rate=0.0)],
    ids=["tied", "separate head", "no qkv bias"],
)
def test_transformers_reads_what_we_save(tmp_path: Path, config: GPTConfig) -> None:
    ours = our_model(config)
    assert save_gpt2(ours, tmp_path / "out") == tmp_path / "out" / "model.safetensors"
    theirs, report = GPT2LMHeadModel.from_pretrained(tmp_path / "out", local_files_only=True, output_loading_info=True)
    assert not any(report.values()), report
    assert theirs.config.n_head == config.n_heads
    assert theirs.config.resid_pdrop == config.drop_rate
    assert_same_logits(ours, theirs.eval())


def test_saving_and_loading_gives_the_same_bits_and_the_same_config(tmp_path: Path) -> None:
    ours = our_model(TINY)
    file = save_gpt2(ours, tmp_path / "mine.safetensors")
    again = load_gpt2(file)
    assert again.config == TINY
    for name, tensor in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "mine.safetensors"]


def test_a_loaded_model_can_be_saved_over_its_own_file(tmp_path: Path) -> None:
    save_gpt2(our_model(TINY), tmp_path)
    first = load_gpt2(tmp_path)
    save_gpt2(first, tmp_path)
    assert torch.equal(first(IDS), load_gpt2(tmp_path)(IDS))


def test_a_model_without_qkv_bias_is_exported_with_zeros() -> None:
    exported = to_gpt2(our_model(replace(TINY, qkv_bias=False)))
    assert torch.equal(exported["h.2.attn.c_attn.bias"], torch.zeros(96))
    assert len(exported) == len(to_gpt2(our_model(TINY)))


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_gpt2(our_model(TINY), tmp_path)
    before = file.read_bytes()

    def full_disk(tensors: object, part: Path, metadata: object) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pretrained, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_gpt2(our_model(TINY), tmp_path)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_loaded_model_trains_and_leaves_its_file_alone(tmp_path: Path) -> None:
    file = save_gpt2(our_model(TINY), tmp_path)
    before = file.read_bytes()
    model = load_gpt2(tmp_path).train()
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in model.parameters())
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(IDS[:, :-1]).flatten(0, 1), IDS[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.head.weight is model.token_embedding.weight
    assert file.read_bytes() == before


def test_float32_weights_are_the_files_own_pages_and_no_copy(tmp_path: Path) -> None:
    save_gpt2(our_model(TINY), tmp_path)
    model = load_gpt2(tmp_path)
    places = [(p.data_ptr(), p.data_ptr() + p.nbytes) for p in model.parameters()]
    reach = max(end for _, end in places) - min(start for start, _ in places)
    assert reach == sum(end - start for start, end in places)  # side by side, as in the file


def test_loading_draws_no_random_number_and_initialises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_gpt2(our_model(TINY), tmp_path)
    before = torch.get_rng_state()
    for name in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, **__: pytest.fail("initialised"))
    load_gpt2(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_skipping_the_initialisation_holds_for_one_thread_alone() -> None:
    """Another student's model, made in the same moment, must start with its random numbers."""
    made: list[nn.Linear] = []
    with torch.device("meta"), pretrained._SkipInit():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(4, 4)))
        thread.start()
        thread.join()
        assert nn.Linear(4, 4).weight.is_meta
    assert made[0].weight.device.type == "cpu"
    assert 0 < made[0].weight.abs().max() <= 0.5  # PyTorch's bound for 4 inputs: 1 / sqrt(4)


def test_heads_come_from_the_caller_then_from_config_json_then_from_the_width(tmp_path: Path) -> None:
    wide = replace(TINY, emb_dim=128, n_heads=4, n_layers=1)
    file = save_gpt2(our_model(wide), tmp_path)
    assert load_gpt2(file, n_heads=8).config.n_heads == 8
    assert load_gpt2(file).config.n_heads == 4
    file.with_name("config.json").unlink()
    assert load_gpt2(file).config.n_heads == 128 // 64
    assert load_gpt2(file).config.drop_rate == 0.0


@pytest.mark.parametrize("tied", [True, False])
def test_the_table_has_the_names_and_shapes_of_both_models(tied: bool) -> None:
    table = mapping_rows(replace(TINY, tie_weights=tied))
    theirs = their_model(tied=tied).state_dict() if not tied else GPT2Model(their_model().config).state_dict()
    ours = our_model(replace(TINY, tie_weights=tied)).state_dict()
    if tied:
        del ours["head.weight"]
    their_shapes = {name.removeprefix("transformer."): tuple(tensor.shape) for name, tensor in theirs.items()}
    assert dict(zip(table["gpt2_name"], table["gpt2_shape"], strict=True)) == their_shapes
    our_shapes = {name: tuple(tensor.shape) for name, tensor in ours.items()}
    assert dict(zip(table["our_name"], table["our_shape"], strict=True)) == our_shapes


def test_the_table_of_gpt2_small_has_148_tensors_and_all_its_parameters() -> None:
    table = mapping_rows(MODEL_PRESETS["gpt2-small"])
    assert len(table) == 148
    assert sum(torch.Size(shape).numel() for shape in table["gpt2_shape"]) == 124_439_808
    assert table["transposed"].sum() == 4 * 12
    assert table.loc[0, "note"] == "one row a token; tied: it is head.weight too"


def test_the_table_says_where_our_model_has_no_bias() -> None:
    table = mapping_rows(MODEL_PRESETS["book-124m"]).set_index("gpt2_name")
    assert len(table) == 149
    assert table.loc["h.11.attn.c_attn.bias", "our_name"] == ""
    assert table.loc["h.11.attn.c_attn.bias", "note"] == "zeros: this model has no such bias"
    assert table.loc["lm_head.weight", "our_name"] == "head.weight"


def test_config_json_is_what_transformers_would_write(tmp_path: Path) -> None:
    save_gpt2(our_model(TINY), tmp_path / "ours")
    their_model().save_pretrained(tmp_path / "theirs")
    ours = json.loads((tmp_path / "ours" / "config.json").read_text())
    theirs = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert {name: theirs[name] for name in ours} == ours


def test_the_full_size_gives_the_same_logits(tmp_path: Path) -> None:
    with torch.device("meta"):
        theirs = GPT2LMHeadModel(GPT2Config())
    theirs = theirs.to_empty(device="cpu").eval()
    theirs.tie_weights()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.uniform_(-0.05, 0.05, generator=generator)
    file = tmp_path / "model.safetensors"
    save_file(theirs.transformer.state_dict(), file)
    ours = load_gpt2(file)
    assert ours.config == replace(MODEL_PRESETS["gpt2-small"], drop_rate=0.0)
    assert sum(parameter.numel() for parameter in ours.parameters()) == 124_439_808
    assert_same_logits(ours, theirs, torch.tensor([[6109, 3626, 6100, 345]]))
    back, there = to_gpt2(ours), load_file(file)
    assert back.keys() == there.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in there.items())  # the way out, number for number
    prompt = torch.tensor([[6109, 3626, 6100, 345]])
    expected = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=5)
    assert greedy(ours, prompt[0].tolist(), 5) == expected[0].tolist()
    file.unlink()  # half a gigabyte that pytest would keep

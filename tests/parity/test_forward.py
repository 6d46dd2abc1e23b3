"""The stages of a pass against ``transformers``: the same attention weights and the same stream on random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from gptcore.forward import logit_lens, trace
from gptcore.pretrained import load_gpt2

IDS = [5, 100, 0, 17, 17, 3, 64]


def their_model(seed: int) -> GPT2LMHeadModel:
    """Tiny and random, every tensor stirred, computing attention in the plain way that can hand out its weights."""
    config = GPT2Config(
        vocab_size=101, n_positions=24, n_embd=32, n_head=4, n_layer=3, bos_token_id=None, eos_token_id=None
    )
    model = GPT2LMHeadModel(config)
    model.set_attn_implementation("eager")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model.eval()


@pytest.mark.parametrize("seed", [0, 1])
@torch.no_grad()
def test_weights_stream_and_scores_are_those_of_transformers(tmp_path: Path, seed: int) -> None:
    theirs = their_model(seed)
    theirs.save_pretrained(tmp_path)
    model = load_gpt2(tmp_path)
    ours = trace(model, IDS)
    expected = theirs(torch.tensor([IDS]), output_attentions=True, output_hidden_states=True)
    weights = torch.stack([layer[0] for layer in expected.attentions])
    torch.testing.assert_close(ours.weights, weights, atol=1e-5, rtol=0)
    # Of the last block transformers hands out what the final norm made of it.
    stream = torch.stack([layer[0] for layer in expected.hidden_states[:-1]])
    torch.testing.assert_close(ours.stream[:-1], stream, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.normed, expected.hidden_states[-1][0], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.logits, expected.logits[0, -1], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_the_lens_is_their_norm_and_head_on_their_stream(tmp_path: Path) -> None:
    theirs = their_model(0)
    theirs.save_pretrained(tmp_path)
    model = load_gpt2(tmp_path)
    states = theirs(torch.tensor([IDS]), output_hidden_states=True).hidden_states
    rows = torch.stack([theirs.lm_head(theirs.transformer.ln_f(state[0, -1])) for state in states[:-1]])
    torch.testing.assert_close(logit_lens(model, trace(model, IDS), -1)[:-1], rows, atol=1e-4, rtol=1e-5)

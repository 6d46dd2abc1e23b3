"""fetch, verify and export on the command line: what they print, and how they end."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from gptcore import __main__ as cli
from gptcore import corpora, hub, verification, weights_commands
from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.corpora import OWN_STORY, Text, TextError, load_text
from gptcore.export import archive
from gptcore.library import load_model, new_model
from gptcore.model import GPTModel
from gptcore.pretrained import load_gpt2, save_gpt2
from gptcore.published import GPT2_NEXT_TOKENS, PublishedLoss
from gptcore.tokenizer import CompactTokenizer
from gptcore.verification import check_losses, check_next_tokens, next_tokens, published_size, verdict_losses

SMALL = GPTConfig(context_length=256, emb_dim=64, n_heads=1, n_layers=1, drop_rate=0.0, qkv_bias=True, tie_weights=True)


def opinionated(strength: float) -> GPTModel:
    model = new_model(replace(SMALL, tie_weights=False), 0)
    with torch.no_grad():
        model.head.weight.mul_(strength)
    return model


@pytest.fixture(scope="module")
def model() -> GPTModel:
    """Random, but with opinions: a fresh model finds all tokens nearly alike."""
    return opinionated(8)


# ------------------------------------------------------------------------------------------------------------- verify


def test_a_model_agrees_with_figures_that_were_made_from_it(model: GPTModel) -> None:
    figures = {prompt: next_tokens(model, prompt) for prompt in GPT2_NEXT_TOKENS}
    assert all(len(rows) == 20 for rows in figures.values())
    assert all(check.passed for check in check_next_tokens(model, figures))
    text = load_text(OWN_STORY).text
    train, validation = verdict_losses(model, text)
    assert all(check.passed for check in check_losses(model, text, PublishedLoss("itself", train, validation, "here")))


def test_a_model_that_was_changed_a_little_no_longer_agrees(model: GPTModel) -> None:
    figures = {prompt: next_tokens(model, prompt) for prompt in GPT2_NEXT_TOKENS}
    text = load_text(OWN_STORY).text
    before = PublishedLoss("itself", *verdict_losses(model, text), "here")
    changed = opinionated(10)
    assert not all(check.passed for check in check_next_tokens(changed, figures))
    assert not all(check.passed for check in check_losses(changed, text, before))


def test_losses_are_means_over_the_books_windows(model: GPTModel) -> None:
    text = load_text(OWN_STORY).text
    cut = int(0.9 * len(text))
    _, tokenizer = model, verification.load_tokenizer()
    ids = tokenizer.encode(text[:cut])
    losses = []
    for start in range(0, len(ids) - 256, 256):
        window = torch.tensor(ids[start : start + 257])
        logits = model(window[None, :-1])[0].detach()
        losses.append(float(torch.nn.functional.cross_entropy(logits, window[1:])))
    assert verdict_losses(model, text)[0] == pytest.approx(sum(losses) / len(losses), abs=1e-4)


def test_random_weights_of_gpt2s_true_shape_fail_with_their_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_text(_key: str) -> Text:
        raise TextError("no network here")

    monkeypatch.setattr(corpora, "load_text", no_text)
    file = save_gpt2(new_model(MODEL_PRESETS["gpt2-small"], 0), tmp_path)
    assert cli.main(["verify", str(file)]) == 1
    file.unlink()
    said = capsys.readouterr().out
    for prompt, rows in GPT2_NEXT_TOKENS.items():
        assert f"FAIL  after {prompt!r}: published {rows[0].token!r} {rows[0].probability:.4f}, here" in said
    assert "not measured: the losses on The Verdict (no network here)" in said
    assert said.endswith("fail: 5 of 5 figures differ\n")


def test_weights_that_agree_pass_with_exit_code_0(
    tmp_path: Path, model: GPTModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures of a small model stand in for the published ones: real GPT-2 weights are not here."""
    figures = {prompt: next_tokens(model, prompt) for prompt in GPT2_NEXT_TOKENS}
    story = load_text(OWN_STORY)
    losses = PublishedLoss("itself", *verdict_losses(model, story.text), "here")
    monkeypatch.setitem(MODEL_PRESETS, "gpt2-small", SMALL)
    monkeypatch.setitem(verification.LOSSES, "gpt2-small", losses)
    monkeypatch.setattr(verification, "GPT2_NEXT_TOKENS", figures)
    monkeypatch.setattr(corpora, "load_text", lambda _key: story)
    assert cli.main(["verify", str(save_gpt2(model, tmp_path))]) == 0
    said = capsys.readouterr().out
    assert said.endswith("pass: all 7 figures agree\n")
    assert "FAIL" not in said


def test_a_shape_of_which_nothing_was_published_is_refused(
    tmp_path: Path, model: GPTModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", str(save_gpt2(model, tmp_path))]) == 2
    assert "no figures were published for a model of 1 blocks, 64 wide" in capsys.readouterr().err
    assert published_size(MODEL_PRESETS["gpt2-xl"]) == "gpt2-xl"


# ------------------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_gets_the_same_logits_from_what_is_exported(
    tmp_path: Path, tied: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = new_model(replace(SMALL, tie_weights=tied), 1)
    save_gpt2(ours, tmp_path / "ours.safetensors")
    assert cli.main(["export", str(tmp_path / "ours.safetensors"), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count(" bytes\n") == 2
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    ids = torch.tensor([[6109, 3626, 6100, 345]])
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=0)
    again = load_gpt2(tmp_path / "out")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in ours.state_dict().items())


def test_a_run_of_a_compact_vocabulary_brings_its_list_of_tokens_along(tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ["train", "--text", OWN_STORY, "--steps", "1", "--sample-tokens", "0", "--out", str(run)]
    assert cli.main(asked) == 0
    assert cli.main(["export", str(run), str(tmp_path / "out")]) == 0
    model, tokenizer = load_model(run)
    assert isinstance(tokenizer, CompactTokenizer)
    assert json.loads((tmp_path / "out" / "tokens.json").read_text()) == list(tokenizer.kept)
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    ids = torch.tensor([tokenizer.encode("The clock")])
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=0)
    with archive(model, tokenizer) as packed, zipfile.ZipFile(packed) as archived:
        assert sorted(archived.namelist()) == ["config.json", "model.safetensors", "tokens.json"]
        assert archived.read("model.safetensors") == (tmp_path / "out" / "model.safetensors").read_bytes()


# -------------------------------------------------------------------------------------------------------------- fetch


class Arriving:
    """A download that has ended, as the command sees it."""

    def __init__(self, state: str, reason: str = "") -> None:
        self.state, self.reason, self.received, self.total, self.has_ended = state, reason, 5, 5, True
        self.model = hub.MODELS["gpt2"]


@pytest.fixture
def arrives(monkeypatch: pytest.MonkeyPatch) -> Callable[[Arriving], None]:
    return lambda download: monkeypatch.setattr(hub, "fetch", lambda _key: download)


def test_fetch_says_where_the_file_lies_or_why_it_does_not(
    arrives: Callable[[Arriving], None], capsys: pytest.CaptureFixture[str]
) -> None:
    arrives(Arriving("done"))
    assert cli.main(["fetch", "gpt2"]) == 0
    assert "GPT-2 124M: " in capsys.readouterr().out
    arrives(Arriving("failed", "the hub can't be reached"))
    assert cli.main(["fetch", "gpt2"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "gptcore: the hub can't be reached"


def test_only_the_five_sizes_can_be_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["fetch", "llama"])
    assert "invalid choice: 'llama'" in capsys.readouterr().err
    assert set(weights_commands.COMMANDS) == {"fetch", "verify", "export"}

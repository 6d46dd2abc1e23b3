"""Home: the recorded run as a time machine, and the small live model."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import gptcore.paths
from gptcore.baselines import counting_losses
from gptcore.config import SamplingConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.library import load_model
from gptcore.memorization import CopyIndex, copied_tokens
from gptcore.runs.store import Run
from gptcore.sampling import effective_choices, next_logits, next_token_table
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text
from pages._ui import replay, startup, thread

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDED = Run(thread.RECORDED_RUN)
Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def _torch_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests import PyTorch themselves, so no page has to wait for it."""
    monkeypatch.setattr(startup, "torch_is_here", lambda: True)


@pytest.fixture
def pocket(finished_run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the bundled small model."""
    path = finished_run.weights("best")
    assert path is not None
    monkeypatch.setattr(gptcore.paths, "POCKET_MODEL", path)
    return path


def evaluations(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.metrics()[0] if row["val_loss"] is not None]


def chart(page: AppTest, key: str) -> dict[str, Any]:
    return json.loads(page.get_by_key(key).proto.spec)


def pieces(page: AppTest) -> list[dict[str, str]]:
    return json.loads(page.get_by_key("home_text").proto.json)["pieces"]


def prose(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.caption])


def test_home_opens_at_the_best_step_and_says_that_it_is_recorded(lesson: Open) -> None:
    page = lesson("home")
    best = min(evaluations(RECORDED), key=lambda row: row["val_loss"])
    assert page.select_slider(key="home_step").value == best["step"]
    assert f"**Recorded step {best['step']}, its best.**" in prose(page)
    assert RECORDED.text.title in prose(page)
    assert f"{best['train_loss']:.2f}" in prose(page)
    assert f"{best['val_loss']:.2f}" in prose(page)


def test_the_slider_goes_from_before_training_to_the_last_evaluation(lesson: Open) -> None:
    steps = ["before training", *(f"step {row['step']}" for row in evaluations(RECORDED))]
    assert lesson("home").select_slider(key="home_step").options == steps


def test_dragging_moves_the_cursor_the_losses_and_the_text(lesson: Open) -> None:
    page = lesson("home")
    for row in evaluations(RECORDED)[:2]:
        page.select_slider(key="home_step").set_value(row["step"]).run()
        said = next(sample for sample in RECORDED.samples() if sample["step"] == row["step"])
        cursor = chart(page, "home_curves")["layout"]["shapes"][0]
        assert cursor["x0"] == row["step"]
        assert f"{row['train_loss']:.2f} on the text it learns from and {row['val_loss']:.2f}" in prose(page)
        assert pieces(page)[0]["text"] == said["text"][: len(pieces(page)[0]["text"])]
        if "\n\n\n" not in said["text"]:
            assert "".join(piece["text"] for piece in pieces(page)) == said["text"]


def test_the_step_before_training_shows_the_untrained_losses(lesson: Open) -> None:
    page = lesson("home")
    page.select_slider(key="home_step").set_value(replay.UNTRAINED).run()
    before = RECORDED.status["untrained"]
    assert f"Before training its loss is {before['train_loss']:.2f}" in prose(page)
    assert "**Recorded before training.**" in prose(page)


def test_the_prompt_is_bold_and_copied_passages_are_counted_and_marked(
    lesson: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "recorded"
    shutil.copytree(RECORDED.folder, folder)
    run, story = Run(folder), RECORDED.text
    step = min(evaluations(run), key=lambda row: row["val_loss"])["step"]
    passage = " ".join(story.text[:1_000].split(" ")[20:34])
    sample = {"step": step, "prompt": "Nobody said", "text": f"Nobody said {passage} zebra zebra"}
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
    monkeypatch.setattr(thread, "RECORDED_RUN", folder)
    page = lesson("home")
    tokenizer = load_tokenizer()
    train_text, _ = split_text(story.text, run.train_config.train_fraction)
    written = tokenizer.encode(sample["text"])[len(tokenizer.encode(sample["prompt"])) :]
    copied = copied_tokens(CopyIndex(tokenizer.encode(train_text)).spans(written, replay.MIN_COPIED))
    assert copied > 10
    assert f"{copied} of the {len(written)} tokens" in prose(page)
    assert sum("copied" in piece["kind"] for piece in pieces(page)) == copied
    assert "".join(piece["text"] for piece in pieces(page) if "prompt" in piece["kind"]) == sample["prompt"]


def test_the_counting_lines_are_those_of_gptcore(lesson: Open) -> None:
    levels = [
        float(re.findall(r"[\d.]+$", note["text"])[0])
        for note in chart(lesson("home"), "home_curves")["layout"]["annotations"]
    ]
    parts = [load_tokenizer().encode(part) for part in split_text(load_text(OWN_STORY).text, 0.9)]
    counted = counting_losses(parts[0], parts[1], load_tokenizer().vocab_size)
    expected = [math.log(load_tokenizer().vocab_size), counted["unigram"], counted["bigram"]]
    assert levels == pytest.approx(expected, abs=0.005)


def test_before_pytorch_is_there_home_shows_the_curves_and_says_what_follows(
    lesson: Open, pocket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "torch_is_here", lambda: False)
    page = lesson("home")
    assert not page.exception
    assert "PyTorch is being loaded" in prose(page)
    assert chart(page, "home_curves")["data"]
    assert not page.text_input


def test_home_is_drawn_without_pytorch() -> None:
    script = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "from pages._ui import startup\n"
        "startup.begin = lambda: None\n"
        f"page = AppTest.from_file({str(REPOSITORY / 'app.py')!r}, default_timeout=60).run()\n"
        "assert not page.exception and page.select_slider\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_the_small_model_its_box_is_not_there(
    lesson: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gptcore.paths, "POCKET_MODEL", tmp_path / "missing.safetensors")
    page = lesson("home")
    assert not page.exception
    assert not page.text_input


def test_what_is_typed_changes_the_bars_and_the_sentence(lesson: Open, pocket: Path) -> None:
    page = lesson("home")
    model, tokenizer = load_model(pocket)
    for prompt in (load_text(OWN_STORY).prompt, "The clock"):
        page.text_input(key="home_prompt").set_value(prompt).run()
        table = next_token_table(next_logits(model, tokenizer.encode(prompt)), tokenizer, SamplingConfig())
        likeliest = table["probability"].nlargest(10).tolist()
        choices = effective_choices(table["probability"].to_numpy())
        bars = chart(page, "home_bars")["data"][0]
        assert len(bars["y"]) == 11
        assert bars["text"][:10] == [f"{probability:.1%}" for probability in likeliest]
        assert f"gets {likeliest[0]:.1%}" in prose(page)
        assert f"among **{choices:,.0f}** equally likely" in prose(page)


def test_a_beginning_that_the_model_cannot_read_gives_one_sentence(lesson: Open, pocket: Path) -> None:
    page = lesson("home")
    page.text_input(key="home_prompt").set_value("🙂 $x$ :red[y]").run()
    assert not page.exception
    assert len(page.error) == 1
    assert page.error[0].value[0].isupper()
    assert ":red[" not in page.error[0].value


def test_train_on_this_text_leads_to_the_training_page(lesson: Open) -> None:
    def ways_on(page: AppTest) -> list[tuple[str, str]]:
        return [(link.label, link.page) for link in page.get("page_link") if "Train" in link.label]

    assert ways_on(lesson("home")) == [("**Train on this text**", "training")]
    other = dataclasses.replace(load_text(OWN_STORY), key="another")
    assert ways_on(lesson("home", **{thread.TEXT: other})) == [("**Train on your text**", "training")]


def test_a_recorded_run_without_evaluations_gives_a_sentence(
    lesson: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "recorded"
    folder.mkdir()
    for name in ("config.json", "text.txt"):
        shutil.copy(RECORDED.folder / name, folder / name)
    monkeypatch.setattr(thread, "RECORDED_RUN", folder)
    page = lesson("home")
    assert not page.exception
    assert [info.value for info in page.info] == ["The recorded run holds no evaluation yet."]

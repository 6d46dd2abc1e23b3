"""Home: the recorded run as a time machine, and the small live model."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import gptcore.paths
from gptcore.baselines import counting_losses
from gptcore.config import SamplingConfig
from gptcore.corpora import OWN_STORY, load_text
from gptcore.draws import effective_choices
from gptcore.library import load_model
from gptcore.memorization import MIN_COPIED, CopyIndex, copied_tokens
from gptcore.runs.store import Run
from gptcore.sampling import next_logits, next_token_table
from gptcore.tokenizer import load_tokenizer
from gptcore.windows import split_text
from pages._ui import startup, thread

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


def machine(page: AppTest) -> dict[str, Any]:
    """What the time machine was given."""
    return json.loads(page.get_by_key("home_time_machine").proto.bytes)


def prose(page: AppTest) -> str:
    return " ".join(element.value for element in [*page.markdown, *page.caption])


def test_home_opens_at_the_best_step_and_says_that_it_is_recorded(lesson: Open) -> None:
    page = lesson("home")
    best = min(evaluations(RECORDED), key=lambda row: row["val_loss"])
    given = machine(page)
    assert given["start"] == given["best"]
    assert given["moments"][given["start"]]["step"] == best["step"]
    assert "Recorded run: 162,419,712 parameters learn" in prose(page)
    assert RECORDED.text.title in prose(page)


def test_the_time_machine_goes_from_before_training_to_the_last_evaluation(lesson: Open) -> None:
    moments = machine(lesson("home"))["moments"]
    rows, before = evaluations(RECORDED), RECORDED.status["untrained"]
    assert [moment["step"] for moment in moments][: len(rows) + 1] == [-1, *(row["step"] for row in rows)]
    assert [moment["train"] for moment in moments[1 : len(rows) + 1]] == [row["train_loss"] for row in rows]
    assert [moment["validation"] for moment in moments[1 : len(rows) + 1]] == [row["val_loss"] for row in rows]
    assert (moments[0]["train"], moments[0]["validation"]) == (before["train_loss"], before["val_loss"])
    assert moments[0]["when"] == "before training"


def test_at_each_moment_stands_what_was_said_there_and_what_of_it_is_copied(lesson: Open) -> None:
    moments = {moment["step"]: moment for moment in machine(lesson("home"))["moments"]}
    tokenizer = load_tokenizer()
    index = CopyIndex(tokenizer.encode(split_text(RECORDED.text.text, 0.9)[0]))
    some = 0
    for sample in RECORDED.samples():
        moment = moments[sample["step"]]
        written = tokenizer.encode(sample["text"])[len(tokenizer.encode(sample["prompt"])) :]
        copied = copied_tokens(index.spans(written, MIN_COPIED))
        texts = ["".join(text for text, kind, _ in moment["pieces"] if wanted in kind) for wanted in ("", "prompt")]
        if "\n\n\n" not in sample["text"]:
            assert texts == [sample["text"], sample["prompt"]]
        assert moment["has_copied"] == (copied > 0) == any("copied" in kind for _, kind, _ in moment["pieces"])
        if copied:
            some += 1
            assert moment["copied"].startswith(f"{copied} of the {len(written)} tokens")
    assert 0 < some < len(moments)


def test_the_counting_lines_are_those_of_gptcore(lesson: Open) -> None:
    parts = [load_tokenizer().encode(part) for part in split_text(load_text(OWN_STORY).text, 0.9)]
    counted = counting_losses(parts[0], parts[1], load_tokenizer().vocab_size)
    expected = [math.log(load_tokenizer().vocab_size), counted["unigram"], counted["bigram"]]
    assert [level for _, level in machine(lesson("home"))["lines"]] == pytest.approx(expected)


def test_before_pytorch_is_there_home_shows_the_curves_and_says_what_follows(
    lesson: Open, pocket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "torch_is_here", lambda: False)
    monkeypatch.setattr(startup, "wait_for_torch", lambda: (st.caption(startup.loading(0.0)), st.stop()))
    page = lesson("home")
    assert not page.exception
    assert "PyTorch is being loaded" in prose(page)
    assert machine(page)["moments"]
    assert not page.text_input


def test_home_is_drawn_without_pytorch() -> None:
    script = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "import streamlit as st\n"
        "from pages._ui import startup\n"
        "startup.begin, startup.wait_for_torch = lambda: None, st.stop\n"
        f"page = AppTest.from_file({str(REPOSITORY / 'app.py')!r}, default_timeout=60).run()\n"
        "assert not page.exception and page.get_by_key('home_time_machine')\n"
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

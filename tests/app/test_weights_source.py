"""Where GPT-2's weights come from on the page: downloads, refusals with the sum, ticks, one copy for all."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from streamlit.testing.v1 import AppTest

from gptcore import footprint, hub
from gptcore.hub_models import MODELS
from pages._ui import resources, weights_source
from pages._ui.resources import Voice

Open = Callable[..., AppTest]
Refusals = Callable[[AppTest], list[str]]


def ask_for(page: AppTest, key: str) -> AppTest:
    return page.selectbox("pretrained_source").set_value(key).run()


def test_an_upload_that_a_full_disk_cannot_keep_is_refused_and_leaves_nothing_behind(
    lesson: Open, data_home: Path, refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_bytes

    def as_far_as_it_goes(path: Path, data: memoryview) -> int:
        whole(path, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", as_far_as_it_goes)
    page = ask_for(lesson("pretrained"), weights_source.UPLOAD)
    page.file_uploader("pretrained_upload").set_value(("mine.safetensors", b"x" * 100, "")).run()
    assert not page.exception
    assert refusals(page) == ["The file can't be kept: No space left on device."]
    assert [path for path in (data_home / "uploads").rglob("*") if path.is_file()] == []


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub can't be reached, which is known at once."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
def test_a_download_that_fails_says_why_and_what_to_do_and_all_else_goes_on(lesson: Open, refusals: Refusals) -> None:
    page = lesson("pretrained")
    page.button("pretrained_download_gpt2").click().run()
    download = hub.under_way(MODELS["gpt2"])
    assert download is not None
    assert download.wait(10) == "failed"
    page.run()
    assert not page.exception
    (said,) = refusals(page)
    assert "ffline mode is on (HF_HUB_OFFLINE)" in said
    assert "upload the file instead" in said
    assert page.button("pretrained_download_gpt2").label == "Try again"
    assert not page.exception


def test_a_download_under_way_is_seen_by_another_student_and_can_be_stopped(
    lesson: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(_model: object) -> object:
        time.sleep(2)
        raise TimeoutError

    monkeypatch.setattr(hub, "_ask", slowly)
    lesson("pretrained").button("pretrained_download_gpt2").click().run()
    other = lesson("pretrained")
    assert not other.exception
    other.button("pretrained_stop_gpt2").click().run()
    download = hub.under_way(MODELS["gpt2"])
    assert download is not None
    assert download.wait(10) in ("stopped", "failed")


def test_a_size_that_would_not_fit_is_refused_with_the_sum_before_it_is_fetched(
    lesson: Open, refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "spare_memory", lambda: 2**30)
    page = ask_for(lesson("pretrained"), "gpt2-xl")
    (said,) = refusals(page)
    assert "GPT-2 XL 1.5B in float32 needs 6,590 MiB (5,941 of weights" in said
    assert "what would fit: GPT-2 medium in bfloat16, GPT-2 small in float32" in said
    assert not [button for button in page.button if button.key == "pretrained_download_gpt2-xl"]


def test_every_tensor_is_ticked_and_bfloat16_is_said_to_be_converted(lesson: Open, ready: Path) -> None:
    page = lesson("pretrained")
    table = page.dataframe[0].value
    assert table["placed"].all()
    assert set(table["numbers"]) == {"the file's own"}
    half = resources.loaded(Voice("GPT-2", ready, precision="bfloat16"), ready)
    assert {each.mapped for each in half.placed} == {False}
    assert len(half.placed) == len(table)


def test_two_students_hold_the_same_model(lesson: Open, ready: Path) -> None:
    lesson("pretrained")
    first = resources.speak(Voice("GPT-2", ready))[0]
    lesson("pretrained")
    assert resources.speak(Voice("GPT-2", ready))[0] is first

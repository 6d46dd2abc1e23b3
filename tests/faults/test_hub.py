"""Downloads from a hub that cuts, stalls, refuses or lies: the cause within ten seconds, and nothing lost."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from filelock import FileLock
from huggingface_hub import constants
from safetensors.torch import save

from gptcore import hub
from gptcore.config import GPTConfig
from gptcore.hub import Download, fetch, under_way
from gptcore.hub_errors import HELP
from gptcore.hub_models import MODELS
from gptcore.library import new_model
from gptcore.pretrained import load_gpt2, to_gpt2
from gptcore.safetensors_file import WeightsError
from tests.faults import hub_server
from tests.faults.hub_server import Behaviour

SECONDS = 10  # within which a cause must be named
TINY = GPTConfig(
    vocab_size=4_000, context_length=16, emb_dim=64, n_heads=1, n_layers=1, drop_rate=0.0, qkv_bias=True,
    tie_weights=True,
)  # fmt: skip
Serve = Callable[[Behaviour], Behaviour]


@pytest.fixture(scope="module")
def content() -> bytes:
    """A file of GPT-2's form, of more than a MiB so that its header is looked at on the way."""
    return save(to_gpt2(new_model(TINY, 0)), metadata={"format": "pt"})


@pytest.fixture(autouse=True)
def tiny_gpt2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty data folder, an empty cache, and a "gpt2" of a size that is served in a moment."""
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setitem(MODELS, "gpt2", replace(MODELS["gpt2"], config=TINY, sha256=None))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a hub of some behaviour, to which downloads are then sent."""
    with ExitStack() as running:

        def start(does: Behaviour) -> Behaviour:
            monkeypatch.setenv("HF_ENDPOINT", running.enter_context(hub_server.hub(does)))
            return does

        yield start


def parts() -> list[Path]:
    return sorted(MODELS["gpt2"].path.parent.glob("*.part"))


def failure() -> str:
    """Why a download fails, which must be said in time."""
    began = time.monotonic()
    download = fetch("gpt2")
    while not download.has_ended and time.monotonic() - began < SECONDS:
        time.sleep(0.02)
    assert download.state == "failed"
    assert not MODELS["gpt2"].is_here
    assert download.reason.endswith(HELP)
    assert download.reason.isprintable()
    return download.reason


def test_a_download_arrives_whole_is_checked_and_can_be_loaded(serve: Serve, content: bytes) -> None:
    does = serve(Behaviour(content))
    download = fetch("gpt2")
    assert download.wait(SECONDS) == "done"
    assert (download.received, download.total) == (len(content), len(content))
    assert MODELS["gpt2"].path.read_bytes() == content
    assert load_gpt2(MODELS["gpt2"].path).config == TINY
    assert parts() == []
    assert does.tokens == []  # these models are public: nobody's token goes out
    assert does.asked[0] == f"HEAD /{MODELS['gpt2'].repository}/resolve/{MODELS['gpt2'].revision}/model.safetensors"


def test_what_is_here_is_not_asked_for_again(serve: Serve, content: bytes) -> None:
    does = serve(Behaviour(content))
    assert fetch("gpt2").wait(SECONDS) == "done"
    asked = list(does.asked)
    assert fetch("gpt2").wait(SECONDS) == "done"
    assert does.asked == asked


def test_two_students_who_ask_at_once_wait_for_one_download(serve: Serve, content: bytes) -> None:
    does = serve(Behaviour(content, slowly=0.001))
    seen: list[Download] = []
    threads = [threading.Thread(target=lambda: seen.append(fetch("gpt2"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, seen))) == 1
    assert seen[0].wait(SECONDS) == "done"
    assert sum(asked.startswith("GET") for asked in does.asked) == 1


def test_a_connection_that_was_cut_is_taken_up_where_it_ended(serve: Serve, content: bytes) -> None:
    does = serve(Behaviour(content, cut_at=[300_000, 700_000]))
    assert fetch("gpt2").wait(SECONDS) == "done"
    assert MODELS["gpt2"].path.read_bytes() == content
    starts = [int(asked.rpartition("=")[2].rstrip("-")) for asked in does.asked if asked.startswith("GET")]
    assert len(starts) == 3
    assert starts[0] == 0 < starts[1] <= 300_000 < starts[2] <= 700_000


def test_a_stopped_download_goes_on_from_there_the_next_time(serve: Serve, content: bytes) -> None:
    does = serve(Behaviour(content, slowly=0.01))
    download = fetch("gpt2")
    while download.received < 100_000:
        time.sleep(0.01)
    download.stop()
    began = time.monotonic()
    assert download.wait(SECONDS) == "stopped"
    assert time.monotonic() - began < 1
    (part,) = parts()
    here = part.stat().st_size
    assert 100_000 <= here < len(content)
    assert not MODELS["gpt2"].is_here
    does.slowly = 0.0
    assert fetch("gpt2").wait(SECONDS) == "done"
    assert does.asked[-1] == f"GET /cdn/file bytes={here}-"
    assert MODELS["gpt2"].path.read_bytes() == content


def test_a_server_that_ignores_where_to_go_on_sends_all_of_it_again(serve: Serve, content: bytes) -> None:
    serve(Behaviour(content, cut_at=[300_000], whole=True))
    assert fetch("gpt2").wait(SECONDS) == "done"
    assert MODELS["gpt2"].path.read_bytes() == content


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "the hub wants a sign-in (401)"),
        (403, "the hub refuses this machine (403)"),
        (404, "the hub has no such file any more (404)"),
        (407, "the proxy of this network wants a sign-in (407)"),
        (418, "the hub answered with an error (418)"),
        (429, "too many requests from this network (429): wait a few minutes"),
        (500, "the hub is out of order (500): try again later"),
        (503, "the hub is out of order (503): try again later"),
    ],
)
def test_a_refusal_is_told_by_its_cause(serve: Serve, content: bytes, status: int, reason: str) -> None:
    serve(Behaviour(content, status=status))
    assert reason in failure()


def test_a_hub_that_nobody_answers_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert "the hub can't be reached from here" in failure()


def test_offline_mode_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline mode is on (HF_HUB_OFFLINE)" in failure()


def test_a_hub_that_takes_the_connection_and_says_nothing_is_told(serve: Serve, content: bytes) -> None:
    serve(Behaviour(content, silent=True))
    assert "the hub stopped sending" in failure() or "in time" in failure()


def test_a_name_server_that_hangs_is_given_up_and_does_not_block_the_next_try(
    serve: Serve, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Behaviour(content))
    hang, look_up = threading.Event(), socket.getaddrinfo

    def never(*args: object, **kwargs: object) -> object:
        hang.wait(60)
        return look_up(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(hub, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    huggingface_hub.close_session()
    given_up = fetch("gpt2")
    assert "the hub did not answer within 1 seconds" in failure()
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(hub, "PATIENCE_SECONDS", 9.0)
    assert fetch("gpt2").wait(SECONDS) == "done"
    hang.set()
    given_up.wait(SECONDS)
    assert given_up.state == "failed"


def test_a_body_that_stalls_is_told_and_what_came_is_kept(serve: Serve, content: bytes) -> None:
    does = serve(Behaviour(content, stall_at=200_000))
    assert "the hub stopped sending in the middle" in failure()
    (part,) = parts()
    assert part.stat().st_size == 200_000
    does.stall_at = None
    assert fetch("gpt2").wait(SECONDS) == "done"


def test_a_sign_in_page_in_the_hubs_place_is_told(serve: Serve, content: bytes) -> None:
    serve(Behaviour(content, page=True))
    assert "something else answered in the hub's place: a proxy or a sign-in page" in failure()


def test_a_sign_in_page_in_the_files_place_is_told(serve: Serve, content: bytes) -> None:
    serve(Behaviour(content, body_page=True))
    assert "a web page came instead of the file" in failure()


def test_a_file_whose_hash_is_another_is_deleted_and_never_used(serve: Serve, content: bytes) -> None:
    serve(Behaviour(content, sha256=hashlib.sha256(b"other").hexdigest()))
    assert "what arrived is not GPT-2 124M (SHA-256" in failure()
    assert parts() == []


def test_a_known_hash_outweighs_what_the_hub_says(
    serve: Serve, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "gpt2", replace(MODELS["gpt2"], sha256="0" * 64))
    serve(Behaviour(content))
    assert "not 000000000000...)" in failure()


def test_another_model_is_refused_as_soon_as_its_header_is_here(serve: Serve) -> None:
    other = save(to_gpt2(new_model(replace(TINY, n_layers=2, vocab_size=40_000), 0)))
    does = serve(Behaviour(other, slowly=0.001))
    assert "what arrived has the sizes" in failure()
    (part,) = parts()
    assert part.stat().st_size < len(other) // 2
    assert sum(asked.startswith("GET") for asked in does.asked) == 1


@pytest.mark.parametrize("raw", [b"PK\x03\x04" + bytes(3_000), b"version https://git-lfs.github.com/spec/v1\n" * 9])
def test_a_file_of_another_kind_is_refused(serve: Serve, raw: bytes) -> None:
    serve(Behaviour(raw))
    assert "convert it to safetensors" in failure()


def test_a_disk_without_room_is_told_before_anything_is_read(
    serve: Serve, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    does = serve(Behaviour(content))
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000})())
    assert "on the disk, of which 0 are free" in failure()
    assert not any(asked.startswith("GET") for asked in does.asked)


def test_a_data_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path / "file"))
    assert "Not a directory" in failure()


def test_another_process_that_downloads_the_same_is_waited_for(serve: Serve, content: bytes) -> None:
    serve(Behaviour(content))
    folder = MODELS["gpt2"].path.parent
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        assert "another process is downloading it" in failure()
    assert fetch("gpt2").wait(SECONDS) == "done"


def test_what_another_program_has_fetched_is_taken_from_its_cache_without_a_network(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS["gpt2"]
    snapshot = tmp_path / "cache" / "models--openai-community--gpt2" / "snapshots" / model.revision
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(content)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch("gpt2").wait(SECONDS) == "done"
    assert model.path.read_bytes() == content


def test_only_the_fixed_models_can_be_asked_for() -> None:
    with pytest.raises(WeightsError, match=r"no model is called 'http://evil\.example/x'; there are gpt2, distilgpt2,"):
        fetch("http://evil.example/x")
    assert {model.repository for model in MODELS.values()} == {
        "distilbert/distilgpt2",
        "openai-community/gpt2",
        "openai-community/gpt2-medium",
        "openai-community/gpt2-large",
        "openai-community/gpt2-xl",
    }
    assert all(len(model.revision) == 40 for model in MODELS.values())


def test_nobody_has_asked_yet() -> None:
    assert under_way(MODELS["gpt2"]) is None
    assert os.environ["GPTCORE_HOME"] in str(MODELS["gpt2"].path)

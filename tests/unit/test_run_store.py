"""Runs as folders: what is kept, how it is read while it grows, which ids lead anywhere, and how a run is removed."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import Timeout

from gptcore.runs import index
from gptcore.runs.files import read_lines, replace_json
from gptcore.runs.store import RUN_ID, Run, RunStore, create_run, owner_of
from tests.tiny import MODEL, SETTINGS, STORY

TOKEN = "0f7c-a-secret-that-only-one-browser-knows"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --------------------------------------------------------------------------------------------------------- what is kept


def test_the_config_holds_all_it_takes_to_do_it_again(run: Run) -> None:
    assert run.model_config == MODEL
    assert run.train_config == SETTINGS
    assert run.text == STORY
    assert run.config["text"]["sha256"] == STORY.sha256
    assert run.config["versions"].keys() == {"python", "torch", "machine", "processor"}
    assert run.config["created"] <= time.time()


def test_what_else_is_said_of_a_run_stands_in_its_config(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", STORY, MODEL, SETTINGS, owner="somebody", plan={"steps": 10})
    assert (run.config["owner"], run.config["plan"]) == ("somebody", {"steps": 10})


@pytest.mark.parametrize(
    "text",
    [
        STORY.text + "\r\rlone returns\r\n",
        STORY.text + "\u2028\x85\x0c\x1e",
        STORY.text + "<script>alert(1)</script>\0",
        STORY.text + "\ud800 alone",
    ],
    ids=["returns", "separators", "script", "surrogate"],
)
def test_a_text_comes_back_as_it_was_given(text: str, tmp_path: Path) -> None:
    given = replace(STORY, text=text, title="=HYPERLINK(\u202e)\n<img onerror>", prompt="The\nlamp")
    run = create_run(tmp_path / "run", given, MODEL, SETTINGS)
    assert run.text == given


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="already holds something; choose another folder, or go on with --resume"):
        create_run(tmp_path, STORY, MODEL, SETTINGS)
    assert listing(tmp_path) == ["mine.txt"]


# ----------------------------------------------------------------------------------------------------------- the status


def test_a_run_that_nobody_has_touched_is_queued(run: Run) -> None:
    assert run.status == {"state": "queued"}
    assert not run.has_ended
    assert not run.is_alive


def test_a_status_is_replaced_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.update_status(state="running", step=3)
    run.update_status(step=4)
    assert {key: run.status[key] for key in ("state", "step")} == {"state": "running", "step": 4}

    def cut(path: Path, data: str, encoding: str) -> None:
        path.write_bytes(data[:9].encode(encoding))
        raise OSError(28, "No space left on device")

    before = listing(run.folder)
    monkeypatch.setattr(Path, "write_text", cut)
    with pytest.raises(OSError, match="No space left"):
        run.update_status(step=5)
    assert run.status["step"] == 4
    assert listing(run.folder) == before


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("queued", False),
        ("running", False),
        ("interrupted", False),
        ("done", True),
        ("failed", True),
        ("cancelled", True),
    ],
)
def test_a_run_has_ended_where_nothing_comes_by_itself(state: str, ended: bool, run: Run) -> None:
    run.update_status(state=state)
    assert run.has_ended is ended


def test_whoever_holds_the_lock_is_alive(run: Run) -> None:
    with run.lock.acquire():
        assert run.is_alive
    assert not run.is_alive


# ------------------------------------------------------------------------------------------------------ lines of a file


def test_an_unfinished_last_line_is_left_for_next_time(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n{"step": 1}\n{"ste')
    rows, offset = read_lines(path)
    assert [row["step"] for row in rows] == [0, 1]
    assert read_lines(path, offset) == ([], offset)
    with path.open("ab") as file:
        file.write(b'p": 2}\n')
    rows, end = read_lines(path, offset)
    assert [row["step"] for row in rows] == [2]
    assert end == path.stat().st_size


def test_a_character_cut_in_two_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    whole = json.dumps({"text": "語\u2028\x85"}, ensure_ascii=False).encode() + b"\n"
    path.write_bytes(whole + whole[:11])
    assert read_lines(path) == ([{"text": "語\u2028\x85"}], len(whole))


@pytest.mark.parametrize("offset", [0, 7])
def test_no_file_and_an_empty_one_have_no_lines(offset: int, tmp_path: Path) -> None:
    assert read_lines(tmp_path / "metrics.jsonl", offset) == ([], 0)
    (tmp_path / "metrics.jsonl").touch()
    assert read_lines(tmp_path / "metrics.jsonl", offset) == ([], 0)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_file_that_was_cut_is_read_anew(kept: int, tmp_path: Path) -> None:
    """A run that goes on from its checkpoint does the steps after it again."""
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "loss": "x" * step}).encode() + b"\n" for step in range(4)]
    path.write_bytes(b"".join(lines[:3]))
    _, offset = read_lines(path)
    path.write_bytes(b"".join(lines[:kept]))
    rows, cut = read_lines(path, offset)
    assert [row["step"] for row in rows] == list(range(kept))
    path.write_bytes(b"".join(lines))
    assert [row["step"] for row in read_lines(path, cut)[0]] == list(range(kept, 4))


# ------------------------------------------------------------------------------------------------------ looked up by id


def test_ids_cannot_be_guessed_and_lead_back_to_their_runs(runs: RunStore) -> None:
    made = [runs.create(STORY, MODEL, SETTINGS) for _ in range(3)]
    assert len({run.id for run in made}) == 3
    for run in made:
        assert RUN_ID.fullmatch(run.id)
        assert runs.find(run.id) == run
    assert list(runs) == made  # the first submitted first


HOSTILE_IDS = (
    "",
    ".",
    "..",
    "../" * 8 + "etc",
    "/etc/passwd",
    "{id}/",
    "{id}/../{id}",
    "./{id}",
    "{id}\0",
    "{id}\n",
    "*",
    "[a-z0-9]" * 4,
    "{upper}",
    "a" * 16,
    "a" * 100_000,
    "<script>alert(1)</script>",
    "\ud800" * 16,
)


@pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=lambda text: repr(text)[:24])
def test_an_id_that_is_no_runs_finds_none(hostile: str, runs: RunStore) -> None:
    run = create_run(runs.root / "0123456789abcdef", STORY, MODEL, SETTINGS)
    assert runs.find(run.id) == run
    assert runs.find(hostile.replace("{id}", run.id).replace("{upper}", run.id.upper())) is None


def test_no_folder_yet_means_no_runs(runs: RunStore) -> None:
    assert list(runs) == []
    assert runs.find("a" * 16) is None


def test_what_is_no_run_is_not_listed(runs: RunStore, tmp_path: Path) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    (runs.root / ("b" * 16)).mkdir()  # no config yet: half made
    (runs.root / "dispatcher.lock").touch()
    create_run(runs.root / "short", STORY, MODEL, SETTINGS)
    outside = create_run(tmp_path / "outside", STORY, MODEL, SETTINGS)
    (runs.root / ("c" * 16)).symlink_to(outside.folder)
    assert list(runs) == [run]
    assert runs.find("c" * 16) is None


def test_a_run_that_is_deleted_while_somebody_looks_disturbs_nobody(
    runs: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is always an instant between seeing a file and reading it."""
    kept, gone = (runs.create(STORY, MODEL, SETTINGS) for _ in range(2))
    (gone.folder / "config.json").unlink()
    monkeypatch.setattr(Run, "exists", property(lambda run: True))  # as it was an instant ago
    assert list(runs) == [kept]
    assert runs.create(STORY, MODEL, SETTINGS).config["number"] == 3


@pytest.mark.parametrize("written", ["", "{"])
def test_a_config_that_cannot_be_read_keeps_nobody_from_the_other_runs(written: str, runs: RunStore) -> None:
    """An empty file is what a power cut may leave."""
    whole, broken = (runs.create(STORY, MODEL, SETTINGS) for _ in range(2))
    (broken.folder / "config.json").write_text(written, encoding="utf-8")
    assert whole in list(runs)
    assert runs.create(STORY, MODEL, SETTINGS) in list(runs)


# --------------------------------------------------------------------------------------------------- numbers and owners


def test_runs_are_numbered_in_the_order_of_their_coming_even_when_they_come_at_once(runs: RunStore) -> None:
    together = threading.Barrier(6)

    def create(_: int) -> Run:
        together.wait()
        return runs.create(STORY, MODEL, SETTINGS)

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(create, range(6)))
    assert sorted(run.config["number"] for run in made) == [1, 2, 3, 4, 5, 6]
    assert [run.config["number"] for run in runs] == [1, 2, 3, 4, 5, 6]


def test_a_run_of_a_version_without_numbers_comes_first_by_its_date(runs: RunStore) -> None:
    new, old = (runs.create(STORY, MODEL, SETTINGS) for _ in range(2))
    config = old.config
    del config["number"]
    replace_json(old.folder / "config.json", config)
    assert list(runs) == [old, new]
    third = runs.create(STORY, MODEL, SETTINGS)
    assert list(runs) == [old, new, third]


def test_the_number_of_a_deleted_run_is_not_given_again(runs: RunStore) -> None:
    _, last = (runs.create(STORY, MODEL, SETTINGS) for _ in range(2))
    runs.delete(last)
    assert runs.create(STORY, MODEL, SETTINGS).config["number"] == 3


@pytest.mark.parametrize("written", [None, "", "{", "null", "[1]", "Infinity"], ids=str)
def test_where_the_last_number_is_lost_it_is_looked_for_among_the_runs(written: str | None, runs: RunStore) -> None:
    for _ in range(2):
        runs.create(STORY, MODEL, SETTINGS)
    path = runs.root / index.FILE
    path.unlink() if written is None else path.write_text(written, encoding="utf-8")
    assert runs.create(STORY, MODEL, SETTINGS).config["number"] == 3
    assert index.last_number(runs.root) == 3


def test_runs_are_found_by_their_owner_and_one_that_cannot_be_read_yet_at_a_later_look(runs: RunStore) -> None:
    mine, *others = (runs.create(STORY, MODEL, SETTINGS, owner=owner) for owner in ("me", "you", None))
    path = others[0].folder / "config.json"
    written = path.read_text(encoding="utf-8")
    for broken in ("", "[]"):
        path.write_text(broken, encoding="utf-8")
        assert list(runs.whole(owner="me")) == [mine]
        assert list(runs.whole(owner="you")) == []
    path.write_text(written, encoding="utf-8")
    assert list(runs.whole(owner="you")) == [others[0]]
    runs.delete(mine)
    assert list(runs.whole(owner="me")) == []


def test_an_owner_is_a_hash_that_tells_nothing_of_the_token(runs: RunStore) -> None:
    assert owner_of(TOKEN) == owner_of(TOKEN)
    assert owner_of(TOKEN) != owner_of(TOKEN + "x")
    assert RUN_ID.fullmatch(owner_of(TOKEN))
    runs.create(STORY, MODEL, SETTINGS, owner=owner_of(TOKEN))
    files = [path for path in runs.root.rglob("*") if path.is_file()]
    assert any(owner_of(TOKEN).encode() in path.read_bytes() for path in files)
    assert not any(TOKEN.encode() in path.read_bytes() or TOKEN in str(path) for path in files)


# ------------------------------------------------------------------------------------------------------------- the bell


def test_the_bell_rings_when_a_run_comes_is_asked_to_stop_or_is_reopened(runs: RunStore) -> None:
    def rung() -> int:
        time.sleep(0.005)  # some file systems count time in milliseconds
        return runs.bell.stat().st_mtime_ns

    first = runs.create(STORY, MODEL, SETTINGS)
    times = [rung()]
    runs.create(STORY, MODEL, SETTINGS)
    times.append(rung())
    first.ask_to_stop()
    times.append(rung())
    first.reopen()
    times.append(rung())
    assert times == sorted(set(times))


def test_a_run_that_lies_in_no_store_has_no_bell_to_ring(run: Run) -> None:
    run.ask_to_stop()
    run.ask_to_stop()
    assert run.was_asked_to_stop
    assert listing(run.folder.parent) == ["run"]


# ------------------------------------------------------------------------------------------------------------- going on


def test_a_reopened_run_is_queued_anew_with_the_settings_that_were_given(run: Run) -> None:
    run.update_status(state="failed", reason="its process died 3 times", deaths=3, step=7)
    run.ask_to_stop()
    run.reopen(epochs=9)
    status = run.status
    assert (status["state"], status["reason"], status["deaths"], status["step"]) == ("queued", None, 0, 7)
    assert not run.was_asked_to_stop
    assert run.train_config == replace(SETTINGS, epochs=9)
    assert run.model_config == MODEL


def test_a_setting_that_cannot_be_leaves_a_run_as_it_was(run: Run) -> None:
    run.update_status(state="done")
    with pytest.raises(ValueError, match="epochs=0 is outside"):
        run.reopen(epochs=0)
    assert (run.status["state"], run.train_config) == ("done", SETTINGS)


def test_a_run_that_is_trained_is_neither_reopened_nor_deleted(runs: RunStore) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    run.update_status(state="running")
    before = run.config
    with run.lock.acquire():
        with pytest.raises(Timeout):
            run.reopen(epochs=9)
        with pytest.raises(Timeout):
            runs.delete(run)
    assert (run.config, run.status["state"]) == (before, "running")
    assert list(runs) == [run]


# ------------------------------------------------------------------------------------------------------------- removing


def test_a_deleted_run_is_gone_with_all_it_held(runs: RunStore) -> None:
    gone, kept = (runs.create(STORY, MODEL, SETTINGS) for _ in range(2))
    (gone.folder / "checkpoints").mkdir()
    (gone.folder / "checkpoints" / "step-000001.safetensors").touch()
    runs.delete(gone)
    assert list(runs) == [kept]
    assert runs.find(gone.id) is None
    assert [path.name for path in runs.root.iterdir() if path.is_dir()] == [kept.id]


def test_a_run_leaves_the_list_before_its_files_are_removed(runs: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.create(STORY, MODEL, SETTINGS)
    listed: list[list[Run]] = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: listed.append(list(runs)))
    runs.delete(run)
    assert listed == [[]]
    assert not run.folder.exists()


def test_asking_after_a_run_that_was_deleted_makes_no_folder(runs: RunStore) -> None:
    """A tab that still shows it goes on asking."""
    run = runs.create(STORY, MODEL, SETTINGS)
    runs.delete(run)
    assert not run.is_alive
    assert not run.folder.exists()

"""A run in one zip, and the commands that write it: all of it is there, whole, also while the run goes on."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gptcore import __main__ as cli
from gptcore.library import load_model
from gptcore.paths import ASSETS
from gptcore.runs.store import Run, create_run
from gptcore.runs.worker import execute
from gptcore.takehome import archive, reproduce
from tests import tiny


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = create_run(tmp_path / "run", tiny.STORY, tiny.MODEL, tiny.SETTINGS, owner="0123456789abcdef")
    assert execute(run) == "done"
    return run


def packed(run: Run, most_bytes: int | None = None) -> zipfile.ZipFile:
    file = io.BytesIO()
    archive.write(run, file, most_bytes)
    found = zipfile.ZipFile(file)
    assert found.testzip() is None
    return found


def test_everything_is_in_it_and_the_readme_names_each_file(run: Run) -> None:
    home = packed(run)
    readme = home.read("README.txt").decode()
    for name in {*home.namelist()} - {"README.txt"}:
        assert name.partition("/")[0] in readme
    for name in ("metrics.jsonl", "samples.jsonl", "text.txt", "best.safetensors"):
        assert home.read(name) == (run.folder / name).read_bytes()
    ranks = next(name for name in home.namelist() if name.startswith("tiktoken/"))
    assert home.read(ranks) == (ASSETS / "gpt2.tiktoken").read_bytes()
    assert all(entry.date_time[0] > 2000 for entry in home.infolist())


def test_the_owner_and_the_process_stay_here(run: Run) -> None:
    home = packed(run)
    everything = b"".join(home.read(name) for name in home.namelist())
    assert b"0123456789abcdef" not in everything
    assert json.loads(home.read("config.json")).keys() <= set(archive.ASKED_FOR)
    assert json.loads(home.read("status.json"))["best"] == run.status["best"]
    assert "process" not in json.loads(home.read("status.json"))


def test_the_table_holds_the_numbers_of_the_lines(run: Run) -> None:
    table = list(csv.DictReader(io.StringIO(packed(run).read("metrics.csv").decode())))
    rows, _ = run.metrics()
    assert [{name: None if value == "" else float(value) for name, value in row.items()} for row in table] == rows


def test_the_unpacked_folder_is_a_model_to_talk_with(run: Run, tmp_path: Path) -> None:
    packed(run).extractall(tmp_path / "home")
    theirs, ours = load_model(tmp_path / "home")[0], load_model(run.folder)[0]
    pairs = zip(theirs.parameters(), ours.parameters(), strict=True)
    assert all(bool((one == other).all()) for one, other in pairs)


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    home = packed(create_run(tmp_path / "run", tiny.STORY, tiny.MODEL, tiny.SETTINGS))
    readme = home.read("README.txt").decode()
    assert "there are no weights yet" in readme
    assert "had not ended" in readme
    assert "To talk with the model" not in readme
    assert {"best.safetensors"}.isdisjoint(home.namelist())
    assert home.read("metrics.jsonl") == home.read("metrics.csv") == b""
    assert "RECORDED = {\n}" in home.read("reproduce.py").decode()


def test_weights_that_are_too_large_stay_here_and_it_is_said(run: Run) -> None:
    size = archive.weights_size(run)
    assert size is not None
    assert "best.safetensors" in packed(run, size).namelist()
    home = packed(run, size - 1)
    assert "best.safetensors" not in home.namelist()
    assert "the weights are not in here" in home.read("README.txt").decode()


def test_what_a_run_writes_meanwhile_is_in_no_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before, weights = (run.folder / "metrics.jsonl").read_bytes(), (run.folder / "best.safetensors").read_bytes()
    pack = archive._pack

    def pack_and_go_on(*arguments: object) -> None:
        """Before each file the run writes a line, and once it has better weights."""
        with (run.folder / "metrics.jsonl").open("ab") as lines:
            lines.write(before.splitlines(keepends=True)[-1])
        if arguments[1] == "README.txt":
            (run.folder / "new").write_bytes(b"better weights")
            (run.folder / "new").replace(run.folder / "best.safetensors")
        pack(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(archive, "_pack", pack_and_go_on)
    home = packed(run)
    assert home.read("metrics.jsonl") == before
    assert len(home.read("metrics.csv").splitlines()) == len(before.splitlines()) + 1
    assert home.read("best.safetensors") == weights


def test_an_unfinished_line_is_left_out(run: Run) -> None:
    before = (run.folder / "metrics.jsonl").read_bytes()
    with (run.folder / "metrics.jsonl").open("ab") as lines:
        lines.write(b'{"step": 10, "batch')
    assert packed(run).read("metrics.jsonl") == before
    assert max(reproduce.recorded_losses(run)) == 9


def test_large_weights_are_packed_a_piece_at_a_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    pack = archive._pack

    def measured(*arguments: object) -> None:
        name, chunks, *rest = arguments[1:]
        sized = list(chunks)  # type: ignore[call-overload]
        pieces.extend(map(len, sized) if name == "best.safetensors" else [])
        pack(arguments[0], name, sized, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(archive, "CHUNK_BYTES", 1_000)
    monkeypatch.setattr(archive, "_pack", measured)
    weights = (run.folder / "best.safetensors").read_bytes()
    assert packed(run).read("best.safetensors") == weights
    assert max(pieces) == 1_000
    assert sum(pieces) == len(weights)


def test_a_long_run_keeps_its_first_losses_and_some_evaluations(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", tiny.STORY, tiny.MODEL, tiny.SETTINGS)
    with (run.folder / "metrics.jsonl").open("w", encoding="utf-8") as lines:
        for step in range(10_000):
            loss = 1.0 if step % 10 == 0 else None
            row = {"step": step, "batch_loss": 2.0, "train_loss": loss, "val_loss": loss}
            lines.write(json.dumps(row) + "\n")
    found = reproduce.recorded_losses(run)
    assert set(range(reproduce.FIRST_STEPS)) <= found.keys()
    assert sum(train is not None for _, train, _ in found.values()) == reproduce.MOST_EVALUATIONS


def test_a_deleted_run_is_an_error_in_words(run: Run) -> None:
    (run.folder / "config.json").unlink()
    with pytest.raises(OSError, match=r"config\.json"):
        packed(run)


def test_the_name_of_the_file_holds_no_sign_of_a_path(run: Run, tmp_path: Path) -> None:
    assert archive.file_name(run).endswith("-run.zip")
    hostile = tmp_path / "..\\<b>é run-1"
    run.folder.rename(hostile)
    assert archive.file_name(Run(hostile)).endswith("-brun-1.zip")


# ----------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(("name", "extra"), [("a.ipynb", []), ("a.py", []), ("gaps.ipynb", ["--gaps"])])
def test_the_command_writes_what_the_page_hands_out(
    run: Run, tmp_path: Path, name: str, extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    assert cli.main(["notebook", str(run.folder), str(out), *extra]) == 0
    of_the_page = {"a.ipynb": "reproduce.ipynb", "a.py": "reproduce.py", "gaps.ipynb": "gaps.ipynb"}[name]
    assert out.read_text(encoding="utf-8") == archive.documents(run)[of_the_page]()
    assert capsys.readouterr().out.strip() == str(out)


def test_the_command_packs_a_run(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "home.zip"
    assert cli.main(["pack", str(run.folder), str(out)]) == 0
    assert "best.safetensors" in zipfile.ZipFile(out).namelist()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["notebook", "nowhere", "a.py"], "nowhere holds no run"),
        (["notebook", "nowhere", "a.txt"], "a.txt ends neither in .ipynb nor in .py"),
        (["pack", "nowhere", "a.zip"], "nowhere holds no run"),
    ],
)
def test_the_commands_refuse_in_a_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == f"gptcore: {said}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["notebook", "pack"])
def test_a_file_that_is_there_is_not_written_over(run: Run, tmp_path: Path, command: str) -> None:
    out = tmp_path / "mine.py"
    out.write_text("mine", encoding="utf-8")
    assert cli.main([command, str(run.folder), str(out)]) == 2
    assert out.read_text(encoding="utf-8") == "mine"


def test_half_a_zip_is_removed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on the disk")

    monkeypatch.setattr(archive, "_as_csv", full)
    assert cli.main(["pack", str(run.folder), str(tmp_path / "home.zip")]) == 1
    assert not (tmp_path / "home.zip").exists()


def test_documents_are_made_only_when_they_are_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Run] = []
    cells: Callable[[Run], list[object]] = reproduce.cells
    monkeypatch.setattr(reproduce, "cells", lambda run: asked.append(run) or cells(run))
    documents = archive.documents(run)
    assert asked == []
    documents["reproduce.py"]()
    assert asked == [run]

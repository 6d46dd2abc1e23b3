"""Notebooks and scripts that are taken home, run where gptcore is not: they give the digits of the run.

How to read it: ``ALONE`` is put before everything that is run here. It refuses gptcore, every library that a notebook
must do without, and the network. GPT-2's vocabulary comes from the folder that a downloaded run brings along.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gptcore.config import MODEL_PRESETS, TRAIN_PRESETS, GPTConfig, TrainConfig
from gptcore.corpora import OWN_STORY, Text, load_text
from gptcore.runs.store import Run, create_run
from gptcore.runs.worker import execute
from gptcore.takehome import archive, cells, exercise, reproduce
from gptcore.takehome.cells import Cell
from tests import tiny

ALONE = """\
import sys

sys.modules.update(
    dict.fromkeys(["gptcore", "pages", "pandas", "plotly", "streamlit", "safetensors", "tqdm", "regex", "requests"])
)
"""
DUMP = """
import json
print("DUMP" + json.dumps([[r.step, r.batch_loss, r.grad_norm, r.lr, r.train_loss, r.val_loss] for r in records]))
print("SAID" + json.dumps([record.sample.text for record in records if record.sample]))
"""
DRIVER = """\
import sys
import nbformat
from nbclient import NotebookClient

path, errors = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
nbformat.validate(notebook)
folder = {"metadata": {"path": path.rpartition("/")[0]}}
NotebookClient(notebook, timeout=200, kernel_name="python3", allow_errors=errors == "yes", resources=folder).execute()
nbformat.write(notebook, path)
"""
SECONDS = 280


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the class preset, trained here by the program itself, cut short."""
    config = replace(TRAIN_PRESETS["class"], steps=40)
    run = create_run(tmp_path_factory.mktemp("run") / "run", load_text(OWN_STORY), MODEL_PRESETS["class"], config)
    assert execute(run) == "done"
    return run


@pytest.fixture(scope="module")
def unpacked(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a student who took the run home and unpacked it."""
    folder, packed = tmp_path_factory.mktemp("home"), io.BytesIO()
    archive.write(run, packed)
    with zipfile.ZipFile(packed) as file:
        file.extractall(folder)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """No PYTHONPATH, no setting of this machine, and the folder's own copy of the vocabulary."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return kept | {"HOME": str(folder), "TIKTOKEN_CACHE_DIR": str(folder / "tiktoken"), "IPYTHONDIR": str(folder)}


def run_alone(folder: Path, code: str) -> str:
    """What a script prints where nothing of this program can be imported."""
    path = folder / "alone.py"
    path.write_text(code, encoding="utf-8")
    start = f"{ALONE}\nimport runpy\nrunpy.run_path({str(path)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", start],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def dumped(output: str, word: str) -> Any:
    return json.loads(next(line.removeprefix(word) for line in output.splitlines() if line.startswith(word)))


def recorded(run: Run) -> list[list[Any]]:
    names = ("step", "batch_loss", "grad_norm", "lr", "train_loss", "val_loss")
    return [[row[name] for name in names] for row in run.metrics()[0]]


def again(text: Text, model: GPTConfig, training: TrainConfig, folder: Path) -> tuple[Run, str]:
    """Train a run here, then with its script alone."""
    run = create_run(folder / "run", text, model, training)
    assert execute(run) == "done"
    packed = io.BytesIO()
    archive.write(run, packed)
    with zipfile.ZipFile(packed) as file:
        file.extractall(folder)
    return run, run_alone(folder, (folder / "reproduce.py").read_text(encoding="utf-8") + DUMP)


# --------------------------------------------------------------------------------------------------------- reproduction


def test_where_these_tests_run_a_notebook_gptcore_cant_be_imported(unpacked: Path) -> None:
    code = "try:\n    import gptcore\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    assert run_alone(unpacked, code) == "import of gptcore halted; None in sys.modules\n"


def test_the_script_gives_every_digit_of_the_run(run: Run, unpacked: Path) -> None:
    output = run_alone(unpacked, (unpacked / "reproduce.py").read_text(encoding="utf-8") + DUMP)
    assert dumped(output, "DUMP") == recorded(run)
    assert dumped(output, "SAID") == [sample["text"] for sample in run.samples() if sample["step"] >= 0]
    assert "40 updates compared; the largest difference is 0.00e+00 nats." in output
    assert run.samples()[-1]["text"] in output  # the cell that lets it talk says what the last sample says
    losses = next(line for line in output.splitlines() if line.startswith("train and validation loss:"))
    assert str(run.status["best"]["val_loss"]) in losses  # of the weights in best.safetensors


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ({"drop_rate": 0.2}, {"reference": True, "compact_vocab": False, "threads": 1, "steps": 7}),
        ({"tie_weights": True, "qkv_bias": True}, {"warmup_steps": 2, "min_lr": 1e-4, "grad_clip": 0.5}),
        ({}, {"optimiser": "sgd", "variant": "no-mask", "train_share": 0.8}),
        ({}, {"precision": "bfloat16", "stride": 3, "sample_prompt": "The clock"}),
        ({}, {"sealed_fraction": 0.2}),
    ],
    ids=["reference", "tied", "sgd-without-mask", "bfloat16", "sealed"],
)
def test_other_settings_give_their_digits_too(model: dict[str, Any], settings: dict[str, Any], tmp_path: Path) -> None:
    run, output = again(tiny.STORY, replace(tiny.MODEL, **model), replace(tiny.SETTINGS, **settings), tmp_path)
    assert dumped(output, "DUMP") == recorded(run)


def test_a_run_whose_end_was_moved_is_trained_again_in_its_stretches(tmp_path: Path) -> None:
    """Twice longer, the first time out of the midst of an epoch: each time its rate falls along another line."""
    settings = replace(tiny.SETTINGS, warmup_steps=2, min_lr=1e-4)
    run = create_run(tmp_path / "run", tiny.STORY, tiny.MODEL, settings)
    assert execute(run, tiny.stop_at(6, run.ask_to_stop)) == "cancelled"
    run.reopen(steps=13)
    assert execute(run) == "done"
    run.reopen(max_minutes=5.0)  # which moves no number
    run.reopen(steps=21)
    assert execute(run) == "done"
    packed = io.BytesIO()
    archive.write(run, packed)
    with zipfile.ZipFile(packed) as file:
        file.extractall(tmp_path)
    script = (tmp_path / "reproduce.py").read_text(encoding="utf-8")
    assert "EARLIER = [(7, replace(SETTINGS, steps=None)), (13, replace(SETTINGS, steps=13))]" in script
    output = run_alone(tmp_path, script + DUMP)
    assert dumped(output, "DUMP") == recorded(run)
    assert "21 updates compared; the largest difference is 0.00e+00 nats." in output
    cut = run_alone(tmp_path, script.replace("UPDATES = None", "UPDATES = 9") + DUMP)
    assert dumped(cut, "DUMP") == recorded(run)[:9]


def test_a_hostile_text_and_title_are_letters_in_the_script(tmp_path: Path) -> None:
    hostile = "\"\"\"''' {x} %s \\N \\ud800 \ud800 \u202e \r \x0b \u2028 # %% <script>alert(1)</script> =1+1\n" * 20
    text = Text("mine", '</script>"); raise SystemExit(9) #\n# %%', hostile, "# %%")
    run, output = again(text, tiny.MODEL, tiny.SETTINGS, tmp_path)
    assert dumped(output, "DUMP") == recorded(run)
    notebook = json.loads((tmp_path / "reproduce.ipynb").read_text(encoding="utf-8"))
    said = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    assert "script>" not in said


def test_the_text_in_the_script_is_the_text_of_the_run() -> None:
    for letters in ("", "a", "\n", "a\r\nb\n\n", "\ud800 \u202e '\"\\ \x00 \u2028 end", "no line end"):
        assert eval(reproduce.as_literal(letters)) == letters


def test_a_long_text_with_a_fixed_address_is_fetched_and_held_to_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    from gptcore.takehome import standalone

    raw = "The lamp. " * 40_000
    source = replace(reproduce.CATALOGUE["tiny-shakespeare"], sha256=Text("", "", raw, "").sha256)
    monkeypatch.setitem(reproduce.CATALOGUE, source.key, source)
    code = reproduce.text_code(Text(source.key, source.title, raw, source.prompt))
    assert source.url in code
    assert len(code) < 1_000
    monkeypatch.setattr(standalone.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(raw.encode()))
    known = {"fetch": standalone.fetch, "Text": Text}
    exec(code, known)
    assert known["TEXT"].text == raw
    monkeypatch.setattr(standalone.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"another"))
    with pytest.raises(ValueError, match="is not the text of this run"):
        exec(code, known)


def execute_notebook(path: Path, *, errors: bool = False) -> list[dict[str, Any]]:
    """Run a notebook in a kernel of its own, from which gptcore and the network's client are refused."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    first = {
        "cell_type": "code",
        "id": "alone",
        "metadata": {},
        "source": ALONE,
        "execution_count": None,
        "outputs": [],
    }
    notebook["cells"].insert(0, first)
    copy = path.with_name(f"executed-{path.name}")
    copy.write_text(json.dumps(notebook), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-c", DRIVER, str(copy), "yes" if errors else "no"],
        cwd=path.parent,
        env=environment(path.parent),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(copy.read_text(encoding="utf-8"))["cells"]


def printed(cell: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in cell.get("outputs", ()))


def failures(cell: dict[str, Any]) -> list[str]:
    return [f"{each['ename']}: {each['evalue']}" for each in cell.get("outputs", ()) if each["output_type"] == "error"]


def test_the_notebook_runs_in_a_clean_kernel_and_gives_the_same_numbers(run: Run, unpacked: Path) -> None:
    output = "".join(printed(cell) for cell in execute_notebook(unpacked / "reproduce.ipynb"))
    assert "40 updates compared; the largest difference is 0.00e+00 nats." in output
    assert str(run.status["best"]["val_loss"]) in output
    assert run.samples()[-1]["text"] in output


# ----------------------------------------------------------------------------------------------------------------- gaps


def filled(written: list[Cell], but: exercise.Gap | None = None) -> list[Cell]:
    """The notebook with gptcore's own functions in its gaps, all or all but one."""
    solutions = {exercise.with_gap(gap): exercise.solution(gap) for gap in exercise.GAPS if gap != but}
    assert solutions.keys() <= {cell.text for cell in written}
    return [Cell(kind, solutions.get(text, text)) for kind, text in written]


def test_with_its_gaps_filled_every_check_passes_and_a_model_learns(run: Run, unpacked: Path) -> None:
    path = unpacked / "filled.ipynb"
    path.write_text(cells.notebook(filled(exercise.cells(run))), encoding="utf-8")
    executed = execute_notebook(path)
    output = "".join(printed(cell) for cell in executed)
    assert [f"Gap {number} is filled" in output for number in range(1, 5)] == [True] * 4
    first = float(output.partition("first loss ")[2].partition(",")[0])
    assert first == pytest.approx(run.metrics()[0][0]["batch_loss"], abs=1e-3)  # the run's own first batch
    assert all("NotImplementedError" not in "".join(cell["source"]) for cell in executed)


def test_unfilled_every_check_fails_and_says_which_gap_is_open(unpacked: Path) -> None:
    executed = execute_notebook(unpacked / "gaps.ipynb", errors=True)
    checks = [cell for cell in executed if "".join(cell["source"]).startswith("def check_")]
    assert [failures(cell) for cell in checks] == [[f"NotImplementedError: gap {n} is open"] for n in range(1, 5)]
    broken = [cell["id"] for cell in executed if failures(cell) and cell not in checks]
    assert len(broken) == 2  # the two that put the functions to work, at the end
    assert broken == [cell["id"] for cell in executed if cell["cell_type"] == "code"][-2:]


@pytest.fixture(scope="module")
def classroom(run: Run) -> Iterator[types.ModuleType]:
    """The notebook's code in a module, filled in: where other answers can be tried."""
    module = types.ModuleType("classroom")
    sys.modules[module.__name__] = module  # dataclasses look for their module
    code = [cell.text for cell in filled(exercise.cells(run)) if cell.kind == "code"]
    for text in code[:9]:  # imports, and each gap with its check
        exec(text, module.__dict__)
    yield module
    del sys.modules[module.__name__]


WRONG = [
    ("the mask", "scores.masked_fill(~past, -torch.inf)", "scores"),
    ("the mask", "scores.masked_fill(~past, -torch.inf)", "scores.masked_fill(past, -torch.inf)"),
    ("the mask", "scores.masked_fill(~past, -torch.inf)", "scores.masked_fill(~past, 0.0)"),
    ("the mask", ".tril(keys - queries)", ".tril(keys - queries + 1)"),
    ("the mask", ".tril(keys - queries)", ".tril(keys - queries - 1)"),
    ("the mask", ".tril(keys - queries)", ".tril()"),
    ("the loss", "return F.cross", "F.cross"),
    ("the loss", "return F.cross", "return -F.cross"),
    ("the loss", "targets.flatten())", "targets.flatten(), reduction='sum')"),
    ("the loss", "F.cross_entropy(logits.flatten(0, -2).float()", "F.nll_loss(logits.flatten(0, -2).float()"),
    ("the loss", "logits.flatten(0, -2).float()", "torch.softmax(logits.flatten(0, -2), -1)"),
    ("top-k", "return kept | (ties & (ties.cumsum(-1) <= room))", "return logits >= smallest_kept"),
    ("top-k", "return kept | (ties & (ties.cumsum(-1) <= room))", "return kept"),
    ("top-k", "return kept | (ties & (ties.cumsum(-1) <= room))", "kept | ties"),
    ("top-k", "(ties.cumsum(-1) <= room)", "(ties.flip(-1).cumsum(-1).flip(-1) <= room)"),
    ("top-k", "torch.topk(logits, k).values[..., -1:]", "torch.topk(logits.flatten(), k).values[..., -1:]"),
    ("temperature", ") / temperature", ") * temperature"),
    ("temperature", ") / temperature", ")"),
    ("temperature", "(possible - possible.amax(-1, keepdim=True)) / temperature", "possible / temperature"),
    ("temperature", "(possible - possible.amax(-1, keepdim=True)) / temperature", "logits / temperature"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
def test_a_wrong_answer_does_not_pass(classroom: types.ModuleType, name: str, right: str, wrong: str) -> None:
    gap = next(gap for gap in exercise.GAPS if gap.name == name)
    answer = exercise.solution(gap)
    assert answer.count(right) == 1
    try:
        exec(answer.replace(right, wrong), classroom.__dict__)
        with pytest.raises(AssertionError):
            getattr(classroom, gap.check)()
    finally:
        exec(answer, classroom.__dict__)
    getattr(classroom, gap.check)()


def test_another_right_answer_passes(classroom: types.ModuleType) -> None:
    """A check asks for the result, not for our way to it."""
    other = """
def mean_loss(logits, targets):
    p = torch.log_softmax(logits.float(), -1).gather(-1, targets[..., None])
    return -p.mean()
"""
    exec(other, classroom.__dict__)
    try:
        classroom.check_loss()
    finally:
        exec(exercise.solution(exercise.GAPS[1]), classroom.__dict__)


def test_a_text_too_short_for_the_class_preset_gives_way_to_our_story(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", replace(tiny.STORY, text=tiny.STORY.text[:300]), tiny.MODEL, tiny.SETTINGS)
    assert f"Text('{OWN_STORY}'" in "".join(cell.text for cell in exercise.cells(run))


def test_a_gap_that_no_longer_fits_its_function_is_refused() -> None:
    gap = replace(exercise.GAPS[0], first="nothing begins so")
    with pytest.raises(RuntimeError, match="attention_step_by_step has no lines"):
        exercise.with_gap(gap)

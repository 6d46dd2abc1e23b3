"""The house plan, held by machine: which file may import which, what nobody may import, how long a file may be.

How to read it: ``ROOMS`` is the plan, ground floor first. Every import counts, those inside functions and those for
types alike, because a reader follows them all.

What is left out: style and types, which ruff and mypy check.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# A room imports only rooms before it.
ROOMS = (
    "checked",
    "config",
    "machine",
    "paths",
    "address",
    "durable",
    "encodings",
    "published",
    "slips",
    "tokenizer",
    "language",
    "bpe",
    "vocabularies",
    "corpora",
    "books",
    "windows",
    "batches",
    "model",
    "parameters",
    "estimate",
    "costs",
    "baselines",
    "overfitting",
    "loss",
    "likeliest",
    "sampling",
    "draws",
    "nine_words",
    "forward",
    "dropout",
    "schedule",
    "memorization",
    "recitation",
    "extraction",
    "temperatures",
    "against",
    "fast",
    "sampled",
    "variants",
    "records",
    "device",
    "several",
    "training",
    "gradients",
    "line_by_line",
    "one_step",
    "descent",
    "probes",
    "recordings",
    "seeds",
    "judges",
    "floor",
    "diagnosis",
    "gallery",
    "sanity",
    "rates",
    "sweeps",
    "sweep_results",
    "safetensors_file",
    "checkpoint",
    "footprint",
    "number_formats",
    "gpt2_names",
    "pretrained",
    "hub_errors",
    "hub_models",
    "hub",
    "verification",
    "export",
    "library",
    "techniques",
    "race",
    "shelf",
    "runs",
    "classroom",
    "challenge",
    "seal",
    "unsealing",
    "outcome",
    "comparison",
    "timeline",
    "takehome",
    "figures",
    "weights_commands",
    "sweep_commands",
    "commands",
    "__main__",
)

UNPICKLERS = ("cloudpickle", "dill", "joblib", "pickle", "shelve")
PICKLING_CALLS = {"torch.load", "torch.save"}

PAGE_LINES = 150
MODULE_LINES = 300
MODEL_LINES = 350


class Import(NamedTuple):
    """One imported module, by its full name."""

    name: str
    line: int


def source_files(pattern: str) -> list[Path]:
    """The Python files that fit a pattern, as paths from the repository's root."""
    return sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob(pattern))


def module_name(path: Path) -> str:
    """The name by which a file is imported: gptcore/runs/__init__.py is ``gptcore.runs``."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


GPTCORE = source_files("gptcore/**/*.py")
FIGURES = [path for path in GPTCORE if path.is_relative_to("gptcore/figures")]
LESSONS = source_files("pages/*.py")
SCREEN = source_files("app.py") + source_files("pages/**/*.py")
MODULES = {module_name(path): path for path in GPTCORE + SCREEN}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))


def is_ours(name: str) -> bool:
    return name in MODULES or REPOSITORY.joinpath(*name.split(".")).is_dir()


def imported(node: ast.AST) -> Iterator[str]:
    """Full names of the modules that a statement imports; ``from gptcore import model`` names gptcore.model."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        parts = (f"{base}.{alias.name}" for alias in node.names)
        yield from (part if is_ours(part) else base for part in parts)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    nodes = ast.walk(tree(path))
    return tuple(Import(name, getattr(node, "lineno", 0)) for node in nodes for name in imported(node))


def belongs(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def places(paths: Iterable[Path], *packages: str) -> list[str]:
    """Where any of these packages is imported, as "gptcore/model.py:20 imports torch"."""
    return [
        f"{path}:{line} imports {name}"
        for path in paths
        for name, line in imports(path)
        if any(belongs(name, package) for package in packages)
    ]


def room(name: str) -> str | None:
    """The room of a module: ``gptcore.runs.store`` is in ``runs``, a module of others in none."""
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if package == "gptcore" and rest else None


def called(path: Path) -> Iterator[tuple[str, int]]:
    """Calls by full name and line: after ``import torch as t``, ``t.load(...)`` is torch.load."""
    meaning: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            meaning |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            meaning |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield meaning.get(first, first) + dot + rest, node.lineno


def lines(path: Path) -> int:
    return len((REPOSITORY / path).read_text(encoding="utf-8").splitlines())


def too_long(paths: Iterable[Path], limit: int) -> list[str]:
    return [f"{path} has {lines(path)} lines of at most {limit}" for path in paths if lines(path) > limit]


def required() -> set[str]:
    """The names that requirements.txt pins, and those for many machines and for studies."""
    names = ("requirements.txt", "requirements-cluster.txt", "requirements-sweep.txt")
    files = [REPOSITORY / name for name in names]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r"^([\w-]+)==", text, flags=re.MULTILINE))


def test_there_is_something_to_check() -> None:
    assert {"gptcore.config", "gptcore.model"} <= MODULES.keys()
    assert places([Path("gptcore/model.py")], "torch", "gptcore.config")


def test_every_room_of_gptcore_has_a_floor() -> None:
    rooms = {room(module_name(path)) for path in GPTCORE} - {None}
    assert rooms <= set(ROOMS), f"give these a place in ROOMS: {sorted(map(str, rooms - set(ROOMS)))}"


def test_a_room_imports_only_rooms_below_it() -> None:
    floor = {name: number for number, name in enumerate(ROOMS)}
    upward = [
        f"{path}:{line} imports {name}"
        for path in GPTCORE
        for name, line in imports(path)
        if (own := room(module_name(path))) in floor and (other := room(name)) in floor and floor[other] > floor[own]
    ]
    assert upward == []


def test_the_package_itself_imports_no_room() -> None:
    assert places([Path("gptcore/__init__.py")], "gptcore") == []


def test_no_import_is_relative() -> None:
    relative = [f"{path}:{line}" for path in MODULES.values() for name, line in imports(path) if name.startswith(".")]
    assert relative == []


def test_imports_have_no_circles() -> None:
    graph = {name: {found.name for found in imports(path)} & MODULES.keys() for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' <- '.join(error.args[1])}")


def test_gptcore_knows_nothing_of_streamlit_and_the_pages() -> None:
    assert places(GPTCORE, "streamlit", "pages", "app") == []


def test_only_figures_draw_and_they_know_no_torch() -> None:
    assert places(set(GPTCORE) - set(FIGURES), "plotly") == []
    assert places(FIGURES, "torch") == []


def test_loading_the_figures_does_not_load_torch() -> None:
    """A figure takes numbers and frames: it must not wait for the second that torch takes to load."""
    names = ", ".join(["sys", *map(module_name, FIGURES)])
    script = f"import {names}; sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    result = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_screen_leaves_numbers_and_charts_to_gptcore() -> None:
    assert places(SCREEN, "torch", "plotly") == []


def test_no_page_imports_another_page() -> None:
    pages = [module_name(path) for path in LESSONS]
    assert places(set(SCREEN) - {Path("app.py")}, *pages) == []


def test_nothing_is_unpickled() -> None:
    assert places(MODULES.values(), *UNPICKLERS) == []
    calls = [f"{path}:{line} calls {name}" for path in MODULES.values() for name, line in called(path)]
    assert [call for call in calls if call.rpartition(" ")[2] in PICKLING_CALLS] == []


def test_the_program_imports_what_requirements_pin_and_nothing_else() -> None:
    top_level = {name.partition(".")[0] for path in MODULES.values() for name, _ in imports(path)}
    foreign = top_level - sys.stdlib_module_names - {"app", "gptcore", "pages"}
    assert foreign == required()


def test_without_other_machines_nothing_of_them_is_loaded() -> None:
    script = "import sys, gptcore.runs.dispatcher; sys.exit('distributed' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False)
    assert result.returncode == 0


def test_a_page_is_read_in_one_sitting() -> None:
    assert too_long([*source_files("app.py"), *LESSONS], PAGE_LINES) == []


def test_a_module_is_read_in_one_sitting() -> None:
    model = Path("gptcore/model.py")
    assert too_long(set(MODULES.values()) - {Path("app.py"), model, *LESSONS}, MODULE_LINES) == []
    assert too_long([model], MODEL_LINES) == []

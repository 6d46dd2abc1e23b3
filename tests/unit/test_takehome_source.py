"""Cutting functions out of gptcore: as they stand, with all that they need, and refused where that can't be."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

from gptcore import fast, loss, model, sampling, tokenizer, training
from gptcore.config import TrainConfig
from gptcore.takehome import extract, reproduce, source
from gptcore.takehome.extract import collect
from gptcore.takehome.source import Name, SourceError, source_of
from gptcore.variants import VARIANTS


def without_notes(text: str) -> str:
    return "\n".join(source.FOR_TOOLS.sub("", line) for line in text.rstrip().split("\n"))


def made(monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """A module of gptcore that holds this text, until the test ends."""
    found = source._text
    monkeypatch.setattr(source, "_text", lambda module: text if module == "gptcore.made" else found(module))
    source.read.cache_clear()
    return "gptcore.made"


@pytest.mark.parametrize(
    "thing", [loss.mean_loss, model.GPTModel, model.attention_step_by_step, sampling.cut_top_k, training.train]
)
def test_what_is_cut_out_is_what_python_itself_calls_the_source(thing: type) -> None:
    assert source_of(Name(thing.__module__, thing.__name__)) == without_notes(inspect.getsource(thing))


def test_a_method_may_be_left_out_and_nothing_else_goes() -> None:
    name = Name("gptcore.tokenizer", "CompactTokenizer")
    methods = [
        {each.name for each in ast.parse(source_of(name, without)).body[0].body if isinstance(each, ast.FunctionDef)}
        for without in ((), ("spans",))
    ]
    assert methods[0] - methods[1] == {"spans"}
    assert "encode" in methods[1]


def test_the_extract_defines_every_name_that_it_uses(tmp_path: Path) -> None:
    code = reproduce.code_of(TrainConfig(), fetched=True)
    path = tmp_path / "extract.py"
    path.write_text("\n\n\n".join([code.imports, *(part.code for part in code.parts)]), encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E9,F", "--target-version", "py311", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_extract_imports_only_torch_tiktoken_and_what_python_brings() -> None:
    code = reproduce.code_of(TrainConfig())
    everything = ast.parse("\n".join([code.imports, *(part.code for part in code.parts)]))
    imported = {alias.name for node in ast.walk(everything) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(everything) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"torch", "tiktoken"}


def test_the_name_of_a_module_goes_and_what_it_names_stays() -> None:
    parts = {part.module: part.code for part in collect([Name("gptcore.training", "make_optimiser")]).parts}
    assert "return fused_adamw(weights" in parts["gptcore.training"]
    assert inspect.getsource(fast.fused_adamw).rstrip() in parts["gptcore.fast"]


def test_each_variant_brings_its_one_change_and_no_other() -> None:
    for name, variant in VARIANTS.items():
        code = {part.module: part.code for part in reproduce.code_of(TrainConfig(variant=name)).parts}
        classes = {each.name for each in ast.parse(code["gptcore.variants"]).body if isinstance(each, ast.ClassDef)}
        table = {type(each).__name__ for each in VARIANTS.values()}
        assert classes & table == {"Unchanged", type(variant).__name__}


def test_the_tokenizer_of_a_notebook_gives_the_ids_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """r50k_base is fetched by tiktoken; here it reads our copy of that file."""
    from gptcore.takehome import standalone

    ranks = tokenizer.load_tokenizer().ranks
    monkeypatch.setattr("tiktoken_ext.openai_public.load_tiktoken_bpe", lambda *_, **__: ranks)
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    text = "Every effort moves you.\n\n  It's 42 \U0001f642 <|endoftext|> naïve"
    theirs = standalone.gpt2_encoding().encode(text, allowed_special={"<|endoftext|>"})
    assert theirs == tokenizer.load_tokenizer().encode(text, special=True)


# ------------------------------------------------------------------------------------------------------------- refusals


def test_an_import_inside_a_function_is_refused_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made(monkeypatch, "def f():\n    import pandas\n")
    with pytest.raises(SourceError, match=r"gptcore\.made\.f imports inside: line 1"):
        collect([Name(module, "f")])


def test_another_library_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made(monkeypatch, "import pandas as pd\n\n\ndef f():\n    return pd.DataFrame()\n")
    with pytest.raises(SourceError, match=r"pandas \(pandas as pd\) is needed"):
        collect([Name(module, "f")])


def test_two_definitions_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made(monkeypatch, "def mean_loss():\n    return 0\n")
    with pytest.raises(SourceError, match=r"mean_loss is defined in gptcore\.made and in gptcore\.loss"):
        collect([Name(module, "mean_loss"), Name("gptcore.loss", "mean_loss")])


def test_an_import_under_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made(monkeypatch, "from gptcore.loss import mean_loss as price\n\n\ndef f():\n    return price()\n")
    with pytest.raises(SourceError, match="under another name, price"):
        collect([Name(module, "f")])


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(SourceError, match=r"gptcore\.loss defines no median_loss"):
        collect([Name("gptcore.loss", "median_loss")])
    with pytest.raises(SourceError, match=r"no module gptcore\.nothing"):
        collect([Name("gptcore.nothing", "f")])


def test_what_is_left_to_the_student_is_not_there_but_what_it_needs_is() -> None:
    name = Name("gptcore.loss", "mean_loss")
    found = collect([name], left=[name])
    assert found.parts == ()
    assert "from torch.nn import functional as F" in found.imports


def test_an_extract_runs_as_a_module_of_its_own() -> None:
    found = collect([Name("gptcore.schedule", "learning_rate"), Name("gptcore.config", "TrainConfig")])
    alone = types.ModuleType("alone")
    sys.modules["alone"] = alone  # dataclasses look for their module
    try:
        exec("\n\n".join([found.imports, *(part.code for part in found.parts)]), alone.__dict__)
        assert alone.learning_rate(1, 6, alone.TrainConfig(lr=1.0, warmup_steps=4)) == 0.5
        assert alone.TrainConfig is not TrainConfig
    finally:
        del sys.modules["alone"]


def test_only_known_libraries_are_allowed() -> None:
    assert {"torch", "tiktoken"} == extract.ALLOWED - set(sys.stdlib_module_names)

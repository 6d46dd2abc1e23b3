"""The files of gptcore as text: what each defines, what it imports, and any definition as it stands there.

How to read it: a ``Name`` is one definition of one module; ``read`` looks through a module without running it, and
``source_of`` cuts a definition out.

What is left out: what a definition needs to run elsewhere (``extract``).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

PACKAGE = "gptcore"
FOR_TOOLS = re.compile(r"  # (?:noqa|type: ignore)\b.*$")  # notes to this repository's checkers, which no reader needs
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class Name(NamedTuple):
    """One definition: ``Name("gptcore.loss", "mean_loss")``."""

    module: str
    name: str


class Import(NamedTuple):
    """One imported name: ``import module``, or ``from module import name``, perhaps under an alias."""

    module: str
    name: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        named = self.name or self.module
        return f"{named} as {self.alias}" if self.alias else named


class SourceError(RuntimeError):
    """A function of gptcore can't be taken out of it; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file of gptcore, read.

    Attributes:
        about: The first paragraph of its docstring.
        lines: Its lines, as they stand in the file.
        definitions: What it defines, by name.
        foreign: What it imports from elsewhere, by local name.
        own: What it imports from gptcore: the local name to the definition.
        modules: Whole modules of gptcore that it imports, by local name.
    """

    about: str
    lines: list[str]
    definitions: dict[str, Definition] = field(default_factory=dict)
    foreign: dict[str, Import] = field(default_factory=dict)
    own: dict[str, Name] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


def _text(module: str) -> str | None:
    """The source of a module; None where there is no such module."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).read_text(encoding="utf-8")


@cache
def read(module: str) -> Module:
    """Read one module of gptcore, without running it."""
    text = _text(module)
    if text is None:
        raise SourceError(f"there is no module {module}")
    tree = ast.parse(text)
    about = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    found = Module(about, text.split("\n"))
    for statement in _statements(tree.body):
        _note(found, statement)
    return found


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those that are meant for type checkers alone among them."""
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from statement.body
        else:
            yield statement


def _note(found: Module, statement: ast.stmt) -> None:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            found.foreign[alias.asname or alias.name.partition(".")[0]] = Import(alias.name, None, alias.asname)
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            _note_import(found, statement.module or "", alias)
    elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
        found.definitions[statement.name] = statement
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for node in (node for target in targets for node in ast.walk(target)):
            if isinstance(node, ast.Name):
                found.definitions[node.id] = statement


def _note_import(found: Module, module: str, alias: ast.alias) -> None:
    local = alias.asname or alias.name
    if module.partition(".")[0] != PACKAGE:
        found.foreign[local] = Import(module, alias.name, alias.asname)
    elif _text(f"{module}.{alias.name}") is not None:
        found.modules[local] = f"{module}.{alias.name}"
    elif alias.asname is None:
        found.own[local] = Name(module, alias.name)
    else:
        raise SourceError(f"{module}.{alias.name} is imported under another name, {alias.asname}")


def node_of(name: Name) -> Definition:
    """The definition that a name stands for."""
    if name.name not in read(name.module).definitions:
        raise SourceError(f"{name.module} defines no {name.name}")
    return read(name.module).definitions[name.name]


def first_line(node: Definition) -> int:
    """Where a definition begins, its decorators included; counted from 1."""
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])


def source_of(name: Name, without: Iterable[str] = ()) -> str:
    """A definition as it stands in its file, the comment above it included.

    Args:
        name: Which.
        without: Methods to leave out of a class.
    """
    lines, node = list(read(name.module).lines), node_of(name)
    begin, end = first_line(node) - 1, node.end_lineno or node.lineno
    for method in getattr(node, "body", ()):
        if isinstance(method, ast.FunctionDef) and method.name in set(without):
            for number in range(first_line(method) - 2, method.end_lineno or 0):  # with the blank line before it
                lines[number] = "\0"
    while begin and lines[begin - 1].startswith("# ") and not lines[begin - 1].startswith("# --"):
        begin -= 1
    return "\n".join(FOR_TOOLS.sub("", line) for line in lines[begin:end] if line != "\0")

"""gptcore's own functions, cut out of its files with all that they need, so that they run where gptcore is not.

How to read it: a ``Name`` is one definition of one module. ``collect`` starts from the names that are asked for and
follows every name that they use, until nothing of gptcore is missing; the modules then come in an order in which
Python can run them. Imports of gptcore disappear, all others are gathered. Nothing is run on the way, only read.

What is left out: imports inside functions, two definitions with one name, and libraries other than PyTorch and
tiktoken. Each of them is refused with its place, so that a change of gptcore that breaks a notebook is noticed when
one is made.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ALLOWED = {"tiktoken", "torch", "__future__", *sys.stdlib_module_names}
PACKAGE = "gptcore"
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class Name(NamedTuple):
    """One definition: ``Name("gptcore.loss", "mean_loss")``."""

    module: str
    name: str


class SourceError(RuntimeError):
    """A function of gptcore can't be taken out of it; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file of gptcore, read.

    Attributes:
        about: The first paragraph of its docstring.
        lines: Its lines, as they stand in the file.
        definitions: What it defines, by name.
        foreign: What it imports from elsewhere: the local name to (module, name or None, alias or None).
        own: What it imports from gptcore: the local name to the definition.
        modules: Whole modules of gptcore that it imports, by local name.
    """

    about: str
    lines: list[str]
    definitions: dict[str, Definition] = field(default_factory=dict)
    foreign: dict[str, tuple[str, str | None, str | None]] = field(default_factory=dict)
    own: dict[str, Name] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """What was taken out of one module: a cell of a notebook."""

    module: str
    about: str
    code: str


@dataclass(frozen=True, slots=True)
class Extract:
    """Code that runs without gptcore: first the imports, then the parts in their order."""

    imports: str
    parts: tuple[Part, ...]


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
            found.foreign[alias.asname or alias.name.partition(".")[0]] = (alias.name, None, alias.asname)
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
        found.foreign[local] = (module, alias.name, alias.asname)
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
    return "\n".join(line for line in lines[begin:end] if line != "\0")


@dataclass(slots=True)
class _Collector:
    instead: Mapping[Name, str]
    without: frozenset[str]
    left: frozenset[Name]
    taken: dict[Name, str] = field(default_factory=dict)  # definition to its code, gptcore's imports resolved
    needs: dict[str, set[str]] = field(default_factory=dict)  # module to the modules that come before it
    foreign: set[tuple[str, str | None, str | None]] = field(default_factory=set)

    def take(self, name: Name) -> None:
        """Take one definition and, in turn, everything that it uses."""
        node = node_of(name)
        if name in self.taken:
            return
        code = self.instead.get(name) or source_of(name, self.without)
        tree = ast.parse(code)
        names = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
        module = read(name.module)
        for statement in ast.walk(tree):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                raise SourceError(f"{name.module}.{name.name} imports inside: line {first_line(node)}")
        self.taken[name] = _without_module_names(code, tree, module.modules)
        self.needs.setdefault(name.module, set())
        used = {module.own[local] for local in names & module.own.keys()}
        used |= {Name(name.module, local) for local in names & module.definitions.keys()}
        used |= {
            Name(module.modules[each.value.id], each.attr)
            for each in ast.walk(tree)
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in module.modules
        }
        self.foreign |= {module.foreign[local] for local in names & module.foreign.keys()}
        for other in sorted(used - {name}):
            self.take(other)
            if other.module != name.module:
                self.needs[name.module].add(other.module)


def _without_module_names(code: str, tree: ast.AST, modules: Mapping[str, str]) -> str:
    """Code in which ``fast.fused_loss`` is plain ``fused_loss``."""
    lines = [line.encode() for line in code.split("\n")]
    found = [each for each in ast.walk(tree) if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name)]
    for each in sorted(found, key=lambda node: node.col_offset, reverse=True):
        if isinstance(each.value, ast.Name) and each.value.id in modules:
            line = lines[each.lineno - 1]
            lines[each.lineno - 1] = line[: each.col_offset] + line[each.col_offset + len(each.value.id) + 1 :]
    return b"\n".join(lines).decode()


def collect(
    wanted: Iterable[Name],
    instead: Mapping[Name, str] | None = None,
    without: Iterable[str] = (),
    left: Iterable[Name] = (),
) -> Extract:
    """Definitions and all that they need, as code that runs without gptcore.

    Args:
        wanted: What to begin with.
        instead: Other code for some definitions, under the same names.
        without: Methods to leave out of every class.
        left: Definitions that come from elsewhere, a student's hand: what they need is there, they are not.

    Raises:
        SourceError: Something can't be taken out of gptcore; the message names it.

    >>> extract = collect([Name("gptcore.loss", "mean_loss")])
    >>> extract.imports.splitlines()[-2:]
    ['from torch import Tensor', 'from torch.nn import functional as F']
    >>> extract.parts[0].code.splitlines()[0]
    'def mean_loss(logits: Tensor, targets: Tensor) -> Tensor:'
    """
    collector = _Collector(instead or {}, frozenset(without), frozenset(left))
    for name in wanted:
        collector.take(name)
    _check(collector)
    given = {name: code for name, code in collector.taken.items() if name not in collector.left}
    order = TopologicalSorter({module: sorted(before) for module, before in sorted(collector.needs.items())})
    modules = [module for module in order.static_order() if any(name.module == module for name in given)]
    parts = [Part(module, read(module).about, _joined(given, module)) for module in modules]
    return Extract(_imports(collector.foreign), tuple(parts))


def _check(collector: _Collector) -> None:
    homes: dict[str, str] = {}
    for module, name in collector.taken:
        if homes.setdefault(name, module) != module:
            raise SourceError(f"{name} is defined in {homes[name]} and in {module}: one of them needs another name")
    for module, name, _ in collector.foreign:
        if module.partition(".")[0] not in ALLOWED:
            raise SourceError(f"{module} ({name or 'as a whole'}) is needed, and a notebook has only torch and tiktoken")


def _joined(taken: Mapping[Name, str], module: str) -> str:
    """What was taken out of one module, in the order of its file; constants stand together."""
    mine = {node_of(name): code for name, code in taken.items() if name.module == module}
    code = ""
    before: Definition | None = None
    for node in sorted(mine, key=first_line):
        if before is not None:
            code += "\n" if {type(before), type(node)} <= {ast.Assign, ast.AnnAssign} else "\n\n\n"
        code += mine[node]
        before = node
    return code


def _imports(foreign: Iterable[tuple[str, str | None, str | None]]) -> str:
    """Import statements in the usual order: the future, the standard library, the others."""
    whole = {f"import {module}" + (f" as {alias}" if alias else "") for module, name, alias in foreign if name is None}
    parts: dict[str, set[str]] = {}
    for module, name, alias in foreign:
        if name is not None and module != "__future__":
            parts.setdefault(module, set()).add(name + (f" as {alias}" if alias else ""))
    lines = whole | {f"from {module} import {', '.join(sorted(names))}" for module, names in parts.items()}
    standard = {line for line in lines if line.split()[1].partition(".")[0] in sys.stdlib_module_names}
    groups = [["from __future__ import annotations"], *(_ordered(group) for group in (standard, lines - standard))]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _ordered(lines: Iterable[str]) -> list[str]:
    return sorted(lines, key=lambda line: (line.startswith("from"), line))

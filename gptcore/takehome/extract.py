"""Definitions of gptcore with all that they need, as code that runs where gptcore is not.

How to read it: ``collect`` starts from the names that are asked for and follows every name that they use, until nothing
of gptcore is missing; the modules then come in an order in which Python can run them. Imports of gptcore disappear,
all others are gathered. Nothing is run on the way, only read.

What is left out: imports inside functions, two definitions with one name, and libraries other than PyTorch and
tiktoken. Each of them is refused with its place, so that a change of gptcore that breaks a notebook is noticed when
one is made.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from gptcore.takehome.source import Definition, Import, Name, SourceError, first_line, node_of, read, source_of

ALLOWED = {"tiktoken", "torch", *sys.stdlib_module_names}


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


@dataclass(slots=True)
class _Collector:
    instead: Mapping[Name, str]
    without: frozenset[str]
    left: frozenset[Name]
    taken: dict[Name, str] = field(default_factory=dict)  # definition to its code, gptcore's imports resolved
    needs: dict[str, set[str]] = field(default_factory=dict)  # module to the modules that come before it
    foreign: set[Import] = field(default_factory=set)

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
    for each in sorted(collector.foreign, key=str):
        if each.module.partition(".")[0] not in ALLOWED:
            raise SourceError(f"{each.module} ({each}) is needed, and a notebook has only torch and tiktoken")


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


def _imports(foreign: Iterable[Import]) -> str:
    """Import statements in the usual order: the future, the standard library, the others."""
    names: dict[str, set[str]] = {}
    lines = set()
    for each in foreign:
        if each.name is None:
            lines.add(f"import {each}")
        elif each.module != "__future__":
            names.setdefault(each.module, set()).add(str(each))
    lines |= {f"from {module} import {', '.join(sorted(named))}" for module, named in names.items()}
    standard = {line for line in lines if line.split()[1].partition(".")[0] in sys.stdlib_module_names}
    groups = [["from __future__ import annotations"], _ordered(standard), _ordered(lines - standard)]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _ordered(lines: Iterable[str]) -> list[str]:
    return sorted(lines, key=lambda line: (line.startswith("from"), line))

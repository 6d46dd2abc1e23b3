"""A notebook and a script are the same cells in two forms of file.

How to read it: ``notebook`` writes Jupyter's JSON (nbformat 4.5), ``script`` plain Python with ``# %%`` between the
cells, which Jupyter and most editors can take apart again.

What is left out: results. A notebook is written with its cells not yet run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from gptcore.takehome.extract import Extract


class Cell(NamedTuple):
    """One cell; a text never holds a student's words, which stand in code alone, as Python writes them."""

    kind: Literal["markdown", "code"]
    text: str


def parts_as_cells(extract: Extract) -> list[Cell]:
    """What was taken out of gptcore, each module with its name and its own sentence above it."""
    cells = []
    for part in extract.parts:
        cells.append(Cell("markdown", f"### `{part.module}`\n\n{part.about}"))
        cells.append(Cell("code", part.code))
    return cells


def notebook(cells: Sequence[Cell]) -> str:
    """The cells as a Jupyter notebook.

    >>> json.loads(notebook([Cell("code", "1 + 1")]))["cells"][0]["source"]
    ['1 + 1']
    """
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    written = [_written(number, cell) for number, cell in enumerate(cells)]
    return json.dumps({"cells": written, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _written(number: int, cell: Cell) -> dict[str, Any]:
    source = cell.text.split("\n")
    lines = [line + "\n" for line in source[:-1]] + source[-1:]  # not splitlines: a text may hold other line ends
    same = {"cell_type": cell.kind, "id": f"cell-{number:02}", "metadata": {}, "source": lines}
    return same | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {})


def script(cells: Iterable[Cell]) -> str:
    r"""The cells as one Python file; what is not code becomes comments.

    >>> script([Cell("markdown", "Add."), Cell("code", "1 + 1")])
    '# %% [markdown]\n# Add.\n\n# %%\n1 + 1\n'
    """
    return "\n\n".join(_as_python(cell) for cell in cells) + "\n"


def _as_python(cell: Cell) -> str:
    if cell.kind == "code":
        return f"# %%\n{cell.text}"
    return "\n".join(["# %% [markdown]", *(f"# {line}".rstrip() for line in cell.text.split("\n"))])

"""Two commands: ``notebook`` writes a run's notebook or script, ``pack`` the whole run as one file.

What is left out: errors in words and exit codes, which ``__main__`` has for all commands.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gptcore.runs.store import Run

if TYPE_CHECKING:
    from typing import Any


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add both commands to a command line."""
    notebook = commands.add_parser("notebook", help="write a run as a notebook or script that needs torch and tiktoken")
    notebook.add_argument("run", type=Path, metavar="DIR", help="its folder")
    notebook.add_argument("out", type=Path, metavar="FILE", help="a new file, .ipynb or .py")
    notebook.add_argument("--gaps", action="store_true", help="the one with gaps to fill, and checks")
    whole = commands.add_parser("pack", help="pack a run with its weights and notebooks into one zip")
    whole.add_argument("run", type=Path, metavar="DIR", help="its folder")
    whole.add_argument("out", type=Path, metavar="FILE", help="a new file, .zip")


def _run(folder: Path) -> Run:
    if not Run(folder).exists:
        raise ValueError(f"{folder} holds no run")
    return Run(folder)


def notebook(arguments: argparse.Namespace) -> int:
    """Write one notebook or script."""
    from gptcore.takehome import cells, exercise, reproduce

    forms = {".ipynb": cells.notebook, ".py": cells.script}
    form = forms.get(arguments.out.suffix)
    if form is None:
        raise ValueError(f"{arguments.out.name} ends neither in .ipynb nor in .py")
    written = form((exercise if arguments.gaps else reproduce).cells(_run(arguments.run)))
    with arguments.out.open("x", encoding="utf-8", newline="\n") as file:
        file.write(written)
    print(arguments.out)
    return 0


def pack(arguments: argparse.Namespace) -> int:
    """Pack a run; what was begun is removed where it can't be finished."""
    from gptcore.takehome.archive import write

    run = _run(arguments.run)
    with arguments.out.open("xb") as file:
        try:
            write(run, file)
        except BaseException:
            arguments.out.unlink()
            raise
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")
    return 0

"""Where things lie: what the repository brings along, and what this machine collects while it is used.

``$GPTCORE_HOME`` moves everything that is collected (runs, downloaded texts); without it that is ``var/`` in the
repository. ``$GPTCORE_DATA`` may name a folder prepared by a teacher, with texts in ``texts/<key>.txt``.
"""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ASSETS = REPOSITORY / "assets"
RECORDED = ASSETS / "recorded"
POCKET_MODEL = ASSETS / "models" / "pocket.safetensors"  # trained by this program; its card lies beside it


def home() -> Path:
    """The folder of everything that is collected in use; made when something is first stored."""
    return Path(os.environ.get("GPTCORE_HOME") or REPOSITORY / "var")


def runs_home() -> Path:
    """The folder that holds one folder per training run."""
    return home() / "runs"


def texts_home() -> Path:
    """The folder of downloaded texts."""
    return home() / "texts"


def prepared_text(key: str) -> Path | None:
    """The text that a teacher laid ready under ``$GPTCORE_DATA``, where there is one."""
    folder = os.environ.get("GPTCORE_DATA")
    path = Path(folder) / "texts" / f"{key}.txt" if folder else None
    return path if path is not None and path.is_file() else None

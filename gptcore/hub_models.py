"""The five models that can be downloaded, each pinned to a commit: there is no way to name another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gptcore.config import MODEL_PRESETS, GPTConfig
from gptcore.paths import home

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class HubModel:
    """One model on the hub, pinned to a commit.

    Attributes:
        key: Its folder in ``models/``.
        title: Its name on screen.
        config: The shape that its file must have.
        megabytes: About how large the file is; the hub says it exactly.
        sha256: Of the file where it is known beforehand; else the hub's own word is taken.
    """

    key: str
    title: str
    repository: str
    revision: str
    config: GPTConfig
    megabytes: int
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Where its file lies once it is here."""
        return home() / "models" / self.key / WEIGHTS_FILE

    @property
    def is_here(self) -> bool:
        """Whether it has been downloaded, or laid ready."""
        return self.path.is_file()


def _gpt2(size: str) -> GPTConfig:
    return MODEL_PRESETS[f"gpt2-{size}"]


MODELS = {
    model.key: model
    for model in (
        HubModel(
            "gpt2",
            "GPT-2 124M",
            "openai-community/gpt2",
            "607a30d783dfa663caf39e06633721c8d4cfcd7e",
            _gpt2("small"),
            548,
            "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        ),
        HubModel(
            "distilgpt2",
            "DistilGPT-2 82M",
            "distilbert/distilgpt2",
            "2290a62682d06624634c1f46a6ad5be0f47f38aa",
            replace(_gpt2("small"), n_layers=6),
            353,
        ),
        HubModel(
            "gpt2-medium",
            "GPT-2 medium 355M",
            "openai-community/gpt2-medium",
            "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
            _gpt2("medium"),
            1_520,
        ),
        HubModel(
            "gpt2-large",
            "GPT-2 large 774M",
            "openai-community/gpt2-large",
            "32b71b12589c2f8d625668d2335a01cac3249519",
            _gpt2("large"),
            3_247,
        ),
        HubModel(
            "gpt2-xl",
            "GPT-2 XL 1.5B",
            "openai-community/gpt2-xl",
            "15ea56dee5df4983c59b2538573817e1667135e2",
            _gpt2("xl"),
            6_432,
        ),
    )
}

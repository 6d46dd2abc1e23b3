"""How long the forward lesson keeps a student waiting: a prompt that nobody asked before, and another head of it.

The page runs as on a server, through app.py, in Streamlit's own test harness: what is timed is one run of the script,
no browser and no network. Weights are loaded before the clock starts. Of GPT-2's small shape the weights are random,
which costs the same. Another head draws the maps alone, as its part of the page does. Beside the clock stands the
processor's time, which other work on the machine changes little.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from streamlit.testing.v1 import AppTest

from gptcore.config import MODEL_PRESETS
from gptcore.corpora import OWN_STORY, load_text
from gptcore.library import new_model
from gptcore.paths import POCKET_MODEL, REPOSITORY
from gptcore.pretrained import save_gpt2
from gptcore.tokenizer import load_tokenizer
from pages._ui import startup

ROUNDS, TOKENS = 7, 64
PROMPT = f"forward_prompt_{OWN_STORY}"
MAPS_ALONE = """
from pathlib import Path
from pages._ui import attention, forward_pass
from pages._ui.resources import Voice
seen = forward_pass.send(Voice("model", Path({path!r})), {prompt!r})
attention.maps(seen, len(seen.ids) - 1)
"""


def prompts() -> list[str]:
    """Passages of our story, each of as many tokens as the lesson shows."""
    tokenizer = load_tokenizer()
    ids = tokenizer.encode(load_text(OWN_STORY).text)
    return [tokenizer.decode(ids[start : start + TOKENS]) for start in range(0, ROUNDS * TOKENS, TOKENS)]


class Cost(NamedTuple):
    """Milliseconds of one run of a script: by the clock, and of a processor's core."""

    clock: float
    core: float


def cost(action: Callable[[], AppTest]) -> Cost:
    """One run of a script."""
    clock, core = time.perf_counter(), time.process_time()
    page = action()
    spent = Cost(1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - core))
    if page.exception or page.error:
        raise RuntimeError(str([*page.exception, *page.error]))
    return spent


def median(costs: Iterable[Cost]) -> Cost:
    """The middle of each."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def view(label: str) -> Cost:
    """What it costs to draw the whole page for a new prompt, by the model of this name."""
    page = AppTest.from_file(REPOSITORY / "app.py", default_timeout=120).run()
    page.switch_page("pages/forward.py").run()
    page.selectbox("forward_voice").select(label).run()
    return median(cost(page.text_input(PROMPT).set_value(each).run) for each in prompts())


def another_head(path: Path, heads: int) -> Cost:
    """What it costs to draw the maps for another head of a prompt that has passed."""
    script = MAPS_ALONE.format(path=str(path), prompt=prompts()[0])
    page = AppTest.from_string(script, default_timeout=120).run()
    head = page.number_input("forward_head")
    return median(cost(head.set_value(2 + turn % (heads - 1)).run) for turn in range(ROUNDS))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["GPTCORE_HOME"] = home
        startup.put_aside()
        small = MODEL_PRESETS["gpt2-small"]
        gpt2 = save_gpt2(new_model(small, 0), Path(home) / "models" / "small").parent
        pocket = MODEL_PRESETS["pocket"]
        print(f"{f'the forward lesson, {TOKENS} tokens':50} {'ms':>6} {'core':>6} {'goal':>6}")
        for name, label, path, heads, goal in (
            ("bundled model", "pocket model", POCKET_MODEL, pocket.n_heads, 500),
            ("GPT-2's small shape", "GPT-2 (small)", gpt2, small.n_heads, 1_500),
        ):
            for what, spent, most in (
                ("a new prompt, the whole page", view(label), goal),
                ("another head", another_head(path, heads), 80),
            ):
                print(f"{f'{name}: {what}':50} {spent.clock:6.0f} {spent.core:6.0f} {most:6,}")

"""What all tests share: no network, threads as they were, the data beside the repository, a browser.

Nothing is seeded here: a test that draws random numbers seeds them itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Read once, when huggingface_hub is imported: so it is set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    """A run sets how many threads PyTorch takes in its process; the next test finds them as they were.

    PyTorch is not loaded for this: a test that does without it need not wait for it.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if torch:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of texts and reference values beside the repository; tests that need it are skipped elsewhere."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data beside the repository, which is not there")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The executable of a Chromium, for tests that drive a real browser.

    ``$CHROMIUM`` names one; without it the system's is taken, then Playwright's own. Where there is none the test is
    skipped, but with ``GLASSBOX_REQUIRE_BROWSER=1`` it fails: a check that is meant to run must not pass unseen.
    """
    named = os.environ.get("CHROMIUM")
    if named and not Path(named).is_file():
        pytest.fail(f"CHROMIUM={named} is not a file")
    found = named or shutil.which("chromium") or _playwrights_chromium()
    if found is None:
        reason = "no Chromium here: install the system's, or name one with CHROMIUM=/path/to/chromium"
        if os.environ.get("GLASSBOX_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)


def _playwrights_chromium() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None

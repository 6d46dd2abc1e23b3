"""What all tests share: no network, the data beside the repository, a browser.

Nothing is seeded and no thread count is set here: a test that draws random numbers seeds them itself.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# Read once, when huggingface_hub is imported: so it is set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parent.parent


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

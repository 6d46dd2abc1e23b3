"""A real server and a real Chromium: every page that is visited has to be free of faults, whatever else a test asks.

How to read it: ``server`` starts the program as ``make run`` does, with a data folder of its own; ``page`` is a window
of 1280 x 720 that notes each console error, each failed request and each request to another host, and fails the test
in the end if there was one. A file whose server is told more takes ``serve``; a test of several people, ``window``.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from benchmarks.browser import FLAGS
from pages._ui.frame import CLASSROOM, LESSONS, Lesson

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 60  # of patience with a busy machine; nothing is measured
# Under a deep link Streamlit first looks for its server beside the page, is told 404, and finds it at the root.
PAGES = "|".join(lesson.key for lesson in (*LESSONS, CLASSROOM))
PROBES = re.compile(rf"http://[^/]+/(?:{PAGES})/_stcore/(?:health|host-config)")
CUT_OFF = "Cannot send rerun backMessage when disconnected from server"  # a poll while a test holds the line cut
LOG_SHOWN = 5_000  # characters of the server's log beneath a failed test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: each of them drives a browser."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True)
class Server:
    """A running program: its address, and the file that holds what it prints."""

    url: str
    log: Path


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def _wait_until_healthy(process: subprocess.Popen[bytes], server: Server) -> None:
    """Wait for the health check, which opens no session: the first visitor is still to come."""
    for _ in range(SECONDS * 10):
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=SECONDS):
                return
        except urllib.error.URLError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{server.log.read_text(encoding='utf-8')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it is training."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.terminate()
    _, stubborn = psutil.wait_procs(family, timeout=10)
    for member in stubborn:
        member.kill()
    process.wait()


@contextmanager
def _serve(home: Path, *options: str) -> Iterator[Server]:
    """A fresh server on this data folder, told whatever else; it ends with the block."""
    port = _free_port()
    server = Server(f"http://127.0.0.1:{port}", home / "server.log")
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port), *options]
    environment = {name: value for name, value in os.environ.items() if name != "GPTCORE_DATA"}
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment | {"GPTCORE_HOME": str(home)}, stdout=log, stderr=log
        )
    try:
        _wait_until_healthy(process, server)
        yield server
    finally:
        _end(process)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], AbstractContextManager[Server]]:
    """Starts a fresh server whose secrets hold this text."""

    def start(secrets: str) -> AbstractContextManager[Server]:
        home = tmp_path_factory.mktemp("server")
        (home / "secrets.toml").write_text(secrets, encoding="utf-8")
        return _serve(home, "--secrets.files", str(home / "secrets.toml"))

    return start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A fresh server for the tests of one file."""
    with _serve(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    """One Chromium for all tests."""
    expect.set_options(timeout=SECONDS * 1_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=FLAGS)
        yield browser
        browser.close()


def _note_faults(page: Page, server: Server) -> list[str]:
    """The list that grows with every fault of this window."""
    faults: list[str] = []

    def note(fault: str, address: str) -> None:
        if not PROBES.fullmatch(address) and CUT_OFF not in fault:
            faults.append(f"{fault}: {address}")

    def check_host(request: Request) -> None:
        if not request.url.startswith((f"{server.url}/", "data:", "blob:")):
            faults.append(f"asks another host: {request.url}")

    page.on("request", check_host)
    page.on(
        "websocket",
        lambda socket: None if socket.url.startswith(f"ws{server.url[4:]}/") else note("asks another host", socket.url),
    )
    page.on("requestfailed", lambda request: note(f"request failed ({request.failure})", request.url))
    page.on("response", lambda answer: note(f"answered {answer.status}", answer.url) if answer.status >= 400 else None)
    page.on(
        "console", lambda said: note(f"console: {said.text}", said.location["url"]) if said.type == "error" else None
    )
    page.on("pageerror", lambda error: note("uncaught", str(error)))
    return faults


@pytest.fixture
def window(browser: Browser, server: Server) -> Iterator[Callable[[], Page]]:
    """Opens a window of 1280 x 720 on the server, each with a memory of its own, as everybody in a class has one.

    All are in light colours; any fault in one of them fails the test.
    """
    pages: list[Page] = []
    faults: list[list[str]] = []

    def show() -> Page:
        context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 720})
        context.set_default_timeout(SECONDS * 1_000)
        pages.append(context.new_page())
        faults.append(_note_faults(pages[-1], server))
        return pages[-1]

    yield show
    found = [fault for one in faults for fault in one]
    for page in pages:
        page.context.close()
    print(server.log.read_text(encoding="utf-8")[-LOG_SHOWN:])  # noqa: T201  (pytest shows it where a test failed)
    assert found == []


@pytest.fixture
def page(window: Callable[[], Page]) -> Page:
    """The one window of most tests."""
    return window()


@pytest.fixture(scope="session")
def arrive() -> Callable[[Page, Lesson], None]:
    """Waits until a lesson is drawn: its question is the one heading, nothing is running, nothing is an exception."""

    def wait(page: Page, lesson: Lesson) -> None:
        expect(page.get_by_role("heading", name=lesson.question, exact=True)).to_be_visible()
        expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)

    return wait


@pytest.fixture(scope="session")
def press() -> Callable[[Page, Lesson, str], None]:
    """Presses a presenter's key on a lesson as soon as keys are heard there: the script that hears them comes last."""

    def press_heard(page: Page, lesson: Lesson, key: str) -> None:
        expect(page.locator(f".st-key-present_keys_{lesson.key} [aria-keyshortcuts]")).to_be_attached()
        page.keyboard.press(key)

    return press_heard


@pytest.fixture(scope="session")
def from_menu(arrive: Callable[[Page, Lesson], None]) -> Callable[[Page, Lesson], None]:
    """Opens a lesson by a click in the menu, which a narrow window folds away; some page has to be there already."""

    def click(page: Page, lesson: Lesson) -> None:
        folded = page.get_by_test_id("stSidebar").get_attribute("data-collapsed") == "true"
        if folded:
            page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_test_id("stSidebarNavLink").filter(has_text=lesson.title).click()
        if folded:  # it would stay open over the page
            page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
        arrive(page, lesson)
        if folded:  # it slides: what is looked at next should not lie under it
            expect(page.get_by_test_id("stSidebar")).not_to_be_in_viewport()

    return click


@pytest.fixture(scope="session")
def train(arrive: Callable[[Page, Lesson], None]) -> Callable[[Page, int], None]:
    """Opens the training lesson and starts a run of so many steps by a click."""
    training = next(lesson for lesson in LESSONS if lesson.key == "training")

    def start(page: Page, steps: int) -> None:
        page.goto(f"/{training.key}")
        arrive(page, training)
        box = page.get_by_label("Steps", exact=True)
        box.fill(str(steps))
        box.press("Enter")
        arrive(page, training)
        page.get_by_role("button", name="Train").click()

    return start

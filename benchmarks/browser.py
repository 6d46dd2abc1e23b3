"""A real Chromium for measurements: each window notes by itself when its page has a title and a chart on screen.

How to read it: ``chromium`` starts one for as long as something is measured; ``missing`` says why there is none.
``fresh`` is a window that has seen nothing yet, ``Window.open`` goes to an address, ``Window.reload`` loads it again.
Each gives a ``Visit``. The clock is the page's own and begins when the address is asked for: what it takes to tell this
process costs the page nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, WebSocket

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1280, "height": 720}
PATIENCE_MS = 120_000
TITLE = "[data-testid=stHeading]"
CHART = ".js-plotly-plot .main-svg, .curves svg, .playground .rows li"  # Plotly's, the time machine's, the playground's
# Looks at every frame, so that what it finds was there when the frame was drawn. Components have a root of their own.
LOOK = """
(wanted) => {
  const seen = (window.seenAt = {});
  const onScreen = (element) => element.getBoundingClientRect().height > 0;
  const roots = () => {
    const components = document.querySelectorAll("[data-testid^=stBidiComponent]");
    return [document, ...Array.from(components, ({ shadowRoot }) => shadowRoot).filter(Boolean)];
  };
  const look = (now) => {
    const among = roots();
    for (const [name, selector] of Object.entries(wanted))
      if (!(name in seen) && among.some((root) => Array.from(root.querySelectorAll(selector)).some(onScreen)))
        seen[name] = now;
    if (Object.keys(seen).length < Object.keys(wanted).length) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""
SEEN = "(names) => names.every((name) => name in (window.seenAt ?? {}))"
TOLD = """
() => {
  const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const bytes = loaded.reduce((sum, { transferSize }) => sum + transferSize, 0);
  return { seen: window.seenAt, began: performance.timeOrigin, bytes };
}
"""
# For half a second nothing ran, and nothing waited for the script that draws it: a page may begin again by itself.
AT_REST = """
() => {
  const runs = document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]") === null;
  if (runs || document.querySelector("[data-testid=stSkeleton]") !== null) delete window.restsSince;
  else window.restsSince ??= performance.now();
  return performance.now() - window.restsSince > 500;
}
"""
IDLE = "() => new Promise((done) => requestIdleCallback(() => done()))"  # else a reload would wait for what still runs


class Visit(NamedTuple):
    """What one page took to be there.

    Attributes:
        began: When its address was asked for, in seconds since 1970.
        seen: Seconds from then until each thing was on screen, by its name.
        bytes: That came over the wire until the page was at rest, websocket included.
    """

    began: float
    seen: dict[str, float]
    bytes: int


@dataclass
class Window:
    """A window of a browser that notes what is on screen."""

    page: Page
    names: list[str]
    _received: int = 0

    def open(self, address: str) -> Visit:
        """Go to an address."""
        return self._visit(lambda: self.page.goto(address, wait_until="commit"))

    def reload(self) -> Visit:
        """Load the same address again: what the browser kept it need not fetch."""
        return self._visit(lambda: self.page.reload(wait_until="commit"))

    def hear(self, socket: WebSocket) -> None:
        """Count what a websocket brings."""
        socket.on("framereceived", self._count)

    def _count(self, frame: str | bytes) -> None:
        self._received += len(frame)

    def _visit(self, go: Callable[[], object]) -> Visit:
        self._received = 0
        go()
        self.page.wait_for_function(SEEN, arg=self.names)
        self.page.wait_for_function(AT_REST)
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate(IDLE)
        told = self.page.evaluate(TOLD)
        seen = {name: milliseconds / 1e3 for name, milliseconds in told["seen"].items()}
        return Visit(told["began"] / 1e3, seen, told["bytes"] + self._received)


def _executable() -> str | None:
    """The Chromium that ``$CHROMIUM`` names, or the system's."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


def missing() -> str | None:
    """Why nothing can be measured in a browser here, if so."""
    if find_spec("playwright") is None:
        return "not measured: playwright is not installed (requirements-dev.txt)"
    found = _executable()
    if found is None or not Path(found).is_file():
        return "not measured: no Chromium here; install the system's, or name one with CHROMIUM=/path/to/chromium"
    return None


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; only where none is ``missing``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_executable(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def fresh(browser: Browser, **more: str) -> Iterator[Window]:
    """A window with nothing in its caches that looks for the title, the first chart, and more.

    Args:
        browser: To open it in.
        more: Names of other things to be seen, and how to find them (CSS).
    """
    wanted = {"title": TITLE, "chart": CHART, **more}
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.add_init_script(f"({LOOK})({wanted!r})")
    window = Window(page, list(wanted))
    page.on("websocket", window.hear)
    yield window
    context.close()

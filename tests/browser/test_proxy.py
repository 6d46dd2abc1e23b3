"""Two web servers behind a proxy, as docs/servers.md sets them up: a browser stays with one until that one is gone.

Each proxy is tried where its program is installed, with the configuration of the docs; only ports, the user and the
places of temporary files are others.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gptcore.paths import REPOSITORY
from gptcore.runs.store import Run, RunStore, owner_of
from tests.faults.processes import answers, end, end_all_of, serve_pages
from tests.tiny import losses, until

Train = Callable[[Page, int], None]
DOCS = REPOSITORY / "docs" / "servers"
FOREVER = 100_000  # steps
MINUTES = 3 * 60_000  # milliseconds of patience with a run on a busy machine
FOLDERS = "".join(f"{what}_temp_path {what}; " for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


@dataclass(frozen=True)
class Site:
    """A proxy, and the servers behind it by their ports."""

    url: str
    servers: dict[int, subprocess.Popen[bytes]]
    store: RunStore

    def visited(self) -> list[int]:
        """The ports of servers on which a session was ever opened: the first one has a server load PyTorch."""
        alive = [port for port, server in self.servers.items() if server.poll() is None]
        return [port for port in alive if _has_torch(self.servers[port])]


def _has_torch(server: subprocess.Popen[bytes]) -> bool:
    return any("libtorch" in library.path for library in psutil.Process(server.pid).memory_maps())


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"no {name} here: install the system's, or put its folder into PATH")
    return found


def _with_ports(text: str, ports: list[int]) -> str:
    for written, port in zip(("8080", "8601", "8602"), ports, strict=True):
        assert written in text
        text = re.sub(rf"\b{written}\b", str(port), text)
    return text


def nginx(folder: Path, ports: list[int]) -> list[str]:
    """The command that starts nginx, once the configuration has passed nginx's own check."""
    text = _with_ports((DOCS / "nginx.conf").read_text(encoding="utf-8"), ports)
    text = text.replace("/run/nginx.pid", str(folder / "nginx.pid")).replace("http {", f"http {{ {FOLDERS}", 1)
    path = folder / "nginx.conf"
    # Started by root, its workers would be nobody, who may not write here.
    path.write_text(f"user {getpass.getuser()};\n{text}", encoding="utf-8")
    command = [_program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(path)]
    subprocess.run([*command, "-t"], check=True)
    return [*command, "-g", "daemon off;"]


def caddy(folder: Path, ports: list[int]) -> list[str]:
    """The command that starts Caddy, once the configuration has passed Caddy's own check."""
    path = folder / "Caddyfile"
    path.write_text(_with_ports((DOCS / "Caddyfile").read_text(encoding="utf-8"), ports), encoding="utf-8")
    options = ["--config", str(path), "--adapter", "caddyfile"]
    subprocess.run([_program("caddy"), "validate", *options], check=True)
    return [_program("caddy"), "run", *options]


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Two servers on one data folder behind a proxy."""
    front, *behind = _free_ports(3)
    command = request.param(tmp_path, [front, *behind])
    servers = {port: serve_pages(tmp_path, port) for port in behind}
    with (tmp_path / "proxy.log").open("wb") as log:
        proxy = subprocess.Popen(command, env=os.environ | {"HOME": str(tmp_path)}, stdout=log, stderr=log)
    try:
        for port in (*behind, front):
            until(lambda: answers(port))  # noqa: B023  (asked here and now)
        yield Site(f"http://127.0.0.1:{front}", servers, RunStore(tmp_path / "runs"))
    finally:
        proxy.terminate()
        proxy.wait()
        for server in servers.values():
            end(server)
        end_all_of(tmp_path)


def state(page: Page) -> Locator:
    """The line above the chart."""
    return page.get_by_test_id("stCaptionContainer").filter(has_text=re.compile(r"step [\d,]+ of [\d,]+|queued")).first


def keeps(page: Page, run: Run) -> bool:
    """Whether the browser keeps the secret that owns a run; it hears of it a moment after the click that began it."""
    secrets = page.evaluate("localStorage.getItem('glassbox-owner')") or ""
    return run.config["owner"] in map(owner_of, secrets.split())


@pytest.mark.skipif(not hasattr(psutil.Process, "memory_maps"), reason="this system does not say what a process loaded")
@pytest.mark.timeout(600)
def test_a_browser_stays_with_its_server_and_when_that_is_killed_goes_on_with_the_other(
    browser: Browser, site: Site, train: Train
) -> None:
    context = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 720})
    context.set_default_timeout(MINUTES)
    page = context.new_page()
    train(page, FOREVER)
    expect(state(page)).to_contain_text("running · step", timeout=MINUTES)
    assert [cookie["name"] for cookie in context.cookies()].count("glassbox_place") == 1
    (port,) = site.visited()
    (run,) = site.store
    until(lambda: keeps(page, run))
    page.reload()
    expect(state(page)).to_contain_text("running · step", timeout=MINUTES)
    assert site.visited() == [port]

    end(site.servers[port])  # it also was the one that starts runs
    (other,) = set(site.servers) - {port}
    until(lambda: site.visited() == [other])
    shown = state(page).inner_text()
    expect(state(page)).not_to_have_text(shown, timeout=MINUTES)  # the page polls again, at the other server
    page.get_by_role("button", name="Cancel").click()  # which knows whose run it is
    expect(state(page)).to_contain_text("cancelled · step", timeout=MINUTES)
    context.close()
    assert list(site.store) == [run]
    assert run.status["attempt"] == 1
    assert len(losses(run)) == run.status["step"] + 1

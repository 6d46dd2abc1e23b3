"""A hub on this machine: as much of the real one's protocol as a download needs, and every way in which it can fail."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
PAGE = b"<!DOCTYPE html><title>Sign in to this network</title>"


@dataclass
class Behaviour:
    """What this hub answers; the file's own bytes lie elsewhere, as on the real one, under /cdn.

    Attributes:
        content: The file.
        status: Of the hub's answer; 302 is the good one.
        page: A web page answers in the hub's place.
        body_page: A web page answers in the place of the file's bytes.
        cut_at: The connection is cut after so many bytes of the file, once for each entry.
        stall_at: Nothing more is sent after so many bytes, though the connection stays.
        silent: The connection is taken and nothing is ever answered.
        whole: A range that was asked for is ignored.
        sha256: What the hub says of the content; None is the truth.
        slowly: Seconds between two pieces.
        asked: What was asked for, "HEAD /..." or "GET /... bytes=N-".
    """

    content: bytes
    status: int = 302
    page: bool = False
    body_page: bool = False
    cut_at: list[int] = field(default_factory=list)
    stall_at: int | None = None
    silent: bool = False
    whole: bool = False
    sha256: str | None = None
    slowly: float = 0.0
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    tokens: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_HEAD(self) -> None:
        does = self.server.does
        does.asked.append(f"HEAD {self.path}")
        does.tokens += [value for name, value in self.headers.items() if name.lower() == "authorization"]
        if does.silent:
            does.over.wait(60)
        elif does.page:
            self._head(200, Content_Type="text/html", Content_Length=len(PAGE))
        elif does.status != 302:
            self._head(does.status, Content_Length=0)
        else:
            host, port = self.server.server_address[:2]
            self._head(
                302,
                Location=f"http://localhost:{port}/cdn/file" if host else "",
                X_Repo_Commit=COMMIT,
                X_Linked_Etag=f'"{does.sha256 or hashlib.sha256(does.content).hexdigest()}"',
                X_Linked_Size=len(does.content),
                Content_Length=0,
            )

    def do_GET(self) -> None:
        does = self.server.does
        given = self.headers.get("Range")
        does.asked.append(f"GET {self.path} {given}")
        does.tokens += [value for name, value in self.headers.items() if name.lower() == "authorization"]
        if does.body_page:
            self._head(200, Content_Type="text/html", Content_Length=len(PAGE))
            self.wfile.write(PAGE)
            return
        start = int(given.removeprefix("bytes=").removesuffix("-")) if given and not does.whole else 0
        end = len(does.content)
        self._head(206 if given and not does.whole else 200, Content_Length=end - start)
        stop = does.cut_at.pop(0) if does.cut_at else does.stall_at
        until = end if stop is None else min(end, max(start, stop))
        for place in range(start, until, 4_096):
            self.wfile.write(does.content[place : min(until, place + 4_096)])
            self.wfile.flush()
            time.sleep(does.slowly)
        if until < end:
            if stop == does.stall_at:
                does.over.wait(60)
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    does: Behaviour


@contextmanager
def hub(does: Behaviour) -> Iterator[str]:
    """Run such a hub; yields its address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.does = does
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        does.over.set()
        server.shutdown()
        server.server_close()

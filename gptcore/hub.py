"""GPT-2's weights from the Hugging Face hub: each model is downloaded once for everybody.

How to read it: ``fetch`` starts a download, or joins the one under way; it runs in a thread of this process, and a
``Download`` says at any time how far it is, or why it ended. Its ``_work`` is the whole of it: ask the hub for size and
hash, read what is missing, check, and only then give the file its name.

What is left out: ``huggingface_hub`` finds the file (mirrors, proxies, offline mode, what other programs have fetched).
The body is read here, because the library keeps nothing of a download that was stopped, and tries for minutes where
a hub does not answer. The causes of failure, in words: ``hub_errors``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock, Timeout

from gptcore.gpt2_names import check_names, prefix_of, sizes_of
from gptcore.hub_errors import HELP, HubError, explain
from gptcore.hub_models import MODELS, WEIGHTS_FILE, HubModel
from gptcore.safetensors_file import read_header

ANSWER_SECONDS = 4.0  # for a connection, and between two pieces of the file
PATIENCE_SECONDS = 9.0  # then a hub that has said nothing is given up, whatever it hangs on
MIB = 2**20

State = Literal["asking", "loading", "checking", "done", "failed", "stopped"]
ENDED: tuple[State, ...] = ("done", "failed", "stopped")


class _Found(NamedTuple):
    """What the hub says of a file: where its bytes are, how many, and what names this version of it."""

    url: str
    size: int
    etag: str


class _StoppedError(Exception):
    """Somebody asked for an end, or nobody waits any longer."""


class Download:
    """One model on its way here, in a thread of its own; any number of students may look at it.

    Attributes:
        model: Which.
        received: Bytes that are here, those of a former try included.
        total: Bytes of the whole file; 0 until the hub has said it.
        reason: Why it failed, and what to do; empty otherwise.
    """

    def __init__(self, model: HubModel) -> None:
        self.model = model
        self.received = 0
        self.total = 0
        self.reason = ""
        self._state: State = "asking"
        self._began = time.monotonic()
        self._asked_to_stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"download of {model.key}", daemon=True)
        self._thread.start()

    @property
    def state(self) -> State:
        """How far it is; a hub that has been silent for ``PATIENCE_SECONDS`` is given up here."""
        # Looked at from outside, because a name server that hangs holds the thread itself for as long as it likes.
        if self._state == "asking" and time.monotonic() - self._began > PATIENCE_SECONDS:
            self._end("failed", f"the hub did not answer within {PATIENCE_SECONDS:.0f} seconds; {HELP}")
        return self._state

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED

    @property
    def is_stopping(self) -> bool:
        """Whether its end was asked for and has not come yet."""
        return self._asked_to_stop.is_set() and not self.has_ended

    def stop(self) -> None:
        """End it soon; what has arrived stays, and another download goes on from there."""
        self._asked_to_stop.set()

    def wait(self, seconds: float | None = None) -> State:
        """Wait for its end, or so many seconds."""
        self._thread.join(seconds)
        return self.state

    def _end(self, state: State, reason: str = "") -> None:
        with self._lock:
            if self._state not in ENDED:
                self._state, self.reason = state, reason

    def _go_on(self, state: State) -> None:
        """Enter the next stage, unless this download has been given up."""
        with self._lock:
            if self._asked_to_stop.is_set() or self._state in ENDED:
                raise _StoppedError
            self._state = state

    def _run(self) -> None:
        try:
            self._work()
            self._end("done")
        except _StoppedError:
            self._end("stopped")
        except Exception as error:  # noqa: BLE001  (whatever went wrong, someone waits for its reason)
            self._end("failed", explain(error))

    def _work(self) -> None:
        path = self.model.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.model.is_here or _take_from_cache(self.model):
            return
        found = _ask(self.model)
        self._go_on("loading")
        with _alone(path.parent):
            part = path.with_name(f"{WEIGHTS_FILE}.{found.etag[:16]}.part")
            self.total = found.size
            self.received = part.stat().st_size if part.is_file() else 0
            _check_disk(path.parent, found.size - self.received)
            self._read_all(found, part)
            self._go_on("checking")
            _check_shapes(self.model, part, found.size)
            _check_hash(self.model, part, found.etag)
            part.replace(path)

    def _read_all(self, found: _Found, part: Path) -> None:
        """Read until all is here: a connection that was cut is taken up again as long as each try brings something."""
        while self.received < found.size:
            before = self.received
            try:
                self._read_on(found, part)
            except (_StoppedError, HubError):
                raise
            except Exception:
                if self.received == before:
                    raise
            if self.received == before:
                raise HubError("the hub sends an empty file")

    def _read_on(self, found: _Found, part: Path) -> None:
        """One connection: read from where the file ends, to its end."""
        from huggingface_hub import get_session

        headers = {"Accept-Encoding": "identity", "Range": f"bytes={self.received}-"}
        with get_session().stream("GET", found.url, headers=headers, timeout=ANSWER_SECONDS) as answer:
            answer.raise_for_status()
            if "html" in answer.headers.get("content-type", ""):
                raise HubError("a web page came instead of the file: a proxy or a sign-in page of this network")
            if answer.status_code != 206:  # the whole file, whatever was asked for
                self.received = 0
            checked = False
            with part.open("r+b" if part.is_file() else "wb") as file:
                file.truncate(self.received)
                file.seek(self.received)
                for piece in answer.iter_raw():
                    self._go_on("loading")
                    file.write(piece)
                    self.received += len(piece)
                    if not checked and self.received >= MIB:  # its header is here: other shapes need not be waited for
                        file.flush()
                        _check_shapes(self.model, part, found.size)
                        checked = True


def _ask(model: HubModel) -> _Found:
    """Size, hash and address of a model's file, in one request without a body; no token is ever sent."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hf_hub_url(model.repository, WEIGHTS_FILE, revision=model.revision, endpoint=endpoint)
    said = get_hf_file_metadata(url, token=False, timeout=ANSWER_SECONDS, endpoint=endpoint)
    if said.commit_hash is None or said.etag is None or not said.size:
        raise HubError("something else answered in the hub's place: a proxy or a sign-in page of this network")
    if not said.etag.isalnum():
        raise HubError("the hub names the file in a way that is not understood")
    return _Found(said.location, said.size, said.etag)


def _take_from_cache(model: HubModel) -> bool:
    """Take the file that another program has fetched from the hub, where there is one; its hash was checked then."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.repository, WEIGHTS_FILE, revision=model.revision)
    if not isinstance(cached, str):
        return False
    source = Path(cached).resolve()
    _check_shapes(model, source, source.stat().st_size)
    draft = model.path.with_name(f"{WEIGHTS_FILE}.{os.getpid()}.copy")
    try:
        os.link(source, draft)
    except OSError:  # another disk
        shutil.copyfile(source, draft)
    draft.replace(model.path)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes with the same data folder away from the file meanwhile."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HubError("another process is downloading it: wait for that") from None
    try:
        yield
    finally:
        lock.release()


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise HubError(f"it needs {needed // MIB:,} MiB on the disk, of which {free // MIB:,} are free")


def _check_shapes(model: HubModel, file: Path, size: int) -> None:
    """Hold the header to the shape that this model must have."""
    entries = read_header(file, size).tensors
    prefix = prefix_of(entries)
    shape = model.config
    wanted = {"V": shape.vocab_size, "T": shape.context_length, "C": shape.emb_dim, "L": shape.n_layers}
    sizes = sizes_of(entries, prefix)
    if sizes != wanted:
        raise HubError(f"what arrived has the sizes {sizes}, but {model.title} has {wanted}")
    check_names("what arrived", entries, prefix, sizes)


def _check_hash(model: HubModel, part: Path, etag: str) -> None:
    """Hold the whole file to its hash; a wrong one can't be mended by going on, so it is deleted."""
    wanted = model.sha256 or (etag if len(etag) == 64 else None)  # an etag of 40 digits is no hash of the file alone
    if wanted is None:
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        part.unlink()
        raise HubError(f"what arrived is not {model.title} (SHA-256 {found[:12]}..., not {wanted[:12]}...): try again")


_downloads: dict[Path, Download] = {}  # here, not in a page's cache: that may be cleared by any visitor
_starting = threading.Lock()


def under_way(model: HubModel) -> Download | None:
    """The latest download of a model, under way or ended; None where nobody has asked for one."""
    return _downloads.get(model.path)


def fetch(key: str) -> Download:
    """Start the download of a model, or join the one that is under way.

    Args:
        key: One of ``MODELS``: there is no way to name another address.

    Raises:
        HubError: No such model.
    """
    if key not in MODELS:
        raise HubError(f"no model is called {key[:40]!r}; there are {', '.join(MODELS)}")
    model = MODELS[key]
    with _starting:
        current = _downloads.get(model.path)
        if current is None or current.has_ended:
            current = _downloads[model.path] = Download(model)
        return current

"""A school's machines on this one: certificates, a scheduler and its workers, all real, all on the loopback address.

They are started as the README says, with the docs' configuration; only ports and the places of files are others.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from gptcore.paths import REPOSITORY
from gptcore.runs.store import Run

CONFIGURATION = REPOSITORY / "docs" / "servers" / "dask.yaml"


def make_certificates(folder: Path) -> Path:
    """An authority and one certificate, by the two commands of the README.

    Raises:
        OSError: There is no OpenSSL here, or one that can't.
    """
    make = [shutil.which("openssl") or "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365"]
    signed = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key"]
    folder.mkdir()
    for command in (
        [*make, "-subj", "/CN=our school", "-keyout", "ca.key", "-out", "ca.pem"],
        [*make, "-subj", "/CN=our machines", *signed, "-keyout", "machine.key", "-out", "machine.pem"],
    ):
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode:
            raise OSError(f"this openssl makes no certificates: {made.stderr}")
    return folder


def free_port() -> int:
    """A port of the loopback address that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and bury it."""
    process.kill()
    process.wait()


class Worker:
    """A worker, and the guests that it has."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder = process, folder

    def guests(self) -> list[Run]:
        """Their folders."""
        return [Run(path.parent) for path in self.folder.rglob("config.json")]


class Lab:
    """A scheduler that can be killed and started again, and workers likewise.

    Args:
        folder: For certificates, logs and the workers' folders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.certificates = make_certificates(folder / "certificates")
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[Worker] = []

    @property
    def environment(self) -> dict[str, str]:
        """What names this scheduler to a web server."""
        return {
            "GPTCORE_SCHEDULER": f"tls://127.0.0.1:{self.port}",
            "GPTCORE_TLS_CA": str(self.certificates / "ca.pem"),
            "GPTCORE_TLS_CERT": str(self.certificates / "machine.pem"),
            "GPTCORE_TLS_KEY": str(self.certificates / "machine.key"),
        }

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        tls = {"--tls-ca-file": "ca.pem", "--tls-cert": "machine.pem", "--tls-key": "machine.key"}
        proof = [part for option, file in tls.items() for part in (option, str(self.certificates / file))]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", *proof],
                cwd=REPOSITORY,
                env=os.environ | {"DASK_CONFIG": str(CONFIGURATION)},
                stdout=log,
                stderr=log,
            )

    def start_scheduler(self) -> None:
        """Start the scheduler; where one was before, on the same port."""
        port = str(self.port)
        self.scheduler = self._start(
            "scheduler", "scheduler", "--protocol", "tls", "--port", port, "--dashboard-address", "127.0.0.1:0"
        )

    def start_worker(self, folder: Path | None = None) -> Worker:
        """Start one worker more.

        Args:
            folder: Where its guests have theirs; None for one that the web machine does not look into.
        """
        number = len(list(self.folder.glob("log-*")))
        folder = folder or self.folder / f"worker-{number}"
        folder.mkdir()
        options = ["--nthreads", "1", "--no-nanny", "--resources", "run=1", "--dashboard-address", "127.0.0.1:0"]
        address = f"tls://127.0.0.1:{self.port}"
        process = self._start(f"log-{number}", "worker", address, *options, "--local-directory", str(folder))
        self.workers.append(Worker(process, folder))
        return self.workers[-1]

    def fill(self, workers: int) -> None:
        """See to it that the scheduler and so many workers run."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            self.start_scheduler()
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]
        while len(self.workers) < workers:
            self.start_worker()

    def kill_scheduler(self) -> None:
        """End the scheduler without a word to anybody."""
        if self.scheduler is not None:
            end(self.scheduler)

    def host_of(self, run: Run) -> Worker:
        """The worker that has this run."""
        alive = [worker for worker in self.workers if worker.process.poll() is None]
        return next(worker for worker in alive for guest in worker.guests() if guest.id.startswith(run.id))

    def close(self) -> None:
        """End them all."""
        for worker in self.workers:
            end(worker.process)
        self.kill_scheduler()

"""How other machines are named in the environment, what of that is refused, and what a page reads of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gptcore.runs import machines as other
from gptcore.runs.machines import ClusterNow, Machine, Settings, cluster_now, machines, settings, tell

NOW = ClusterNow("tls://lab:8786", None, (Machine("lab-1", 2, 4, 2**33, ("0123456789abcdef",)),), 1.0)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if distributed were here, which decides nothing but one refusal."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The three files by the names of their variables."""
    paths = {name: tmp_path / f"{name}.pem" for name in other.FILES.values()}
    for path in paths.values():
        path.touch()
    return {name: str(path) for name, path in paths.items()}


@pytest.mark.parametrize("environment", [{}, {"GPTCORE_SCHEDULER": ""}])
def test_without_a_scheduler_everything_is_trained_here(environment: dict[str, str]) -> None:
    assert settings(environment) is None


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"])
def test_without_encryption_this_machine_may_be_asked(address: str) -> None:
    assert settings({"GPTCORE_SCHEDULER": address}) == Settings(address)


@pytest.mark.parametrize("host", ["10.0.0.5", "lab.school", "localhost.lab.school", "0.0.0.0", "[fe80::1]"])
def test_without_encryption_another_machine_is_refused_unless_someone_insists(host: str) -> None:
    address = f"tcp://{host}:8786"
    with pytest.raises(ValueError, match="is refused: without encryption whoever reaches that port can run anything"):
        settings({"GPTCORE_SCHEDULER": address, "GPTCORE_INSECURE": "0"})
    assert settings({"GPTCORE_SCHEDULER": address, "GPTCORE_INSECURE": "1"}) == Settings(address)


@pytest.mark.parametrize("address", ["lab", "lab:8786", "http://lab:8786", "tls://lab", "tls://:8786", "tls://lab:x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=f"GPTCORE_SCHEDULER={address} is no address of a scheduler"):
        settings({"GPTCORE_SCHEDULER": address})


def test_encryption_needs_all_three_files(files: dict[str, str]) -> None:
    address = {"GPTCORE_SCHEDULER": "tls://10.0.0.5:8786"}
    found = settings(address | files)
    assert found == Settings("tls://10.0.0.5:8786", *map(Path, files.values()))
    for name in files:
        with pytest.raises(ValueError, match=f"{name}= is no file; tls:// needs"):
            settings(address | files | {name: ""})
        with pytest.raises(ValueError, match=f"{name}=nowhere is no file"):
            settings(address | files | {name: "nowhere"})


def test_without_distributed_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs distributed: .*requirements-cluster\.txt"):
        settings({"GPTCORE_SCHEDULER": "tcp://127.0.0.1:8786"})


def test_a_page_reads_what_the_dispatcher_wrote(tmp_path: Path) -> None:
    tell(tmp_path, NOW)
    assert cluster_now(tmp_path) == NOW
    assert machines(tmp_path) == NOW.machines


def test_machines_that_cannot_be_reached_are_none(tmp_path: Path) -> None:
    tell(tmp_path, ClusterNow("tls://lab:8786", "it can't be reached", NOW.machines, 1.0))
    assert machines(tmp_path) == ()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"machines": [{"name": "lab-1"}]}'])
def test_a_file_that_is_missing_or_of_another_version_says_nothing(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / other.CLUSTER_FILE).write_text(content, encoding="utf-8")
    assert cluster_now(tmp_path) is None
    assert machines(tmp_path) == ()

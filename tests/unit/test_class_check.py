"""The evening before: what would not fit is named with its sum, and a class that fits is really played."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import class_check, classroom
from benchmarks.class_check import Machine, check, judge, main, report, sums, too_little
from benchmarks.classroom import Played, Seen
from gptcore.machine import MIB
from gptcore.runs import queue
from gptcore.runs.queue import PROCESS_BYTES, SERVER_BYTES
from tests.tiny import apart

ROOM = Machine(memory=16 * 1024 * MIB, disk=2**40, has_gpt2=True)
SOON = Seen(clicked=1.0, curve=5.0, done=93.6, answers=(0.1, 0.2))


def played(*seen: Seen) -> Played:
    return Played(seen, grew=0, held=900 * MIB, used=1.0)


def never(students: int) -> Played:
    pytest.fail("a class was played that can't fit")


def test_a_class_that_fits_is_told_in_one_sentence() -> None:
    said = report(30, ROOM, sums(30, ROOM), played(SOON, SOON), [])
    assert said.startswith("30 students fit; a class run takes 94 s for all; GPT-2 cached: yes.\n")
    assert "held 900 MiB at most; 95 of 100 answers came within 200 ms" in said


def test_missing_weights_of_gpt2_are_told_with_the_command_that_brings_them() -> None:
    without = ROOM._replace(has_gpt2=False)
    assert "GPT-2 cached: no (python -m gptcore fetch gpt2 brings it)" in report(1, without, sums(1, without), None, [])


def test_too_little_memory_is_told_with_its_sum_and_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classroom, "play", never)
    small = ROOM._replace(memory=SERVER_BYTES + PROCESS_BYTES, has_gpt2=False)
    said, fits = check(30, small)
    assert not fits
    assert re.match(r"30 students would not fit: the server and one run need 1,\d{3} MiB of memory and 1,000 MiB", said)


def test_gpt2_counts_where_its_weights_lie_here() -> None:
    with_gpt2, without = (sums(30, ROOM._replace(has_gpt2=here)) for here in (True, False))
    assert with_gpt2.gpt2 > 474 * MIB
    assert without.gpt2 == 0
    tight = ROOM._replace(memory=with_gpt2.memory + with_gpt2.gpt2 - 1)
    assert "with GPT-2's" in too_little(with_gpt2, tight)[0]
    assert too_little(without, tight) == []


def test_a_disk_that_is_too_full_is_told_with_its_sum() -> None:
    needs = sums(30, ROOM)
    assert needs.disk == 30 * sums(1, ROOM).disk
    assert too_little(needs, ROOM._replace(disk=needs.disk)) == []
    (said,) = too_little(needs, ROOM._replace(disk=needs.disk - MIB))
    assert f"the runs need {needs.disk // MIB:,} MiB of disk" in said


def test_fewer_runs_train_at_once_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "cores", lambda: 8)
    assert sums(30, ROOM).slots == 8
    assert sums(30, ROOM._replace(memory=2_500 * MIB, has_gpt2=False)).slots < 8


def test_a_run_that_was_not_done_a_slow_class_and_an_error_on_a_screen_are_faults() -> None:
    assert judge(played(SOON, SOON)) == []
    assert judge(played(SOON, Seen(clicked=2.0))) == ["1 of 2 runs were not done within 600 s"]
    assert "a class run takes 301 s for all" in judge(played(SOON, Seen(done=301.0)))[0]
    assert judge(played(Seen(done=9.0, faults=("KeyError: x",)))) == ["screens showed errors (KeyError: x)"]


def test_a_class_of_nobody_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["0"])
    assert "N=0: a class has one student at least" in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_a_class_of_two_is_really_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GPTCORE_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(class_check, "LONGEST_SECONDS", 600.0)  # how quick a busy machine is says nothing
    assert apart(lambda: main(["2"])) == 0
    said = capsys.readouterr().out
    assert re.search(r"^2 students fit; a class run takes \d+ s for all; GPT-2 cached: no", said, re.MULTILINE)
    assert re.search(r"Measured: the server and its runs held \d+", said)

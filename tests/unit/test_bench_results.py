"""The benchmark's table: ratios, goals, and a file in which one part replaces only its own rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cluster, results
from benchmarks.results import Row, merged, section


def test_a_ratio_says_how_many_times_better_ours_is_whatever_the_unit() -> None:
    assert Row("a step", 50.0, "ms", 100.0, "peer").ratio == 2.0
    assert Row("writing", 50.0, "tokens/s", 100.0, "peer").ratio == 0.5
    assert Row("alone", 50.0, "ms").ratio is None
    assert Row("not measured", None, "ms", 100.0, "peer").ratio is None


@pytest.mark.parametrize(("ours", "met"), [(49.0, True), (50.0, True), (51.0, False)])
def test_a_goal_is_met_or_missed(ours: float, met: bool) -> None:
    assert Row("a step", ours, "ms", 100.0, "peer", ratio_goal=2.0).met is met
    assert Row("a step", ours, "ms", most=50.0).met is met


def test_a_missed_goal_says_by_how_much() -> None:
    assert Row("a step", 80.0, "ms", 100.0, "peer", ratio_goal=2.5).cells()[4] == ">= 2.50 x, missed by 50%"
    assert Row("a step", 60.0, "ms", most=50.0).cells()[4] == "<= 50 ms, missed by 20%"
    assert Row("a lesson", 1.0, "errors", most=0.0).cells()[4] == "<= 0 errors, missed"


def test_without_a_peer_a_ratio_is_neither_met_nor_missed() -> None:
    row = Row("a step", 50.0, "ms", ratio_goal=2.0)
    assert row.met is None
    assert row.cells()[4] == ">= 2.00 x"


def test_a_part_that_is_measured_again_replaces_only_its_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "RESULTS.md")
    order = ["steps", "generation"]
    results.keep("generation", [Row("writing", 1.0, "ms")], "monday", order)
    results.keep("steps", [Row("a step", 2.0, "ms")], "tuesday", order)
    results.keep("generation", [Row("writing", 3.0, "ms")], "wednesday", order)
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.startswith(results.HEAD)
    assert text.index("## steps") < text.index("## generation")
    assert "monday" not in text
    assert text.count("| writing |") == text.count("| a step |") == 1
    assert "| writing | 3 ms |" in text


def test_a_section_that_is_no_part_any_more_is_kept_at_the_end() -> None:
    old = merged("", "old part", section("old part", [], "monday"), [])
    assert (
        merged(old, "steps", section("steps", [], "tuesday"), ["steps"]).rstrip().endswith("|---|---|---|---|---|---|")
    )
    assert "## old part" in merged(old, "steps", section("steps", [], "tuesday"), ["steps"])


def test_what_each_kind_of_process_took_is_told_as_a_share_of_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "cores", lambda: 2)
    found = cluster.Class(seconds=10.0, taken={"training": 18.0, "workers": 0.4})
    assert found.shares() == "training 90.0%, workers 2.0%, idle or others' 8.0%"

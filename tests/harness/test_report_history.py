"""`bitparity report`: what it says on a terminal, to a CI and to GitHub, and its exit codes."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("pyarrow", reason="records need pyarrow")
pytest.importorskip("duckdb", reason="reading records needs duckdb")

from bitparity import cli
from bitparity.records.history import read_history
from bitparity.records.store import write_record
from bitparity.report.github import annotation_lines
from bitparity.report.history import NAMED_CELLS, groups_of, verdict_of
from bitparity.report.junit import write_junit
from harness.sample_records import RUNS, sample_records


def report(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bitparity", "report", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_regression_is_told_with_its_runs_and_what_changed(
    sample_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(monkeypatch, str(sample_folder), "--run", RUNS[2]) == 1
    said = capsys.readouterr().out
    assert "REGRESSED  4 cells of mine: diverged\n" in said
    assert f"since {RUNS[2]} (1 run); passed last in {RUNS[1]}\n" in said
    assert "changed then  the candidate's libraries: libmine.so 0123456789abcdef -> " in said
    assert "repeat: bitparity compare bitnet --candidate mine --chunks prefill\n" in said
    assert said.endswith("REGRESSED  8 cells, 4 of them in this run\n")


def test_first_run_has_no_regression(
    sample_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(monkeypatch, str(sample_folder), "--run", RUNS[0]) == 0
    assert capsys.readouterr().out.endswith("NO REGRESSION  16 of 24 cells pass\n")


def test_newest_regression_comes_first(sample_folder: Path) -> None:
    regressed = [g for g in groups_of(read_history(sample_folder)) if g.title == "regressed"]
    since = [group.since for group in regressed]
    assert since == sorted(since, key=str, reverse=True)
    assert len(set(since)) == 2


def test_cells_of_which_the_same_is_told_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = replace(next(sample_records()), outcome="diverged", exit_code=1, run="r")
    for number in range(NAMED_CELLS + 2):
        write_record(replace(record, cell=f"{number}", prompt=f"p{number}"), tmp_path)
    assert report(monkeypatch, str(tmp_path)) == 1
    said = capsys.readouterr().out
    assert f"p{NAMED_CELLS - 1}\n  and 2 more\n" in said
    assert f"p{NAMED_CELLS}\n" not in said


def test_run_that_is_not_whole_and_missing_cells_are_told(sample_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_folder, tmp_path, dirs_exist_ok=True)
    for path in sorted((tmp_path / RUNS[1]).glob("*.parquet"))[:2]:
        path.unlink()
    shutil.rmtree(tmp_path / RUNS[2])
    shutil.rmtree(tmp_path / RUNS[3])
    (missing,) = (g for g in groups_of(read_history(tmp_path)) if g.title == "missing")
    assert missing.when(read_history(tmp_path)) == f"not in this run; last in {RUNS[0]}"
    shutil.rmtree(tmp_path / RUNS[0])
    passing = replace(next(sample_records()), run=RUNS[1], outcome="agree", exit_code=0)
    for path in (tmp_path / RUNS[1]).glob("*.parquet"):
        write_record(replace(passing, cell=path.stem), tmp_path)
    assert verdict_of(read_history(tmp_path)) == (
        "UNFINISHED",
        "2 cells of the run without a record; sweep again to go on",
    )


def test_junit_counts_failures_errors_and_skipped_cells(sample_folder: Path, tmp_path: Path) -> None:
    write_junit(read_history(sample_folder), tmp_path / "junit.xml")
    suites = ElementTree.parse(tmp_path / "junit.xml").getroot().findall("testsuite")
    counts = {
        s.get("name"): [int(str(s.get(n))) for n in ("tests", "failures", "errors", "skipped")]
        for s in suites
    }
    assert counts == {
        "native against llama.cpp": [8, 0, 0, 0],
        "mine against llama.cpp": [8, 2, 1, 4],
        "fragile against llama.cpp": [8, 0, 4, 4],
    }
    for suite in suites:
        for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(suite.findall(f"testcase/{kind}")) == int(str(suite.get(name)))


def test_junit_has_no_character_that_xml_forbids(tmp_path: Path) -> None:
    record = replace(next(sample_records()), outcome="engine failed", exit_code=5, sentence="\x1b[31mbad\x00")
    write_record(record, tmp_path)
    write_junit(read_history(tmp_path), tmp_path / "junit.xml")
    (error,) = ElementTree.parse(tmp_path / "junit.xml").iter("error")
    assert error.get("message") == "engine failed: \ufffd[31mbad\ufffd"


def test_annotations_are_one_a_group_and_escaped(sample_folder: Path) -> None:
    lines = annotation_lines(read_history(sample_folder, RUNS[2]))
    assert [line.split()[0] for line in lines] == ["::error"] * 3 + ["::warning"] * 2
    assert all("\n" not in line for line in lines)
    assert "title=bitparity regressed%3A mine::bitnet · F16" in lines[0]
    assert "and 3 more cells" in lines[0]
    assert "%0Athe candidate's libraries" in lines[0]


def test_json_has_every_cell_with_its_history(
    sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report(monkeypatch, str(sample_folder), "--json", str(tmp_path / "report.json")) == 1
    data = json.loads((tmp_path / "report.json").read_text())
    assert (data["run"], data["exit_code"], len(data["cells"])) == (RUNS[3], 1, 24)
    regressed = [cell for cell in data["cells"] if cell["is_regression"]]
    assert {cell["last_good"]["run"] for cell in regressed} == set(RUNS[:2])


def test_folder_without_records_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(monkeypatch, str(tmp_path)) == 2
    assert "holds no records; `bitparity sweep` writes them" in capsys.readouterr().err


def test_cell_that_fails_in_the_first_run_is_told_so(tmp_path: Path) -> None:
    record = replace(next(sample_records()), outcome="diverged", exit_code=1)
    write_record(replace(record, run="r"), tmp_path)
    (group,) = groups_of(read_history(tmp_path))
    assert group.title == "fails at first"
    assert verdict_of(read_history(tmp_path)) == ("FAILS", "1 cell in the first run")
    assert annotation_lines(read_history(tmp_path))[0].startswith("::error title=bitparity fails at first")

"""Records of a sweep: written whole, read by column, and what changed from run to run."""

from __future__ import annotations

import os
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="records need pyarrow")
pytest.importorskip("duckdb", reason="reading records needs duckdb")

import pyarrow.parquet as parquet

from bitparity.errors import BadInput
from bitparity.records.columns import FORMAT, Record
from bitparity.records.history import CellHistory, Change, History, differences, read_history
from bitparity.records.store import finished_cells, open_records, select_records, write_record
from harness.sample_records import RUNS, cells


def record(**values: Any) -> Record:
    return replace(Record(run="20261127T000000Z-0000", cell="00", outcome="agree", exit_code=0), **values)


def only(history: History, **axes: object) -> CellHistory:
    """The one cell with these columns."""
    (found,) = (c for c in history.cells if all(getattr(c.last, n) == v for n, v in axes.items()))
    return found


def test_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = record(threads=2, max_kl=1e-300, result="{}", sentence="ü\n'\"")
    write_record(written, tmp_path)
    with open_records(tmp_path) as database:
        assert select_records(database, "true", results=True) == [written]
        assert select_records(database, "cell = ?", "00") == [replace(written, result=None)]
        assert select_records(database, "cell = ?", "01") == []


def test_every_column_is_documented_in_the_file(tmp_path: Path) -> None:
    described = parquet.read_schema(write_record(record(), tmp_path))
    assert described.names == [f.name for f in fields(Record)]
    assert all(described.field(name).metadata[b"meaning"] for name in described.names)


def test_record_that_cannot_be_written_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(record(), tmp_path)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BadInput, match="No space left on device"):
        write_record(record(outcome="diverged"), tmp_path)
    monkeypatch.undo()
    assert finished_cells(tmp_path, record().run) == {"00"}
    with open_records(tmp_path) as database:
        assert [r.outcome for r in select_records(database, "true")] == ["agree"]


def test_columns_that_an_older_version_did_not_write_are_null(tmp_path: Path) -> None:
    path = write_record(record(max_kl=1.0), tmp_path)
    parquet.write_table(parquet.read_table(path).drop_columns(["max_kl"]), path)
    with open_records(tmp_path) as database:
        assert select_records(database, "true") == [record()]


def test_records_of_a_later_format_are_refused(tmp_path: Path) -> None:
    write_record(record(format=FORMAT + 1), tmp_path)
    with pytest.raises(BadInput, match=f"format {FORMAT + 1}"), open_records(tmp_path):
        pass


def test_folder_without_records_or_with_other_files_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no records"):
        read_history(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "cell.parquet").write_bytes(b"PAR1, but not really")
    with pytest.raises(BadInput, match="a file that is no record"):
        read_history(tmp_path)


def test_run_that_is_not_there_is_reported(sample_folder: Path) -> None:
    with pytest.raises(BadInput, match="has no run 'yesterday'"):
        read_history(sample_folder, "yesterday")


def test_first_run_fails_only_by_what_fails_in_it(sample_folder: Path) -> None:
    history = read_history(sample_folder, RUNS[0])
    assert {c.change for c in history.cells} == {Change.PASSES_AT_FIRST, Change.NOT_COMPARED_AT_FIRST}
    assert history.exit_code == 0


def test_crash_and_hang_of_the_second_night_are_regressions(sample_folder: Path) -> None:
    history = read_history(sample_folder, RUNS[1])
    assert {c.last.candidate for c in history.of(Change.REGRESSED)} == {"fragile"}
    assert history.exit_code == 1


def test_regression_has_its_last_pass_its_first_failure_and_the_build_that_changed(
    sample_folder: Path,
) -> None:
    history = read_history(sample_folder, RUNS[3])
    cell = only(history, model="bitnet", weight_format="TQ2_0", candidate="mine", chunks="decode")
    assert cell.change is Change.STILL_FAILS
    assert cell.is_regression, "it passed once"
    assert (cell.last_good and cell.last_good.run, cell.first_bad and cell.first_bad.run) == RUNS[1:3]
    assert "the candidate's libraries: libmine.so 0123456789abcdef -> libmine.so fedcba9876543210" in (
        cell.differences
    )
    assert [o.outcome for o in cell.outcomes] == ["agree", "agree", "diverged", "diverged"]


def test_cell_that_passes_again_is_fixed_and_no_regression(sample_folder: Path) -> None:
    cell = only(
        read_history(sample_folder), weight_format="F16", candidate="mine", chunks="prefill", model="bitnet"
    )
    assert (cell.change, cell.is_regression, cell.first_bad) == (Change.FIXED, False, None)


def test_cell_that_never_compared_is_no_regression(sample_folder: Path) -> None:
    for cell in read_history(sample_folder).cells:
        if cell.last.outcome == "not compared":
            assert (cell.change, cell.is_regression) == (Change.STILL_FAILS, False)


def test_run_with_fewer_cells_than_its_matrix_is_no_pass(sample_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_folder, tmp_path, dirs_exist_ok=True)
    passing = min((tmp_path / RUNS[0]).glob("*.parquet"))
    passing.unlink()
    history = read_history(tmp_path, RUNS[0])
    assert (history.is_whole, history.exit_code) == (False, 4)
    (tmp_path / RUNS[1] / passing.name).unlink()
    write_record(record(run=RUNS[0], cell=passing.stem), tmp_path)
    missing = read_history(tmp_path, RUNS[1]).of(Change.MISSING)
    assert [cell.last.cell for cell in missing] == [passing.stem]


def test_run_in_which_nothing_was_compared_is_no_pass(tmp_path: Path) -> None:
    write_record(record(outcome="not compared", exit_code=4), tmp_path)
    assert read_history(tmp_path).exit_code == 4


def test_lesser_and_better_verdicts_are_told_apart(tmp_path: Path) -> None:
    for night, outcome in enumerate(("agree", "noise", "explained")):
        write_record(record(run=f"night{night}", outcome=outcome), tmp_path)
    assert read_history(tmp_path, "night1").cells[0].change is Change.WEAKER
    assert read_history(tmp_path, "night2").cells[0].change is Change.STRONGER


def test_differences_leave_out_what_is_not_known() -> None:
    before = record(candidate_digest="libx.so 01", model_blake3="ab" * 32, cpu="A", python="3.11")
    now = record(candidate_digest="libx.so 02", model_blake3="cd" * 32, cpu=None, python="3.11")
    assert differences(before, now) == [
        "the candidate's libraries: libx.so 01 -> libx.so 02",
        "the reference's model file: abababababab -> cdcdcdcdcdcd",
    ]


def test_of_several_libraries_those_that_changed_are_named() -> None:
    before, now = record(candidate_digest="a.so 01, b.so 02"), record(candidate_digest="a.so 01, b.so 03")
    assert differences(before, now) == ["the candidate's libraries: b.so 02 -> b.so 03"]
    fewer = record(candidate_digest="a.so 01")
    assert differences(before, fewer) == ["the candidate's libraries: b.so 02 -> a.so 01"]


def test_samples_have_every_cell_in_every_run(sample_folder: Path) -> None:
    assert {len(finished_cells(sample_folder, run)) for run in RUNS} == {len(cells())}

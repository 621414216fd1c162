"""A sweep: cells that end in every way, workers that are lost, and a run that goes on where it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="a sweep needs Dask's scheduler")
pytest.importorskip("pyarrow", reason="records need pyarrow")
pytest.importorskip("duckdb", reason="reading records needs duckdb")

import psutil

from bitparity import cli
from bitparity.compare.result import read_result
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.records.columns import Record
from bitparity.records.store import finished_cells, open_records, select_records
from bitparity.sweep.cell import Cell
from bitparity.sweep.cluster import Lost, open_cluster, run_tasks
from bitparity.sweep.matrix import Matrix, read_matrix
from bitparity.sweep.run import begin_or_go_on, run_sweep
from bitparity.sweep.task import run_cell

HANGING = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    make_model(path, ModelSpec(n_layer=1, n_ff=256, n_vocab=320, context_length=64))
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers."""
    with open_cluster(None, 2) as client:
        yield client


def matrix_of(
    model: Path, folder: Path, candidates: str = "oracle = {}", more: str = "", chunks: Sequence[str] = ("7",)
) -> Matrix:
    path = folder / "matrix.toml"
    text = f'models = ["{model}"]\nthreads = [1]\nchunks = {list(chunks)}\n[references]\noracle = {{}}\n'
    path.write_text(f"{text}[candidates]\n{candidates}\n[prompts]\nids = [1, 2, 3]\n{more}")
    return read_matrix(path)


def only_cell(model: Path, folder: Path, candidate: str, more: str = "") -> Cell:
    (cell,) = matrix_of(model, folder, candidate, more).cells
    return cell


def test_cell_that_agrees_has_the_whole_result(model: Path, tmp_path: Path) -> None:
    record = run_cell(only_cell(model, tmp_path, "oracle = {}"), "r")
    assert (record.outcome, record.exit_code, record.attempts, record.compared) == ("agree", 0, 1, 3)
    (tmp_path / "result.json").write_text(str(record.result))
    result = read_result(tmp_path / "result.json")
    assert [row.token for row in result.positions] == [1, 2, 3]
    assert result.command == record.command
    assert record.command.startswith(f"bitparity compare {model} --reference oracle --candidate oracle")
    assert record.model_blake3 == result.model.blake3
    assert record.host


def test_engine_that_crashes_is_tried_twice_and_told(model: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    program = f"open({str(count)!r}, 'a').write('x'); import os; os.abort()"
    engine = f'exec:{sys.executable} -c \\"{program}\\"'
    record = run_cell(only_cell(model, tmp_path, f'mine = {{ engine = "{engine}" }}'), "r")
    assert (record.outcome, record.exit_code, record.attempts) == ("engine failed", 5, 2)
    assert "aborted (SIGABRT)" in record.sentence
    assert count.read_text() == "xx"


def test_cell_that_hangs_is_ended_with_all_that_it_started(model: Path, tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text(HANGING)
    engine = f"exec:{sys.executable} hang.py {tmp_path / 'pid'}"
    limits = "[limits]\ncell_time_limit = 3\n"
    record = run_cell(only_cell(model, tmp_path, f'mine = {{ engine = "{engine}" }}', limits), "r")
    assert (record.outcome, record.exit_code, record.attempts) == ("hung", 5, 2)
    assert record.sentence == "the cell was not done after 3 s"
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("change", "outcome", "exit_code", "says"),
    [
        ({"path": "gone.gguf"}, "bad input", 2, "gone.gguf"),
        ({"chunks": "often"}, "bad input", 2, "often"),
        ({"model": "bitnet", "path": None, "weight_format": "Q9"}, "bad input", 2, "Q9"),
    ],
)
def test_cell_that_cannot_run_is_recorded_so(
    model: Path, tmp_path: Path, change: dict[str, Any], outcome: str, exit_code: int, says: str
) -> None:
    record = run_cell(replace(only_cell(model, tmp_path, "oracle = {}"), **change), "r")
    assert (record.outcome, record.exit_code, record.attempts) == (outcome, exit_code, 1)
    assert says in record.sentence


def test_missing_reference_is_not_compared(model: Path, tmp_path: Path) -> None:
    text = 'mine = { engine = "bitnet.cpp", environment = { BITNET_CPP_DIR = "" } }'
    record = run_cell(only_cell(model, tmp_path, text), "r")
    assert (record.outcome, record.exit_code) == ("not compared", 4)
    assert "BITNET_CPP_DIR" in record.sentence


def test_environment_of_an_engine_holds_in_its_cell_only(model: Path, tmp_path: Path) -> None:
    settings = 'environment = { BITNET_DETERMINISTIC = "1" }'
    cell = replace(only_cell(model, tmp_path, f"oracle = {{ {settings} }}"), threads=None)
    assert '"threads": 1' in str(run_cell(cell, "r").candidate_fingerprint)
    assert "BITNET_DETERMINISTIC" not in os.environ


def test_model_is_converted_to_the_format_of_the_cell(model: Path, tmp_path: Path) -> None:
    cell = replace(only_cell(model, tmp_path, "oracle = {}"), weight_format="TQ2_0")
    record = run_cell(cell, "r")
    assert record.outcome == "agree"
    assert "TQ2_0" in str(record.model_path)
    assert str(record.model_path) in record.command


def test_sweep_goes_on_where_it_was_and_a_lost_worker_loses_nothing(
    model: Path, tmp_path: Path, cluster: Any
) -> None:
    matrix = matrix_of(model, tmp_path, 'oracle = {}\nagain = { engine = "oracle" }', chunks=("7", "8", "9"))
    folder = tmp_path / "records"
    begun = begin_or_go_on(matrix, folder)
    seen: list[Record] = []
    with pytest.raises(KeyboardInterrupt):
        run_sweep(begun, cluster, _interrupt_after(2, seen))
    assert len(finished_cells(folder, begun.name)) == 2

    sweep = begin_or_go_on(matrix, folder)
    assert (sweep.name, len(sweep.todo), sweep.goes_on) == (begun.name, 4, True)
    victim = next(iter(cluster.run(os.getpid).values()))
    run_sweep(sweep, cluster, _kill_once(victim))
    with open_records(folder) as database:
        records = select_records(database, "true")
    assert {record.cell for record in records} == {cell.key for cell in matrix.cells}
    assert {record.outcome for record in records} == {"agree"}
    dates = {record.cell: record.date for record in records}
    assert all(dates[record.cell] == record.date for record in seen), "what was done is not done again"
    assert begin_or_go_on(matrix, folder).name != sweep.name, "a whole run is followed by a new one"


def test_run_is_not_gone_on_with_when_a_file_has_changed(model: Path, tmp_path: Path) -> None:
    (tmp_path / "engine.so").write_text("one")
    matrix = matrix_of(model, tmp_path, 'mine = { engine = "./engine.so" }')
    first = begin_or_go_on(matrix, tmp_path / "records")
    assert begin_or_go_on(matrix, tmp_path / "records").name == first.name
    (tmp_path / "engine.so").write_text("two")
    assert begin_or_go_on(matrix, tmp_path / "records").name != first.name


def test_task_that_loses_every_worker_is_told_as_lost(cluster: Any) -> None:
    ended = dict(run_tasks(cluster, _lose_the_worker_of, ["bad", "good"]))
    assert isinstance(ended["bad"], Lost)
    assert ended["good"] == "good"


def test_cell_that_loses_its_workers_is_recorded_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bitparity.sweep.run.run_tasks",
        lambda client, run, cells: ((c, Lost("2 workers died")) for c in cells),
    )
    sweep = begin_or_go_on(matrix_of(model, tmp_path), tmp_path / "records")
    seen: list[Record] = []
    run_sweep(sweep, None, seen.append)
    (record,) = seen
    assert (record.outcome, record.exit_code, record.attempts) == ("worker lost", 4, 2)
    assert record.sentence == "the workers that had the cell were lost: 2 workers died"
    assert finished_cells(tmp_path / "records", sweep.name) == {record.cell}


def test_sweep_command_runs_a_matrix_to_its_end(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix_of(model, tmp_path)
    monkeypatch.setattr(sys, "argv", ["bitparity", "sweep", str(tmp_path / "matrix.toml"), "--workers", "1"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "1/1  AGREE  " in said
    assert f"all cells have a record: bitparity report {tmp_path / 'records'}\n" in said


def _lose_the_worker_of(task: str) -> str:
    if task == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def _kill_once(process: int) -> Callable[[Record], None]:
    """When the first record comes, so that the worker is at work."""
    left = [process]

    def kill(record: Record) -> None:
        if left:
            os.kill(left.pop(), signal.SIGKILL)

    return kill


def _interrupt_after(count: int, seen: list[Record]) -> Callable[[Record], None]:
    def tell(record: Record) -> None:
        seen.append(record)
        if len(seen) == count:
            raise KeyboardInterrupt

    return tell


def test_cell_of_a_corpus_has_its_figures(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITPARITY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "ids.tokens").write_text("5,6,7,8,9,10,11,12,13,14,15,16")
    matrix = matrix_of(model, tmp_path, more='docs = { corpus = "ids.tokens", window = 8, stride = 4 }\n')
    cell = next(cell for cell in matrix.cells if cell.prompt.name == "docs")
    assert tmp_path / "ids.tokens" in cell.files()
    record = run_cell(cell, "r")
    assert (record.outcome, record.exit_code, record.compared) == ("agree", 0, 12), record.sentence
    assert (record.mean_kl, record.mean_kl_error, record.perplexity_ratio) == (0.0, 0.0, 1.0)
    assert record.perplexity_expected == record.perplexity_actual
    assert "--corpus" in record.command
    assert "--window 8 --stride 4" in record.command

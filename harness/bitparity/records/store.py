"""A folder of records: FOLDER/RUN/CELL.parquet, each written whole or not at all.

RUN and CELL are the columns `run` and `cell`.  Beside the cells of a run lies matrix.json, which says what
was to be run.  Any reader of Parquet reads the folder: `SELECT * FROM 'FOLDER/*/*.parquet'` in DuckDB.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitparity.errors import BadInput
from bitparity.extras import require
from bitparity.output import make_folder, writing
from bitparity.records.columns import FORMAT, Record

if TYPE_CHECKING:
    import duckdb
    import pyarrow

MATRIX = "matrix.json"
_ARROW = {"str": "string", "int": "int64", "float": "float64"}
_DUCKDB = {"str": "VARCHAR", "int": "BIGINT", "float": "DOUBLE"}


def schema() -> pyarrow.Schema:
    """The columns as Arrow has them, each with its meaning; every one may be null."""
    arrow = require("pyarrow", "sweep")
    return arrow.schema(
        [
            arrow.field(name, arrow.type_for_alias(_ARROW[kind]), metadata={"meaning": meaning})
            for name, kind, meaning in _columns()
        ]
    )


def write_record(record: Record, folder: Path) -> Path:
    """Write a record to its place in the folder; it appears there whole or not at all.

    A record of the same cell of the same run is replaced.  Raises BadInput when it cannot be written.
    """
    arrow, parquet = require("pyarrow", "sweep"), require("pyarrow.parquet", "sweep")
    table = arrow.Table.from_pylist([asdict(record)], schema=schema())
    path = folder / record.run / f"{record.cell}.parquet"
    make_folder(path.parent, exist_ok=True)
    with writing(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as unfinished:
        whole = Path(unfinished) / path.name
        with whole.open("wb") as file:
            parquet.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)
    return path


def finished_cells(folder: Path, run: str) -> set[str]:
    """Cells of a run that have a record."""
    return {path.stem for path in (folder / run).glob("*.parquet")}


@contextmanager
def open_records(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with one table, `records`: a row a record, with the columns of `Record`.

    A column that an older version did not write is null.  Raises BadInput for a folder without records, with
    a file that is none, or with records of a later format.
    """
    database_of = require("duckdb", "report")
    if next(folder.glob("*/*.parquet"), None) is None:
        raise BadInput(f"{folder} holds no records; `bitparity sweep` writes them")
    with database_of.connect() as database:
        try:
            files = database.read_parquet(str(folder / "*" / "*.parquet"), union_by_name=True)
            there = set(files.columns)
            columns = [
                f"{name if name in there else f'CAST(NULL AS {_DUCKDB[kind]})'} AS {name}"
                for name, kind, _ in _columns()
            ]
            files.project(", ".join(columns)).create_view("records")
            newest = database.sql("SELECT max(format) FROM records").fetchall()[0][0]
        except database_of.Error as error:
            raise BadInput(f"{folder} holds a file that is no record: {error}") from None
        if not newest or newest > FORMAT:
            raise BadInput(f"{folder} has records of format {newest}; this bitparity reads up to {FORMAT}")
        yield database


def select_records(
    database: duckdb.DuckDBPyConnection, where: str, *values: Any, results: bool = False
) -> list[Record]:
    """The records for which a condition of SQL holds, by run and cell; a `?` in it is the next of the values.

    results  whether to read the column `result` too, which is most of a file; it is null otherwise
    """
    names = [name for name, _, _ in _columns() if results or name != "result"]
    query = f"SELECT {', '.join(names)} FROM records WHERE {where} ORDER BY run, cell"
    return [
        Record(**dict(zip(names, row, strict=True)))
        for row in database.execute(query, list(values)).fetchall()
    ]


def _columns() -> list[tuple[str, str, str]]:
    """Name, type and meaning of every column."""
    return [(f.name, str(f.type).removesuffix(" | None"), f.metadata["meaning"]) for f in fields(Record)]

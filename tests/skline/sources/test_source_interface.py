"""Every kind of source is opened alike: record batches, all columns, lineage, snapshot; settings fit the kind."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from skline.errors import SklineError
from skline.files import sha256
from skline.settings.project import read_source_section
from skline.settings.source import Source
from skline.settings.source_kinds import KINDS, kind_of
from skline.sources.check import check_table, describe
from skline.sources.kinds import CLASSES, table_source
from skline.sources.source import Snapshot, Stream, StreamedSource, TableSource

FRAME = pd.DataFrame({"id": [1, 2, 3], "city": ["Köln", None, "x" * 80]})


def csv_file(folder: Path) -> Source:
    FRAME.to_csv(folder / "t.csv", index=False)
    return Source(uri=str(folder / "t.csv"))


def parquet_file(folder: Path) -> Source:
    FRAME.to_parquet(folder / "t.parquet")
    return Source(uri=str(folder / "t.parquet"))


def sqlite_file(folder: Path) -> Source:
    with closing(sqlite3.connect(folder / "t.db")) as connection, connection:
        FRAME.to_sql("t", connection, index=False)
    return Source(uri=f"sqlite:///{folder / 't.db'}", query="SELECT * FROM t")


def read(source: TableSource, columns: list[str] | None = None) -> dict[str, list[object]]:
    with source.open(columns) as opened:
        table = pa.Table.from_batches(opened.batches, opened.schema)
    assert opened.columns == ["id", "city"]
    assert {"bytes", "sha256"} <= set(opened.lineage)
    return dict(table.to_pydict())


def duckdb_file(folder: Path) -> Source:
    with closing(duckdb.connect(folder / "t.duckdb")) as connection:
        connection.register("frame", FRAME)
        connection.execute("CREATE TABLE t AS SELECT * FROM frame")
    return Source(uri=f"duckdb:///{folder / 't.duckdb'}", query="SELECT * FROM t ORDER BY id")


@pytest.mark.parametrize("make", [csv_file, parquet_file, sqlite_file, duckdb_file])
def test_every_kind_is_opened_alike(tmp_path: Path, make: object) -> None:
    source = table_source(make(tmp_path))  # type: ignore[operator]
    assert [str(value) for value in read(source)["id"]] == ["1", "2", "3"]
    assert read(source, ["city", "absent"]) == {"city": ["Köln", None, "x" * 80]}


def test_snapshot_of_a_file_is_its_digest(tmp_path: Path) -> None:
    source = csv_file(tmp_path)
    with table_source(source).open() as opened:
        assert opened.snapshot == table_source(source).snapshot() == {"sha256": sha256(Path(source.uri))}


def test_every_kind_has_a_class() -> None:
    assert {kind.name for kind in KINDS} == set(CLASSES)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("t.csv", "files"),
        ("package:a/b.csv", "files"),
        ("https://host/t.csv", "files"),
        ("postgres://host/db", "postgresql"),
        ("sqlite:////t.db", "sqlite"),
        ("duckdb:///t.duckdb", "duckdb"),
        ("mariadb://host/db", "mysql"),
        ("snowflake://account/db", "sqlalchemy"),
        ("mysql+mysqldb://host/db", "sqlalchemy"),
        ("rest+https://host/flights", "rest"),
        ("page+http://host/flights", "page"),
    ],
)
def test_address_chooses_the_kind(uri: str, name: str) -> None:
    assert kind_of(uri).name == name


class Numbers(StreamedSource):
    """A stream that fails after some batches, or has none."""

    batches = 2

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:
        schema = pa.schema([("a", pa.int64())])
        lineage: dict[str, object] = {}

        def generate() -> Iterator[pa.RecordBatch]:
            for number in range(self.batches):
                yield pa.record_batch([pa.array([number])], schema=schema)
                lineage["last"] = number

        yield Stream(schema, generate(), lineage, {"last": 1})

    def snapshot(self) -> Snapshot:
        return {"last": 1}


def test_lineage_of_a_stream_may_be_settled_while_it_is_read() -> None:
    with Numbers(Source(uri="x")).open() as opened:
        assert opened.lineage["last"] == 1
        assert opened.snapshot == {"last": 1}


def test_stream_without_rows_is_rejected() -> None:
    source = Numbers(Source(uri="x"))
    source.batches = 0
    with pytest.raises(SklineError, match="the source returned no rows"), source.open():
        pass


def test_kind_that_is_read_only_as_a_whole_rejects_an_earlier_snapshot() -> None:
    rejection = pytest.raises(SklineError, match="files: this kind of source cannot be read in parts")
    with rejection, Numbers(Source(uri="x")).open(since={"last": 0}):
        pass


def test_check_tells_rows_types_first_cells_and_snapshot(tmp_path: Path) -> None:
    source = parquet_file(tmp_path)
    check = check_table(source)
    assert (check.n_rows, check.kind) == (3, "files")
    assert [tuple(column) for column in check.columns] == [("id", "int64", 1, 0), ("city", "large_string", "Köln", 1)]
    text = describe(check)
    assert f"snapshot  sha256 {sha256(Path(source.uri))}" in text
    assert text.splitlines()[-1].split() == ["city", "large_string", "1", "Köln"]


def test_section_of_another_kind_is_rejected_by_name() -> None:
    with pytest.raises(SklineError, match=r"source\.sql holds settings of PostgreSQL, SQLite, DuckDB.*files; remove"):
        read_source_section({"uri": "t.csv", "sql": {"watermark": "id"}})
    with pytest.raises(SklineError, match=r"source\.sql\.watermrk is an unknown key; did you mean 'watermark'\?"):
        read_source_section({"uri": "sqlite:///t.db", "query": "TABLE t", "sql": {"watermrk": "id"}})


def test_invalid_setting_of_a_source_is_named() -> None:
    with pytest.raises(SklineError, match=r"source\.delimter is an unknown key; did you mean 'delimiter'\?"):
        read_source_section({"uri": "t.csv", "delimter": ";"})

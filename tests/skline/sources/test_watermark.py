"""A watermark is the snapshot of a query, and the rows above an earlier one can be read alone; `as_of` is a moment."""

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest

from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.settings.source import Source
from skline.settings.source_sql import SqlSettings
from skline.sources.kinds import table_source
from skline.sources.source import Snapshot
from skline.sources.sql import query_as_of
from tests.fixtures.postgres import Server

CREATE = "CREATE TABLE t (id integer, name varchar(9), seen timestamp)"
ROWS = [(1, "a", "2024-01-01 10:00:00"), (2, "O'b", "2024-01-02 10:00:00.5"), (3, "c", "2024-01-03 00:00:00")]
LATER = [(5, "e", "2024-01-05 00:00:00"), (4, "d", "2024-01-04 00:00:00")]
Run = Callable[[str], None]


def insert(rows: list[tuple[int, str, str]]) -> list[str]:
    return [
        f"INSERT INTO t VALUES ({number}, '{name.replace(chr(39), chr(39) * 2)}', '{at}')"  # noqa: S608
        for number, name, at in rows
    ]


def sqlite_run(path: Path) -> Run:
    def run(statement: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    return run


def duckdb_run(path: Path) -> Run:
    def run(statement: str) -> None:
        with closing(duckdb.connect(path)) as connection:
            connection.execute(statement)

    return run


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Run]:
    """The address of a database with a table, and a function that runs a statement there."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("server")
        url = server.database()

        def run(statement: str) -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(statement.encode())

    else:
        path = tmp_path / "t.db"
        url, run = f"{request.param}:///{path}", (sqlite_run if request.param == "sqlite" else duckdb_run)(path)
    for statement in [CREATE, *insert(ROWS)]:
        run(statement)
    return url, run


def source(uri: str, **sql: str) -> Source:
    return read_source_section({"uri": uri, "query": "SELECT * FROM t ORDER BY id -- all", "sql": sql})


def read(section: Source, since: Snapshot | None = None) -> tuple[list[int], Snapshot | None]:
    with table_source(section).open(since=since) as opened:
        return pa.Table.from_batches(opened.batches, opened.schema).column("id").to_pylist(), opened.snapshot


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [("id", 3, 5), ("name", "c", "e"), ("seen", "2024-01-03", "2024-01-05")],
)
def test_only_rows_above_the_watermark_are_read_again(
    database: tuple[str, Run], column: str, first: object, second: object
) -> None:
    uri, run = database
    section = source(uri, watermark=column)
    rows, snapshot = read(section)
    assert rows == [1, 2, 3]
    assert snapshot is not None
    assert snapshot["column"] == column
    assert snapshot["largest"] == first or str(snapshot["largest"]).startswith(str(first))
    assert table_source(section).snapshot() == snapshot
    for statement in insert(LATER):
        run(statement)
    rows, later = read(section, snapshot)
    assert rows == [4, 5]
    assert later is not None
    assert later["largest"] == second or str(later["largest"]).startswith(str(second))
    with pytest.raises(SklineError, match="source.query returned no rows"):
        read(section, later)
    with pytest.raises(SklineError, match=r"source\.sql\.watermark is .* and the earlier snapshot has 'other'"):
        read(section, {"column": "other", "largest": 1})


def test_watermark_without_a_value_and_without_a_column_is_an_error(database: tuple[str, Run]) -> None:
    uri, run = database
    with pytest.raises(SklineError, match=r"source\.query: .*absent"):
        read(source(uri, watermark="absent"))
    run("UPDATE t SET seen = NULL")
    with pytest.raises(SklineError, match="the column 'seen' of the query has no value"):
        read(source(uri, watermark="seen"))


def test_moment_stands_in_the_query_for_as_of(database: tuple[str, Run]) -> None:
    uri, _ = database
    section = read_source_section(
        {
            "uri": uri,
            "query": "SELECT id FROM t WHERE seen < :as_of ORDER BY id",
            "sql": {"as_of": "2024-01-02 12:00:00"},
        }
    )
    assert read(section) == ([1, 2], {"as_of": "2024-01-02T12:00:00"})
    with pytest.raises(SklineError, match="set source.sql.as_of"):
        read(section.model_copy(update={"sql": SqlSettings()}))
    with pytest.raises(SklineError, match="source.query does not contain :as_of"):
        query_as_of("SELECT 1", dt.date(2024, 1, 2))

"""A query's result is stored exactly, in bounded memory; a password is never printed or stored."""

import datetime as dt
import sqlite3
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from skline.errors import SklineError
from skline.settings import Settings
from skline.settings.source import Source, check_source
from skline.sources.kinds import local_table
from skline.sources.sql import BATCH_ROWS
from skline.stages.source_table import load_source
from tests.fixtures.postgres import Server

ROWS = """
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TABLE t (number int, amount numeric(30, 4), paid bool, day date, at timestamptz, label text, mood mood,
                    key uuid, price real, size numeric);
    INSERT INTO t VALUES
        (1, 12345678901234567890.1234, true, '2024-02-29', '2024-02-29 12:00+02', 'ä', 'calm',
         '00000000-0000-0000-0000-000000000001', 1.5, 7),
        (NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, 'NaN');
"""
GIVEN = {
    "number": [1, None],
    "amount": ["12345678901234567890.1234", None],
    "paid": [True, None],
    "day": [dt.date(2024, 2, 29), None],
    "at": [dt.datetime(2024, 2, 29, 10, tzinfo=dt.UTC), None],
    "label": ["ä", None],
    "mood": ["calm", None],
    "key": ["00000000-0000-0000-0000-000000000001", None],
    "price": [1.5, None],
    "size": ["7", None],
}


@pytest.fixture(scope="module")
def database(server: Server) -> str:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ROWS.encode())
    return url


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    """Create a SQLite file."""

    def make(script: str) -> str:
        path = tmp_path / "a file.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(script)
        connection.close()
        return f"sqlite:///{path}"

    return make


def given(uri: str, query: str) -> dict[str, list[object]]:
    with local_table(Source(uri=uri, query=query)) as path:
        table = pq.read_table(path).to_pydict()
    assert not path.exists()
    return dict(table)


@pytest.mark.parametrize("query", ["SELECT * FROM t", "TABLE t ;", "SELECT * FROM t -- all of them", "TABLE t\n;\n"])
def test_postgresql_values_are_stored_exactly(database: str, query: str) -> None:
    assert given(database, query) == GIVEN


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (NULL), ('')", [1, None, None]),
        ("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2.5)", [1.0, 2.5]),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (1), ('é'), (2.5), ('')", ["1", "é", "2.5", None]),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (NULL)", [None]),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (x'00ff'), ('b')", [b"\x00\xff", b"b"]),
    ],
)
def test_sqlite_column_gets_the_type_that_fits_all_values(
    file: Callable[[str], str], script: str, expected: list[object]
) -> None:
    assert given(file(script), "SELECT a FROM t -- all") == {"a": expected}


def test_sqlite_type_accounts_for_a_different_value_after_many_rows(file: Callable[[str], str]) -> None:
    uri = file('CREATE TABLE t ("a ""b")')
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection, connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(None,)] * (BATCH_ROWS + 10) + [("late",)])
    connection.close()
    assert given(uri, "SELECT * FROM t")['a "b'][-2:] == [None, "late"]


def test_long_result_is_written_in_bounded_memory(database: str) -> None:
    import pyarrow as pa

    query = "SELECT g AS a, repeat('x', 200) || g AS b FROM generate_series(1, 300000) g"  # 62 MB
    tracemalloc.start()
    before = pa.default_memory_pool().max_memory()
    with local_table(Source(uri=database, query=query)) as path:
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()
        assert pa.default_memory_pool().max_memory() - before < 60e6
        assert pq.read_metadata(path).num_rows == 300_000


def test_lineage_records_the_query(database: str) -> None:
    query = "SELECT number, amount FROM t WHERE number = 1"
    table, columns, lineage = load_source(Source(uri=database, query=query), ["number"])
    assert (table.num_rows, table.column_names, columns) == (1, ["number"], ["number", "amount"])
    assert lineage["query"] == query
    assert lineage["source"] == database


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELEKT 1", "syntax error"),
        ("SELECT 1 AS a, 2 AS a", r"more than one column called \['a'\]"),
        ("SELECT 1 AS a WHERE false", "returned no rows"),
        ("SELECT 1 / (400000 - g) AS a FROM generate_series(1, 500000) g", "division by zero"),
        ("DELETE FROM t RETURNING number", "read-only transaction"),
        ("SELECT 1 AS a; DELETE FROM t", "multiple commands"),
        ("SELECT '$3.00'::money AS a", "'a' has the type money"),
        ("SELECT interval '1 day' AS a", "'a' has the type interval"),
        ("SELECT 'infinity'::timestamp AS a", "'a' contains infinity"),
        ("SELECT '-infinity'::date AS a", "'a' contains infinity"),
    ],
)
def test_reports_a_postgresql_error_in_one_line(database: str, query: str, message: str) -> None:
    with pytest.raises(SklineError, match=message) as caught, local_table(Source(uri=database, query=query)):
        pass
    assert "\n" not in str(caught.value)
    assert "Query was" not in str(caught.value)
    assert given(database, "SELECT count(*) AS n FROM t") == {"n": [2]}


def test_reports_a_sqlite_error_in_one_line(file: Callable[[str], str]) -> None:
    uri = file("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    for query, message in {
        "SELECT * FROM nowhere": "no such table",
        "SELECT a, a FROM t": "more than one column",
        "SELECT a FROM t WHERE false": "returned no rows",
        "DELETE FROM t RETURNING a": "readonly",
        "SELECT 1 AS a; SELECT 2": "one statement",
    }.items():
        with pytest.raises(SklineError, match=message), local_table(Source(uri=uri, query=query)):
            pass
    with pytest.raises(SklineError, match="there is no file"), local_table(Source(uri=f"{uri}x", query="SELECT 1")):
        pass


def test_names_the_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with (
        pytest.raises(SklineError, match=r"uv add --group train 'skline\[sql\]'"),
        local_table(Source(uri="postgresql://h/x", query="TABLE t")),
    ):
        pass


def test_reports_an_unreachable_server() -> None:
    with (
        pytest.raises(SklineError, match="Connection refused"),
        local_table(Source(uri="postgresql://127.0.0.1:1/x", query="TABLE t")),
    ):
        pass


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ann:hush@host/db",
        "postgres://ann:hu/sh@host/db",
        "postgresql://host/db?user=ann&password=hush",
        "postgresql://host/db?sslpassword=hush",
    ],
)
def test_rejects_a_password_in_the_settings_without_printing_it(uri: str, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(f"source:\n  uri: {uri}\n  query: TABLE t\n", encoding="utf-8")
    with pytest.raises(SklineError, match=r"params.yaml: source.uri holds a password.*PGPASSWORD") as caught:
        Settings.load(params)
    assert "hu" not in str(caught.value).replace("that", "")


@pytest.mark.parametrize(
    "uri",
    [
        "https://ann:hush@host/t.csv",
        "https://store.blob.core.windows.net/c/t.csv?sv=2024&sig=hush",
        "https://bucket.s3.amazonaws.com/t.csv?X-Amz-Signature=hush",
        "https://host/t.csv?access_token=hush",
        "sftp://ann:hush@host/t.csv",
    ],
)
def test_rejects_a_secret_of_a_remote_file_without_printing_it(uri: str) -> None:
    with pytest.raises(SklineError, match="source.uri holds a password, a token or a signature") as caught:
        Source(uri=uri)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["https://host/t.csv?version=2", "s3://bucket/a:b@c/t.parquet", "https://h/a:b/@/t.csv"]
)
def test_accepts_an_address_without_a_secret(uri: str) -> None:
    assert Source(uri=uri).uri == uri


@pytest.mark.parametrize(
    ("uri", "query", "message"),
    [
        ("postgresql://host/db", None, "needs a query"),
        ("sqlite:///t.db", " ", "needs a query"),
        ("data/source/t.csv", "SELECT 1", "source.query is for a database"),
        ("mysql://host/db", None, "needs a query"),
        ("vertica+vertica_python://host/db", None, "needs a query"),
        ("s3://bucket/t.parquet", "SELECT 1", "export the table of another database"),
    ],
)
def test_rejects_a_query_without_a_database_and_a_database_without_a_query(
    uri: str, query: str | None, message: str
) -> None:
    with pytest.raises(SklineError, match=message):
        Source(uri=uri, query=query)
    Source(uri="postgresql://ann@[::1]:5432/db?passfile=secret", query="TABLE t")


@pytest.mark.parametrize("address", ["ann@host:54x2/db", "ann:hush/db", "[::1/db", "a:1,b:x/db"])
def test_address_with_an_invalid_host_or_port_is_rejected_without_printing_it(address: str) -> None:
    with pytest.raises(SklineError, match=r"source.uri: the host or the port .* is not valid") as caught:
        check_source(f"postgresql://{address}", "SELECT 1")
    assert "hush" not in str(caught.value)
    check_source("postgresql://ann@[::1]:5432,host,other:6432/db", "SELECT 1")

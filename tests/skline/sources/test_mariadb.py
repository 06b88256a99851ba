"""A query on MariaDB is read exactly, with a server-side cursor; what fails is one line without the password."""

import datetime as dt
import tracemalloc
from collections.abc import Iterator

import pyarrow as pa
import pymysql
import pytest

from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.settings.source import Source
from skline.sources.kinds import table_source
from tests.fixtures.mariadb import MARIADB, PASSWORD, USER, mariadb_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MARIADB is None, reason="no MariaDB (apt-get install mariadb-server)"),
]
TABLE = """CREATE TABLE t (id int, price decimal(30, 4), day date, seen datetime(6), label varchar(40), size double,
           paid boolean, `late at` time)"""
ROWS = [
    (1, "12345678901234567890.1234", "2024-02-29", "2024-02-29 12:00:00.5", "ä 100% :x", 1.5, True, "01:02:03"),
    (2, None, None, "2024-03-01 00:00:00", "", None, None, None),
]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with mariadb_server() as port:
        with connect(port) as connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", ROWS)
        yield port


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)


def connect(port: int) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD, database="shop", autocommit=True)


def source(port: int, query: str, **sql: str) -> Source:
    section = {"password_variable": "SHOP_PASSWORD"} | sql
    return read_source_section({"uri": f"mysql://{USER}@127.0.0.1:{port}/shop", "query": query, "sql": section})


def read(section: Source) -> pa.Table:
    with table_source(section).open() as opened:
        return pa.Table.from_batches(opened.batches, opened.schema)


def test_values_are_read_exactly(port: int) -> None:
    table = read(source(port, "SELECT * FROM t WHERE label LIKE '%' ORDER BY id -- 50% of : all"))
    assert table.to_pydict() == {
        "id": [1, 2],
        "price": ["12345678901234567890.1234", None],
        "day": [dt.date(2024, 2, 29), None],
        "seen": [dt.datetime(2024, 2, 29, 12, 0, 0, 500_000), dt.datetime(2024, 3, 1)],
        "label": ["ä 100% :x", None],
        "size": [1.5, None],
        "paid": [1, None],
        "late at": ["1:02:03", None],
    }


def test_rows_above_the_watermark_are_read_alone(port: int) -> None:
    section = source(port, "SELECT id, seen FROM t ORDER BY id", watermark="seen")
    kind = table_source(section)
    assert kind.snapshot() == {"column": "seen", "largest": "2024-03-01 00:00:00"}
    with kind.open(since={"column": "seen", "largest": "2024-02-29 12:00:00.400000"}) as opened:
        assert pa.Table.from_batches(opened.batches, opened.schema).column("id").to_pylist() == [1, 2]
    with kind.open(since={"column": "seen", "largest": "2024-02-29 12:00:00.500000"}) as opened:
        assert pa.Table.from_batches(opened.batches, opened.schema).column("id").to_pylist() == [2]


def test_long_result_is_read_in_bounded_memory(port: int) -> None:
    query = "SELECT seq AS a, concat(repeat('x', 200), seq) AS b FROM seq_1_to_300000"  # 62 MB
    tracemalloc.start()
    with table_source(source(port, query)).local() as table:
        assert table.lineage["query"] == query
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6  # a batch of 65,536 rows of Python values; all rows would be 100 MB


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nowhere", "source.query: .*Table 'shop.nowhere' doesn't exist"),
        ("SELECT 1 AS a, 2 AS a", "more than one column called"),
        ("SELECT id FROM t WHERE false", "source.query returned no rows"),
        ("DELETE FROM t", "READ ONLY transaction"),
        ("SELECT 1; DELETE FROM t", "SQL syntax"),
    ],
)
def test_failure_of_the_query_is_one_line(port: int, query: str, message: str) -> None:
    with pytest.raises(SklineError, match=message) as caught:
        read(source(port, query))
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_wrong_password_and_absent_server_are_one_line(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hush")
    with pytest.raises(SklineError, match="source.query: .*Access denied") as caught:
        read(source(port, "SELECT 1"))
    assert "hush" not in str(caught.value)
    with pytest.raises(SklineError, match="source.query: .*Can't connect"):
        read(source(1, "SELECT 1"))
    monkeypatch.delenv("SHOP_PASSWORD")
    with pytest.raises(SklineError, match="the environment has no variable SHOP_PASSWORD"):
        read(source(port, "SELECT 1"))


def test_dialect_or_driver_that_is_not_installed_is_named() -> None:
    for uri, message in {
        "snowflake://account/db": "no dialect for this address",
        "oracle+oracledb://host/db": "the driver 'oracledb' is not installed",
    }.items():
        with pytest.raises(SklineError, match=message):
            read(read_source_section({"uri": uri, "query": "SELECT 1"}))

"""The same flights through every kind of source give the same validated table, to the byte."""

import csv
import gzip
import html
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import pytest

from skline.contract.table import KINDS
from skline.files import sha256, write_table
from skline.settings.project import read_source_section
from skline.settings.source import Source, with_source_format
from skline.sources.appended import AppendedSource, add_snapshot
from skline.sources.kinds import table_source
from skline.sources.source import TableSource
from skline.stages.derived_columns import Columns
from skline.stages.ingest import ingest
from skline.stages.validate import validate
from tests.fixtures import demo
from tests.fixtures.kafka import MockCluster, mock_cluster, produce
from tests.fixtures.mariadb import MARIADB, PASSWORD, USER, mariadb_server
from tests.fixtures.object_stores import AZURITE, NO_AZURITE, azure_store, s3_store
from tests.fixtures.postgres import Server
from tests.fixtures.sample_project import contract as declared
from tests.fixtures.sample_project.source import READS, prepare
from tests.fixtures.web import Asked, Reply, web_server

ROWS = 3_000
TEXT = gzip.decompress(demo.FLIGHTS.read_bytes())
NUMBERS = ("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay",
           "flight", "air_time", "distance", "hour", "minute")  # fmt: skip


def flights() -> list[dict[str, str]]:
    """The first flights, as text."""
    return list(csv.DictReader(io.StringIO(TEXT.decode())))[:ROWS]


def typed() -> list[dict[str, Any]]:
    """The first flights: whole numbers, texts and None."""
    missing = ("", "NA")
    return [
        {name: None if cell in missing else int(cell) if name in NUMBERS else cell for name, cell in row.items()}
        for row in flights()
    ]


def csv_text(rows: list[dict[str, str]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_csv(folder: Path) -> dict[str, Any]:
    (folder / "t.csv").write_bytes(csv_text(flights()))
    return {"uri": str(folder / "t.csv")}


def as_tsv_in_zip(folder: Path) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.tsv", csv_text(flights(), "\t"))
    return {"uri": str(folder / "t.zip"), "delimiter": "\t"}


def as_zst(folder: Path) -> dict[str, Any]:
    with pa.CompressedOutputStream(str(folder / "t.csv.zst"), "zstd") as file:
        file.write(csv_text(flights()))
    return {"uri": str(folder / "t.csv.zst")}


def as_json_lines(folder: Path) -> dict[str, Any]:
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in typed()))
    return {"uri": str(folder / "t.jsonl")}


def as_parquet(folder: Path) -> dict[str, Any]:
    pq.write_table(pa.Table.from_pylist(typed()), folder / "t.parquet")
    return {"uri": str(folder / "t.parquet")}


def as_several_files(folder: Path) -> dict[str, Any]:
    rows = flights()
    (folder / "1.csv").write_bytes(csv_text(rows[:1000]))
    (folder / "2.csv.gz").write_bytes(gzip.compress(csv_text(rows[1000:2000])))
    (folder / "3.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[2000:]))
    return {"uri": str(folder)}


def as_partitions(folder: Path) -> dict[str, Any]:
    """One file for each thousand of rows, in a folder that says the year."""
    for number in range(3):
        rows = [{k: v for k, v in row.items() if k != "year"} for row in typed()[number * 1000 : (number + 1) * 1000]]
        path = folder / f"part={number}/year=2013/t.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    return {"uri": str(folder)}


def as_sqlite(folder: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(folder / "t.db")) as connection, connection:
        pd.DataFrame(typed(), dtype=object).to_sql("t", connection, index_label="place")
    return {"uri": f"sqlite:///{folder / 't.db'}", "query": query()}


def as_duckdb(folder: Path) -> dict[str, Any]:
    table = pa.Table.from_pylist(typed()).add_column(0, "place", pa.array(range(ROWS)))
    with closing(duckdb.connect(folder / "t.duckdb")) as connection:
        connection.register("flights", table)
        connection.execute("CREATE TABLE t AS SELECT * FROM flights")
    return {"uri": f"duckdb:///{folder / 't.duckdb'}", "query": query()}


def as_topic(cluster: MockCluster) -> dict[str, Any]:
    """The flights in three partitions, one after the other; numbers are JSON's, and texts that are missing null."""
    cluster.create("flights", 3)
    rows = [json.dumps(row).encode() for row in typed()]
    for partition in range(3):
        produce(cluster.servers, "flights", rows[partition * 1000 : (partition + 1) * 1000], partition)
    return {"uri": cluster.uri("flights")}


def query() -> str:
    return f"SELECT {', '.join(flights()[0])} FROM t ORDER BY place"  # noqa: S608


def create_table(number: str, text: str) -> str:
    columns = [f"{name} {number if name in NUMBERS else text}" for name in flights()[0]]
    return f"CREATE TABLE t ({', '.join(columns)}, place int)"


def insert(cursor: Any) -> None:
    places = ", ".join(["%s"] * (len(flights()[0]) + 1))
    cursor.executemany(
        f"INSERT INTO t VALUES ({places})",  # noqa: S608
        [(*row.values(), position) for position, row in enumerate(typed())],
    )


def validated(section: Source, folder: Path, kind: TableSource | None = None) -> str:
    """Return the digest of data/validated/table.parquet."""
    contract = with_source_format(demo.contract(), section)
    section = section.model_copy(update={"missing": contract.shared_missing()})
    reads = {name: KINDS[python_type] for name, python_type in READS.items()}
    with (kind or table_source(section)).open([*(column.name for column in contract.columns), *reads]) as opened:
        table = pa.Table.from_batches(opened.batches, opened.schema)
    result = ingest(table, Columns(opened.columns, contract, reads, prepare))
    checked = validate(result.table, result.unparsed, declared.Labelled, contract)
    write_table(folder / "validated.parquet", checked.accepted)
    assert len(checked.accepted) > 0.9 * ROWS
    return sha256(folder / "validated.parquet")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("csv")
    return validated(read_source_section(as_csv(folder)), folder)


LOCAL = [as_tsv_in_zip, as_zst, as_json_lines, as_parquet, as_several_files, as_partitions, as_sqlite, as_duckdb]


@pytest.mark.slow
@pytest.mark.parametrize("make", LOCAL)
def test_local_kinds_give_the_same_table(make: Callable[[Path], dict[str, Any]], tmp_path: Path, expected: str) -> None:
    (tmp_path / "source").mkdir()
    assert validated(read_source_section(make(tmp_path / "source")), tmp_path) == expected


@pytest.mark.slow
def test_snapshots_give_the_same_table(tmp_path: Path, expected: str) -> None:
    (tmp_path / "source").mkdir()
    section = read_source_section({"uri": str(tmp_path / "source/*.csv"), "mode": "append"})
    for number in range(3):
        rows = flights()[number * 1000 : (number + 1) * 1000]
        (tmp_path / f"source/{number}.csv").write_bytes(csv_text(rows))
        add_snapshot(table_source(section), tmp_path / "snapshots")
    assert validated(section, tmp_path, AppendedSource.of(table_source(section), tmp_path / "snapshots")) == expected


@pytest.mark.slow
def test_kafka_gives_the_same_table_at_once_and_in_snapshots(tmp_path: Path, expected: str) -> None:
    with mock_cluster() as cluster:
        section = as_topic(cluster)
        assert validated(read_source_section(section), tmp_path) == expected
        appended = read_source_section(section | {"mode": "append"})
        for end in (400, 1000):  # in the order of the snapshots: only the first partition has rows
            ends = {"end": {0: end, 1: 0, 2: 0}, "start": {0: 0, 1: 0, 2: 0}}
            part = read_source_section(section | {"mode": "append", "kafka": ends})
            add_snapshot(table_source(part), tmp_path / "snapshots")
        add_snapshot(table_source(appended), tmp_path / "snapshots")
        source = AppendedSource.of(table_source(appended), tmp_path / "snapshots")
        assert validated(appended, tmp_path, source) == expected


@pytest.mark.slow
def test_postgresql_gives_the_same_table(server: Server, tmp_path: Path, expected: str) -> None:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(create_table("numeric", "text").encode())
        insert(cursor)
    section = {"uri": url, "query": query()}
    assert validated(read_source_section(section), tmp_path) == expected


@pytest.mark.slow
@pytest.mark.skipif(MARIADB is None, reason="no MariaDB (apt-get install mariadb-server)")
def test_mariadb_gives_the_same_table(tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    with mariadb_server() as port:
        options: dict[str, Any] = {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD}
        with pymysql.connect(**options, database="shop", autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(create_table("decimal(9, 0)", "varchar(40)"))
            insert(cursor)
        section = {
            "uri": f"mysql://{USER}@127.0.0.1:{port}/shop",
            "query": query(),
            "sql": {"password_variable": "SHOP_PASSWORD"},
        }
        assert validated(read_source_section(section), tmp_path) == expected


@pytest.mark.slow
def test_rest_api_gives_the_same_table(tmp_path: Path, expected: str) -> None:
    rows = typed()

    def answer(asked: Asked) -> Reply:
        start = int(asked.query.get("cursor", 0))
        end = start + int(asked.query["size"])
        return Reply({"flights": rows[start:end], "next": end if end < len(rows) else None})

    with web_server(answer) as server:
        rest = {"query": {"size": 700}, "rows": "/flights", "pagination": {"kind": "cursor", "path": "/next"}}
        section = {"uri": f"rest+{server.url}/flights", "rest": rest}
        assert validated(read_source_section(section), tmp_path) == expected


@pytest.mark.slow
def test_web_page_gives_the_same_table(tmp_path: Path, expected: str) -> None:
    head = "".join(f"<th>{name}</th>" for name in flights()[0])
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row.values())}</tr>" for row in flights())
    page = f"<!doctype html><p>Flights<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    with web_server(lambda asked: Reply(page, 404 if asked.path == "/robots.txt" else 200)) as server:
        assert validated(read_source_section({"uri": f"page+{server.url}/flights"}), tmp_path) == expected


@pytest.mark.objects
@pytest.mark.filterwarnings("ignore")
def test_objects_give_the_same_table(tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_several_files(tmp_path)
    files = {f"flights/{path.name}": path.read_bytes() for path in sorted(tmp_path.iterdir())}
    with s3_store(monkeypatch, "tables", files):
        assert validated(read_source_section({"uri": "s3://tables/flights"}), tmp_path) == expected


@pytest.mark.objects
@pytest.mark.skipif(AZURITE is None, reason=NO_AZURITE)
@pytest.mark.filterwarnings("ignore")
def test_objects_of_azure_give_the_same_table(tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"flights.csv": csv_text(flights())}
    with azure_store(monkeypatch, "tables", files, tmp_path):
        assert validated(read_source_section({"uri": "az://tables/flights.csv"}), tmp_path) == expected


def placed() -> pa.Table:
    """The first flights in another order, with their places."""
    table = pa.Table.from_pylist(typed()).append_column("place", pa.array(range(ROWS)))
    return table.take(pa.array(range(ROWS - 1, -1, -1)))


LAKE = {"order": ["place"]}


@pytest.mark.objects
@pytest.mark.filterwarnings("ignore")
def test_delta_lake_gives_the_same_table(tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltalake import write_deltalake

    table = placed()
    with s3_store(monkeypatch, "tables", {}):
        for uri in (str(tmp_path / "flights"), "s3://tables/flights"):
            options = {"allow_http": "true", "aws_conditional_put": "etag"}
            for part in (table[:1000], table[1000:]):
                write_deltalake(uri, part, mode="append", partition_by=["month"], storage_options=options)
        for uri in (f"delta:///{tmp_path}/flights", "delta+s3://tables/flights"):
            assert validated(read_source_section({"uri": uri, "lake": LAKE}), tmp_path) == expected


@pytest.mark.objects
@pytest.mark.filterwarnings("ignore")
def test_iceberg_gives_the_same_table(
    tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch, iceberg_catalog: int
) -> None:
    from pyiceberg.catalog import load_catalog

    catalog = load_catalog("lake")
    catalog.create_namespace("same")
    with s3_store(monkeypatch, "tables", {}, iceberg_catalog):
        for name, location in (("files", f"file://{tmp_path}/flights"), ("objects", "s3://tables/flights")):
            table = catalog.create_table(f"same.{name}", schema=placed().schema, location=location)
            table.append(placed()[:1000])
            table.append(placed()[1000:])
            section = read_source_section({"uri": f"iceberg://lake/same.{name}", "lake": LAKE})
            assert validated(section, tmp_path) == expected

"""Tests of the schema version: old databases and sealed days are migrated, newer and foreign ones are rejected."""

import datetime as dt
import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skline.errors import SklineError
from skline.logs import maintenance, partitions, schema
from skline.logs.labels import Label, LabelLog
from skline.logs.partitions import PREDICTION_SCHEMA, VERSION_KEY
from skline.logs.read import read_labelled, read_labels, read_predictions, values
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import StoreUnavailable, UnsupportedSchema
from skline.logs.writer import PredictionLog
from tests.fixtures.clients import wait_until
from tests.fixtures.demo import ROOT
from tests.fixtures.postgres import Server
from tests.skline.logs.conftest import CONTRACT, load_layout, prediction

FIRST, SECOND = "0198a000000070008000000000000001", "0198a000000070008000000000000002"
PROCESSES = 4
#: Versions with a copy of their layout in `layouts`.
OLDER = range(schema.UNVERSIONED, schema.SCHEMA_VERSION)


@contextmanager
def connect(settings: LogSettings) -> Iterator[Any]:
    """Connect to the database by its driver, without skline."""
    if settings.is_postgres:
        with psycopg.connect(settings.database, autocommit=True) as connection:
            yield connection
    else:
        Path(settings.database).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(settings.database, isolation_level=None)) as connection:
            yield connection


def versions(settings: LogSettings) -> list[int]:
    with connect(settings) as connection:
        return [row[0] for row in connection.execute("SELECT version FROM skline_log_schema ORDER BY version")]


def layout(settings: LogSettings) -> dict[str, list[tuple[Any, ...]]]:
    """Return the columns, types, constraints and indexes of all tables."""
    names = [*schema.TABLES, schema.VERSION_TABLE]
    with connect(settings) as connection:
        if settings.is_postgres:
            columns = (
                "SELECT column_name, data_type, is_nullable, is_identity FROM information_schema.columns "
                "WHERE table_name = %s ORDER BY ordinal_position"
            )
            indexes = "SELECT indexname, tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
        else:
            columns = "SELECT * FROM pragma_table_info(?)"
            indexes = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
        tables = {name: list(connection.execute(columns, (name,))) for name in names}
        return tables | {"indexes": list(connection.execute(indexes))}


def test_every_version_has_a_migration() -> None:
    assert list(schema.MIGRATIONS) == list(range(schema.UNVERSIONED + 1, schema.SCHEMA_VERSION + 1))


def test_new_database_has_the_current_version(settings: LogSettings) -> None:
    for _ in range(2):
        open_store(settings).close()
    assert versions(settings) == [schema.SCHEMA_VERSION]


@pytest.mark.parametrize("version", OLDER)
def test_older_database_keeps_its_rows_and_takes_new_ones(settings: LogSettings, version: int) -> None:
    load_layout(settings, version)
    table = read_labelled(settings)
    assert table["prediction_id"].to_pylist() == [FIRST, SECOND]
    assert table["scoring_path"].to_pylist() == ["plan", "previous"]
    assert values(table["inputs"]) == [
        {"carrier": "UA", "distance": 1400, "wind": None},
        {"carrier": "B6", "distance": 0.1 + 0.2},
    ]
    assert values(table["probabilities"]) == [{"false": 0.8123456789, "true": 0.1876543211}, None]
    assert values(table["label"]) == [True, False]
    assert table["bucket"].to_pylist() == [None, 9999]
    assert versions(settings)[-1] == schema.SCHEMA_VERSION

    log = PredictionLog(settings)
    log.put_many([prediction(prediction_id="new"), prediction(prediction_id=FIRST)])
    assert log.close().rejected == 0
    labels = LabelLog(settings, CONTRACT)
    assert labels.append([Label(prediction_id="new", label=True)]).new == 1
    labels.close()
    assert read_predictions(settings)["prediction_id"].to_pylist() == [FIRST, SECOND, "new"]
    assert values(read_labels(settings)["label"]) == [True, False, True]
    assert sum(maintenance.seal(settings).values()) == 2
    assert values(read_labelled(settings)["label"]) == [True, False, True]


@pytest.mark.parametrize("version", OLDER)
def test_migrated_database_has_the_layout_of_a_new_one(
    settings: LogSettings, tmp_path: Path, request: pytest.FixtureRequest, version: int
) -> None:
    load_layout(settings, version)
    open_store(settings).close()
    other = request.getfixturevalue("server").database() if settings.is_postgres else str(tmp_path / "new.db")
    new = settings.model_copy(update={"database": other})
    new.__dict__.pop("is_postgres", None)  # cached for the first database
    open_store(new).close()
    assert layout(settings) == layout(new)


def test_current_database_is_opened_without_a_lock(settings: LogSettings) -> None:
    open_store(settings).close()
    with connect(settings) as other:
        if settings.is_postgres:
            other.execute("BEGIN; LOCK TABLE predictions, labels IN ROW EXCLUSIVE MODE")
            other.execute("SELECT pg_advisory_xact_lock(%s)", (0x736B6C696E65,))
        else:
            other.execute("BEGIN IMMEDIATE")
        with closing(open_store(settings)) as store:
            assert store.summarize("predictions").rows == 0


def open_and_write(settings: LogSettings, number: int, barrier: Barrier) -> None:
    """Open the database at the same time as the other processes, and log a row."""
    log = PredictionLog(settings)
    barrier.wait(60)
    log.put(prediction(prediction_id=f"process-{number}"))
    assert log.close().written == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_new", [False, True])
def test_processes_that_open_a_database_at_once_migrate_it_once(settings: LogSettings, is_new: bool) -> None:
    if not is_new:
        load_layout(settings, 1)
    settings = settings.model_copy(update={"drain_seconds": 60})
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(PROCESSES, context) as pool:
        barrier = manager.Barrier(PROCESSES)
        list(pool.map(open_and_write, [settings] * PROCESSES, range(PROCESSES), [barrier] * PROCESSES))
    assert versions(settings) == [schema.SCHEMA_VERSION]
    ids = set(read_predictions(settings)["prediction_id"].to_pylist())
    assert ids == {f"process-{number}" for number in range(PROCESSES)} | (set() if is_new else {FIRST, SECOND})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_migration_leaves_the_old_version_or_the_new_one(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: list[Server] = [request.getfixturevalue("server")] if kind == "postgres" else []
    drill = subprocess.run(
        [sys.executable, "-m", "tests.skline.logs.kill_drill", "migrate", tmp_path, *(each.url for each in server)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert drill.returncode == 0, drill.stderr
    assert int(drill.stdout) >= 8


def test_newer_version_is_rejected_and_not_changed(settings: LogSettings) -> None:
    open_store(settings).close()
    newer = schema.SCHEMA_VERSION + 1
    with connect(settings) as connection:
        connection.execute(f"INSERT INTO skline_log_schema (version, time) VALUES ({newer}, 0)")  # noqa: S608
    with pytest.raises(UnsupportedSchema, match=f"schema version {newer}.*at most {schema.SCHEMA_VERSION}; upgrade"):
        open_store(settings)
    with pytest.raises(StoreUnavailable, match="upgrade skline"):
        LabelLog(settings, CONTRACT).append([Label(prediction_id="a", label=True)])
    log = PredictionLog(settings.model_copy(update={"drain_seconds": 0.1}))
    log.put(prediction())
    wait_until(lambda: log.stats().last_error)
    assert "upgrade skline" in str(log.stats().last_error)
    assert log.close().dropped == 1
    assert versions(settings) == [schema.SCHEMA_VERSION, newer]


def test_tables_of_another_application_are_rejected_and_not_changed(settings: LogSettings) -> None:
    with connect(settings) as connection:
        connection.execute("CREATE TABLE predictions (id INTEGER, path TEXT)")
        connection.execute("INSERT INTO predictions VALUES (1, '/home')")
    with pytest.raises(UnsupportedSchema, match="table predictions is not one of a prediction log .its columns are id"):
        open_store(settings)
    with connect(settings) as connection:
        assert list(connection.execute("SELECT id, path FROM predictions")) == [(1, "/home")]


@pytest.mark.parametrize("table", ["predictions", "labels"])
@pytest.mark.parametrize("version", [schema.UNVERSIONED, schema.SCHEMA_VERSION])
def test_missing_table_is_created(settings: LogSettings, table: str, version: int) -> None:
    load_layout(settings, 1)
    if version != schema.UNVERSIONED:
        open_store(settings).close()
    with connect(settings) as connection:
        connection.execute(f"DROP TABLE {table}")
    with closing(open_store(settings)) as store:
        counts = {name: store.summarize(name).rows for name in schema.TABLES}
    assert counts == {"predictions": 2, "labels": 2, "skline_rejected_requests": 0} | {table: 0}
    assert versions(settings) == [schema.SCHEMA_VERSION]


def test_busy_database_is_migrated_later(settings: LogSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    load_layout(settings, 1)
    if settings.is_postgres:
        monkeypatch.setattr("skline.logs.stores.postgres.SCHEMA_LOCK_TIMEOUT_SECONDS", 1)
    with connect(settings) as other:
        other.execute("BEGIN")
        other.execute("UPDATE predictions SET review = 1")
        with pytest.raises(StoreUnavailable, match="lock"):
            open_store(settings)
        other.execute("ROLLBACK")
    assert read_predictions(settings).num_rows == 2


def seal_unversioned(settings: LogSettings, day: dt.date, ids: list[str], entity: str | None = None) -> Path:
    """Write a sealed day as it was written before the schema had a version."""
    added = [name for migration in schema.MIGRATIONS.values() for name in migration.added_columns]
    names = ["path" if name == "scoring_path" else name for name in PREDICTION_SCHEMA.names]
    old = pa.schema([field.with_name(name) for field, name in zip(PREDICTION_SCHEMA, names, strict=True)])
    rows = [
        prediction(prediction_id=name, time=to_us(day) + index, inputs="{}", prediction="true", entity=entity)
        for index, name in enumerate(ids)
    ]
    path = partitions.file_of(settings.partitions, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = partitions.to_table(PREDICTION_SCHEMA, rows).rename_columns(names).cast(old)  # type: ignore[arg-type]
    pq.write_table(table.drop_columns(added), path)
    assert VERSION_KEY not in (pq.read_schema(path).metadata or {})
    return path


def sealed_version(path: Path) -> int:
    return int(pq.read_schema(path).metadata[VERSION_KEY])


def test_sealed_days_hold_the_schema_version(sqlite: LogSettings) -> None:
    load_layout(sqlite, 1)
    (day,) = maintenance.seal(sqlite)
    path = partitions.file_of(sqlite.partitions, day)
    assert sealed_version(path) == schema.SCHEMA_VERSION
    assert pq.read_schema(path).names == PREDICTION_SCHEMA.names


def test_unversioned_sealed_days_are_read_with_the_new_ones(sqlite: LogSettings) -> None:
    day = dt.date(2026, 1, 30)
    seal_unversioned(sqlite, day, ["a", "b"])
    load_layout(sqlite, 1)
    maintenance.seal(sqlite)
    table = read_predictions(sqlite)
    assert table["prediction_id"].to_pylist() == ["a", "b", FIRST, SECOND]
    assert table["scoring_path"].to_pylist() == ["plan", "plan", "plan", "previous"]
    since = dt.datetime(2026, 1, 30, 0, 0, 0, 1)
    until = dt.datetime(2026, 1, 31, 12, 0, 1)
    assert read_predictions(sqlite, since, until)["prediction_id"].to_pylist() == ["b", FIRST]


def test_unversioned_sealed_day_is_migrated_when_rows_are_added(sqlite: LogSettings) -> None:
    path = seal_unversioned(sqlite, dt.date(2026, 1, 31), ["a", FIRST])
    load_layout(sqlite, 1)
    assert maintenance.seal(sqlite) == {dt.date(2026, 1, 31): 2}
    assert sealed_version(path) == schema.SCHEMA_VERSION
    assert read_predictions(sqlite)["prediction_id"].to_pylist() == ["a", FIRST, SECOND]


def test_entity_is_forgotten_in_unversioned_sealed_days(sqlite: LogSettings) -> None:
    settings = sqlite.model_copy(update={"entity_key_file": sqlite.folder / "key"})
    settings.folder.mkdir()
    (settings.folder / "key").write_text("k" * 32)
    hashed = "46f2b28241bd6bce3782a9b281bd5ee12c8ede9bce0f95970e828c3ea34d491f"
    path = seal_unversioned(settings, dt.date(2026, 1, 30), ["a"], hashed)
    kept = seal_unversioned(settings, dt.date(2026, 1, 31), ["b"])
    load_layout(settings, 1)
    maintenance.seal(settings)
    assert maintenance.forget(settings, "c-17") == maintenance.DeletedRows(predictions=0, sealed=2, labels=1)
    assert (path.exists(), sealed_version(kept)) == (False, schema.SCHEMA_VERSION)
    assert read_predictions(settings)["prediction_id"].to_pylist() == ["b", FIRST]


def test_sealed_day_of_a_newer_version_is_rejected(sqlite: LogSettings) -> None:
    path = seal_unversioned(sqlite, dt.date(2026, 1, 30), ["a"])
    table = pq.read_table(path)
    newer = schema.SCHEMA_VERSION + 1
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: str(newer)}), path)
    with pytest.raises(SklineError, match=f"2026-01-30.parquet has schema version {newer}.*upgrade skline"):
        read_predictions(sqlite)

"""Tests of PredictionLog: rows are written once, callers do not wait, and every row is counted."""

import asyncio
import datetime as dt
import json
import logging
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from skline.contract.frames import to_frame
from skline.contract.spec import Column
from skline.errors import SklineError
from skline.logs.read import inputs_frame, read_predictions, values
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import StoreUnavailable
from skline.logs.writer import NotDurable, PredictionLog
from tests.fixtures.clients import wait_until
from tests.skline.logs.conftest import ROW, prediction


def read_rows(settings: LogSettings) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = read_predictions(settings).to_pylist()
    return rows


@contextmanager
def write_lock(settings: LogSettings) -> Iterator[None]:
    """Hold a write transaction on the SQLite file, as another process would."""
    with closing(sqlite3.connect(settings.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_every_field_is_read_as_it_was_logged(settings: LogSettings) -> None:
    log = PredictionLog(settings)
    record = prediction(
        probabilities={"false": 0.1 + 0.2, "true": 0.7},
        latency_us=12,
        request_id="r-1",
        entity=17,
        event_time=to_us(dt.datetime(2026, 1, 31, 14, 5)),
        review=True,
        role="challenger",
        experiment="e",
        arm="b",
        bucket=9_999,
    )
    log.put(record)
    log.close()
    (row,) = read_rows(settings)
    expected = record._asdict() | {
        "time": row["time"],
        "inputs": json.dumps(ROW, separators=(",", ":")),
        "prediction": "false",
        "probabilities": '{"false":0.30000000000000004,"true":0.7}',
        "entity": row["entity"],
        "event_time": dt.datetime(2026, 1, 31, 14, 5, tzinfo=dt.UTC),
    }
    assert row == expected
    assert to_us(row["time"]) == record.time  # type: ignore[arg-type]


CELLS = {
    Column(name="n", kind="number", nullable=True): st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    Column(name="i", kind="integer", nullable=True): st.integers(-(2**53), 2**53) | st.none(),
    Column(name="b", kind="boolean"): st.booleans(),
    Column(name="ä \" ' ,\n", kind="string", nullable=True): st.text() | st.none(),
    Column(name="d", kind="date"): st.dates(),
    Column(name="t", kind="datetime", nullable=True): st.datetimes() | st.none(),
}


@limits(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({column.name: cells for column, cells in CELLS.items()}), min_size=1))
def test_logged_inputs_are_read_as_the_frame_that_was_scored_to_the_last_bit(
    settings: LogSettings, rows: list[dict[str, object]]
) -> None:
    log = PredictionLog(settings)
    records = [prediction(inputs=row, prediction=row["n"] or 0.0) for row in rows]
    log.put_many(records)
    assert log.close().rejected == 0
    order = {record.prediction_id: index for index, record in enumerate(records)}
    table = read_predictions(settings)
    # The table also holds the rows of earlier examples.
    positions = [order.get(name, -1) for name in table["prediction_id"].to_pylist()]
    own = sorted((position, index) for index, position in enumerate(positions) if position >= 0)
    table = table.take([index for _, index in own])
    expected = to_frame(CELLS, rows)  # type: ignore[arg-type]
    frame = inputs_frame(CELLS, table)
    assert frame.dtypes.astype(str).to_dict() == expected.dtypes.astype(str).to_dict()
    for name in expected:
        assert frame[name].isna().equals(expected[name].isna())
        assert frame[name].dropna().tolist() == expected[name].dropna().tolist()
    assert values(table["prediction"]) == [row["n"] or 0.0 for row in rows]


def test_only_selected_inputs_are_stored_and_the_entity_as_its_hash(sqlite: LogSettings) -> None:
    selected = sqlite.model_copy(update={"columns": ("wind", "carrier"), "entity_column": "customer"})
    without_entity = sqlite.model_copy(update={"entity_column": "customer"})
    for settings in (selected, without_entity):
        log = PredictionLog(settings)
        log.put(prediction())
        log.close()
    first, second = read_rows(sqlite)
    assert json.loads(str(first["inputs"])) == {"wind": 12.25, "carrier": "UA"}
    assert json.loads(str(second["inputs"])) == {"wind": 12.25, "carrier": "UA", "distance": 1400}
    assert first["entity"] == second["entity"]
    assert len(str(first["entity"])) == 64
    key = sqlite.key_file
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    content = b"".join(path.read_bytes() for path in Path(sqlite.database).parent.glob("predictions.db*"))
    assert b"c-17" not in content
    with pytest.raises(ValueError, match="entity_column"):
        LogSettings(columns=("customer",), entity_column="customer")


def test_event_time_is_read_from_its_column(sqlite: LogSettings) -> None:
    log = PredictionLog(sqlite.model_copy(update={"event_time_column": "day"}))
    log.put(prediction(inputs={"day": dt.date(2026, 1, 31)}))
    log.close()
    assert read_rows(sqlite)[0]["event_time"] == dt.datetime(2026, 1, 31, tzinfo=dt.UTC)


def test_row_logged_twice_is_stored_once(settings: LogSettings) -> None:
    log = PredictionLog(settings)
    record = prediction()
    log.put_many([record, prediction(), record])
    log.put(record)
    log.close()
    assert len(read_rows(settings)) == 2


def test_full_queue_drops_and_counts_rows_and_warns_once(sqlite: LogSettings, caplog: pytest.LogCaptureFixture) -> None:
    log = PredictionLog(sqlite.model_copy(update={"queue_rows": 10, "batch_rows": 5}))
    log.put(prediction())
    wait_until(lambda: log.stats().written)
    with write_lock(sqlite), caplog.at_level(logging.WARNING):
        accepted = sum(log.put(prediction(inputs={"secret": "x-ray"})) for _ in range(100))
        accepted += log.put_many([prediction() for _ in range(100)])
        stats = log.stats()
    assert 10 <= accepted <= 15  # the queue, and a batch that the writer may have taken
    assert stats.dropped == 200 - accepted
    log.close()
    assert len(read_rows(sqlite)) == 1 + accepted
    assert sum("dropped" in message for message in caplog.messages) == 1
    assert "x-ray" not in caplog.text


def test_row_that_can_never_be_stored_stops_no_other(settings: LogSettings, caplog: pytest.LogCaptureFixture) -> None:
    log = PredictionLog(settings)
    bad = [prediction(inputs={"a": object()}), prediction(bucket=2**70), prediction(inputs={"a": "\ud800"})]
    log.put_many([prediction(), *bad, prediction()])
    stats = log.close()
    assert (stats.written, stats.rejected, stats.failed_batches) == (2, 3, 0)
    assert len(read_rows(settings)) == 2
    assert "could not be stored" in caplog.text


@pytest.mark.parametrize("mode", ["async", "sync", "off"])
def test_mode_determines_when_rows_are_written(settings: LogSettings, mode: str) -> None:
    settings = settings.model_copy(update={"mode": mode, "batch_ms": 10_000, "sync_ms": 20_000})
    log = PredictionLog(settings)
    asyncio.run(log.append([prediction(), prediction()]))
    assert len(read_rows(settings)) == (2 if mode == "sync" else 0)
    log.close()
    assert len(read_rows(settings)) == (0 if mode == "off" else 2)


def test_concurrent_callers_share_a_commit_in_sync_mode(settings: LogSettings) -> None:
    log = PredictionLog(settings.model_copy(update={"mode": "sync", "sync_ms": 20_000}))
    commits = 0
    write = log._write_batch

    def counted(batch: list[object]) -> None:
        nonlocal commits
        commits += 1
        write(batch)  # type: ignore[arg-type]

    log._write_batch = counted  # type: ignore[method-assign,assignment]

    async def main() -> None:
        await asyncio.gather(*(log.append([prediction()]) for _ in range(300)))

    asyncio.run(main())
    assert len(read_rows(settings)) == 300
    assert commits <= 10
    log.close()


def test_rows_not_durable_in_time_fail_in_sync_mode_and_are_never_written(sqlite: LogSettings) -> None:
    PredictionLog(sqlite).close()
    log = PredictionLog(sqlite.model_copy(update={"mode": "sync", "sync_ms": 200, "queue_rows": 5}))
    log.put(prediction())
    wait_until(lambda: log.stats().written)
    with write_lock(sqlite):
        with pytest.raises(NotDurable, match="within 200 ms"):
            asyncio.run(log.append([prediction(), prediction()]))
        with pytest.raises(NotDurable, match="6 rows do not fit"):
            asyncio.run(log.append([prediction() for _ in range(6)]))
        wait_until(lambda: log.stats().failed_batches)
        with pytest.raises(NotDurable, match="within 200 ms") as error:
            asyncio.run(log.append([prediction()]))
        assert sqlite.database in str(log.stats().last_error)
        assert sqlite.database not in str(error.value), "clients get this message"
        # A row that is being written when its caller gives up could still be written.
        failed = log.stats().failed_batches
        wait_until(lambda: log.stats().failed_batches > failed)
    wait_until(lambda: log.stats().queued == 0)
    stats = log.close()
    assert (stats.written, stats.abandoned, stats.dropped) == (1, 3, 6)
    assert len(read_rows(sqlite)) == 1
    with pytest.raises(NotDurable, match="closed"):
        asyncio.run(log.append([prediction()]))


def test_row_that_can_never_be_stored_fails_only_its_own_caller_in_sync_mode(settings: LogSettings) -> None:
    log = PredictionLog(settings.model_copy(update={"mode": "sync", "sync_ms": 20_000}))

    async def main() -> list[object]:
        batches = ([prediction()], [prediction(), prediction(inputs={"a": object()})], [prediction()])
        return await asyncio.gather(*map(log.append, batches), return_exceptions=True)

    first, bad, last = asyncio.run(main())
    log.close()
    assert first is last is None
    assert isinstance(bad, NotDurable)
    assert len(read_rows(settings)) == 3


def test_close_writes_queued_rows_within_the_deadline(sqlite: LogSettings) -> None:
    log = PredictionLog(sqlite.model_copy(update={"batch_ms": 10_000}))
    log.put_many([prediction() for _ in range(3_000)])
    assert log.close().written == 3_000
    assert len(read_rows(sqlite)) == 3_000
    assert not log.put(prediction())

    stuck = PredictionLog(sqlite.model_copy(update={"drain_seconds": 0.2}))
    with write_lock(sqlite):
        stuck.put_many([prediction() for _ in range(700)])
        stuck.close()
        wait_until(lambda: stuck.stats().dropped == 700, 10)


def test_rows_of_concurrent_threads_are_all_written(sqlite: LogSettings) -> None:
    log = PredictionLog(sqlite)
    records = [[prediction() for _ in range(400)] for _ in range(6)]
    threads = [threading.Thread(target=lambda batch=batch: [log.put(record) for record in batch]) for batch in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.close().written == 2_400
    assert len(read_rows(sqlite)) == 2_400


def test_rows_wait_while_the_entity_key_is_invalid(sqlite: LogSettings) -> None:
    sqlite.key_file.parent.mkdir()
    sqlite.key_file.write_text("short")
    log = PredictionLog(sqlite)
    log.put(prediction(entity="e"))
    wait_until(lambda: log.stats().last_error)
    assert "entity.key holds 5 bytes" in str(log.stats().last_error)
    sqlite.key_file.write_text("k" * 32)
    assert log.close().written == 1


def test_settings_are_read_from_the_environment_without_showing_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLINE_LOG__DATABASE", "postgresql://me:pa55word@db:5432/logs")
    monkeypatch.setenv("SKLINE_LOG__COLUMNS", '["a", "b"]')
    settings = LogSettings.from_environment()
    assert settings.columns == ("a", "b")
    assert settings.redacted_database == "postgresql://me@db:5432/logs"
    assert "pa55word" not in repr(settings)
    for unquoted in ("pa55@word@db", "pa55/word@db", "pa55?word@db", "pa55#word@db", "pa55 word@db"):
        monkeypatch.setenv("SKLINE_LOG__DATABASE", f"postgresql://me:{unquoted}:5432/logs")
        with pytest.raises(SklineError, match="percent-encode") as error:
            LogSettings.from_environment()
        assert "word" not in str(error.value).replace("password", "")
    monkeypatch.setenv("SKLINE_LOG__DATABASE", "mysql://db/logs")
    with pytest.raises(SklineError, match="mysql"):
        LogSettings.from_environment()


@pytest.mark.parametrize(
    "address", ["me:pa55word@[::1/logs", "me:pa55word@db:54x2/logs", "me:pa55word/logs", "me:pa55word@a:1,b:x/logs"]
)
def test_address_with_an_invalid_host_or_port_is_rejected_and_not_shown(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLINE_LOG__DATABASE", f"postgresql://{address}")
    with pytest.raises(SklineError, match="SKLINE_LOG: .*the host or the port of the address is not valid") as error:
        LogSettings.from_environment()
    assert "pa55" not in str(error.value)


@pytest.mark.parametrize("address", ["me:pa55%zzword@db/logs", "me:pa55word@db/logs?a=b"])
def test_error_of_an_address_that_cannot_be_parsed_does_not_show_it(address: str) -> None:
    settings = LogSettings(database=f"postgresql://{address}")
    with pytest.raises(StoreUnavailable, match="cannot parse the address") as error:
        open_store(settings)
    assert "pa55" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:pa55%40word@db:5432/logs",
        "postgres://db",
        "postgresql:///logs?host=/run/postgresql&user=me",
        "postgresql://[::1]:5432/logs",
        "postgresql://me:pa55word@[::1]:5432,db,other:6432/logs",
        "postgresql://me@one:1,two:2/logs?target_session_attrs=read-write",
    ],
)
def test_addresses_of_postgresql_are_accepted(address: str) -> None:
    assert LogSettings(database=address).is_postgres

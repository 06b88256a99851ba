"""Counts of rejected requests in both databases: written once, kept while it is away, purged, never sealed."""

import datetime as dt
from contextlib import closing
from typing import Any

import pytest

from skline.clock import now_us
from skline.logs import maintenance, writer
from skline.logs.records import to_us
from skline.logs.rejections import RejectedCount
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import StoreUnavailable
from skline.logs.writer import PredictionLog
from tests.fixtures.clients import wait_until
from tests.skline.logs.conftest import prediction

OLD = to_us(dt.datetime(2026, 1, 5, 10, 1, tzinfo=dt.UTC))


def count(time: int = OLD, **fields: Any) -> RejectedCount:
    """Return a count of two requests with five rows."""
    return RejectedCount.new(time, "demo", "missing", "carrier", 2, 5)._replace(**fields)


def stored(settings: LogSettings) -> list[RejectedCount]:
    with closing(open_store(settings)) as store:
        return [RejectedCount(*row) for chunk in store.read("skline_rejected_requests") for row in chunk]  # type: ignore[arg-type]


def test_counts_are_stored_once_and_beside_predictions(settings: LogSettings) -> None:
    counts = [count(), count(rule="*", column_name="*"), *(count(time=OLD + step) for step in range(40))]
    log = PredictionLog(settings)
    log.put_rejections(counts)
    log.put(prediction())
    wait_until(lambda: log.stats().written == 1)
    log.put_rejections(counts[:1])
    log.close()
    assert stored(settings) == counts


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_counts_are_written_while_no_prediction_is(sqlite: LogSettings, mode: str) -> None:
    log = PredictionLog(sqlite.model_copy(update={"mode": mode}))
    log.put_rejections([count()])
    wait_until(lambda: len(stored(sqlite)) == 1)
    log.close()


def test_counts_wait_for_the_database(sqlite: LogSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    log = PredictionLog(sqlite)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "open_store", fail)
        log.put_rejections([count()])
        wait_until(lambda: log.stats().failed_batches > 0)
        assert log.stats().last_error is not None
    wait_until(lambda: len(stored(sqlite)) == 1)
    wait_until(lambda: log.stats().last_error is None)
    log.close()


def test_the_oldest_counts_are_lost_first(sqlite: LogSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_REJECTIONS", 2)
    log = PredictionLog(sqlite)
    counts = [count() for _ in range(3)]
    log.put_rejections(counts)
    log.close()
    assert stored(sqlite) == counts[1:]


def test_log_that_is_off_keeps_no_counts(sqlite: LogSettings) -> None:
    log = PredictionLog(sqlite.model_copy(update={"mode": "off"}))
    log.put_rejections([count()])
    log.close()
    assert stored(sqlite) == []


def test_seal_and_forget_leave_the_counts_and_purge_deletes_old_ones(settings: LogSettings) -> None:
    new = count(time=now_us())
    log = PredictionLog(settings)
    log.put_rejections([count(), new])
    log.put(prediction(time=OLD, entity="c-1"))
    log.close()
    assert sum(maintenance.seal(settings).values()) == 1
    maintenance.forget(settings, "c-1")
    assert len(stored(settings)) == 2
    maintenance.purge(settings, 7)
    assert stored(settings) == [new]

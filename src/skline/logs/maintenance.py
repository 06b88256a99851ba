"""Maintenance of the logs: seal complete days in Parquet files, purge old days, forget an entity, report the status."""

import datetime as dt
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from skline import clock
from skline.errors import SklineError
from skline.logs import partitions
from skline.logs.entity import hasher_of_log
from skline.logs.records import from_us, to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import TableSummary

ONE_DAY = dt.timedelta(days=1)


class DeletedRows(NamedTuple):
    """Numbers of deleted rows: predictions in the database, predictions in sealed days, and labels."""

    predictions: int
    sealed: int
    labels: int


class LogStatus(NamedTuple):
    """Contents of the database's tables, and rows and bytes of each sealed day."""

    predictions: TableSummary
    labels: TableSummary
    sealed: dict[dt.date, tuple[int, int]]


def seal(settings: LogSettings, before: dt.date | None = None) -> dict[dt.date, int]:
    """Move complete days (UTC) from the database to Parquet files, the oldest first.

    Each day is written to a temporary file, synced and renamed; only then exactly the rows in it are deleted. After an
    interruption some rows are in both places: readers return them once, and the next call finishes the work. Rows that
    arrive later for a sealed day are added to its file.

    Parameters
    ----------
    settings : LogSettings
    before : date, optional
        Seal the days before this one; by default, and at most, today.

    Returns
    -------
    dict of date to int
        The rows that were moved out of the database, by day.

    Raises
    ------
    SklineError
        If the database cannot be reached, or another process is changing the sealed days.
    """
    moved: dict[dt.date, int] = {}
    limit = min(before or today(), today())
    with partitions.lock(settings.partitions), closing(open_store(settings)) as store:
        while True:
            earliest = store.earliest_before(to_us(limit))
            if earliest is None:
                return moved
            day = from_us(earliest).date()
            save = partial(partitions.add_rows, partitions.file_of(settings.partitions, day))
            rows = store.archive(to_us(day), to_us(day + ONE_DAY), save)
            moved[day] = moved.get(day, 0) + rows


def purge(settings: LogSettings, keep_days: int) -> DeletedRows:
    """Delete predictions, sealed or not, labels and counts of the days before the last `keep_days` complete ones."""
    first = today() - dt.timedelta(days=keep_days)
    with partitions.lock(settings.partitions), closing(open_store(settings)) as store:
        store.delete_before("skline_rejected_requests", to_us(first))
        return DeletedRows(
            predictions=store.delete_before("predictions", to_us(first)),
            sealed=partitions.delete_before(settings.partitions, first),
            labels=store.delete_before("labels", to_us(first)),
        )


def forget(settings: LogSettings, entity: str) -> DeletedRows:
    """Delete all rows of an entity from the database and the sealed days.

    Rows in the queue of a running service are written afterwards (`batch_ms`): call this again to be sure.

    Raises
    ------
    SklineError
        If there is no entity key, the database cannot be reached, or another connection keeps copies of the deleted
        rows in its write-ahead log; the call can be repeated.
    """
    hasher = hasher_of_log(settings)
    if hasher is None:
        raise SklineError(
            f"nothing was deleted: there is no entity key in {settings.key_file}. No request has named an entity, or "
            "the key is elsewhere: set SKLINE_LOG__ENTITY_KEY or SKLINE_LOG__ENTITY_KEY_FILE as for the service"
        )
    entity_hash = hasher(entity)
    with partitions.lock(settings.partitions), closing(open_store(settings)) as store:
        # Labels are found by the prediction ids in the sealed days, so the sealed days are changed last: an interrupted
        # call can then be repeated.
        files = partitions.sealed_days(settings.partitions).values()
        ids = [prediction_id for file in files for prediction_id in partitions.find_entity(file, entity_hash)]
        predictions, labels = store.delete_entity(entity_hash, ids)
        sealed = partitions.delete_entity(settings.partitions, entity_hash)
        store.erase_deleted()
    return DeletedRows(predictions=predictions, sealed=sealed, labels=labels)


def status(settings: LogSettings) -> LogStatus:
    """Count rows. A missing file of SQLite is not created; an older database is migrated."""
    if settings.is_postgres or Path(settings.database).exists():
        with closing(open_store(settings)) as store:
            predictions, labels = store.summarize("predictions"), store.summarize("labels")
    else:
        predictions = labels = TableSummary(0, None, None)
    sealed = {
        day: (pq.read_metadata(path).num_rows, path.stat().st_size)
        for day, path in partitions.sealed_days(settings.partitions).items()
    }
    return LogStatus(predictions, labels, sealed)


def today() -> dt.date:
    """Return today's date in UTC."""
    return clock.now().date()

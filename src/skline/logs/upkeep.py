"""Keeping the logs: seal complete days into Parquet, purge old ones, forget an entity, say how things stand."""

import datetime as dt
from contextlib import closing
from functools import partial
from typing import NamedTuple

import pyarrow.parquet as pq

from skline.logs import partitions
from skline.logs.entity import EntityHasher
from skline.logs.records import EPOCH, MICROSECOND, to_us
from skline.logs.settings import LogSettings
from skline.logs.store import Count, open_store

ONE_DAY = dt.timedelta(days=1)


class Removed(NamedTuple):
    """How many predictions left the database and the sealed days, and how many labels the database."""

    predictions: int
    sealed: int
    labels: int


class Status(NamedTuple):
    """How much there is: in the database, and in the sealed days (rows and bytes of each)."""

    predictions: Count
    labels: Count
    sealed: dict[dt.date, tuple[int, int]]


def today() -> dt.date:
    """Today in UTC."""
    return dt.datetime.now(dt.UTC).date()


def seal(settings: LogSettings, before: dt.date | None = None) -> dict[dt.date, int]:
    """Move the days before `before` (today, if not given; UTC) from the database into Parquet, oldest first.

    Each day is written to a temporary file, synced and renamed; only then are exactly the rows that it got deleted. If
    this is interrupted, some rows are in both places: readers take them once, and the next sealing finishes the work.
    Rows that come later for a sealed day are added to its file.

    Returns
    -------
    The days that were sealed, and the rows that went out of the database.

    Raises
    ------
    SklineError
        If the store cannot be reached, or another process is at the sealed days.
    """
    moved: dict[dt.date, int] = {}
    limit = min(before or today(), today())
    with partitions.locked(settings.partitions), closing(open_store(settings)) as store:
        while True:
            first = store.first_before(to_us(limit))
            if first is None:
                return moved
            day = (EPOCH + first * MICROSECOND).date()

            path = partitions.path_of(settings.partitions, day)
            rows = store.take(to_us(day), to_us(day + ONE_DAY), partial(partitions.add, path))
            moved[day] = moved.get(day, 0) + rows


def purge(settings: LogSettings, keep_days: int) -> Removed:
    """Delete predictions and labels of the days before the last `keep_days` complete ones, sealed or not."""
    first = today() - dt.timedelta(days=keep_days)
    with partitions.locked(settings.partitions), closing(open_store(settings)) as store:
        return Removed(
            predictions=store.delete_before("predictions", to_us(first)),
            sealed=partitions.remove_before(settings.partitions, first),
            labels=store.delete_before("labels", to_us(first)),
        )


def forget(settings: LogSettings, entity: str) -> Removed:
    """Delete everything about an entity, from the database and the sealed days.

    What a running service has in its queue (`batch_ms`) comes in afterwards: forget once more to be sure.
    """
    hashed = EntityHasher(settings)(entity)
    with partitions.locked(settings.partitions), closing(open_store(settings)) as store:
        # Labels first: the ids in the sealed days say which they are, so those must still be there if this is cut off.
        ids = [one for path in partitions.days(settings.partitions).values() for one in partitions.find(path, hashed)]
        predictions, labels = store.forget(hashed, ids)
        sealed = partitions.forget(settings.partitions, hashed)
        store.erase()
    return Removed(predictions=predictions, sealed=len(sealed), labels=labels)


def status(settings: LogSettings) -> Status:
    """Count what there is; it changes nothing but for making a database that is not there."""
    with closing(open_store(settings)) as store:
        predictions, labels = store.count("predictions"), store.count("labels")
    sealed = {
        day: (pq.read_metadata(path).num_rows, path.stat().st_size)
        for day, path in partitions.days(settings.partitions).items()
    }
    return Status(predictions, labels, sealed)

"""Find rows of the logs by the value of a column, in the database and the sealed days."""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from skline.clock import EPOCH
from skline.logs import partitions
from skline.logs.partitions import LABEL_SCHEMA, PREDICTION_SCHEMA, to_table
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store

Key = Literal["prediction_id", "artifact_digest", "entity"]
#: A prediction id starts with its time in this many hexadecimal digits, milliseconds since 1970.
TIME_DIGITS = 12
ONE_DAY = dt.timedelta(days=1)


def find_predictions(
    settings: LogSettings,
    column: Key,
    values: Sequence[str],
    names: Sequence[str] = PREDICTION_SCHEMA.names,
    days: Collection[dt.date] | None = None,
) -> Iterator[pa.Table]:
    """Yield the predictions whose `column` has one of the values, each once: by sealed day, then the others.

    Parameters
    ----------
    settings : LogSettings
    column : {"prediction_id", "artifact_digest", "entity"}
    values : sequence of str
        The entity is its hash, as the log stores it.
    names : sequence of str
        The columns of `PREDICTION_SCHEMA` that are read; `prediction_id` is one of them.
    days : collection of date, optional
        The sealed days that are searched; all by default.

    Raises
    ------
    StoreUnavailable
        If the database cannot be read.
    """
    schema = pa.schema([PREDICTION_SCHEMA.field(name) for name in names])
    # The database is read first: rows that are sealed meanwhile are then found twice instead of not at all.
    with closing(open_store(settings)) as store:
        chunks = [to_table(schema, rows) for rows in store.find("predictions", column, values, names)]
    fresh = pa.concat_tables([schema.empty_table(), *chunks])
    for day, path in partitions.sealed_days(settings.partitions).items():
        if days is None or day in days:
            sealed = partitions.find_rows(path, column, values, names)
            fresh = fresh.filter(pc.invert(pc.is_in(fresh["prediction_id"], value_set=sealed["prediction_id"])))
            yield sealed
    yield fresh


def find_by_id(settings: LogSettings, prediction_ids: Sequence[str]) -> pa.Table:
    """Return the predictions with these ids, with all columns; first those days are searched that the ids name."""
    days: set[dt.date] = set()
    for prediction_id in prediction_ids:
        if (made := time_of_id(prediction_id)) is not None:
            with suppress(OverflowError):  # an id of the last day of the year 9999
                days |= {(made + shift).date() for shift in (-ONE_DAY, dt.timedelta(0), ONE_DAY)}
    found = pa.concat_tables(find_predictions(settings, "prediction_id", prediction_ids, days=days))
    missing = sorted(set(prediction_ids) - set(found["prediction_id"].to_pylist()))
    others = partitions.sealed_days(settings.partitions).keys() - days
    if missing and others:
        rest = find_predictions(settings, "prediction_id", missing, days=others)
        found = pa.concat_tables([found, *rest])
    return found


def find_labels(settings: LogSettings, column: Literal["prediction_id", "entity"], values: Sequence[str]) -> pa.Table:
    """Return the labels whose `column` has one of the values, corrected ones too, with `LABEL_SCHEMA`'s columns."""
    with closing(open_store(settings)) as store:
        chunks = [to_table(LABEL_SCHEMA, rows) for rows in store.find("labels", column, values)]
    return pa.concat_tables([LABEL_SCHEMA.empty_table(), *chunks])


def time_of_id(prediction_id: str) -> dt.datetime | None:
    """Return the time with which a prediction id starts (UTC, in milliseconds); None if it is no UUID of version 7."""
    try:
        milliseconds = int(prediction_id[:TIME_DIGITS], 16)
        moment = EPOCH + dt.timedelta(milliseconds=milliseconds)
    except (ValueError, OverflowError):
        return None
    return moment if prediction_id[TIME_DIGITS : TIME_DIGITS + 1] == "7" else None

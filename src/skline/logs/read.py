"""Read the logs: predictions from the database and the sealed days as one table, joined with their labels."""

import datetime as dt
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import from_json

from skline.clock import to_utc
from skline.contract.request_validation import READERS
from skline.contract.spec import Column
from skline.errors import SklineError
from skline.logs import partitions
from skline.logs.partitions import LABEL_SCHEMA, PREDICTION_SCHEMA, to_table
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store

if TYPE_CHECKING:
    import pandas as pd


def require_log(settings: LogSettings) -> None:
    """Raise SklineError if there is neither a database nor a sealed day: opening the database would create it."""
    has_database = settings.is_postgres or Path(settings.database).exists()
    if not has_database and not partitions.sealed_days(settings.partitions):
        raise SklineError(
            f"there is no prediction log at {settings.redacted_database}; set SKLINE_LOG__DATABASE, or serve first"
        )


def read_predictions(
    settings: LogSettings, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> pa.Table:
    """Read the predictions of since ≤ time < until (UTC if they have no zone), each once, in the order of time.

    Returns
    -------
    Table
        With the columns of `PREDICTION_SCHEMA`: time and event_time are timestamp[us, UTC], latency_us, bucket and
        review int64, all others text. inputs, prediction and probabilities are JSON, for `values` and `inputs_frame`.

    Raises
    ------
    StoreUnavailable
        If the database cannot be read.
    """
    since, until = (None if moment is None else to_utc(moment) for moment in (since, until))
    bounds = None if since is None else to_us(since), None if until is None else to_us(until)
    # The database is read first: rows that are sealed meanwhile are then found twice instead of not at all.
    with closing(open_store(settings)) as store:
        chunks = [to_table(PREDICTION_SCHEMA, rows) for rows in store.read("predictions", *bounds)]
    fresh = pa.concat_tables([PREDICTION_SCHEMA.empty_table(), *chunks])
    days = [
        partitions.read_day(path, since, until)
        for day, path in partitions.sealed_days(settings.partitions).items()
        if (since is None or day >= since.date()) and (until is None or day <= until.date())
    ]
    sealed = pa.concat_tables([PREDICTION_SCHEMA.empty_table(), *days])
    fresh = fresh.filter(pc.invert(pc.is_in(fresh["prediction_id"], value_set=sealed["prediction_id"])))
    return pa.concat_tables([sealed, fresh]).sort_by("time")


def read_labels(settings: LogSettings) -> pa.Table:
    """Read all labels, corrected ones too, in the order of their arrival, with the columns of `LABEL_SCHEMA`."""
    with closing(open_store(settings)) as store:
        chunks = [to_table(LABEL_SCHEMA, rows) for rows in store.read("labels")]
    return pa.concat_tables([LABEL_SCHEMA.empty_table(), *chunks])


def read_labelled(
    settings: LogSettings, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> pa.Table:
    """Read predictions with their valid label: the last one that arrived for the id, or the entity and event time.

    Returns
    -------
    Table
        The table of `read_predictions` with `label` (JSON, null if unknown), `labelled_at` (when it arrived), and
        `label_revision` (how many labels there are: 1 is the first, more correct it).
    """
    return join_labels(read_predictions(settings, since, until), read_labels(settings))


def join_labels(predictions: pa.Table, labels: pa.Table, deadlines: Sequence[int] | None = None) -> pa.Table:
    """Join predictions with their valid label: the last one that arrived for the id, or the entity and event time.

    Parameters
    ----------
    predictions : Table
        As `read_predictions` returns them.
    labels : Table
        As `read_labels` returns them.
    deadlines : sequence of int, optional
        For each prediction, labels that arrived later are ignored; in microseconds since 1970, UTC.

    Returns
    -------
    Table
        As `read_labelled` returns it.
    """
    keys = ("prediction_id", "entity", "event_time")
    by_id: dict[str, list[int]] = {}
    by_event: dict[tuple[str, dt.datetime], list[int]] = {}
    label_keys = zip(*(labels[name].to_pylist() for name in keys), strict=True)
    for index, (prediction_id, entity, event_time) in enumerate(label_keys):
        if prediction_id is not None:
            by_id.setdefault(prediction_id, []).append(index)
        else:
            by_event.setdefault((entity, event_time), []).append(index)
    arrivals: list[int] = labels["time"].cast(pa.int64()).to_pylist()
    prediction_keys = zip(*(predictions[name].to_pylist() for name in keys), strict=True)
    latest: list[int | None] = []
    revisions: list[int] = []
    for row, (prediction_id, entity, event_time) in enumerate(prediction_keys):
        candidates = by_id.get(prediction_id, []) + by_event.get((entity, event_time), [])
        if deadlines is not None:
            candidates = [index for index in candidates if arrivals[index] <= deadlines[row]]
        latest.append(max(candidates, default=None))
        revisions.append(len(candidates))
    indices = pa.array(latest, type=pa.int64())
    return (
        predictions.append_column("label", labels["label"].take(indices))
        .append_column("labelled_at", labels["time"].take(indices))
        .append_column("label_revision", pa.array(revisions, type=pa.int64()))
    )


def values(column: pa.ChunkedArray) -> list[Any]:
    """Parse a column of JSON texts (inputs, prediction, probabilities, label) to Python values, None for null."""
    parsed: list[Any] = from_json(f"[{','.join('null' if text is None else text for text in column.to_pylist())}]")
    return parsed


def inputs_frame(columns: Iterable[Column], table: pa.Table) -> "pd.DataFrame":
    """Convert the logged inputs to a DataFrame with the dtypes on which a pipeline is fitted.

    Inputs that are not stored for any row are left out. Where only some rows have an input, it is NaN in the others,
    and an integer or boolean that may not be null is float64.
    """
    import pandas as pd

    from skline.contract.frames import to_storage

    rows = values(table["inputs"])
    frame: dict[str, Any] = {}
    for column in columns:
        if not any(column.name in row for row in rows):
            continue
        parse = READERS.get(column.kind, lambda value: value)
        cells = [parse(row.get(column.name)) for row in rows]
        if None in cells and not column.nullable:
            column = column.model_copy(update={"nullable": True})  # noqa: PLW2901 - the same column, as it was stored
        frame[column.name] = to_storage(cells, column.storage)
    return pd.DataFrame(frame, index=range(len(rows)))

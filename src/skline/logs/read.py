"""Reading the logs: one table out of the sealed days and the database, and what the labels say about it."""

import datetime as dt
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import from_json

from skline.contract.requests import READERS
from skline.contract.spec import Column
from skline.logs import partitions
from skline.logs.partitions import LABEL_SCHEMA, PREDICTION_SCHEMA, to_table
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.store import open_store

if TYPE_CHECKING:
    import pandas as pd

ONE_DAY = dt.timedelta(days=1)


def read_predictions(
    settings: LogSettings, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> pa.Table:
    """Read the predictions of since ≤ time < until (UTC if they name no zone), each once, in the order of time.

    Returns
    -------
    Table with the columns of `PREDICTION_SCHEMA`: text, but for time and event_time (timestamp[us, UTC]), latency_us
    and bucket (int64) and review (bool). inputs, prediction and probabilities are JSON for `values`, `inputs_frame`.

    Raises
    ------
    StoreUnavailable
        If the database cannot be read.
    """
    since, until = _in_utc(since), _in_utc(until)
    # The database first: what is sealed meanwhile is then seen twice rather than never.
    with closing(open_store(settings)) as store:
        pages = [to_table(PREDICTION_SCHEMA, rows) for rows in store.read("predictions", *_bounds(since, until))]
    fresh = pa.concat_tables([PREDICTION_SCHEMA.empty_table(), *pages])
    sealed = pa.concat_tables(
        [
            PREDICTION_SCHEMA.empty_table(),
            *(
                partitions.read(path, since, until)
                for day, path in partitions.days(settings.partitions).items()
                if (since is None or day >= since.date()) and (until is None or day <= until.date())
            ),
        ]
    )
    fresh = fresh.filter(pc.invert(pc.is_in(fresh["prediction_id"], value_set=sealed["prediction_id"])))
    return pa.concat_tables([sealed, fresh]).sort_by("time")


def read_labels(settings: LogSettings) -> pa.Table:
    """Read every label, corrected ones too, in the order in which they came; columns of `LABEL_SCHEMA`."""
    with closing(open_store(settings)) as store:
        pages = [to_table(LABEL_SCHEMA, rows) for rows in store.read("labels")]
    return pa.concat_tables([LABEL_SCHEMA.empty_table(), *pages])


def read_labelled(
    settings: LogSettings, since: dt.datetime | None = None, until: dt.datetime | None = None
) -> pa.Table:
    """Read predictions with the label that counts: the last that came for the id, or the entity and event time.

    Returns
    -------
    The table of `read_predictions` with `label` (JSON, null where none is known) and `labelled_at` (when it came).
    """
    predictions = read_predictions(settings, since, until)
    by_id: dict[str, int] = {}
    by_event: dict[tuple[str, dt.datetime], int] = {}
    labels = read_labels(settings)
    names = ("prediction_id", "entity", "event_time")
    for place, (one, entity, moment) in enumerate(zip(*(labels[name].to_pylist() for name in names), strict=True)):
        if one is not None:
            by_id[one] = place
        else:
            by_event[entity, moment] = place
    places = [
        max(by_id.get(one, -1), by_event.get((entity, moment), -1))
        for one, entity, moment in zip(*(predictions[name].to_pylist() for name in names), strict=True)
    ]
    chosen = pa.array([None if place < 0 else place for place in places], type=pa.int64())
    return predictions.append_column("label", labels["label"].take(chosen)).append_column(
        "labelled_at", labels["time"].take(chosen)
    )


def values(column: pa.ChunkedArray) -> list[Any]:
    """Read a column of JSON texts (inputs, prediction, probabilities, label) as Python values, None where null."""
    read: list[Any] = from_json(f"[{','.join('null' if text is None else text for text in column.to_pylist())}]")
    return read


def inputs_frame(columns: Iterable[Column], table: pa.Table) -> "pd.DataFrame":
    """Read the logged inputs as the DataFrame on which a pipeline is fitted (each column's storage dtype).

    Inputs that were not stored are missing, and so left out; one that some rows have and others do not is NaN there
    (an integer or boolean that may not be null is float64 then).
    """
    import pandas as pd

    from skline.contract.frames import to_storage

    rows = values(table["inputs"])
    frame: dict[str, Any] = {}
    for column in columns:
        if not any(column.name in row for row in rows):
            continue
        read = READERS.get(column.kind, lambda value: value)
        cells = [read(row.get(column.name)) for row in rows]
        if None in cells and not column.nullable:
            column = column.model_copy(update={"nullable": True})  # noqa: PLW2901 - the same column, as it was stored
        frame[column.name] = to_storage(cells, column.storage)
    return pd.DataFrame(frame, index=range(len(rows)))


def _in_utc(moment: dt.datetime | None) -> dt.datetime | None:
    """Give a moment the zone UTC if it has none, else convert it."""
    if moment is None:
        return None
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _bounds(since: dt.datetime | None, until: dt.datetime | None) -> tuple[int | None, int | None]:
    """Write bounds as the store has them."""
    return None if since is None else to_us(since), None if until is None else to_us(until)

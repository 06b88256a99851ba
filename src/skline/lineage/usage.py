"""What the log holds of an artifact or an entity: how many predictions, from when to when, and how many labels."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from skline.logs.lookup import Key, find_labels, find_predictions
from skline.logs.settings import LogSettings

#: The columns that are counted.
COLUMNS = (
    "prediction_id", "time", "model_version", "artifact_digest", "scoring_path", "entity", "event_time", "role",
)  # fmt: skip


@dataclass
class Usage:
    """The predictions of one model version and artifact in the log.

    Attributes
    ----------
    model_version, artifact_digest : str
        The digest is empty for a fallback without an artifact.
    predictions : int
    first, last : datetime or None
        Times of the first and the last prediction, UTC.
    by_role, by_scoring_path : dict of int by str
    labelled : int
        Predictions with at least one label.
    labels : int
        Labels, with those that were corrected later.
    """

    model_version: str
    artifact_digest: str
    predictions: int = 0
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    by_role: dict[str, int] = field(default_factory=dict)
    by_scoring_path: dict[str, int] = field(default_factory=dict)
    labelled: int = 0
    labels: int = 0


def count_predictions(settings: LogSettings, column: Key, values: Sequence[str]) -> list[Usage]:
    """Count the predictions whose `column` has one of the values, by model version, in the order of their first one.

    The log is read one sealed day at a time.

    Raises
    ------
    StoreUnavailable
        If the database cannot be read.
    """
    usages: dict[tuple[str, str], Usage] = {}
    for rows in find_predictions(settings, column, values, COLUMNS):
        if rows.num_rows:
            labels = _label_counts(settings, rows)
            keys = rows.select(["model_version", "artifact_digest"]).to_pylist()
            for key in {(each["model_version"], each["artifact_digest"]) for each in keys}:
                mine = pc.and_(pc.equal(rows["model_version"], key[0]), pc.equal(rows["artifact_digest"], key[1]))
                _add(usages.setdefault(key, Usage(*key)), rows.filter(mine), labels)
    return sorted(usages.values(), key=lambda usage: usage.first or dt.datetime.max.replace(tzinfo=dt.UTC))


def _add(usage: Usage, rows: pa.Table, labels: Counter[str]) -> None:
    """Add rows of one version to its counts."""
    usage.predictions += rows.num_rows
    times = pc.min_max(rows["time"]).as_py()
    usage.first = times["min"] if usage.first is None else min(usage.first, times["min"])
    usage.last = times["max"] if usage.last is None else max(usage.last, times["max"])
    for name, counts in (("role", usage.by_role), ("scoring_path", usage.by_scoring_path)):
        for each in pc.value_counts(rows[name].combine_chunks()).to_pylist():
            counts[each["values"] or ""] = counts.get(each["values"] or "", 0) + each["counts"]
    if labels:
        numbers = [labels[prediction_id] for prediction_id in rows["prediction_id"].to_pylist()]
        usage.labelled += sum(number > 0 for number in numbers)
        usage.labels += sum(numbers)


def _label_counts(settings: LogSettings, rows: pa.Table) -> Counter[str]:
    """Return the number of labels of each prediction, by its id."""
    ids = rows["prediction_id"].to_pylist()
    counts = Counter(find_labels(settings, "prediction_id", ids)["prediction_id"].to_pylist())
    with_event = rows.filter(pc.and_(pc.is_valid(rows["entity"]), pc.is_valid(rows["event_time"])))
    if with_event.num_rows:
        labels = find_labels(settings, "entity", pc.unique(with_event["entity"]).to_pylist())
        events = Counter(_events(labels.filter(pc.is_null(labels["prediction_id"]))))
        for prediction_id, event in zip(with_event["prediction_id"].to_pylist(), _events(with_event), strict=True):
            counts[prediction_id] += events[event]
    return counts


def _events(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(table["entity"].to_pylist(), table["event_time"].to_pylist(), strict=True))

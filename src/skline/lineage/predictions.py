"""Logged predictions by their id, with the labels that arrived for them."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
from pydantic_core import from_json

from skline.logs.lookup import find_by_id, find_labels
from skline.logs.settings import LogSettings

#: Columns of the log that hold JSON.
JSON_COLUMNS = ("inputs", "prediction", "probabilities", "lookups")


@dataclass(frozen=True)
class LoggedPrediction:
    """One row of the table `predictions`; the attributes are its columns, and times are in UTC.

    `inputs`, `prediction`, `probabilities` and `lookups` are values of the stored JSON; a text that is none stays.
    """

    prediction_id: str
    time: dt.datetime
    model_version: str
    artifact_digest: str
    scoring_path: str
    inputs: Any
    prediction: Any
    probabilities: Any
    latency_us: int | None
    request_id: str | None
    entity: str | None
    event_time: dt.datetime | None
    review: int | None
    role: str | None
    experiment: str | None
    arm: str | None
    bucket: int | None
    lookups: Any = None


@dataclass(frozen=True)
class LoggedLabel:
    """A label of a prediction.

    Attributes
    ----------
    time : datetime
        When it arrived, UTC.
    label : scalar
    key : str
        What names the prediction: "prediction_id", or "entity and event_time".
    valid : bool
        Whether it is the last one that arrived; the others were corrected by it.
    """

    time: dt.datetime
    label: Any
    key: str
    valid: bool


def read_logged(settings: LogSettings, prediction_ids: Sequence[str]) -> dict[str, LoggedPrediction]:
    """Read predictions from the database and the sealed days, by id; ids that the log does not hold are left out.

    Raises
    ------
    StoreUnavailable
        If the database cannot be read.
    """
    rows = find_by_id(settings, prediction_ids).to_pylist()
    return {
        row["prediction_id"]: LoggedPrediction(**row | {name: _parse(row[name]) for name in JSON_COLUMNS})
        for row in rows
    }


def read_labels_of(
    settings: LogSettings, predictions: Sequence[LoggedPrediction]
) -> dict[str, tuple[LoggedLabel, ...]]:
    """Read the labels of predictions, by prediction id, each list in the order of arrival."""
    by_id = find_labels(settings, "prediction_id", [each.prediction_id for each in predictions]).to_pylist()
    entities = sorted({each.entity for each in predictions if each.entity is not None and each.event_time is not None})
    by_event = find_labels(settings, "entity", entities).filter(pc.field("prediction_id").is_null())
    found: dict[object, list[tuple[dt.datetime, str, str]]] = {}
    for row in by_id:
        found.setdefault(row["prediction_id"], []).append((row["time"], row["label"], "prediction_id"))
    for row in by_event.to_pylist():
        event = row["entity"], row["event_time"]
        found.setdefault(event, []).append((row["time"], row["label"], "entity and event_time"))
    return {
        each.prediction_id: _in_order(
            [*found.get(each.prediction_id, []), *found.get((each.entity, each.event_time), [])]
        )
        for each in predictions
    }


def _in_order(labels: list[tuple[dt.datetime, str, str]]) -> tuple[LoggedLabel, ...]:
    """Return labels in the order of their arrival; the last one is valid."""
    ordered = sorted(labels, key=lambda label: label[0])
    last = len(ordered) - 1
    return tuple(
        LoggedLabel(time, _parse(label), key, valid=index == last) for index, (time, label, key) in enumerate(ordered)
    )


def _parse(text: str | None) -> Any:
    """Return the value of a JSON text; the text itself if it is none, which `skline.logs` never writes."""
    if text is None:
        return None
    try:
        return from_json(text)
    except ValueError:
        return text

"""One row of the prediction log: its fields, and its encoding for a database."""

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson

from skline.clock import EPOCH, MICROSECOND, to_utc
from skline.contract.spec import Scalar, Value
from skline.errors import SklineError
from skline.logs.entity import EntityHasher
from skline.logs.settings import LogSettings

log = logging.getLogger("skline.logs")

Tag = TypeVar("Tag")
#: A row of a table: text, integer or None, in the order of the table's columns.
StoredRow = tuple[str | int | None, ...]
#: The value of `review` of a prediction that was drawn at random, whatever its score.
REVIEW_SAMPLE = 2
#: The beginning of the request ids of `skline compare`, by which monitoring leaves its predictions out.
COMPARE_REQUEST_ID = "skline-compare-"


class Prediction(NamedTuple):
    """One prediction as it is logged; its fields are the columns of the table `predictions`.

    Attributes
    ----------
    prediction_id : str
    time : int
        When it was made, in microseconds since 1970, UTC (`skline.clock.now_us`).
    model_version, artifact_digest : str
    scoring_path : str
        How the row was scored: plan, pipeline, or the name of a fallback.
    inputs : mapping of str to value
    prediction : scalar
    probabilities : mapping of str to float, or None
        By class; None for regressors.
    latency_us : int or None
        Microseconds from the request's arrival to the prediction.
    request_id : str or None
    entity : str, int or None
        As the caller sent it; only its keyed hash is stored.
    event_time : int or None
        Time of the event, in microseconds since 1970, UTC (`to_us`).
    review : int
        0: not reviewed, 1: its score is in the review band, 2: drawn at random.
    role : str
        champion, challenger or shadow.
    experiment, arm : str or None
    bucket : int or None
        The entity's bucket in the experiment.
    lookups : mapping of str to str, or None
        What became of each look-up: found, or why its inputs are missing.
    """

    prediction_id: str
    time: int
    model_version: str
    artifact_digest: str
    scoring_path: str
    inputs: Mapping[str, Value]
    prediction: Scalar
    probabilities: Mapping[str, float] | None = None
    latency_us: int | None = None
    request_id: str | None = None
    entity: str | int | None = None
    event_time: int | None = None
    review: int = 0
    role: str = "champion"
    experiment: str | None = None
    arm: str | None = None
    bucket: int | None = None
    lookups: Mapping[str, str] | None = None


_INPUTS, _PREDICTION, _PROBABILITIES, _ENTITY, _REVIEW, _LOOKUPS = map(
    Prediction._fields.index, ("inputs", "prediction", "probabilities", "entity", "review", "lookups")
)


class PredictionEncoder:
    """Encodes predictions as rows: selects inputs, hashes entities, and serialises JSON."""

    def __init__(self, settings: LogSettings, hasher: EntityHasher) -> None:
        self._columns = settings.columns
        self._entity_column = settings.entity_column
        self._event_time_column = settings.event_time_column
        self._hasher = hasher

    @property
    def keeps_inputs(self) -> bool:
        """Whether all inputs are stored, and none of them is the entity or the event's time."""
        return self._columns is None and self._entity_column is None and self._event_time_column is None

    def encode(self, record: Prediction) -> StoredRow:
        """Encode one prediction.

        Raises
        ------
        TypeError, ValueError
            If a value cannot be written as JSON: such a record can never be stored.
        OSError, SklineError
            If the entity key can be neither read nor created.
        """
        inputs, event_time = record.inputs, record.event_time
        entity: object = record.entity
        if entity is None and self._entity_column is not None:
            entity = inputs.get(self._entity_column)
        if event_time is None and self._event_time_column is not None:
            moment = inputs.get(self._event_time_column)
            event_time = to_us(moment) if isinstance(moment, dt.date) else None
        if self._columns is not None:
            inputs = {name: inputs[name] for name in self._columns if name in inputs}
        elif self._entity_column is not None:
            inputs = {name: value for name, value in inputs.items() if name != self._entity_column}
        return (
            *record[:5],  # up to scoring_path
            orjson.dumps(inputs).decode(),
            orjson.dumps(record.prediction).decode(),
            _json_or_none(record.probabilities),
            record.latency_us,
            record.request_id,
            self.entity_hash(entity),
            event_time,
            int(record.review),
            record.role,
            record.experiment,
            record.arm,
            record.bucket,
            _json_or_none(record.lookups),
        )

    def entity_hash(self, entity: object) -> str | None:
        """Return what the log stores of an entity; raises as `encode` does."""
        return None if entity is None else self._hasher(entity)

    def encode_many(self, records: Sequence[Prediction]) -> list[StoredRow]:
        """Encode predictions, column by column where possible; raises as `encode` does for the whole sequence."""
        if not self.keeps_inputs or len(records) < 2:
            return [self.encode(record) for record in records]
        columns: list[Sequence[Any]] = list(zip(*records, strict=True))
        columns[_ENTITY] = list(map(self.entity_hash, columns[_ENTITY]))
        columns[_INPUTS] = [text.decode() for text in map(orjson.dumps, columns[_INPUTS])]
        columns[_PREDICTION] = [text.decode() for text in map(orjson.dumps, columns[_PREDICTION])]
        columns[_PROBABILITIES] = list(map(_json_or_none, columns[_PROBABILITIES]))
        columns[_LOOKUPS] = list(map(_json_or_none, columns[_LOOKUPS]))
        columns[_REVIEW] = list(map(int, columns[_REVIEW]))
        return list(zip(*columns, strict=True))

    def encode_valid(
        self, batch: Sequence[tuple[Prediction, Tag]]
    ) -> tuple[list[tuple[StoredRow, Tag]], list[tuple[Tag, Exception]]]:
        """Encode predictions that carry a tag each, and separate those that cannot be encoded.

        Returns
        -------
        encoded : list of (row, tag)
        rejected : list of (tag, error)

        Raises
        ------
        OSError, SklineError
            If the entity key can be neither read nor created, which is not the fault of a row.
        """
        try:
            rows = self.encode_many([record for record, _ in batch])
        except (OSError, SklineError):
            raise
        except Exception as error:  # noqa: BLE001 (one row cannot be encoded; the loop below determines which)
            log.debug("encoding a batch row by row after %s", type(error).__name__)
        else:
            return [(row, tag) for row, (_, tag) in zip(rows, batch, strict=True)], []
        encoded: list[tuple[StoredRow, Tag]] = []
        rejected: list[tuple[Tag, Exception]] = []
        for record, tag in batch:
            try:
                encoded.append((self.encode(record), tag))
            except (OSError, SklineError):
                raise
            except Exception as error:  # noqa: BLE001 (encoding it again would fail again, and must not stop other rows)
                rejected.append((tag, error))
        return encoded, rejected


def _json_or_none(value: Mapping[str, Any] | None) -> str | None:
    """Write a value as JSON text; None stays."""
    return None if value is None else orjson.dumps(value).decode()


def to_us(moment: dt.date) -> int:
    """Convert a date (its midnight) or a datetime (UTC if it has no zone) to microseconds since 1970, UTC."""
    return (to_utc(moment) - EPOCH) // MICROSECOND


def from_us(us: int) -> dt.datetime:
    """Convert microseconds since 1970, UTC, to a datetime."""
    return EPOCH + us * MICROSECOND

"""What one row of each log holds, and how it is written: one definition for every store."""

import datetime as dt
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import orjson

from skline.contract.spec import Scalar, Value
from skline.errors import SklineError
from skline.logs.entity import EntityHasher
from skline.logs.settings import LogSettings
from skline.randomness import RandomHex

log = logging.getLogger("skline.log")

Whose = TypeVar("Whose")
#: A row as a store takes it: text, int or None, in the order of the table's columns.
Row = tuple[str | int | None, ...]
_RANDOM = RandomHex(10)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
ID_DIGITS = 32
#: A hexadecimal digit whose two upper bits are 10, by any digit with the same lower bits.
VARIANT = {f"{digit:x}": f"{digit % 4 + 8:x}" for digit in range(16)}
#: The same by their places in ASCII.
VARIANTS = np.frombuffer(bytes(ord(VARIANT.get(chr(code), "\0")) for code in range(128)), dtype=np.uint8)


class Prediction(NamedTuple):
    """One answer. Times are microseconds since 1970 in UTC (`now_us`, `to_us`).

    `path` is what answered: plan, pipeline, or the name of a fallback; `role` is champion, challenger or shadow.
    `entity` is given as it is, and only its keyed hash is ever stored. `review`: 0 not reviewed, 1 since its score is
    in the band, 2 drawn at random.
    """

    prediction_id: str
    time: int
    model_version: str
    artifact_digest: str
    path: str
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


INPUTS, PREDICTED, CHANCES, WHOSE, REVIEWED = map(
    Prediction._fields.index, ("inputs", "prediction", "probabilities", "entity", "review")
)
#: Columns of the tables, with the type that SQLite and PostgreSQL both know. inputs, prediction, probabilities and
#: label are JSON text: numbers keep their last bit, and one column takes every kind of target.
PREDICTIONS: dict[str, str] = dict.fromkeys(Prediction._fields, "TEXT") | dict.fromkeys(
    ("time", "latency_us", "event_time", "review", "bucket"), "BIGINT"
)
LABELS: dict[str, str] = {
    "label_id": "TEXT",
    "time": "BIGINT",
    "prediction_id": "TEXT",
    "entity": "TEXT",
    "event_time": "BIGINT",
    "label": "TEXT",
}


def new_prediction_id() -> str:
    """Return a UUID of version 7 (RFC 9562) as 32 hexadecimal digits.

    It begins with the time, so that a database's index grows at its end: at 100,000 rows a row was stored in half of
    the time that random ids took.
    """
    random = _RANDOM()
    return f"{time.time_ns() // 1_000_000:012x}7{random[:3]}{VARIANT[random[3]]}{random[4:19]}"


def new_prediction_ids(count: int) -> list[str]:
    """Return as many ids as there are rows in a batch: the same moment, and random digits of their own."""
    digits = np.empty((count, ID_DIGITS), dtype=np.uint8)
    digits[:, :12] = np.frombuffer(f"{time.time_ns() // 1_000_000:012x}".encode(), dtype=np.uint8)
    digits[:, 12:] = np.frombuffer(os.urandom(count * 10).hex().encode(), dtype=np.uint8).reshape(count, 20)
    digits[:, 12] = ord("7")
    digits[:, 16] = VARIANTS[digits[:, 16]]
    text = digits.tobytes().decode("ascii")
    return [text[start : start + ID_DIGITS] for start in range(0, len(text), ID_DIGITS)]


def now_us() -> int:
    """The time, in microseconds since 1970."""
    return time.time_ns() // 1000


def to_us(moment: dt.date) -> int:
    """Write a date (its midnight), or a datetime (UTC if it names no zone), as microseconds since 1970."""
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day, tzinfo=dt.UTC)
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - EPOCH) // MICROSECOND


class Encoder:
    """Turns predictions into rows: chosen inputs only, entities hashed, JSON written."""

    def __init__(self, settings: LogSettings, hasher: EntityHasher) -> None:
        self._columns = settings.columns
        self._entity = settings.entity_column
        self._event = settings.event_time_column
        self._hasher = hasher

    @property
    def plain(self) -> bool:
        """Whether rows are written as they are: all inputs, and no column of them names an entity or a time."""
        return self._columns is None and self._entity is None and self._event is None

    def many(self, records: Sequence[Prediction]) -> list[Row]:
        """Encode predictions, column by column; raises as `__call__` does, without naming which."""
        if not self.plain or len(records) < 2:
            return [self(record) for record in records]
        columns: list[Sequence[Any]] = list(zip(*records, strict=True))
        if any(whose is not None for whose in columns[WHOSE]):
            return [self(record) for record in records]
        columns[INPUTS] = [text.decode() for text in map(orjson.dumps, columns[INPUTS])]
        columns[PREDICTED] = [text.decode() for text in map(orjson.dumps, columns[PREDICTED])]
        columns[CHANCES] = [None if each is None else orjson.dumps(each).decode() for each in columns[CHANCES]]
        columns[REVIEWED] = list(map(int, columns[REVIEWED]))
        return list(zip(*columns, strict=True))

    def fitting(
        self, batch: Sequence[tuple[Prediction, Whose]]
    ) -> tuple[list[tuple[Row, Whose]], list[tuple[Whose, Exception]]]:
        """Encode predictions, each with somebody whose it is; say apart whose can never be stored, and why.

        Raises
        ------
        OSError, SklineError
            If the entities' key can be neither read nor made, which is no fault of a row.
        """
        try:
            rows = self.many([record for record, _ in batch])
        except (OSError, SklineError):
            raise
        except Exception as error:  # noqa: BLE001 (one of them cannot be encoded; which one is found out below)
            log.debug("a batch is encoded row by row: %s", type(error).__name__)
        else:
            return [(row, whose) for row, (_, whose) in zip(rows, batch, strict=True)], []
        fit: list[tuple[Row, Whose]] = []
        refused: list[tuple[Whose, Exception]] = []
        for record, whose in batch:
            try:
                fit.append((self(record), whose))
            except (OSError, SklineError):
                raise
            except Exception as error:  # noqa: BLE001 (a row that fails once fails always, and must not stop the others)
                refused.append((whose, error))
        return fit, refused

    def __call__(self, record: Prediction) -> Row:
        """Encode one prediction.

        Raises
        ------
        TypeError, ValueError
            If it holds what JSON cannot: such a record can never be stored.
        OSError
            If the entities' key can be neither read nor made.
        """
        inputs, event = record.inputs, record.event_time
        whose: object = record.entity
        if whose is None and self._entity is not None:
            whose = inputs.get(self._entity)
        if event is None and self._event is not None:
            moment = inputs.get(self._event)
            event = to_us(moment) if isinstance(moment, dt.date) else None
        if self._columns is not None:
            inputs = {name: inputs[name] for name in self._columns if name in inputs}
        elif self._entity is not None:
            inputs = {name: value for name, value in inputs.items() if name != self._entity}
        return (
            *record[:5],
            orjson.dumps(inputs).decode(),
            orjson.dumps(record.prediction).decode(),
            None if record.probabilities is None else orjson.dumps(record.probabilities).decode(),
            record.latency_us,
            record.request_id,
            None if whose is None else self._hasher(whose),
            event,
            int(record.review),
            *record[13:],
        )

"""Labels: the true values of predictions. They are only added; a later label corrects an earlier one, and both stay."""

import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from skline.clock import now_us
from skline.contract.request_validation import READERS, STRICT, field_type, lenient_type
from skline.contract.spec import Contract, Scalar
from skline.logs.entity import EntityHasher
from skline.logs.records import StoredRow, to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import Store, StoreUnavailable


class Label(BaseModel):
    """The true value of one prediction, identified by its id, or by its entity and the time of the event.

    Also the type of a request body. Whether the value fits the target is checked by `LabelLog.append`, label by label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    prediction_id: str | None = Field(
        default=None, max_length=200, pattern="^[!-~]+$", description="The id that /predict returned"
    )
    entity: str | int | None = Field(default=None, description="The prediction's entity; only its keyed hash is stored")
    event_time: Annotated[dt.datetime | None, BeforeValidator(READERS["datetime"])] = Field(
        default=None, description="The time of the event, ISO 8601, UTC if it has no zone"
    )
    label: Scalar = Field(description="The target's true value")


@dataclass(frozen=True)
class RejectedLabel:
    """A label that was not stored."""

    index: Annotated[int, Field(description="Its index in the list, from 0")]
    reason: str


@dataclass(frozen=True)
class AppendResult:
    """The outcome of a list of labels: how many are new, how many were stored before, and the rejected ones.

    `unknown` counts the new and stored labels whose prediction id is not in the log, or not yet.
    """

    new: int
    duplicates: int
    rejected: list[RejectedLabel]
    unknown: int = 0


class LabelLog:
    """Stores labels in the database of the settings, over one connection. Thread-safe."""

    def __init__(self, settings: LogSettings, contract: Contract) -> None:
        self._settings = settings
        self._validate_value = label_validator(contract)
        self._hasher = EntityHasher(settings)
        self._store: Store | None = None
        self._lock = threading.Lock()

    def append(self, labels: Sequence[Label]) -> AppendResult:
        """Store labels durably, in their order, without those that are stored already.

        A label's key is the hash of its content, so that sending a list again changes nothing, even after one of its
        labels was corrected. To return to an earlier value, send it with another `event_time`.

        Raises
        ------
        StoreUnavailable
            If the database cannot be reached or written; send the same list again, nothing is stored twice.
        """
        now = now_us()
        rows: list[StoredRow] = []
        rejected: list[RejectedLabel] = []
        for index, label in enumerate(labels):
            try:
                rows.append(self._to_row(label, now))
            except ValueError as error:
                rejected.append(RejectedLabel(index, str(error)))
            except OSError as error:
                raise StoreUnavailable(f"the entity key cannot be read: {error}") from error
        with self._lock:
            new = self._write(rows) if rows else 0
            unknown = self._count_unknown(rows) if rows else 0
        return AppendResult(new=new, duplicates=len(rows) - new, rejected=rejected, unknown=unknown)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._close_store()

    def _to_row(self, label: Label, now: int) -> StoredRow:
        """Convert a label to a row; ValueError with the rule that it breaks."""
        if (label.prediction_id is None) == (label.entity is None):
            raise ValueError("give either prediction_id, or entity and event_time")
        if label.entity is not None and label.event_time is None:
            raise ValueError("entity needs event_time, which identifies one of its predictions")
        value = self._validate_value(label.label)
        entity = None if label.entity is None else self._hasher(label.entity)
        event_time = None if label.event_time is None else to_us(label.event_time)
        content = orjson.dumps([label.prediction_id, entity, event_time, value])
        label_id = hashlib.sha256(content).hexdigest()
        return label_id, now, label.prediction_id, entity, event_time, orjson.dumps(value).decode()

    def _write(self, rows: list[StoredRow]) -> int:
        """Write rows; on failure once more over a new connection, because an idle connection may have been closed."""
        for is_last_attempt in (False, True):
            try:
                if self._store is None:
                    self._store = open_store(self._settings)
                return self._store.write("labels", rows)
            except StoreUnavailable:
                self._close_store()
                if is_last_attempt:
                    raise
        raise AssertionError("unreachable")

    def _count_unknown(self, rows: list[StoredRow]) -> int:
        """Count the labels with a prediction id that the log does not contain."""
        ids = [str(row[2]) for row in rows if row[2] is not None]
        if self._store is None or not ids:
            return 0
        known = self._store.known_predictions(ids)
        return sum(prediction_id not in known for prediction_id in ids)

    def _close_store(self) -> None:
        """Close the connection, if it is open."""
        if self._store is not None:
            self._store.close()
            self._store = None


def label_validator(contract: Contract) -> Callable[[Any], Scalar]:
    """Return a function that validates a label against the contract's target and returns it in the target's type.

    The function raises ValueError with the rule that the value breaks.
    """
    target = contract.target.model_copy(update={"nullable": False})
    lenient: TypeAdapter[Scalar] = TypeAdapter(lenient_type(target, contract.cell_format(target)), config=STRICT)
    classes = contract.classes

    def validate(value: Any) -> Scalar:
        try:
            label = lenient.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"label {value!r}: {error.errors()[0]['msg']}") from None
        # 1 == True, so the types are compared as well.
        if classes is not None and not any(label == known and type(label) is type(known) for known in classes):
            raise ValueError(f"label {value!r} is not one of the classes {', '.join(map(str, classes))}")
        return label

    return validate


def target_type(contract: Contract) -> TypeAdapter[Scalar]:
    """Return the type of the target's values without null. A classifier's classes are not part of the type."""
    target = contract.target.model_copy(update={"nullable": False})
    return TypeAdapter(field_type(target, contract.cell_format(target)), config=STRICT)

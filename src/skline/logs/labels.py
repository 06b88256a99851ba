"""Labels: what turned out to be true. They are only added; a later one corrects an earlier one, and both stay."""

import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from skline.contract.requests import READERS, field_type
from skline.contract.spec import Contract, Scalar
from skline.logs.entity import EntityHasher
from skline.logs.records import Row, now_us, to_us
from skline.logs.settings import LogSettings
from skline.logs.store import Store, StoreUnavailable, open_store


class Label(BaseModel):
    """The truth about one prediction, named by its id, or by its entity and the time of the event.

    The type of a request body too. Whether the value fits the target is said by `Labels.append`, row by row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    prediction_id: str | None = Field(
        default=None, max_length=200, pattern="^[!-~]+$", description="As /predict gave it"
    )
    entity: str | int | None = Field(default=None, description="Whom it is about; stored as its keyed hash")
    event_time: Annotated[dt.datetime | None, BeforeValidator(READERS["datetime"])] = Field(
        default=None, description="When it happened, ISO 8601, UTC if it names no zone"
    )
    label: Scalar = Field(description="The target's true value")


@dataclass(frozen=True)
class Refused:
    """A label that was not taken: its place in the list, from 0, and why."""

    index: int
    reason: str


@dataclass(frozen=True)
class Appended:
    """What became of a list of labels: how many are new, how many were known already, and those refused."""

    new: int
    known: int
    refused: list[Refused]


class Labels:
    """Takes labels into the store of the settings. May be used from several threads; it keeps one connection."""

    def __init__(self, settings: LogSettings, contract: Contract) -> None:
        self._settings = settings
        self._read_value = value_reader(contract)
        self._hasher = EntityHasher(settings)
        self._store: Store | None = None
        self._lock = threading.Lock()

    def append(self, labels: Sequence[Label]) -> Appended:
        """Add labels, durably, in their order; those that are there already are left out.

        A label's id is the hash of what it says, so that sending a list again changes nothing, not even where one of
        its labels has been corrected meanwhile. To return to an earlier value, give another `event_time`.

        Raises
        ------
        StoreUnavailable
            If the store cannot be reached or written; send the same list again, nothing is doubled.
        """
        now = now_us()
        rows: list[Row] = []
        refused: list[Refused] = []
        for index, label in enumerate(labels):
            try:
                rows.append(self._row(label, now))
            except ValueError as error:
                refused.append(Refused(index, str(error)))
            except OSError as error:
                raise StoreUnavailable(f"the entities' key cannot be read: {error}") from error
        with self._lock:
            new = self._write(rows) if rows else 0
        return Appended(new=new, known=len(rows) - new, refused=refused)

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._leave()

    def _write(self, rows: list[Row]) -> int:
        """Write rows; once more by a new connection, because the old one may have died while it was idle."""
        for last in (False, True):
            try:
                if self._store is None:
                    self._store = open_store(self._settings)
                return self._store.write("labels", rows)
            except StoreUnavailable:
                self._leave()
                if last:
                    raise
        raise AssertionError("unreachable")

    def _leave(self) -> None:
        """Close the connection, if there is one."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _row(self, label: Label, now: int) -> Row:
        """Check one label and write it as a row; ValueError says what is wrong."""
        if (label.prediction_id is None) == (label.entity is None):
            raise ValueError("give either prediction_id, or entity and event_time")
        if label.entity is not None and label.event_time is None:
            raise ValueError("an entity needs event_time, which says which of its predictions is meant")
        value = self._read_value(label.label)
        entity = None if label.entity is None else self._hasher(label.entity)
        moment = None if label.event_time is None else to_us(label.event_time)
        content = [label.prediction_id, entity, moment, value]
        text = orjson.dumps(content)
        return (
            hashlib.sha256(text).hexdigest(),
            now,
            label.prediction_id,
            entity,
            moment,
            orjson.dumps(value).decode(),
        )


def target_type(contract: Contract) -> TypeAdapter[Scalar]:
    """Make the type of the target's values, null excluded; of a classifier's it does not know that only classes fit."""
    target = contract.target.model_copy(update={"nullable": False})
    return TypeAdapter(field_type(target), config=ConfigDict(strict=True, allow_inf_nan=False))


def value_reader(contract: Contract) -> Callable[[Any], Scalar]:
    """Make the function that checks a label against the contract's target, and returns it in the target's type.

    It raises ValueError with the rule that the value breaks.
    """
    checked, classes = target_type(contract), contract.classes

    def read(value: Any) -> Scalar:
        try:
            found = checked.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"label {value!r}: {error.errors()[0]['msg']}") from None
        # 1 and True are equal, so the types are compared as well.
        if classes is not None and not any(found == known and type(found) is type(known) for known in classes):
            raise ValueError(f"label {value!r} is none of the classes {', '.join(map(str, classes))}")
        return found

    return read

"""The contract's JSON form: what a server, a scorer or a monitor needs to know about each column.

It is derived from `src/model/contract.py` (see `derive`) and travels in the artifact as contract.json;
it must never need pandera.
"""

import datetime as dt
import hashlib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from skline.errors import SklineError

Kind = Literal["integer", "number", "boolean", "string", "date", "datetime"]
Role = Literal["input", "target", "id", "time", "group", "segment"]
Task = Literal["binary", "multiclass", "regression"]
Scalar = bool | int | float | str
#: A value as it is scored: JSON's scalars, and dates and datetimes.
Value = bool | int | float | str | dt.date | dt.datetime | None

#: Integers travel through float64 (JSON clients, columns with missing values), which is exact up to here.
LARGEST_INTEGER = 2**53


class Column(BaseModel):
    """One column: its type, what values it may take, and what it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    role: Role = "input"
    nullable: bool = False
    unique: bool = False
    description: str = ""
    example: Scalar | None = None
    feature_group: str = ""
    segment: bool = False
    minimum: Scalar | None = None
    exclusive_minimum: Scalar | None = None
    maximum: Scalar | None = None
    exclusive_maximum: Scalar | None = None
    choices: tuple[Scalar, ...] | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    #: How a table of text writes it; see `skline.contract.written`.
    written: str | None = None

    @property
    def storage(self) -> str:
        """The pandas dtype that holds this column, the same in training, batch scoring and serving.

        Integers and booleans that may be missing are float64 with NaN: scikit-learn reads that everywhere,
        whereas the nullable extension dtypes turn into object arrays in a ColumnTransformer.
        """
        match self.kind:
            case "integer":
                return "float64" if self.nullable else "int64"
            case "boolean":
                return "float64" if self.nullable else "bool"
            case "number":
                return "float64"
            case "string":
                return "str"
            case _:
                return "datetime64[us]"


class Contract(BaseModel):
    """The whole contract: the inputs a caller gives and the columns only labelled rows have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str = ""
    columns: tuple[Column, ...]
    leaks: dict[str, str] = Field(default_factory=dict)
    task: Task
    classes: tuple[Scalar, ...] | None = None

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns a caller gives, in the contract's order."""
        return tuple(column for column in self.columns if column.role == "input")

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in the contract's order."""
        return [column.name for column in self.inputs]

    @property
    def target(self) -> Column:
        """The column to be predicted."""
        return self.by_role("target")

    @property
    def segments(self) -> tuple[Column, ...]:
        """The columns by which quality is reported separately."""
        return tuple(column for column in self.columns if column.segment)

    def __getitem__(self, name: str) -> Column:
        """Return the column called `name`; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def with_role(self, role: Role) -> tuple[Column, ...]:
        """All columns that have `role`."""
        return tuple(column for column in self.columns if column.role == role)

    def by_role(self, role: Role) -> Column:
        """Return the one column that has `role`.

        Raises
        ------
        SklineError
            If there is no such column, or more than one.
        """
        found = self.with_role(role)
        if len(found) != 1:
            names = ", ".join(column.name for column in found) or "none"
            raise SklineError(
                f"src/model/contract.py: exactly one column must have role={role!r}, found {names}; "
                f'give one column of Labelled role="{role}"'
            )
        return found[0]

    def notations(self) -> dict[str, str]:
        """How columns are written in tables of text, for those that are not written plainly."""
        return {column.name: column.written for column in self.columns if column.written is not None}

    def feature_groups(self) -> dict[str, list[str]]:
        """Input names by feature group, for the pipeline: `{"number": [...], "category": [...], ...}`."""
        groups: dict[str, list[str]] = {}
        for column in self.inputs:
            groups.setdefault(column.feature_group, []).append(column.name)
        return groups

    def to_json(self) -> str:
        """The contract as indented JSON, fields at their default left out."""
        return self.model_dump_json(indent=2, exclude_defaults=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; pydantic.ValidationError if it is something else."""
        return cls.model_validate_json(text)

    def digest(self) -> str:
        """Sha256 of the JSON form, in hexadecimal: two contracts are the same if their digests are."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

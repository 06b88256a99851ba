"""The contract's JSON form: what a server, a scorer or a monitor needs to know about each column.

`derive` makes it from `src/model/contract.py`, and the artifact holds it as contract.json. It never needs pandera.
"""

import datetime as dt
import hashlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from skline.contract.lookup import Lookup, parse_reference
from skline.errors import SklineError
from skline.files import read_json

Kind = Literal["integer", "number", "boolean", "string", "date", "datetime"]
Role = Literal["input", "target", "id", "time", "group", "segment"]
Task = Literal["binary", "multiclass", "regression"]
Scalar = bool | int | float | str
#: A value as the scorer takes it: JSON scalars, dates, datetimes.
Value = bool | int | float | str | dt.date | dt.datetime | None
#: Column name → value, for the inputs of one prediction.
Row = Mapping[str, Value]

#: Integers travel through float64 (JSON clients, columns with missing values), which is exact up to here.
LARGEST_INTEGER = 2**53

#: Texts that stand for a missing value, unless params.yaml lists others.
DEFAULT_MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "NaT")


class CellFormat(NamedTuple):
    """How the cells of a column are read: their kind, and how text writes its values.

    Attributes
    ----------
    notation : str, optional
        See `skline.contract.notation`.
    missing : frozenset of str
        Texts that stand for a missing value.
    trim : bool
        Whether whitespace around a string is removed; around text of any other kind it always is.
    """

    kind: Kind
    notation: str | None = None
    missing: frozenset[str] = frozenset()
    trim: bool = False


def class_name(value: Scalar) -> str:
    """Write a class as a JSON key; booleans become `true` and `false`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Column(BaseModel):
    """One column: its type, its allowed values, and its role."""

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
    sensitive: bool = False
    minimum: Scalar | None = None
    exclusive_minimum: Scalar | None = None
    maximum: Scalar | None = None
    exclusive_maximum: Scalar | None = None
    choices: tuple[Scalar, ...] | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    #: How a text table writes the values, if not plainly; see `skline.contract.notation`.
    notation: str | None = None
    #: Texts that stand for a missing value in this column; None: those of the contract.
    missing: tuple[str, ...] | None = None
    #: Look-up and name of the value, as "customers.avg_30d", of an input that callers do not send.
    lookup: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values that were set, in the order of the fields.

        Pydantic pickles the set of their names, whose order differs by process; equal plans must be equal bytes.
        """
        return type(self).model_validate, (self.model_dump(exclude_unset=True),)

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


class FeatureGroups(dict[str, list[str]]):
    """Input names by feature group; a group without an input raises a SklineError that names the line that takes it."""

    def __missing__(self, group: str) -> list[str]:
        """Raise SklineError: a hand edit of the contract can empty a group that the pipeline takes."""
        caller = traceback.extract_stack(limit=2)[0]  # the line that takes the group is the one to change
        raise SklineError(
            f"{Path(caller.filename).name}, line {caller.lineno} takes the feature group {group!r}, but no "
            f"input of contract.py is in it (the groups are {', '.join(sorted(self))}): remove it from that line, or "
            f'give an input feature_group="{group}"'
        )


class Contract(BaseModel):
    """The whole contract: the inputs of a request and the columns that only labelled rows have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str = ""
    columns: tuple[Column, ...]
    leaks: dict[str, str] = Field(default_factory=dict)
    task: Task
    classes: tuple[Scalar, ...] | None = None
    #: Texts that stand for a missing value, in every column that does not list its own.
    missing: tuple[str, ...] = DEFAULT_MISSING
    #: Whether whitespace around strings is removed.
    trim: bool = False
    #: How the inputs that callers do not send are looked up, by the name of the look-up.
    lookups: dict[str, Lookup] = Field(default_factory=dict)

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns that the pipeline gets, in the contract's order."""
        return tuple(column for column in self.columns if column.role == "input")

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in the contract's order."""
        return [column.name for column in self.inputs]

    @property
    def looked_up(self) -> tuple[Column, ...]:
        """The inputs that callers do not send."""
        return tuple(column for column in self.inputs if column.lookup is not None)

    def columns_of_lookup(self, name: str) -> dict[str, Column]:
        """Return the inputs that a look-up fills, by their names in the contract."""
        return {column.name: column for column in self.looked_up if parse_reference(column.lookup or "")[0] == name}

    def values_of_lookup(self, name: str) -> dict[str, str]:
        """Return the names of a look-up's values in its store, by the names of the inputs."""
        columns = self.columns_of_lookup(name)
        return {column: parse_reference(each.lookup or "")[1] for column, each in columns.items()}

    def for_requests(self) -> Self:
        """Return the contract of requests: without the inputs that are looked up."""
        columns = tuple(column for column in self.columns if column.lookup is None)
        return self.model_copy(update={"columns": columns, "lookups": {}}) if self.looked_up else self

    @property
    def target(self) -> Column:
        """The column to predict."""
        return self.by_role("target")

    @property
    def class_names(self) -> list[str] | None:
        """The classes as JSON keys and column names, in the order of `classes`; None for a regression."""
        return None if self.classes is None else [class_name(value) for value in self.classes]

    @property
    def table_labels(self) -> dict[str, str]:
        """How the table writes the classes, by their names; empty if it writes them as they are."""
        target = self.target
        if target.kind != "boolean" or target.notation is None:
            return {}
        yes, no = (word.strip() for word in target.notation.split("/"))
        return {class_name(True): yes, class_name(False): no}

    @property
    def segments(self) -> tuple[Column, ...]:
        """The columns by whose values quality is reported separately."""
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
        matches = self.with_role(role)
        if len(matches) != 1:
            names = ", ".join(column.name for column in matches) or "none"
            raise SklineError(
                f"src/model/contract.py: exactly one column must have role={role!r}, found {names}; "
                f'give one column of Labelled role="{role}"'
            )
        return matches[0]

    def notations(self) -> dict[str, str]:
        """Column → notation of its text, for columns that are not written plainly."""
        return {column.name: column.notation for column in self.columns if column.notation is not None}

    def cell_format(self, column: Column) -> CellFormat:
        """Return how the cells of a column are read; a word that is in its closed set is no missing value."""
        words = self.missing if column.missing is None else column.missing
        return CellFormat(
            column.kind, column.notation, frozenset({"", *words}).difference(map(str, column.choices or ())), self.trim
        )

    def shared_missing(self) -> tuple[str, ...]:
        """Return the texts that stand for a missing value in every column: a reader of tables may drop them at once."""
        words = [self.cell_format(column).missing for column in self.columns]
        return tuple(sorted(frozenset({"", *self.missing}).intersection(*words)))

    def feature_groups(self) -> dict[str, list[str]]:
        """Input names by feature group, for the pipeline: `{"number": [...], "category": [...], ...}`."""
        groups = FeatureGroups()
        for column in self.inputs:
            groups.setdefault(column.feature_group, []).append(column.name)
        return groups

    def to_json(self) -> str:
        """Return the contract as indented JSON without the fields at their default."""
        return self.model_dump_json(indent=2, exclude_defaults=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read the output of `to_json`; pydantic.ValidationError if it is anything else."""
        return cls.model_validate_json(text)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the contract that the stage ingest derived; SklineError if the file is missing or no JSON."""
        return cls.model_validate(read_json(path))

    def digest(self) -> str:
        """Return the sha256 of the JSON form, in hexadecimal; equal contracts have equal digests."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

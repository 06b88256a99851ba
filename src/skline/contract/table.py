"""What `src/model/contract.py` is written with: a pandera base class and one call a column.

Annotations are Python's types (int, float, bool, str, datetime.date, datetime.datetime). The pandas
dtypes that hold them follow from the type and from `nullable` (see `Column.storage`), so that
`Inputs.validate(frame)` judges the frames that training and serving really use.
"""

import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from skline.contract.spec import LARGEST_INTEGER, Column, Kind, Role, Scalar
from skline.errors import SklineError

#: Where `column` leaves what pandera has no field for.
METADATA = "skline"

KINDS: dict[type, Kind] = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    dt.date: "date",
    dt.datetime: "datetime",
}
DEFAULT_GROUPS: dict[Kind, str] = {
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "string": "category",
    "date": "date",
    "datetime": "datetime",
}


def column(
    description: str,
    *,
    example: Scalar | None = None,
    role: Role | None = None,
    nullable: bool = False,
    unique: bool = False,
    ge: Any = None,
    gt: Any = None,
    le: Any = None,
    lt: Any = None,
    isin: list[Any] | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    feature_group: str | None = None,
    segment: bool = False,
    alias: str | None = None,
    written: str | None = None,
) -> Any:
    """Describe one column of the contract.

    Parameters
    ----------
    description : str
        What the column means to somebody who has never seen the table; shown in the API's documentation.
    example : scalar
        A value as a JSON client sends it (dates as "YYYY-MM-DD"). Required for inputs that are not nullable.
    role : {"target", "id", "time", "group", "segment"}, optional
        What a column of `Labelled` is for; columns of `Inputs` are always inputs.
    nullable : bool
        Whether a value may be missing.
    unique : bool
        Whether no two rows may share a value; always so for the id.
    ge, gt, le, lt : number or date, optional
        Bounds, inclusive and exclusive.
    isin : list, optional
        The closed set of values.
    min_length, max_length : int, optional
        Length of a string in code points.
    pattern : str, optional
        Regular expression (Python's) that the whole string must match.
    feature_group : str, optional
        The group under which the pipeline finds this input; by default it follows from the type
        ("number", "boolean", "category", "date", "datetime").
    segment : bool
        Report quality separately for each value of this column.
    alias : str, optional
        The column's real name where it is no Python identifier.
    written : str, optional
        How a table of text writes the values, where not plainly: a number as an example ("1.234,56 €"), a date
        as strptime's format ("%d.%m.%Y"), a boolean as its two words ("ja/nein"). Requests are JSON and plain.
    """
    lengths: Any = {"min_value": min_length, "max_value": max_length}
    return pa.Field(
        description=description,
        nullable=nullable,
        unique=unique or role == "id",
        ge=_comparable(ge),
        gt=_comparable(gt),
        le=_comparable(le),
        lt=_comparable(lt),
        isin=None if isin is None else [_comparable(value) for value in isin],
        str_length=lengths if min_length is not None or max_length is not None else None,
        alias=alias,
        metadata={
            METADATA: {
                "example": example,
                "role": role,
                "feature_group": feature_group,
                "segment": segment or role == "segment",
                "pattern": pattern,
                "written": written,
            }
        },
    )


def _comparable(value: Any) -> Any:
    """Turn dates into Timestamps, the only form that pandas compares with a datetime64 column."""
    return pd.Timestamp(value) if isinstance(value, dt.date) else value


class Table(pa.DataFrameModel):
    """Base of `Inputs` and `Labelled`: strict, never coercing, judged on storage types."""

    class Config:
        """No unknown columns, no silent conversions."""

        strict = True
        coerce = False

    @classmethod
    def kinds(cls) -> dict[str, Kind]:
        """Column name → kind, from the annotations, in order.

        Raises
        ------
        SklineError
            If an annotation is not one of the six types a contract can hold.
        """
        kinds: dict[str, Kind] = {}
        for annotation, field in cls._collect_fields().values():
            kind = KINDS.get(annotation.raw_annotation)
            if kind is None:
                allowed = ", ".join(f"{t.__module__}.{t.__name__}".removeprefix("builtins.") for t in KINDS)
                raise SklineError(
                    f"contract column {field.name!r} is annotated {annotation.raw_annotation!r}; "
                    f"use one of {allowed}, and nullable=True where a value may be missing"
                )
            kinds[field.name] = kind
        return kinds

    @classmethod
    def to_schema(cls) -> pa.DataFrameSchema:
        """Return pandera's schema with storage dtypes and the rules that belong to each type."""
        known: pa.DataFrameSchema | None = cls.__dict__.get("_storage_schema")
        if known is None:
            schema = super().to_schema()
            kinds = cls.kinds()
            changes: dict[str, Any] = {}
            for name, kind in kinds.items():
                old = schema.columns[name]
                storage = Column(name=name, kind=kind, nullable=old.nullable).storage
                pattern = (old.metadata or {}).get(METADATA, {}).get("pattern")
                checks = [
                    *old.checks,
                    *_type_checks(kind, storage),
                    *([] if pattern is None else [_full_match(pattern)]),
                ]
                changes[name] = {"dtype": storage, "checks": checks}
            schema = schema.update_columns(changes)  # all at once: each update copies every column
            type.__setattr__(cls, "_storage_schema", schema)
            known = schema
        return known


def _full_match(pattern: str) -> pa.Check:
    """Make the check that whole strings match.

    Not pandas' own `str.fullmatch`: it changes its regular expression engine with the storage of the
    strings, and the API must judge as this check does. Distinct values are few, so they are judged once.
    """
    compiled = re.compile(pattern)

    def check(strings: pd.Series) -> pd.Series:
        return strings.isin([text for text in strings.unique() if compiled.fullmatch(text)])

    return pa.Check(check, name="pattern", error=f"must match the pattern {pattern}", statistics={"pattern": pattern})


def _type_checks(kind: Kind, storage: str) -> list[pa.Check]:
    """Rules that follow from the type alone; each returns a boolean Series over the non-missing values."""
    match kind:
        case "number":
            return [pa.Check(np.isfinite, name="finite", error="must be a finite number")]
        case "integer":
            checks = [
                pa.Check(lambda s: s.abs() <= LARGEST_INTEGER, name="exact_integer", error="must be within ±2^53")
            ]
            if storage == "float64":
                checks.append(pa.Check(lambda s: s % 1 == 0, name="whole", error="must be a whole number"))
            return checks
        case "boolean" if storage == "float64":
            return [pa.Check(lambda s: s.isin([0.0, 1.0]), name="boolean", error="must be true or false")]
        case "date":
            return [pa.Check(lambda s: s == s.dt.normalize(), name="date_only", error="must be a date without a time")]
        case "datetime" | "date" | "string" | "boolean":
            return []
    raise AssertionError(kind)

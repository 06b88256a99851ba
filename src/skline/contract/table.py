"""The vocabulary of `src/model/contract.py`: a pandera base class, and one call of `column` per column.

Annotations are Python types (int, float, bool, str, datetime.date, datetime.datetime). The pandas dtypes follow from
the type and from `nullable` (see `Column.storage`), so that `Inputs.validate(frame)` checks the frames that training
and serving use.
"""

import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from skline.contract.spec import LARGEST_INTEGER, Column, Kind, Role, Scalar
from skline.errors import SklineError

#: Key of the field metadata that holds what pandera has no parameter for.
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
    sensitive: bool = False,
    alias: str | None = None,
    notation: str | None = None,
    missing: list[str] | None = None,
    lookup: str | None = None,
) -> Any:
    """Describe one column of the contract.

    Parameters
    ----------
    description : str
        The meaning of the column for a reader who has never seen the table; the API documentation shows it.
    example : scalar
        A value as a JSON client sends it (dates as "YYYY-MM-DD"). Required for inputs that are not nullable.
    role : {"target", "id", "time", "group", "segment"}, optional
        The purpose of a column of `Labelled`; columns of `Inputs` are always inputs.
    nullable : bool
        Whether a value may be missing.
    unique : bool
        Whether each value must be unique; always true for the id.
    ge, gt, le, lt : number or date, optional
        Bounds, inclusive and exclusive.
    isin : list, optional
        The closed set of values.
    min_length, max_length : int, optional
        Length of a string in code points.
    pattern : str, optional
        Regular expression (Python's) that the whole string must match.
    feature_group : str, optional
        The feature group of this input in the pipeline; by default it follows from the type
        ("number", "boolean", "category", "date", "datetime"). `skline init` also writes "many_categories" and "text".
    segment : bool
        Report quality separately for each value of this column.
    sensitive : bool
        A segment whose groups the model must treat alike: evaluation measures the gaps between them, and `gates.gaps`
        in params.yaml limits them.
    alias : str, optional
        The column's name, if it is not a valid Python identifier.
    notation : str, optional
        How a text table writes the values, if not plainly: an example of a number ("1.234,56 €"), a strptime format
        of a date ("%d.%m.%Y"), the two words of a boolean ("ja/nein"). Requests and labels may write text so,
        or plainly.
    missing : list of str, optional
        Texts that stand for a missing value in this column; by default those of `source.missing` in params.yaml. A word
        in `isin` is a category, and never missing.
    lookup : str, optional
        Callers do not send this input: it is looked up, as "customers.avg_30d" says: the value `avg_30d` of the look-up
        `customers` that `lookups` in params.yaml defines.

    Raises
    ------
    SklineError
        If `isin` or `missing` is a text or a set.
    """
    for name, values in (("isin", isin), ("missing", missing)):
        # A text would be taken for a list of its characters, and a set has another order in every process.
        if isinstance(values, str | set | frozenset):
            items = [values] if isinstance(values, str) else sorted(values)
            raise SklineError(f"column({description!r}) has {name}={values!r}; write a list: {name}={items!r}")
    own = {
        "example": example,
        "role": role,
        "feature_group": feature_group,
        "segment": segment or sensitive or role == "segment",
        "sensitive": sensitive,
        "pattern": pattern,
        "notation": notation,
        "missing": missing,
        "lookup": lookup,
    }
    checks = _bounds(ge=ge, gt=gt, le=le, lt=lt) | _closed_set(isin) | _lengths(min_length, max_length)
    return pa.Field(
        description=description,
        nullable=nullable,
        unique=unique or role == "id",
        alias=alias,
        metadata={METADATA: own},
        **checks,
    )


def _bounds(**bounds: Any) -> dict[str, Any]:
    """Return pandera's arguments for bounds."""
    return {name: _comparable(bound) for name, bound in bounds.items()}


def _closed_set(choices: list[Any] | None) -> dict[str, Any]:
    """Return pandera's argument for a closed set."""
    return {} if choices is None else {"isin": [_comparable(choice) for choice in choices]}


def _lengths(shortest: int | None, longest: int | None) -> dict[str, Any]:
    """Return pandera's argument for the length of a string."""
    if shortest is None and longest is None:
        return {}
    return {"str_length": {"min_value": shortest, "max_value": longest}}


def _comparable(value: Any) -> Any:
    """Convert dates to naive Timestamps in UTC, the only form that pandas compares with a datetime64 column."""
    if not isinstance(value, dt.date):
        return value
    stamp = pd.Timestamp(value)
    return stamp if stamp.tz is None else stamp.tz_convert(None)


class Table(pa.DataFrameModel):
    """Base of `Inputs` and `Labelled`: strict, without coercion, validated on storage dtypes."""

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
    def table_checks(cls) -> list[pa.Check]:
        """Return the checks over several columns."""
        return super().to_schema().checks or []

    @classmethod
    def to_schema(cls) -> pa.DataFrameSchema:
        """Return pandera's schema with storage dtypes and the rules that belong to each type."""
        cached: pa.DataFrameSchema | None = cls.__dict__.get("_storage_schema")
        if cached is None:
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
                    *([] if pattern is None else [_full_match(name, pattern)]),
                ]
                changes[name] = {"dtype": storage, "checks": checks}
            schema = schema.update_columns(changes)  # all at once: each update copies every column
            type.__setattr__(cls, "_storage_schema", schema)
            cached = schema
        return cached


def _full_match(name: str, pattern: str) -> pa.Check:
    """Return a check that the whole strings of a column match a pattern; SklineError if it is no regular expression.

    pandas' own `str.fullmatch` is not used: its regular expression engine depends on the storage of the strings, and
    the API must validate exactly as this check does. Each distinct value is matched once.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SklineError(
            f"contract column {name!r} has pattern={pattern!r}, which is no regular expression ({error}); correct it"
        ) from None

    def check(strings: pd.Series) -> pd.Series:
        return strings.isin([text for text in strings.unique() if compiled.fullmatch(text)])

    return pa.Check(check, name="pattern", error=f"must match the pattern {pattern}", statistics={"pattern": pattern})


def _type_checks(kind: Kind, storage: str) -> list[pa.Check]:
    """Return the checks that follow from the type; each returns a boolean Series over the non-missing values."""
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

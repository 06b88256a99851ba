"""Request and response types of `/predict`, generated from the contract.

pydantic checks a row in microseconds and writes types, bounds, choices, nulls, descriptions and examples
into the OpenAPI schema. Its rules are the contract's, so that a row is accepted here if and only if
`Inputs` accepts it.
"""

import datetime as dt
import operator
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from skline.contract.spec import LARGEST_INTEGER, Column, Contract, Value

TYPES: dict[str, Any] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "string": str,
    "date": dt.date,
    "datetime": dt.datetime,
}
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
DATETIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
BOUNDS = {"minimum": "ge", "exclusive_minimum": "gt", "maximum": "le", "exclusive_maximum": "lt"}


def row_model(contract: Contract) -> type[BaseModel]:
    """Generate the type of one row.

    Returns
    -------
    A pydantic model whose fields are called f0, f1, … in the contract's order, so that any column name
    works; their aliases are the column names. Strict: no conversions but integer → number, no unknown
    fields, no NaN or infinity. `values_of` reads an instance as column name → value.
    """
    fields: dict[str, Any] = {
        f"f{index}": (field_type(column), _field(column)) for index, column in enumerate(contract.inputs)
    }
    return create_model(
        contract.title,
        __doc__=contract.description or None,
        __config__=ConfigDict(
            strict=True,
            extra="forbid",
            allow_inf_nan=False,
            json_schema_extra={"example": {column.name: column.example for column in contract.inputs}},
        ),
        **fields,
    )


def values_of(row: BaseModel, names: list[str]) -> dict[str, Value]:
    """Read a row as column name → value, `names` being the contract's input names."""
    return dict(zip(names, row.__dict__.values(), strict=True))


def field_type(column: Column) -> Any:
    """Build the annotation of one column with all its rules."""
    if column.choices is not None and column.kind == "string":  # Literal would take 1.0 for 1
        checked: Any = Literal[column.choices]
    elif column.kind in ("date", "datetime"):
        checked = Annotated[TYPES[column.kind], BeforeValidator(READERS[column.kind]), AfterValidator(_rule(column))]
    elif column.choices is not None:
        checked = Annotated[TYPES[column.kind], AfterValidator(_rule(column))]
    else:
        rules = _constraints(column)
        checked = Annotated[TYPES[column.kind], Field(**rules)] if rules else TYPES[column.kind]
    if column.pattern is not None:
        checked = Annotated[checked, AfterValidator(_full_match(column.pattern))]
    return checked | None if column.nullable else checked


def prediction_type(contract: Contract) -> Any:
    """Return the type of the answer's `prediction`: one of the classes, or a number."""
    return float if contract.classes is None else Literal[contract.classes]


def _field(column: Column) -> Any:
    """Describe one field for people and for the OpenAPI schema."""
    extra: dict[str, Any] = {"pattern": None if column.pattern is None else f"^(?:{column.pattern})$"}
    if column.choices is not None and column.kind != "string":
        extra["enum"] = [*column.choices, *([None] if column.nullable else [])]
    if column.kind in ("date", "datetime"):  # JSON Schema has no keyword for bounds of dates; these are Ajv's
        extra |= {
            "formatMinimum": column.minimum,
            "formatExclusiveMinimum": column.exclusive_minimum,
            "formatMaximum": column.maximum,
            "formatExclusiveMaximum": column.exclusive_maximum,
        }
    return Field(
        alias=column.name,
        title=column.name,
        description=column.description or None,
        examples=None if column.example is None else [column.example],
        json_schema_extra={key: value for key, value in extra.items() if value is not None},
    )


def _constraints(column: Column) -> dict[str, Any]:
    """Return the column's rules as pydantic's own constraints."""
    rules: dict[str, Any] = {rule: getattr(column, name) for name, rule in BOUNDS.items()}
    rules |= {"min_length": column.min_length, "max_length": column.max_length}
    rules = {rule: value for rule, value in rules.items() if value is not None}
    if column.kind == "integer" and not rules.keys() & {"ge", "gt"}:
        rules["ge"] = -LARGEST_INTEGER
    if column.kind == "integer" and not rules.keys() & {"le", "lt"}:
        rules["le"] = LARGEST_INTEGER
    return rules


def _rule(column: Column) -> Callable[[Any], Any]:
    """Make a validator for bounds and closed sets that pydantic cannot put into words, or into a Literal."""
    read: Callable[[Any], Any] = {
        "date": dt.date.fromisoformat,
        "datetime": dt.datetime.fromisoformat,
    }.get(column.kind, lambda value: value)
    bounds = [
        (holds, words, read(getattr(column, name)))
        for name, holds, words in (
            ("minimum", operator.ge, "not before {bound}"),
            ("exclusive_minimum", operator.gt, "after {bound}"),
            ("maximum", operator.le, "not after {bound}"),
            ("exclusive_maximum", operator.lt, "before {bound}"),
        )
        if getattr(column, name) is not None
    ]
    choices = None if column.choices is None else [read(choice) for choice in column.choices]

    def check(value: Any) -> Any:
        for holds, words, bound in bounds:
            if not holds(value, bound):
                raise PydanticCustomError("bound", "Input should be " + words, {"bound": str(bound)})
        if choices is not None and value not in choices:
            named = ", ".join(str(choice) for choice in choices)
            raise PydanticCustomError("choice", "Input should be one of {choices}", {"choices": named})
        return value

    return check


def _full_match(pattern: str) -> Callable[[str], str]:
    """Make a validator that wants the whole string to match, as the contract's own check does."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise PydanticCustomError("pattern", "Input should match the pattern {pattern}", {"pattern": pattern})
        return value

    return check


def _date(value: object) -> object:
    """Read YYYY-MM-DD; anything that is no text is left to pydantic's type check."""
    if not isinstance(value, str):
        return value
    try:
        if DATE.fullmatch(value):
            return dt.date.fromisoformat(value)
    except ValueError:
        pass  # a day that does not exist, told in the same words
    raise PydanticCustomError("date_format", "Input should be a date written as YYYY-MM-DD")


def _datetime(value: object) -> object:
    """Read ISO 8601; an offset is converted to UTC, and no offset means UTC."""
    if isinstance(value, str):
        try:
            if DATETIME.fullmatch(value):
                moment = dt.datetime.fromisoformat(value)
                return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            pass  # a moment that does not exist, told in the same words
        raise PydanticCustomError(
            "datetime_format", "Input should be a datetime in ISO 8601, such as 2026-01-31T14:05:00Z"
        )
    return value


READERS: dict[str, Callable[[Any], Any]] = {"date": _date, "datetime": _datetime}

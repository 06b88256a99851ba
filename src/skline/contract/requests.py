"""Request and response types of `/predict`, generated from the contract.

pydantic checks a row in microseconds and writes types, bounds, choices, nulls, descriptions and examples
into the OpenAPI schema. Its rules are the contract's, so that a row is accepted here if and only if
`Inputs` accepts it.
"""

import datetime as dt
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import TypedDict

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
#: Literal characters, sets of them and counts, of ASCII alone: no class such as \\d, no group, no anchor.
SIMPLE = re.compile(r"(?:(?:[A-Za-z0-9 _]|\[(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _])+\])(?:[?*+]|\{\d+(?:,\d*)?\})?)+")
FROM_TEXT: dict[str, Callable[[str], Any]] = {"date": dt.date.fromisoformat, "datetime": dt.datetime.fromisoformat}
BOUNDS = {"minimum": "ge", "exclusive_minimum": "gt", "maximum": "le", "exclusive_maximum": "lt"}


class Rows:
    """Reads rows out of JSON, as the contract wants them.

    Attributes
    ----------
    one, many : TypeAdapter
        Of one row, and of a list of rows. A row is read as column name → plain value, in the contract's order.
        Strict: no conversions but integer → number, no unknown fields, no NaN or infinity.
    """

    def __init__(self, contract: Contract) -> None:
        row: Any = row_type(contract)
        self.one: TypeAdapter[dict[str, Value]] = TypeAdapter(row)
        self.many: TypeAdapter[list[dict[str, Value]]] = TypeAdapter(list[row])
        self.read_one: Callable[[bytes], dict[str, Value]] = self.one.validator.validate_json
        self.read_many: Callable[[bytes], list[dict[str, Value]]] = self.many.validator.validate_json


def row_type(contract: Contract) -> Any:
    """Generate the type of one row: a TypedDict, since that allows any column name and is read without a detour."""
    make: Any = TypedDict  # by its call, which a type checker wants to be literal
    row = make(contract.title, {c.name: Annotated[field_type(c), _field(c)] for c in contract.inputs})
    row.__doc__ = contract.description or None
    row.__pydantic_config__ = ConfigDict(
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"example": {column.name: column.example for column in contract.inputs}},
    )
    return row


def field_type(column: Column) -> Any:
    """Build the annotation of one column with all its rules."""
    if column.choices is not None and column.kind == "string":  # Literal would take 1.0 for 1
        checked: Any = Literal[column.choices]
    elif column.choices is not None:
        checked = Annotated[_unbounded(column), AfterValidator(_one_of(column))]
    elif column.kind == "date":
        checked = Annotated[dt.date, Date(column)]
    elif column.kind == "datetime":
        checked = Annotated[_unbounded(column), Field(**_bounds(column))]
    else:
        checked = Annotated[TYPES[column.kind], Field(**_constraints(column))]
    if column.pattern is not None:
        checked = Annotated[checked, whole(column.pattern)]
    return checked | None if column.nullable else checked


class Date:
    """A date written YYYY-MM-DD, within bounds; read by pydantic-core alone, which a Python function would slow."""

    def __init__(self, column: Column) -> None:
        self.bounds = _bounds(column)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the form, then that the day exists, then the bounds."""
        day = core_schema.chain_schema(
            [
                core_schema.str_schema(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
                core_schema.date_schema(strict=False),
            ]
        )
        named = core_schema.custom_error_schema(
            day, "date_format", custom_error_message="Input should be a date written as YYYY-MM-DD"
        )
        return core_schema.chain_schema([named, core_schema.date_schema(**self.bounds)])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say it in JSON Schema's words."""
        return {"type": "string", "format": "date"}


def whole(pattern: str) -> Any:
    """The rule that the whole string matches, as the contract's own check with Python's `re` judges.

    Patterns of characters, sets of characters and counts mean the same to pydantic's faster engine.
    """
    if SIMPLE.fullmatch(pattern):
        return Field(pattern=f"^(?:{pattern})$")
    return AfterValidator(_full_match(pattern))


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


def _unbounded(column: Column) -> Any:
    """The type of one column's values, and how they are read."""
    reader = READERS.get(column.kind)
    return TYPES[column.kind] if reader is None else Annotated[TYPES[column.kind], BeforeValidator(reader)]


def _bounds(column: Column) -> dict[str, Any]:
    """The bounds of a date or a datetime, as pydantic names them."""
    read = FROM_TEXT[column.kind]
    given = {rule: getattr(column, name) for name, rule in BOUNDS.items()}
    return {rule: read(bound) for rule, bound in given.items() if bound is not None}


def _one_of(column: Column) -> Callable[[Any], Any]:
    """Make a validator for a closed set that no Literal can hold."""
    read: Callable[[Any], Any] = FROM_TEXT.get(column.kind, lambda value: value)
    choices = [read(choice) for choice in column.choices or ()]

    def check(value: Any) -> Any:
        if value not in choices:
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

"""Request and response types of `/predict`, generated from the contract.

pydantic validates a row in microseconds and puts types, bounds, choices, nulls, descriptions and examples into the
OpenAPI schema. A row is valid here if and only if `Inputs` accepts it.

There are two types of one row. The strict one takes plain JSON values, and is fast. A body that it rejects is read once
more with the lenient one, which reads each value as a cell of a table is read (`skline.contract.values`).
"""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import TypedDict

from skline.contract.date_pattern import date_pattern
from skline.contract.patterns import SIMPLE, of_all_but, without_words
from skline.contract.spec import LARGEST_INTEGER, CellFormat, Column, Contract, Kind, Value
from skline.contract.values import EXPECTED, Unreadable, iso_moment, make_reader

TYPES: dict[str, Any] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "string": str,
    "date": dt.date,
    "datetime": dt.datetime,
}
FROM_TEXT: dict[str, Callable[[str], Any]] = {"date": dt.date.fromisoformat, "datetime": dt.datetime.fromisoformat}
STRICT = ConfigDict(strict=True, allow_inf_nan=False)
ParseRow = Callable[[bytes | str], dict[str, Value]]
ParseRows = Callable[[bytes | str], list[dict[str, Value]]]
BOUNDS = {"minimum": "ge", "exclusive_minimum": "gt", "maximum": "le", "exclusive_maximum": "lt"}


class RowParser:
    """Parses JSON as rows that keep the contract.

    A parsed row maps column names to plain values, in the contract's order. No field is unknown, nothing is coerced,
    and no number is infinite.

    Attributes
    ----------
    row : TypeAdapter
        The strict type of one row.
    strict_row : callable
        Parses a body of plain JSON values, without `reread`: pydantic.ValidationError for all others.
    screened : list of (name, values)
        Columns in which the strict type accepts texts that mean a missing value, with the values that it reads.
    """

    def __init__(self, contract: Contract) -> None:
        strict: Any = row_type(contract, field_type)
        lenient: Any = row_type(contract, lenient_type)
        # Members that the contract lacks are no errors here, so that a row has at most one error for each column;
        # `parse_plain_rows` rejects rows that have any.
        open_row: Any = row_type(contract, field_type, extra="allow")
        strict_rows: Any = Annotated[list[open_row], FailFast()]
        lenient_rows: Any = list[lenient]
        self.row: TypeAdapter[dict[str, Value]] = TypeAdapter(strict)
        self.strict_row: ParseRow = self.row.validator.validate_json
        self._strict_rows: ParseRows = TypeAdapter(strict_rows).validator.validate_json
        self._columns = len(contract.inputs)
        #: Read a body once more, each value as a cell of a table; raise pydantic.ValidationError.
        self.reread_row: ParseRow = TypeAdapter(lenient).validator.validate_json
        reread: TypeAdapter[list[dict[str, Value]]] = TypeAdapter(lenient_rows)
        self.reread_rows: ParseRows = reread.validator.validate_json
        #: Read rows of Python values in the same way; raise pydantic.ValidationError.
        self.read_rows: Callable[[Sequence[Any]], list[dict[str, Value]]] = reread.validator.validate_python
        self.screened = _screened_columns(contract)

    def parse_row(self, body: bytes | str) -> dict[str, Value]:
        """Parse a JSON object as one row; pydantic.ValidationError if it is none."""
        try:
            row = self.strict_row(body)
        except ValidationError:
            return self.reread_row(body)
        for name, values in self.screened:
            if row[name] in values:
                return self.reread_row(body)
        return row

    def parse_rows(self, body: bytes | str) -> list[dict[str, Value]]:
        """Parse a JSON array as rows; pydantic.ValidationError if it is none."""
        rows = self.parse_plain_rows(body)
        return self.reread_rows(body) if rows is None else rows

    def parse_plain_rows(self, body: bytes | str) -> list[dict[str, Value]] | None:
        """Parse a JSON array as rows of plain values; None if `reread_rows` has to read it, or to say what is wrong.

        It stops at the first row that is invalid, of which it collects one error for each column at most.
        """
        try:
            rows = self._strict_rows(body)
        except ValidationError:
            return None
        if not {self._columns}.issuperset(map(len, rows)):
            return None
        for name, values in self.screened:
            if not values.isdisjoint([row[name] for row in rows]):
                return None
        return rows


def _screened_columns(contract: Contract) -> list[tuple[str, frozenset[Value]]]:
    """Return the columns in which the strict type accepts texts that mean a missing value, as what it reads them."""
    screened = []
    for column in contract.inputs:
        if column.kind not in ("string", "date", "datetime"):
            continue  # the strict type takes no text
        cells = contract.cell_format(column)
        adapter: TypeAdapter[Value] = TypeAdapter(field_type(column, cells), config=STRICT)
        values = frozenset(value for word in cells.missing for value in _accepted(adapter, word))
        if values:
            screened.append((column.name, values))
    return screened


def _accepted(adapter: TypeAdapter[Value], word: str) -> list[Value]:
    """Return what a type reads a text as; an empty list if it rejects it."""
    try:
        return [adapter.validate_python(word)]
    except ValidationError:
        return []


def row_type(
    contract: Contract,
    field: Callable[[Column, CellFormat], Any],
    extra: Literal["allow", "forbid"] = "forbid",
) -> Any:
    """Generate the type of one row: a TypedDict, because it allows any column name and pydantic reads it fastest."""
    make: Any = TypedDict  # as a function: a type checker requires a literal call
    fields = {c.name: Annotated[field(c, contract.cell_format(c)), _field(c)] for c in contract.inputs}
    row = make(contract.title, fields)
    row.__doc__ = contract.description or None
    row.__pydantic_config__ = STRICT | ConfigDict(
        extra=extra,
        json_schema_extra={"example": {column.name: column.example for column in contract.inputs}},
    )
    return row


def field_type(column: Column, cells: CellFormat) -> Any:
    """Build the strict annotation of one column with all its rules, for plain JSON values."""
    if column.kind == "date" and column.choices is None:
        checked: Any = Annotated[dt.date, Date(column)]
    elif column.kind in ("date", "datetime"):
        checked = _checked(column, Annotated[TYPES[column.kind], BeforeValidator(READERS[column.kind])])
    elif _screening_pattern(column, cells) is not None:
        checked = Annotated[str, Screened(column, cells)]
    elif column.kind == "string" and cells.trim:
        checked = _checked(column, Annotated[str, StringConstraints(strip_whitespace=True)])
    else:
        checked = _checked(column, TYPES[column.kind])
    return checked | None if column.nullable else checked


def lenient_type(column: Column, cells: CellFormat) -> Any:
    """Build the annotation of one column that reads a value as a cell of a table, and then applies the rules."""
    reader = make_reader(cells)

    def read(value: object) -> Value:
        try:
            result = reader(value)
        except Unreadable as error:
            raise _unreadable(column.kind, str(error)) from None
        if result is None and not column.nullable:
            raise PydanticCustomError("missing_value", "Input should not be missing")
        return result

    checked = _checked(column, TYPES[column.kind])
    return Annotated[checked | None if column.nullable else checked, BeforeValidator(read)]


def _unreadable(kind: Kind, message: str) -> PydanticCustomError:
    """Return the error of a value that is not of its column's kind, such as `integer_format`."""
    name: Any = f"{kind}_format"  # the type demands a literal
    return PydanticCustomError(name, "{message}", {"message": message})


def _checked(column: Column, base: Any) -> Any:
    """Add a column's rules to a type."""
    if column.choices is not None and column.kind == "string":  # Literal would take 1.0 for 1
        return Literal[column.choices]
    if column.choices is not None:
        return Annotated[base, AfterValidator(_one_of(column))]
    if column.kind in ("date", "datetime"):
        return Annotated[base, Field(**_bounds(column))]
    checked = Annotated[base, Field(**_constraints(column))]
    return checked if column.pattern is None else Annotated[checked, full_match(column.pattern)]


def _screening_pattern(column: Column, cells: CellFormat) -> str | None:
    """Return the pattern of a string that is no missing value, if there is a fast one."""
    if column.kind != "string" or column.choices is not None:
        return None
    if column.pattern is None:
        return of_all_but(cells.missing)
    if column.max_length or column.min_length:
        return None
    pattern = without_words(column.pattern, cells.missing)
    return None if pattern is None else f"^{pattern}$"


class Screened:
    """A string that is no missing value; a regular expression costs less than a search afterwards."""

    def __init__(self, column: Column, cells: CellFormat) -> None:
        self.trim, self.screening = cells.trim, _screening_pattern(column, cells)
        lengths = {"min_length": column.min_length, "max_length": column.max_length}
        self.lengths: dict[str, Any] = {name: length for name, length in lengths.items() if length is not None}
        self.rules = {to_camel(name): length for name, length in self.lengths.items()}
        if column.pattern is not None:
            self.rules["pattern"] = f"^(?:{column.pattern})$"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema that checks the narrower pattern."""
        return core_schema.str_schema(pattern=self.screening, strip_whitespace=self.trim, **self.lengths)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema, with the column's own rules."""
        return {"type": "string"} | self.rules


class Date:
    """A date in the form YYYY-MM-DD, within bounds; pydantic-core reads it faster than a Python validator."""

    def __init__(self, column: Column) -> None:
        self.bounds = _bounds(column)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema that checks the form, then that the day exists, then the bounds."""
        day = core_schema.chain_schema(
            [
                core_schema.str_schema(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
                core_schema.date_schema(strict=False),
            ]
        )
        named = core_schema.custom_error_schema(
            day, "date_format", custom_error_message=f"Input should be {EXPECTED['date']}"
        )
        return core_schema.chain_schema([named, core_schema.date_schema(**self.bounds)])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema, with the bounds as a pattern, since JSON Schema has no bounds for dates."""
        first = self.bounds.get("ge") or _next_day(self.bounds.get("gt"), 1)
        last = self.bounds.get("le") or _next_day(self.bounds.get("lt"), -1)
        pattern = {} if first is None and last is None else {"pattern": date_pattern(first, last)}
        return {"type": "string", "format": "date"} | pattern


def _next_day(day: dt.date | None, days: int) -> dt.date | None:
    """Return the day after (1) or before (-1) an exclusive bound."""
    return None if day is None else day + dt.timedelta(days)


def full_match(pattern: str) -> Any:
    """Return the rule that the whole string matches, equal to the contract's check with Python's `re`.

    Patterns of literals, sets and counts have the same meaning in pydantic's faster engine, which then checks them.
    """
    if SIMPLE.fullmatch(pattern):
        return Field(pattern=f"^(?:{pattern})$")
    return AfterValidator(_matches_whole(pattern))


def prediction_type(contract: Contract, *, table_labels: bool = False) -> Any:
    """Return the type of the response's `prediction`: one of the classes, or a number.

    With `table_labels` it may also be one of the classes as the table writes them.
    """
    labels = tuple(contract.table_labels.values()) if table_labels else ()
    return float if contract.classes is None else Literal[(*contract.classes, *labels)]


def _description(column: Column) -> str:
    """Describe a column, and how text may write its values."""
    if column.notation is None:
        return column.description
    return f"{column.description}; also as text, written as {column.notation}".removeprefix("; ")


def _field(column: Column) -> Any:
    """Return the title, description and examples of one field for the OpenAPI schema."""
    extra: dict[str, Any] = {"pattern": None if column.pattern is None else f"^(?:{column.pattern})$"}
    if column.choices is not None and column.kind != "string":
        extra["enum"] = [*column.choices, *([None] if column.nullable else [])]
    if column.kind in ("date", "datetime"):  # JSON Schema has no bounds for dates; these are the keywords of Ajv
        extra |= {
            "formatMinimum": column.minimum,
            "formatExclusiveMinimum": column.exclusive_minimum,
            "formatMaximum": column.maximum,
            "formatExclusiveMaximum": column.exclusive_maximum,
        }
    return Field(
        title=column.name,
        description=_description(column) or None,
        examples=None if column.example is None else [column.example],
        json_schema_extra={key: value for key, value in extra.items() if value is not None},
    )


def _constraints(column: Column) -> dict[str, Any]:
    """Return the column's rules as pydantic constraints."""
    rules: dict[str, Any] = {rule: getattr(column, name) for name, rule in BOUNDS.items()}
    rules |= {"min_length": column.min_length, "max_length": column.max_length}
    rules = {rule: value for rule, value in rules.items() if value is not None}
    if column.kind == "integer":
        if rules.get("gt", -LARGEST_INTEGER - 1) < -LARGEST_INTEGER:
            rules["ge"] = max(rules.get("ge", -LARGEST_INTEGER), -LARGEST_INTEGER)
        if rules.get("lt", LARGEST_INTEGER + 1) > LARGEST_INTEGER:
            rules["le"] = min(rules.get("le", LARGEST_INTEGER), LARGEST_INTEGER)
    return rules


def _bounds(column: Column) -> dict[str, Any]:
    """Return the bounds of a date or a datetime as pydantic constraints."""
    read = FROM_TEXT[column.kind]
    bounds = {rule: getattr(column, name) for name, rule in BOUNDS.items()}
    return {rule: read(bound) for rule, bound in bounds.items() if bound is not None}


def _one_of(column: Column) -> Callable[[Any], Any]:
    """Return a validator for a closed set that a Literal cannot express."""
    read: Callable[[Any], Any] = FROM_TEXT.get(column.kind, lambda value: value)
    choices = [read(choice) for choice in column.choices or ()]

    def check(value: Any) -> Any:
        if value not in choices:
            named = ", ".join(str(choice) for choice in choices)
            raise PydanticCustomError("choice", "Input should be one of {choices}", {"choices": named})
        return value

    return check


def _matches_whole(pattern: str) -> Callable[[str], str]:
    """Return a validator that requires the whole string to match, as the contract's own check does."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise PydanticCustomError("pattern", "Input should match the pattern {pattern}", {"pattern": pattern})
        return value

    return check


def _date(value: object) -> object:
    """Read YYYY-MM-DD; pydantic's type check rejects everything that is not text."""
    return make_reader(CellFormat("date"))(value) if isinstance(value, str) else value


def _datetime(value: object) -> object:
    """Read ISO 8601 as naive UTC; without an offset the time is in UTC."""
    if isinstance(value, str):
        moment = iso_moment(value)
        if moment is None:
            raise _unreadable("datetime", f"Input should be {EXPECTED['datetime']}")
        return moment
    return value


READERS: dict[str, Callable[[Any], Any]] = {"date": _date, "datetime": _datetime}

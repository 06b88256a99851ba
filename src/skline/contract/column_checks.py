"""Reject a declared column whose rules or example do not suit its type, before any stage runs on them.

pandera and pydantic accept such a declaration, and fail on the first row, or in the last stages.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from skline.contract.request_validation import BOUNDS, FROM_TEXT, STRICT, lenient_type
from skline.contract.spec import CellFormat, Column, Kind
from skline.errors import SklineError

#: Bound of whole numbers → how a fractional one is rounded to an equivalent whole one.
TO_WHOLE: dict[str, Callable[[float], int]] = {"ge": math.ceil, "gt": math.floor, "le": math.floor, "lt": math.ceil}
#: Rules that hold for strings only.
STRING_RULES = ("pattern", "min_length", "max_length")
REMEDIES: dict[Kind, str] = {
    "integer": "write a whole number",
    "number": "write a number",
    "boolean": "write True or False",
    "string": "write text in quotes",
    "date": "write a date, such as dt.date(2026, 1, 31)",
    "datetime": "write a datetime, such as dt.datetime(2026, 1, 31, 14, 5)",
}


def check_column(column: Column) -> None:
    """Raise SklineError if a rule does not suit the column's type, or the rules reject the example."""
    where = f"contract column {column.name!r} ({column.kind})"
    for rule in STRING_RULES:
        if getattr(column, rule) is not None and column.kind != "string":
            raise SklineError(f"{where} has {rule}={getattr(column, rule)!r}, which is for strings; remove it")
    if column.choices == ():
        raise SklineError(f"{where} has isin=[], which allows no value; list the values, or remove it")
    for argument, value in _values_of_rules(column):
        if not _is_of_kind(value, column.kind):
            raise SklineError(f"{where} has {argument}={value!r}, which is not of its type; {REMEDIES[column.kind]}")
        if column.kind == "integer" and isinstance(value, float) and not value.is_integer():
            remedy = (
                f"write {argument}={TO_WHOLE[argument](value)}" if _can_be_rounded(argument, value) else "remove it"
            )
            raise SklineError(f"{where} has {argument}={value}, which is no whole number; {remedy}")
    if contradiction := _contradiction(column):
        raise SklineError(f"{where} has {contradiction}, which no value satisfies; correct one of them")
    if column.example is not None and (problem := _reason_of_rejection(column, column.example)):
        raise SklineError(
            f"{where} has example={column.example!r}, which its own rules reject ({problem}); write a value that a "
            "client may send"
        )


def _values_of_rules(column: Column) -> Iterator[tuple[str, Any]]:
    """Yield the bounds and the choices, each after the argument of `column` that gives it."""
    for field, argument in BOUNDS.items():
        if (bound := getattr(column, field)) is not None:
            yield argument, bound
    for choice in column.choices or ():
        yield "isin", choice


def _contradiction(column: Column) -> str | None:
    """Return two bounds that exclude each other, as "ge=5 and le=3"; None if there are none."""
    read: Callable[[Any], Any] = FROM_TEXT.get(column.kind, lambda value: value)
    rules = {argument: getattr(column, field) for field, argument in BOUNDS.items()}
    for low, high in itertools.product(("ge", "gt"), ("le", "lt")):
        if rules[low] is None or rules[high] is None:
            continue
        least, most = read(rules[low]), read(rules[high])
        if least > most or (least == most and (low == "gt" or high == "lt")):
            return f"{low}={rules[low]!r} and {high}={rules[high]!r}"
    return None


def _can_be_rounded(argument: str, value: float) -> bool:
    return argument in TO_WHOLE and math.isfinite(value)


def _is_of_kind(value: object, kind: Kind) -> bool:
    """Whether a bound or a choice can be compared with the values of a column; dates are ISO 8601 text here."""
    match kind:
        case "integer" | "number" | "boolean":
            return isinstance(value, int | float)
        case "string":
            return isinstance(value, str)
        case "date" | "datetime":
            try:
                moment = FROM_TEXT[kind](str(value))
            except ValueError:
                return False
            return getattr(moment, "tzinfo", None) is None


def _reason_of_rejection(column: Column, example: object) -> str | None:
    """Return why a request with this value would be rejected; None if it would not."""
    annotation: Any = lenient_type(column, CellFormat(column.kind, column.notation))
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=STRICT)
    try:
        adapter.validate_python(example)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    return None

"""What JSON Schema cannot say of a row, told to schemathesis: where the schema allows it, it is made what is meant."""

import re
from typing import Any

import schemathesis

DATE = re.compile(r"\d{4}-\d\d-\d\d")
#: The bound of the small world's only date; `formatMinimum`, which its schema has, is no keyword of JSON Schema.
EARLIEST = "2013-01-01"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Change bodies that are meant to be valid, and no others."""
    meta = case.meta
    if meta is not None and meta.generation.mode.is_positive and isinstance(case.body, dict | list):
        case.body = meant(case.body)


def meant(value: Any) -> Any:
    """5.0, an integer in JSON Schema, as 5; a date before all others as the first."""
    if isinstance(value, dict):
        return {name: meant(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [meant(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and DATE.fullmatch(value):
        return max(value, EARLIEST)
    return value

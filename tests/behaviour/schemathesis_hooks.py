"""Hooks of schemathesis: change generated bodies about which JSON Schema and the contract differ.

The schema describes plain JSON. The service also reads other spellings of a value, which docs/tables.md lists.
"""

import re
from typing import Any

import schemathesis

#: Texts that are read as a number or a missing value, though the schema of a column of numbers does not list them.
READABLE = re.compile(r"\s*([+-]?[0-9.]+([eE][+-]?[0-9]+)?|NA|N/A|n/a|NaN|nan|null|NULL|None|NaT|)\s*")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Change bodies that are generated as invalid ones, and no others."""
    if case.meta is not None and not case.meta.generation.mode.is_positive and isinstance(case.body, dict | list):
        case.body = spoil(case.body)


def spoil(value: Any) -> Any:
    """Replace texts that are read as a value, and the numbers 0 and 1, which are read as booleans, by no such text."""
    if isinstance(value, dict):
        return {name: spoil(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [spoil(inner) for inner in value]
    if isinstance(value, str):
        return "?!" if READABLE.fullmatch(value) else value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "?!" if is_number and value in (0, 1) else value

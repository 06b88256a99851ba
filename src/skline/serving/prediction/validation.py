"""Validate long lists in parts.

One call of pydantic's on a large body holds the interpreter's lock, and with it the event loop, until it has validated
everything, and keeps each error: a body of one megabyte can have millions, which take gigabytes. Here a call validates
PART_ITEMS items, and validation stops when there are as many errors as a response lists.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from skline.serving.errors import MAX_ERRORS, RequestError, ValidationFailed, validation_details
from skline.serving.prediction.body_checks import check_texts

Item = TypeVar("Item")

#: Items that one call validates; with 30 errors each it takes about 15 ms.
PART_ITEMS = 50


def parse_json(body: bytes) -> Any:
    """Parse JSON; RequestError if it is none (422), or has a text that is too long (413)."""
    try:
        content = from_json(body)
    except ValueError as error:
        raise RequestError(422, f"Invalid JSON: {error}", "json_invalid") from None
    check_texts(body, content)
    return content


def parse_list(body: bytes) -> list[Any]:
    """Parse a JSON array; RequestError as `parse_json` raises it, or 422 if the body is no array."""
    values = parse_json(body)
    if not isinstance(values, list):
        raise RequestError(422, "Input should be a valid array", "list_type")
    return values


def validate_in_parts(
    values: Sequence[Any], validate: Callable[[bytes], Sequence[Item]], hints: Mapping[str, str] | None = None
) -> list[Item]:
    """Validate JSON values in parts.

    Parameters
    ----------
    values : sequence of JSON values
    validate : callable
        Validates a JSON array as bytes; raises pydantic.ValidationError.
    hints : mapping of str to str, optional
        What `json_absence_hints` returns.

    Raises
    ------
    ValidationFailed
        With the first MAX_ERRORS errors.
    """
    valid: list[Item] = []
    details: list[dict[str, Any]] = []
    for start in range(0, len(values), PART_ITEMS):
        part = values[start : start + PART_ITEMS]
        try:
            valid += validate(to_json(part, inf_nan_mode="constants"))
        except ValidationError as error:
            details += validation_details(error, start, hints)
            if len(details) >= MAX_ERRORS:
                break
    if details:
        raise ValidationFailed(details, len(values))
    return valid

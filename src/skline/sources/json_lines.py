"""JSON lines as CSV text, so that all that follows is the same as for a CSV file."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from skline.errors import SklineError
from skline.sources.object_cells import flat

SUFFIXES = (".jsonl", ".ndjson")


def is_json_lines(head: bytes, name: str) -> bool:
    """Whether a file that begins with `head` has one JSON object a line.

    Parameters
    ----------
    head : bytes
        The first bytes. If they are less than a line, the suffix of `name` decides.
    name : str
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"{"):
        return False
    line, end, _ = text.partition(b"\n")
    if not end and name.lower().endswith(SUFFIXES):
        return True
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def json_lines_as_csv(data: Any, name: str) -> io.BytesIO:
    """Return JSON lines as CSV in UTF-8: exact numbers, true and false, nothing for null.

    An object in a row gives a column for each of its values, called `parent.child`; an array is its JSON text. The
    columns are in the order in which they first appear.

    Parameters
    ----------
    data : binary stream
        Seekable.
    name : str
        Of the file, for messages.

    Raises
    ------
    SklineError
        If a line is no JSON object, as the last one of a truncated file.
    """
    columns: dict[str, None] = {}
    for row in _rows(data, name):
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # so that cells with either character are quoted
    writer.writerow(columns)
    for row in _rows(data, name):
        writer.writerow([row.get(column, "") for column in columns])
    return io.BytesIO(text.getvalue().encode())


def _rows(data: Any, name: str) -> Iterator[dict[str, str]]:
    """Read the rows, each as texts by column; blank lines are none."""
    data.seek(0)
    for number, line in enumerate(data, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SklineError(
                f"{name}, line {number:,} is not valid JSON ({' '.join(str(error).split())}); is the file complete? "
                "JSON lines have one object a line"
            ) from None
        if not isinstance(row, dict):
            raise SklineError(f"{name}, line {number:,} is no JSON object; JSON lines have one object a line")
        yield {name: _text(value) for name, value in flat(row).items()}


def _text(value: Any) -> str:
    """Return a value as text; numbers are exact."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)

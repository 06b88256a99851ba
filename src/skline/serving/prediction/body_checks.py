"""Reject bodies that would take far more time or memory than their size suggests, before they are parsed.

The parsers are written in C and Rust: one call holds the interpreter's lock, and with it the event loop, until it is
done. Each invalid value becomes an error, which takes a kilobyte and several microseconds, and a pattern is matched
against a text of any length. So the number of values, of members of an object, and of characters of a text is limited.

Values are counted by their commas. A body is read in parts of PART_BYTES, until a limit is exceeded: one call on a body
of 16 MiB could take a second.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate
from typing import Any

from skline.serving.errors import RequestError

#: Bytes of a body that one call examines; in the worst case, quotes and commas alone, it takes two milliseconds.
PART_BYTES = 64 * 2**10
#: Characters that a text may have, in JSON as in CSV: twice the bytes of a part at least, see `check_texts`.
MAX_TEXT = 2 * PART_BYTES


def check_value_count(body: bytes, limit: int, *, is_csv: bool = False) -> None:
    """Reject a JSON or CSV body with more than `limit` values; commas within quotes do not count.

    In JSON a backslash escapes a quote; in CSV it is a character like others.

    Raises
    ------
    RequestError
        413.
    """
    if _has_more(body, b",", limit, escapes=not is_csv):
        raise _too_many_values(limit)


def check_total_members(body: bytes, limit: int) -> None:
    """Reject JSON whose objects have more than `limit` members altogether.

    Raises
    ------
    RequestError
        413.
    """
    if _has_more(body, b":", limit):
        raise RequestError(413, f"the objects of the body have more than {limit} members", "too_many_values")


def check_structure(body: bytes, *, values: int, objects: int, members: int) -> None:
    """Reject a JSON array of objects that has too many values or objects, or an object with too many members.

    Parameters
    ----------
    body : bytes
    values, objects : int
        Most values and objects of the body. So many objects are no rows, but may be nested in the members of one.
    members : int
        Most members of an object without nested objects.

    Raises
    ------
    RequestError
        413.
    """
    value_count = object_count = 0
    # Of the commas between two opening braces, one may separate the objects.
    for commas, braces, most in _count_between_braces(body, b","):
        value_count += commas
        object_count += braces
        if value_count > values:
            raise _too_many_values(values)
        _check_objects(object_count, objects)
        _check_members(most, members)


def check_objects(body: bytes, *, objects: int, members: int) -> None:
    """Reject JSON with too many objects, or an object with too many members; lists may have any length.

    Parameters
    ----------
    body : bytes
    objects : int
        Most objects of the body.
    members : int
        Most members of an object without nested objects.

    Raises
    ------
    RequestError
        413.
    """
    object_count = 0
    for _, braces, most in _count_between_braces(body, b":"):
        object_count += braces
        _check_objects(object_count, objects)
        _check_members(most, members)


def check_texts(body: bytes, content: Any) -> None:
    """Reject a JSON body with a text of more than MAX_TEXT characters; `content` is the parsed body.

    Raises
    ------
    RequestError
        413.
    """
    if not may_have_long_text(body):
        return
    rest = [content]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            rest += value.keys()
            rest += value.values()
        elif isinstance(value, str) and len(value) > MAX_TEXT:
            raise text_too_long()


def may_have_long_text(body: bytes) -> bool:
    """Whether a JSON body may have a text of more than MAX_TEXT bytes.

    Such a text covers at least one of the body's parts completely, and there are no quotes in it, except after a
    backslash.
    """
    for start in range(0, len(body) - PART_BYTES, PART_BYTES):
        quote = body.find(b'"', start, start + PART_BYTES)
        if quote < 0 or body[quote - 1 : quote] == b"\\":
            return True
    return False


def text_too_long() -> RequestError:
    """413 for a text that is longer than any cell."""
    return RequestError(413, f"a text has more than {MAX_TEXT} characters; shorten it", "text_too_long")


def _check_objects(count: int, limit: int) -> None:
    if count > limit:
        raise RequestError(413, f"the body has more than {limit} objects; split it", "too_many_values")


def _check_members(count: int, limit: int) -> None:
    if count > limit:
        raise RequestError(413, f"an object has more than {limit} members; remove some", "too_many_values")


def _too_many_values(limit: int) -> RequestError:
    return RequestError(413, f"the body has more than {limit} values; split it", "too_many_values")


def _has_more(body: bytes, mark: bytes, limit: int, *, escapes: bool = True) -> bool:
    """Whether a body has a mark outside of quotes more than `limit` times; first, all of them are counted."""
    if len(body) <= limit or not _exceeds(_count(body, mark), limit):
        return False
    return _exceeds(map(len, _structure(body, mark, escapes=escapes)), limit)


def _exceeds(counts: Iterable[int], limit: int) -> bool:
    """Whether the sum of the counts exceeds the limit; it stops where that is known."""
    return any(total > limit for total in accumulate(counts))


def _count(body: bytes, mark: bytes) -> Iterator[int]:
    """Yield how often each part of a body has a mark."""
    for start in range(0, len(body), PART_BYTES):
        yield body.count(mark, start, start + PART_BYTES)


def _structure(body: bytes, marks: bytes, *, escapes: bool = True) -> Iterator[bytes]:
    """Yield the marks outside of quotes in each part of a body, and nothing else of it.

    With `escapes`, as in JSON, a backslash makes the next character part of a quoted text. A part that ends in an
    unfinished pair leaves the backslash to the next one.
    """
    others = _all_but(marks + b'"')
    quoted, rest = False, b""
    for start in range(0, len(body), PART_BYTES):
        part = rest + body[start : start + PART_BYTES]
        if escapes and b"\\" in part:
            part = part.replace(b"\\\\", b"")
            rest = part[-1:] if part.endswith(b"\\") else b""
            part = part.replace(b'\\"', b"")
        found = part.translate(None, others)
        # Most texts have no marks: their two quotes are adjacent now, and removing them changes nothing but the time.
        pieces = found.replace(b'""', b"").split(b'"')
        yield b"".join(pieces[quoted::2])
        quoted ^= len(pieces) % 2 == 0


def _count_between_braces(body: bytes, mark: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield, for each part of a body, its marks and its opening braces, and the most marks between two braces."""
    open_count = 0
    for part in _structure(body, mark + b"{"):
        first, *others = map(len, part.split(b"{"))
        yield len(part) - len(others), len(others), max(open_count + first, *others, 0)
        open_count = others[-1] if others else open_count + first


@cache
def _all_but(marks: bytes) -> bytes:
    return bytes(set(range(256)) - set(marks))

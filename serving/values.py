"""How many values a body may have: each that is wrong would be an error, of a kilobyte and ten microseconds."""

from serving.errors import RequestRefused
from skline.contract.spec import Contract

#: Values that a row may have beyond its columns and still be told what is wrong with each.
SPARE = 20
_BUT_QUOTES_AND_COMMAS = bytes(set(range(256)) - set(b'",'))


def check_values(body: bytes, contract: Contract, rows: int) -> None:
    """Refuse a body, JSON or CSV, of more values than so many rows of a contract can have; raises as `at_most` does."""
    at_most(body, (len(contract.inputs) + SPARE) * rows)


def at_most(body: bytes, most: int) -> None:
    """Refuse a body, JSON or CSV, of more than `most` values.

    Commas are counted if there can be so many: at first all of them, which takes no time, then those outside of texts.

    Raises
    ------
    RequestRefused
        413.
    """
    if len(body) <= most or body.count(b",") <= most:
        return
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _BUT_QUOTES_AND_COMMAS)
    if b"".join(marks.split(b'"')[::2]).count(b",") > most:
        raise RequestRefused(413, f"the body has more than {most} values; send it in parts", "too_many_values")

"""Request bodies, checked by the contract: JSON → rows of plain values."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from serving.errors import MOST_FAULTS, BodyRefused, RequestRefused
from skline.contract.requests import Rows
from skline.contract.spec import Contract, Value

Row = dict[str, Value]

#: A body up to this size is validated in less than the time of a prediction or two, whatever it holds.
SMALL = 8 * 2**10
#: Values that a row may have beyond its columns and still be told what is wrong with each.
SPARE = 20
_BUT_QUOTES_AND_COMMAS = bytes(set(range(256)) - set(b'",'))


class Bodies:
    """Reads the bodies of requests for one contract."""

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Generate the request types."""
        self.rows = Rows(contract)
        self.max_rows = max_rows
        self._most_values = len(contract.inputs) + SPARE

    def read_row(self, body: bytes) -> Row:
        """Validate a JSON object as one row.

        Raises
        ------
        pydantic.ValidationError
            Naming the field and the rule.
        RequestRefused
            If it has many more values than a row has.
        """
        if len(body) > SMALL:
            check_values(body, self._most_values)
        return self.rows.read_one(body)

    def read_rows(self, body: bytes) -> list[Row]:
        """Validate a JSON array of rows. Takes long: not to be called on the event loop.

        Raises
        ------
        pydantic.ValidationError
            Naming row, field and rule.
        RequestRefused
            If it has more rows than a batch may have, or more faults than are told.
        """
        if len(body) > SMALL:
            check_values(body, self._most_values * self.max_rows)
        try:
            rows: list[Row] = self.rows.read_many(body)
        except ValidationError as error:
            if error.error_count() > MOST_FAULTS:
                raise BodyRefused(error) from None
            raise
        self._check_length(len(rows))
        return rows

    def take_rows(self, values: Sequence[Any]) -> list[Row]:
        """Validate rows that were read already, as JSON values; raises as `read_rows` does."""
        self._check_length(len(values))
        return self.read_rows(to_json(values))

    def _check_length(self, count: int) -> None:
        """Refuse a batch that is too long."""
        if count > self.max_rows:
            raise RequestRefused(
                413,
                f"the batch has {count} rows, at most {self.max_rows} are allowed; send it in parts",
                "batch_too_long",
            )


def check_values(body: bytes, most: int) -> None:
    """Refuse a body of more values than can be meant: each would be an error of its own, of a kilobyte.

    Commas are counted: at first all of them, which takes no time, then those outside of texts.
    """
    if body.count(b",") <= most:
        return
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _BUT_QUOTES_AND_COMMAS)
    if b"".join(marks.split(b'"')[::2]).count(b",") > most:
        raise RequestRefused(413, f"the body has more than {most} values; send it in parts", "too_many_values")

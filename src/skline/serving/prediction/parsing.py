"""Parse request bodies by the contract: JSON in, rows of plain values out."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from skline.contract.request_validation import RowParser
from skline.contract.spec import Contract, Row
from skline.serving.errors import MAX_ERRORS, RequestError, ValidationFailed

#: Bytes. Parsing a body up to this size takes less time than one or two predictions, for any content.
SMALL_BODY_BYTES = 8 * 2**10
#: Values that a row may have in addition to its columns, each with its own error; beyond, a large body gets a 413.
MAX_EXTRA_VALUES = 20

_ALL_BUT_QUOTES_AND_COMMAS = bytes(set(range(256)) - set(b'",'))


class RequestParser:
    """Parses the bodies of requests for one contract."""

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Generate the request types; `max_rows` is the limit for one batch."""
        self.contract, self.max_rows = contract, max_rows
        self._row_parser = RowParser(contract)
        self._strict_row, self._screened = self._row_parser.strict_row, self._row_parser.screened

    @property
    def row_schema(self) -> dict[str, Any]:
        """The JSON schema of a row, with an example."""
        return self._row_parser.row.json_schema()

    def parse_row(self, body: bytes) -> Row:
        """Parse a JSON object as one row.

        Raises
        ------
        pydantic.ValidationError
            With the field and the rule.
        RequestError
            413 if it has far more values than a row has.
        """
        if len(body) > SMALL_BODY_BYTES:
            check_values(body, self.contract, 1)
        # As RowParser.parse_row, without a call in between: it would take a tenth of the time of a small row.
        try:
            row = self._strict_row(body)
        except ValidationError:
            return self._row_parser.reread_row(body)
        if self._screened:
            for name, values in self._screened:
                if row[name] in values:
                    return self._row_parser.reread_row(body)
        return row

    def parse_rows(self, body: bytes) -> Sequence[Row]:
        """Parse a JSON array of rows. It is slow: call it in a thread.

        Raises
        ------
        pydantic.ValidationError
            With the row, the field and the rule.
        ValidationFailed
            If there are more errors than a response lists.
        RequestError
            413 if it has more rows than a batch may have.
        """
        if len(body) > SMALL_BODY_BYTES:
            check_values(body, self.contract, self.max_rows)
        try:
            rows: Sequence[Row] = self._row_parser.parse_rows(body)
        except ValidationError as error:
            if error.error_count() > MAX_ERRORS:
                raise ValidationFailed(error) from None
            raise
        self._check_length(len(rows))
        return rows

    def validate_rows(self, values: Sequence[Any]) -> Sequence[Row]:
        """Validate rows that are JSON values already; raises as `parse_rows` does."""
        self._check_length(len(values))
        return self.parse_rows(to_json(values))

    def _check_length(self, count: int) -> None:
        if count > self.max_rows:
            raise RequestError(
                413,
                f"the batch has {count} rows, but at most {self.max_rows} are allowed; split it",
                "batch_too_long",
            )


def check_values(body: bytes, contract: Contract, rows: int) -> None:
    """Reject a JSON or CSV body with more values than `rows` rows of a contract can have."""
    check_value_count(body, (len(contract.inputs) + MAX_EXTRA_VALUES) * rows)


def check_value_count(body: bytes, limit: int) -> None:
    """Reject a JSON or CSV body with more than `limit` values, before it is parsed.

    Each invalid value would become an error, which takes a kilobyte and ten microseconds. Values are counted by their
    commas: first all commas, which takes no time, and only if these are too many the commas outside of quotes.

    Raises
    ------
    RequestError
        413.
    """
    if len(body) <= limit or body.count(b",") <= limit:
        return
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _ALL_BUT_QUOTES_AND_COMMAS)
    if b"".join(marks.split(b'"')[::2]).count(b",") > limit:
        raise RequestError(413, f"the body has more than {limit} values; split it", "too_many_values")

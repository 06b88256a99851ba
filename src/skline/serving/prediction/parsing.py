"""Parse request bodies by the contract: JSON in, rows of plain values out."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from skline.contract.request_validation import RowParser
from skline.contract.spec import Contract, Row
from skline.contract.suggestions import json_absence_hints
from skline.serving.errors import RequestError, ValidationFailed, validation_details
from skline.serving.prediction.body_checks import (
    check_structure,
    check_texts,
    check_value_count,
    may_have_long_text,
)
from skline.serving.prediction.validation import parse_json, parse_list, validate_in_parts

#: Bytes. Parsing a body up to this size takes less time than one or two predictions, for any content.
SMALL_BODY_BYTES = 8 * 2**10
#: Bytes. Parsing plain rows of a body up to this size takes milliseconds, for any content; rereading may take longer.
LARGE_BODY_BYTES = 256 * 2**10
#: Values that a row may have in addition to its columns, each with its own error; beyond, a large body gets a 413.
MAX_EXTRA_VALUES = 20


class RequestParser:
    """Parses the bodies of requests for one contract."""

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Generate the request types; `max_rows` is the limit for one batch."""
        self.contract, self.max_rows = contract, max_rows
        self._max_members = len(contract.inputs) + MAX_EXTRA_VALUES
        self._row_parser = RowParser(contract)
        self._hints = json_absence_hints(contract)
        self._strict_row, self._screened = self._row_parser.strict_row, self._row_parser.screened

    @property
    def row_schema(self) -> dict[str, Any]:
        """The JSON schema of a row, with an example."""
        return self._row_parser.row.json_schema()

    def parse_row(self, body: bytes) -> Row:
        """Parse a JSON object as one row.

        Raises
        ------
        ValidationFailed
            With the field and the rule.
        RequestError
            413 if it has far more values than a row has.
        """
        if len(body) > SMALL_BODY_BYTES:
            self._check_structure(body, 1)  # an array of millions of objects is no row, but is parsed first
            if may_have_long_text(body):
                check_texts(body, parse_json(body))
        # As RowParser.parse_row, without a call in between: it would take a tenth of the time of a small row.
        try:
            row = self._strict_row(body)
        except ValidationError:
            return self._reread_row(body)
        if self._screened:
            for name, values in self._screened:
                if row[name] in values:
                    return self._reread_row(body)
        return row

    def _reread_row(self, body: bytes) -> Row:
        """Read a row once more, each value as a cell of a table; ValidationFailed if it breaks the contract."""
        try:
            return self._row_parser.reread_row(body)
        except ValidationError as error:
            raise ValidationFailed(validation_details(error, hints=self._hints), 1) from error

    def parse_rows(self, body: bytes) -> Sequence[Row]:
        """Parse a JSON array of rows. It is slow: call it in a thread.

        Raises
        ------
        ValidationFailed
            With the row, the field and the rule.
        RequestError
            422 if it is no array of JSON, 413 if it has more rows than a batch may have.
        """
        if len(body) <= SMALL_BODY_BYTES:
            try:
                rows: Sequence[Row] = self._row_parser.parse_rows(body)
            except ValidationError as error:
                raise ValidationFailed(validation_details(error, hints=self._hints), _list_length(body)) from error
            self._check_length(len(rows))
            return rows
        if len(body) > LARGE_BODY_BYTES:
            self._check_structure(body, self.max_rows)
        if not may_have_long_text(body):
            plain_rows = self._row_parser.parse_plain_rows(body)
            if plain_rows is not None:
                self._check_length(len(plain_rows))
                return plain_rows
        if len(body) <= LARGE_BODY_BYTES:
            self._check_structure(body, self.max_rows)
        values = parse_list(body)
        self._check_length(len(values))
        return validate_in_parts(values, self._row_parser.reread_rows, self._hints)

    def validate_rows(self, values: Sequence[Any]) -> Sequence[Row]:
        """Validate rows that are JSON values already; raises as `parse_rows` does."""
        self._check_length(len(values))
        return self.parse_rows(to_json(values))

    def _check_structure(self, body: bytes, rows: int) -> None:
        """Reject a body that cannot be as many rows: parsing it could take seconds."""
        members = self._max_members
        check_structure(body, values=members * rows, objects=rows + members, members=members)

    def _check_length(self, count: int) -> None:
        if count > self.max_rows:
            raise RequestError(
                413,
                f"the batch has {count} rows, but at most {self.max_rows} are allowed; split it",
                "batch_too_long",
            )


def _list_length(body: bytes) -> int:
    """Return the length of a JSON array; 1 for anything else."""
    try:
        content = from_json(body)
    except ValueError:
        return 1
    return max(len(content), 1) if isinstance(content, list) else 1


def check_values(body: bytes, contract: Contract, rows: int, *, is_csv: bool = False) -> None:
    """Reject a JSON or CSV body with more values than `rows` rows of a contract can have."""
    check_value_count(body, (len(contract.inputs) + MAX_EXTRA_VALUES) * rows, is_csv=is_csv)

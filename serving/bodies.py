"""Request bodies, checked by the contract: JSON → rows of plain values."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import to_json

from serving.errors import RequestRefused
from skline.contract.requests import Rows
from skline.contract.spec import Contract, Value

Row = dict[str, Value]


class Bodies:
    """Reads the bodies of requests for one contract."""

    def __init__(self, contract: Contract, max_rows: int) -> None:
        """Generate the request types."""
        self.rows = Rows(contract)
        self.max_rows = max_rows
        #: Validate a JSON object as one row; pydantic.ValidationError names the field and the rule.
        self.read_row: Callable[[bytes], Row] = self.rows.read_one

    def read_rows(self, body: bytes) -> list[Row]:
        """Validate a JSON array of rows.

        Raises
        ------
        pydantic.ValidationError
            Naming row, field and rule.
        RequestRefused
            If it has more rows than a batch may have.
        """
        rows: list[Row] = self.rows.read_many(body)
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

"""The columns that rows have, compared with those of the contract: a wrong one is one error, not one per row."""

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from skline.contract.spec import Contract
from skline.serving.errors import MAX_ERRORS, RequestError


class WrongColumns(RequestError):
    """A 422 with one error per column.

    Parameters
    ----------
    errors : list of tuple of str
        Column, message and type of each error.
    """

    def __init__(self, errors: list[tuple[str, str, str]], rows: int) -> None:
        super().__init__(422, f"{len(errors)} columns are missing or unknown")
        self.rows = rows
        self._detail = [{"loc": ["body", name], "msg": message, "type": kind} for name, message, kind in errors]

    @property
    def detail(self) -> list[dict[str, Any]]:
        """The first MAX_ERRORS errors."""
        return self._detail[:MAX_ERRORS]


def check_columns(contract: Contract, rows: Sequence[dict[str, Any]]) -> None:
    """Reject rows that lack inputs of the contract, or have other columns.

    Raises
    ------
    WrongColumns
        Naming each of these columns, and the rows if not all are affected.
    """
    expected = frozenset(contract.input_names)
    wrong = [index for index, row in enumerate(rows) if row.keys() != expected]
    if not wrong:
        return
    first: dict[tuple[str, str], int] = {}
    count: Counter[tuple[str, str]] = Counter()
    for index in wrong:
        found = [(name, "missing") for name in contract.input_names if name not in rows[index]]
        found += [(name[:100], "extra_forbidden") for name in rows[index] if name not in expected]
        count.update(found)
        for error in found:
            first.setdefault(error, index)
    # No more than a response lists: each is compared with every missing column, which takes up to 0.1 ms.
    surplus = [name for name, kind in first if kind == "extra_forbidden"][:MAX_ERRORS]
    errors = []
    for (name, kind), number in count.items():
        where = "" if number == len(rows) else f" in {number} of {len(rows)} rows, first in row {first[name, kind]}"
        if kind == "missing":
            message = f"the column {name!r} is missing{where}{_similar(name, surplus)}"
        else:
            message = f"the model has no input {name!r}; remove this column{where}"
        errors.append((name, message, kind))
    raise WrongColumns(errors, len(rows))


def check_csv_header(contract: Contract, names: Sequence[str]) -> None:
    """Reject the first line of a CSV file if it cannot be the header.

    Raises
    ------
    RequestError
        Saying whether the delimiter is another one, or the header is absent.
    """
    if set(names) & set(contract.input_names):
        return
    check_delimiter(contract, names)
    raise RequestError(
        422,
        "the first line of the CSV names none of the model's columns; send `text/csv; header=absent` if it is a row, "
        "with the columns in the contract's order",
        "csv_header",
    )


def check_delimiter(contract: Contract, cells: Sequence[str]) -> None:
    """Reject a CSV file whose lines have one cell, if the model has more inputs."""
    if len(cells) == 1 and len(contract.input_names) > 1:
        raise RequestError(422, "the CSV has one column; its delimiter has to be ','", "csv_delimiter")


def _similar(name: str, surplus: Sequence[str]) -> str:
    by_lower = {other.strip().lower(): other for other in surplus}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.8)
    return f"; is it {by_lower[close[0]]!r}?" if close else ""

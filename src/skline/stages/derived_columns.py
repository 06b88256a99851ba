"""How the source's columns become the contract's: `prepare` of the project, and the checks of what it returns."""

import difflib
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from skline.contract.spec import CellFormat, Column, Contract, Kind
from skline.errors import SklineError

#: Rows on which a `prepare` that is declared to be row-wise is called once more, without the others.
CHECKED_ROWS = 1_000


@dataclass(frozen=True)
class Columns:
    """How the source's columns become the contract's.

    Attributes
    ----------
    names : list of str
        All columns of the source, for the lineage and for error messages.
    contract : Contract
    reads : mapping from column name to kind
        Columns that `prepare` needs in addition to the contract's.
    prepare : function from DataFrame to DataFrame
        Derives the contract's other columns; from `src/model/source.py`. It must keep the rows and their order.
    row_wise : bool
        `ROW_WISE` of `src/model/source.py`: each row that `prepare` returns depends on that row alone.
    source : str
        Name of the source in error messages.
    """

    names: list[str]
    contract: Contract
    reads: Mapping[str, Kind]
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    row_wise: bool = False
    source: str = "the source"

    def formats(self) -> dict[str, CellFormat]:
        """Return the formats of the columns to read."""
        formats = {column.name: self.contract.cell_format(column) for column in self.contract.columns}
        return formats | {
            name: self.contract.cell_format(Column(name=name, kind=kind)) for name, kind in self.reads.items()
        }

    def require_reads(self, present: Collection[str]) -> None:
        """Raise SklineError if the source lacks a column of `reads`."""
        if absent := [name for name in self.reads if name not in present]:
            raise SklineError(
                f"{self.source} lacks {_describe_missing(absent, self.names)}, which READS in src/model/source.py lists"
            )

    def derive(self, parsed: pd.DataFrame) -> pd.DataFrame:
        """Derive the contract's columns from rows with the source's.

        Raises
        ------
        SklineError
            If a column is missing, or `prepare` changed the number of rows.
        """
        prepared = self.prepare(parsed)
        missing = [column.name for column in self.contract.columns if column.name not in prepared.columns]
        if missing:
            raise SklineError(
                f"{self.source} lacks {_describe_missing(missing, self.names)}, which src/model/contract.py declares, "
                "and prepare() in src/model/source.py does not derive it; add it there, or remove it from the contract"
            )
        if len(prepared) != len(parsed):
            raise SklineError(
                f"prepare() in src/model/source.py turned {len(parsed)} rows into {len(prepared)}; it must keep every "
                "row (leave the target empty to exclude a row)"
            )
        return pd.DataFrame({each.name: conform(prepared[each.name], each) for each in self.contract.columns})

    def require_row_wise(self, parsed: pd.DataFrame, derived: pd.DataFrame) -> None:
        """Raise SklineError if `prepare`, which is declared to be row-wise, gives some rows other values alone.

        The rows are from the middle, so that what depends on the rows before or after, or on all, is noticed.
        """
        middle = len(parsed) // 2
        rows = slice(middle, middle + CHECKED_ROWS)
        alone = self.derive(parsed.iloc[rows].reset_index(drop=True))
        for name in derived.columns:
            values, again = derived[name].iloc[rows].reset_index(drop=True), alone[name]
            is_same = (values == again) | (values.isna() & again.isna())
            if not is_same.all():
                row = int(is_same.argmin())
                raise SklineError(
                    f"prepare() in src/model/source.py is declared ROW_WISE, but gives row {middle + row} "
                    f"{name} = {values[row]!r} among all rows and {again[row]!r} among {len(alone)}: remove ROW_WISE "
                    "there, or derive each row from that row alone"
                )

    def lineage(self, n_rows: int, n_failures: int, n_unreadable: int = 0) -> dict[str, object]:
        """Return what the lineage records about the columns."""
        used = {column.name for column in self.contract.columns} | set(self.reads)
        leaks = self.contract.leaks
        return {
            "rows": n_rows,
            "columns": [column.name for column in self.contract.columns],
            "leaks_left_out": [name for name in self.names if name in leaks],
            "not_in_contract": [name for name in self.names if name not in used and name not in leaks],
            "unreadable_cells": n_failures,
        } | ({"unreadable_rows": n_unreadable} if n_unreadable else {})


def conform(values: pd.Series, column: Column, function: str = "prepare()") -> pd.Series:
    """Convert a column from `prepare` to its storage dtype, or to float64 where cells are missing.

    `function` is what returned the column, for the message.

    Raises
    ------
    SklineError
        If the dtype is of another kind, so that the conversion would change values.
    """
    values = values.reset_index(drop=True)
    open_storage = "float64" if column.kind in ("integer", "boolean") and values.isna().any() else column.storage
    if str(values.dtype) == open_storage:
        return values
    fits = {
        "integer": pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values),
        "number": pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values),
        "boolean": pd.api.types.is_bool_dtype(values) or bool(values.dropna().isin([0, 1]).all()),
        "string": pd.api.types.is_string_dtype(values),
        "date": pd.api.types.is_datetime64_dtype(values),
        "datetime": pd.api.types.is_datetime64_dtype(values),
    }
    if not fits[column.kind]:
        raise SklineError(
            f"{function} in src/model/source.py returned column {column.name!r} as {values.dtype}, "
            f"the contract declares {column.kind}; convert it there"
        )
    if open_storage == "int64" and not (values == values.round()).all():
        open_storage = "float64"  # a cast would cut the fraction off; the stage validate rejects it
    stored: pd.Series = values.astype(cast("Any", open_storage))
    return stored


def _describe_missing(missing: list[str], present: list[str]) -> str:
    """List missing columns, each with the closest column that is present, or with all of them."""
    closest = {name: difflib.get_close_matches(name, present, n=1) for name in missing}
    text = ", ".join(
        f"column {name!r}" + (f" (it has {matches[0]!r})" if matches else "") for name, matches in closest.items()
    )
    return text if any(closest.values()) else f"{text} (it has {', '.join(present)})"


def call_prepare(
    prepare: Callable[[pd.DataFrame], pd.DataFrame], frame: pd.DataFrame, function: str = "prepare()"
) -> pd.DataFrame:
    """Call the project's `prepare`; SklineError with the line that failed and the columns that there are."""
    try:
        return prepare(frame)
    except SklineError:
        raise
    except Exception as error:
        lines = [place for place in traceback.extract_tb(error.__traceback__) if place.filename.endswith("source.py")]
        place = f", line {lines[-1].lineno}" if lines else ""
        raise SklineError(
            f"{function} in src/model/source.py{place} failed with {type(error).__name__}: {error}. The table has the "
            f"columns {', '.join(frame.columns)}"
        ) from error

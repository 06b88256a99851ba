"""Read the source, parse each column to its type, derive the contract's columns, and record the lineage.

It never validates: a cell that cannot be parsed is left empty and listed, and the stage validate rejects its row.
"""

import difflib
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import pandas as pd
import pyarrow as pa

from skline import paths
from skline.contract.column_parsing import parse
from skline.contract.spec import Column, Contract, Kind
from skline.errors import SklineError
from skline.settings.source import Source


class Ingested(NamedTuple):
    """The typed table, the cells that could not be parsed, and what the lineage records about the columns."""

    table: pd.DataFrame
    unparsed: pd.DataFrame
    lineage: dict[str, object]


def ingest(
    source: pa.Table,
    source_columns: list[str],
    contract: Contract,
    reads: Mapping[str, Kind],
    prepare: Callable[[pd.DataFrame], pd.DataFrame],
    name: str = "the source",
) -> Ingested:
    """Parse the source's columns and derive the contract's.

    Parameters
    ----------
    source : pyarrow.Table
        The columns that the contract or `reads` names, as text or as stored types.
    source_columns : list of str
        All columns of the source, for the lineage and for error messages.
    contract : Contract
    reads : mapping from column name to kind
        Columns that `prepare` needs in addition to the contract's.
    prepare : function from DataFrame to DataFrame
        Derives the contract's other columns; from `src/model/source.py`. It must keep the rows and their order.
    name : str
        Name of the source in error messages.

    Raises
    ------
    SklineError
        If a column is missing, before or after `prepare`, or `prepare` changed the number of rows.
    """
    formats = {column.name: contract.cell_format(column) for column in contract.columns}
    formats |= {name: contract.cell_format(Column(name=name, kind=kind)) for name, kind in reads.items()}
    absent = [name for name in reads if name not in source.column_names]
    if absent:
        raise SklineError(
            f"{name} lacks {_describe_missing(absent, source_columns)}, which READS in src/model/source.py lists"
        )
    parsed = parse(source, formats)
    prepared = prepare(parsed.frame)
    missing = [column.name for column in contract.columns if column.name not in prepared.columns]
    if missing:
        raise SklineError(
            f"{name} lacks {_describe_missing(missing, source_columns)}, which src/model/contract.py declares, and "
            "prepare() in src/model/source.py does not derive it; add it there, or remove it from the contract"
        )
    if len(prepared) != source.num_rows:
        raise SklineError(
            f"prepare() in src/model/source.py turned {source.num_rows} rows into {len(prepared)}; it must keep every "
            "row (leave the target empty to exclude a row)"
        )
    table = pd.DataFrame({column.name: conform(prepared[column.name], column) for column in contract.columns})
    used = set(table.columns) | set(reads)
    return Ingested(
        table,
        parsed.failures,
        {
            "rows": len(table),
            "columns": list(table.columns),
            "leaks_left_out": [name for name in source_columns if name in contract.leaks],
            "not_in_contract": [name for name in source_columns if name not in used and name not in contract.leaks],
            "unreadable_cells": len(parsed.failures),
        },
    )


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


def load_source(source: Source, columns: list[str]) -> tuple[pa.Table, list[str], dict[str, object]]:
    """Fetch the source and read `columns`.

    Returns
    -------
    The table, the names of all columns of the source, and what the lineage records about the source.
    """
    from skline.files import sha256
    from skline.sources.locate import local_table
    from skline.sources.tables import read_source

    with local_table(source) as path:
        table, source_columns = read_source(path, source, columns, lambda remark: print(remark, file=sys.stderr))
        lineage: dict[str, object] = {
            "source": source.uri,
            "snapshot": source.snapshot,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        if source.query is not None:
            lineage["query"] = source.query
    return table, source_columns, lineage


def main() -> None:
    """Read the contract and the source; write data/contract.json, data/raw and reports/lineage.json."""
    from model.source import READS, prepare
    from skline.contract.table import KINDS
    from skline.feedback import combine, read_feedback
    from skline.files import write_json, write_table, write_text
    from skline.settings import Settings
    from skline.stages.declared import read_declared

    settings = Settings.load()
    contract = read_declared(settings.source).contract
    reads = {name: KINDS[kind] for name, kind in READS.items()}
    source = settings.source.model_copy(update={"missing": contract.shared_missing()})
    table, columns, lineage = load_source(source, [*(c.name for c in contract.columns), *reads])
    result = ingest(table, columns, contract, reads, partial(call_prepare, prepare), settings.source.uri)
    feedback = read_feedback(paths.FEEDBACK, contract)
    combined = combine(result.table, result.unparsed, feedback, contract, settings.source.window)
    write_text(paths.CONTRACT, contract.to_json())
    write_table(paths.RAW, combined.table)
    write_table(paths.UNPARSED, combined.unparsed)
    lineage |= result.lineage | ({"feedback": combined.lineage} if combined.lineage else {})
    write_json(paths.LINEAGE, lineage)
    print(f"{len(result.table):,} rows from {settings.source.uri}")
    if combined.lineage:
        print(f"{combined.lineage['rows']:,} rows of feedback, {len(combined.table):,} rows in all")

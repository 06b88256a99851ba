"""Read the source, give each column its type, derive the contract's columns, and write down where it came from.

Nothing is judged here: a cell that cannot be read is left empty and listed, for the next stage to refuse.
"""

import datetime as dt
import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pandas as pd
import pyarrow as pa

from skline import paths
from skline.contract.parse import parse
from skline.contract.spec import Column, Contract, Kind
from skline.errors import SklineError

if TYPE_CHECKING:
    from skline.settings_source import Source


class Ingested(NamedTuple):
    """What ingest writes: the typed table, its unreadable cells, and facts for the lineage."""

    table: pd.DataFrame
    unparsed: pd.DataFrame
    facts: dict[str, object]


def ingest(
    source: pa.Table,
    source_columns: list[str],
    contract: Contract,
    reads: Mapping[str, Kind],
    prepare: Callable[[pd.DataFrame], pd.DataFrame],
    name: str = "the source",
) -> Ingested:
    """Type the source's columns and derive the contract's.

    Parameters
    ----------
    source : pyarrow.Table
        The columns the contract or `reads` names; text or stored types.
    source_columns : list of str
        Every column the source has, for the lineage and for error messages.
    contract : Contract
    reads : mapping from column name to kind
        What `prepare` needs beside the contract's columns.
    prepare : function from DataFrame to DataFrame
        Derives missing contract columns; from `src/model/source.py`. It must keep the rows and their order.
    name : str
        What to call the source in an error.

    Raises
    ------
    SklineError
        If a column is missing, before or after `prepare`, or `prepare` changed the number of rows.
    """
    kinds: dict[str, Kind] = {column.name: column.kind for column in contract.columns} | dict(reads)
    absent = [name for name in reads if name not in source.column_names]
    if absent:
        raise SklineError(f"{name} lacks {_named(absent, source_columns)}, which READS in src/model/source.py asks for")
    parsed = parse(source, kinds, contract.notations())
    prepared = prepare(parsed.frame)
    missing = [column.name for column in contract.columns if column.name not in prepared.columns]
    if missing:
        raise SklineError(
            f"{name} lacks {_named(missing, source_columns)}, which src/model/contract.py asks for, and prepare() "
            "in src/model/source.py does not make it either; add it there, or take it out of the contract"
        )
    if len(prepared) != source.num_rows:
        raise SklineError(
            f"prepare() in src/model/source.py turned {source.num_rows} rows into {len(prepared)}; it must keep every "
            "row (leave the target empty to set a row aside)"
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


def conform(values: pd.Series, column: Column) -> pd.Series:
    """Bring what `prepare` returned into the column's storage dtype, or float64 where cells are missing.

    Raises
    ------
    SklineError
        If the dtype is of another kind, so that converting would change values.
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
            f"prepare() in src/model/source.py returned column {column.name!r} as {values.dtype}, "
            f"the contract says {column.kind}; convert it there, explicitly"
        )
    if open_storage == "int64" and not (values == values.round()).all():
        open_storage = "float64"  # a fraction is for the next stage to refuse, not for a cast to cut off
    stored: pd.Series = values.astype(cast("Any", open_storage))
    return stored


def _named(missing: list[str], present: list[str]) -> str:
    """List missing columns, each with the nearest present one."""
    words = []
    for name in missing:
        near = difflib.get_close_matches(name, present, n=1)
        words.append(f"column {name!r}" + (f" (it has {near[0]!r})" if near else ""))
    return ", ".join(words) + ("" if any("it has" in word for word in words) else f" (it has {', '.join(present)})")


def read(source: "Source", wanted: list[str]) -> tuple[pa.Table, list[str], dict[str, object]]:
    """Fetch the source and read the wanted columns; also every column's name, and facts for the lineage."""
    from skline.files import sha256
    from skline.sources.locate import local_table
    from skline.sources.tables import read_source

    with local_table(source) as path:
        table, columns = read_source(path, source, wanted)
        facts: dict[str, object] = {
            "source": source.uri,
            "snapshot": source.snapshot,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        if source.query is not None:
            facts["query"] = source.query
    return table, columns, facts


def main() -> None:
    """Read the contract and the source; write data/contract.json, data/raw and reports/lineage.json."""
    from model import contract as declared
    from model.source import READS, prepare
    from skline.contract.derive import derive_module
    from skline.contract.table import KINDS
    from skline.files import write_json, write_table, write_text
    from skline.settings import Settings

    settings, contract = Settings.load(), derive_module(declared)
    reads = {name: KINDS[kind] for name, kind in READS.items()}
    table, columns, facts = read(settings.source, [*(c.name for c in contract.columns), *reads])
    result = ingest(table, columns, contract, reads, prepare, settings.source.uri)
    write_text(paths.CONTRACT, contract.to_json())
    write_table(paths.RAW, result.table)
    write_table(paths.UNPARSED, result.unparsed)
    write_json(
        paths.LINEAGE,
        facts | {"read_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")} | result.facts,
    )
    print(f"{len(result.table):,} rows from {settings.source.uri}")
